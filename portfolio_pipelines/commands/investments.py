"""`portfolio investments …`: what was entered, and taking back what was entered by mistake."""

from portfolio_pipelines.commands.console import OUT
from portfolio_pipelines.commands.importing import whoami
from portfolio_pipelines.commands.reading import print_frame
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.wording import counted


def show_investments(platform: Platform, user_id: str | None, form: str) -> None:
    """The coins of the investments of one user or of all, as they are known now."""
    from portfolio_pipelines.database.investment_removal import list_investments

    frame = list_investments(platform.database.engine, user_id)
    print_frame(frame, form, "no investments; `portfolio import investments FILE` brings some")


def remove_investment(platform: Platform, user_id: str, investment_id: str, asset_id: str | None) -> None:
    """Take an investment back, or one coin of it.

    Raises:
        NoInvestmentError: If there is nothing to take back.
    """
    from portfolio_pipelines.database.investment_removal import remove_investment as remove

    removed = remove(platform.database.engine, user_id, investment_id, who=whoami(), asset_id=asset_id)
    OUT.print(
        f"{investment_id} of {user_id} is taken back ({counted(removed.legs, 'coin')}); importing it again brings it "
        "back, an empty quantity is derived anew then.",
        markup=False,
    )
    day = removed.first_affected_day
    OUT.print(f"  figures from {day} on are affected: `portfolio run` brings them up to date", markup=False)
