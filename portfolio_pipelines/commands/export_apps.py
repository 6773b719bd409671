"""`portfolio export` and the commands below `portfolio schedules`, as `cli` mounts them.

Each parses, calls one function of `commands.exporting` or `commands.scheduling` and prints. Heavy parts are imported
inside the commands.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from portfolio_pipelines.commands.watched_apps import Form as RowForm
from portfolio_pipelines.commands.watched_apps import OfUser, RowFormat
from portfolio_pipelines.delivery.exports.datasets import Form, What
from portfolio_pipelines.delivery.exports.due_times import Period, RangeRule

schedules = typer.Typer(help="Exports that are made and sent again and again.", no_args_is_help=True)


class Paper(StrEnum):
    """Pages of a PDF."""

    A4 = "a4"
    US_LETTER = "us-letter"


Name = Annotated[str, typer.Argument(metavar="NAME", help="What the user calls it.")]
ChosenWhat = Annotated[What, typer.Option("--what", help="Which tables; of performance and il there is a PDF.")]
ChosenForm = Annotated[Form, typer.Option("--format", help="Format of the files.")]
ChosenPaper = Annotated[Paper, typer.Option("--paper", help="Pages of a PDF.")]
At = Annotated[str, typer.Option("--at", metavar="HH:MM", help="Local time of the day.")]
On = Annotated[
    str | None, typer.Option("--on", metavar="DAY", help="Weekly a weekday, monthly 1 to 31 (31: the last).")
]
Zone = Annotated[str, typer.Option("--zone", metavar="ZONE", help="Time zone, such as Europe/Berlin.")]
Days = Annotated[RangeRule, typer.Option("--days", help="Closed UTC days it holds; period: those since the last one.")]
Channel = Annotated[int | None, typer.Option("--channel", metavar="ID", help="Mail or webhook; default all channels.")]


def export(
    user: str,
    start: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day, YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day; default yesterday (UTC).")] = None,
    form: ChosenForm = Form.CSV,
    what: ChosenWhat = What.ALL,
    to_folder: Annotated[
        Path | None, typer.Option("--to-folder", metavar="DIR", help="Folder of the files; default below home/exports.")
    ] = None,
    paper: ChosenPaper = Paper.A4,
) -> None:
    """Write what the marts say of a user into files, with a manifest of rows, hashes, meanings and coverage.

    Example: `portfolio export ann --from 2026-01-01 --to 2026-03-31 --format xlsx --what performance`
    """
    from portfolio_pipelines.commands import exporting
    from portfolio_pipelines.commands.console import readable_errors
    from portfolio_pipelines.settings import Settings

    with readable_errors():
        exporting.export(Settings(), user, start, end, what, form, to_folder, paper.value)


@schedules.command("add")
def add_schedule(
    user: str,
    name: Name,
    what: ChosenWhat = What.ALL,
    form: ChosenForm = Form.CSV,
    period: Annotated[Period, typer.Option("--period", help="How often.")] = Period.MONTHLY,
    at: At = "08:00",
    on: On = None,
    zone: Zone = "UTC",
    days: Days = RangeRule.PERIOD,
    channel: Channel = None,
    paper: ChosenPaper = Paper.A4,
) -> None:
    """Have an export made and sent again and again.

    Example: `portfolio schedules add ann taxes --what pnl --period weekly --on monday --zone Europe/Berlin --channel 3`
    """
    from portfolio_pipelines.commands import scheduling
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        given = scheduling.Given(what, form, period, at, on, zone, days, channel, paper.value)
        scheduling.add(open_platform(), user, name, given)


@schedules.command("list")
def list_schedules(user: OfUser = None, form: RowForm = RowFormat.TABLE) -> None:
    """List scheduled exports, with when they are due next and how the last one ended.

    Example: `portfolio schedules list --user ann`
    """
    from portfolio_pipelines.commands import scheduling
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        scheduling.show(open_platform(), user, form.value)


@schedules.command("history")
def show_history(user: OfUser = None, form: RowForm = RowFormat.TABLE) -> None:
    """List what became of each time an export was due, newest first.

    Example: `portfolio schedules history --user ann`
    """
    from portfolio_pipelines.commands import scheduling
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        scheduling.show_history(open_platform(), user, form.value)


@schedules.command("edit")
def edit_schedule(
    user: str,
    name: Name,
    what: Annotated[What | None, typer.Option("--what", help="Which tables.")] = None,
    form: Annotated[Form | None, typer.Option("--format", help="Format of the files.")] = None,
    period: Annotated[Period | None, typer.Option("--period", help="How often.")] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="HH:MM", help="Local time of the day.")] = None,
    on: On = None,
    zone: Annotated[str | None, typer.Option("--zone", metavar="ZONE", help="Time zone.")] = None,
    days: Annotated[RangeRule | None, typer.Option("--days", help="Closed UTC days it holds.")] = None,
    channel: Annotated[int | None, typer.Option("--channel", metavar="ID", help="0 for all channels.")] = None,
    paper: Annotated[Paper | None, typer.Option("--paper", help="Pages of a PDF.")] = None,
    rename: Annotated[str | None, typer.Option("--rename", metavar="NAME", help="Another name.")] = None,
) -> None:
    """Change a scheduled export; what is not named stays.

    Example: `portfolio schedules edit ann taxes --at 07:30 --format xlsx`
    """
    from portfolio_pipelines.commands import scheduling
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        given = scheduling.Given(what, form, period, at, on, zone, days, channel, paper.value if paper else None)
        scheduling.edit(open_platform(), user, name, given, rename)


@schedules.command("pause")
def pause_schedule(user: str, name: Name) -> None:
    """Send nothing until it is resumed.

    Example: `portfolio schedules pause ann taxes`
    """
    from portfolio_pipelines.commands import scheduling
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        scheduling.pause(open_platform(), user, name)


@schedules.command("resume")
def resume_schedule(user: str, name: Name) -> None:
    """Send again from now on; what would have been due meanwhile is not made up for.

    Example: `portfolio schedules resume ann taxes`
    """
    from portfolio_pipelines.commands import scheduling
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        scheduling.resume(open_platform(), user, name)


@schedules.command("delete")
def delete_schedule(user: str, name: Name) -> None:
    """Send nothing any more; the history stays.

    Example: `portfolio schedules delete ann taxes`
    """
    from portfolio_pipelines.commands import scheduling
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        scheduling.delete(open_platform(), user, name)


@schedules.command("run-now")
def run_now(user: str, name: Name) -> None:
    """Make and send a scheduled export now; when it is due next does not change.

    Example: `portfolio schedules run-now ann taxes`
    """
    from portfolio_pipelines.commands import scheduling
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        scheduling.run_now(open_platform(), user, name)


@schedules.command("run-due")
def run_due() -> None:
    """Make and send everything that is due: for a cron job, where no Dagster daemon runs.

    Ends with status 1 when one of them failed.

    Example: `portfolio schedules run-due`
    """
    from portfolio_pipelines.commands import scheduling
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        if not scheduling.run_due(open_platform()):
            raise typer.Exit(1)
