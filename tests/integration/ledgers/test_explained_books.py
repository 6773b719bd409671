"""`portfolio explain` works lots, disposals and every figure of profit and loss out again."""

from portfolio_pipelines.commands.explained_books import BOOK_MARTS
from portfolio_pipelines.resources.platform import Platform
from tests.explained_figures import every, explained
from tests.integration.ledgers.test_ledgers import LEDGER, Run, bring, platform, run

__all__ = ["platform", "run"]  # fixtures


def test_lots_disposals_and_totals_are_worked_out_again(platform: Platform, run: Run) -> None:
    bring(platform, LEDGER)
    run()
    platform.warehouse.build()
    with platform.warehouse.connect() as marts:
        every(explained(marts, platform.lake, *BOOK_MARTS), *BOOK_MARTS)
