"""The command `portfolio report`, as `cli` mounts it: parse, call, write the file. Heavy parts are imported inside."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DAYS = 365
"""Days that a report is about when nobody says."""


class ReportOf(StrEnum):
    """What a report is about."""

    PERFORMANCE = "performance"
    IL = "il"


class PaperSize(StrEnum):
    """What it is printed on."""

    A4 = "a4"
    US_LETTER = "us-letter"


def report_command(
    user: Annotated[str, typer.Argument(help="Whose report.")],
    what: Annotated[
        ReportOf, typer.Option("--what", help="Performance, or impermanent loss of positions in pools.")
    ] = ReportOf.PERFORMANCE,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="First day, YYYY-MM-DD; default 365 days.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Last day, YYYY-MM-DD; default yesterday (UTC).")
    ] = None,
    paper: Annotated[PaperSize, typer.Option("--paper", help="Size of the pages.")] = PaperSize.A4,
    file: Annotated[
        Path | None, typer.Option("--to-file", metavar="FILE", help="Where it goes; default a name made of the rest.")
    ] = None,
) -> None:
    """Write a report of a user as a PDF.

    Days of the range that were not run yet are left out, and the report says so.

    Example: `portfolio report ann --what performance --from 2026-01-01 --to 2026-06-30`
    """
    from portfolio_pipelines.commands.console import OUT, CommandError, parse_day, readable_errors, yesterday
    from portfolio_pipelines.delivery.reports.build import build_report
    from portfolio_pipelines.delivery.reports.faults import ReportUnavailableError
    from portfolio_pipelines.resources.figure_rules import FigureRules
    from portfolio_pipelines.resources.files import appears_whole
    from portfolio_pipelines.resources.warehouse import Warehouse
    from portfolio_pipelines.settings import Settings

    with readable_errors():
        settings = Settings()
        last = parse_day(end, yesterday())
        first = parse_day(start, last - timedelta(days=DEFAULT_DAYS - 1))
        try:
            content = build_report(
                Warehouse.from_settings(settings), user, what.value, first, last,
                paper=paper.value, rules=FigureRules.of(settings),
            )  # fmt: skip
        except (ReportUnavailableError, ValueError) as error:
            raise CommandError(str(error)) from error
        path = file or Path(f"{_file_name(user)}-{what.value}-{first}-{last}.pdf")
        if not path.absolute().parent.is_dir():
            msg = f"there is no folder {path.absolute().parent} to write {path.name} into"
            raise CommandError(msg)
        with appears_whole(path) as part:
            part.write_bytes(content)
        OUT.print(f"{path} ({len(content) / 1024:,.0f} KB)", markup=False)


def _file_name(user: str) -> str:
    """The user's id as part of a file name: nothing in it leads to another folder."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in user)[:60] or "user"
