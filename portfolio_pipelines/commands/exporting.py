"""`portfolio export`: files of what the marts say of a user."""

from pathlib import Path
from typing import Literal

from portfolio_pipelines.commands.console import OUT, CommandError, parse_day, yesterday
from portfolio_pipelines.delivery.exports.datasets import Form, What
from portfolio_pipelines.delivery.exports.due_times import FIRST_DAY
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.warehouse import Warehouse
from portfolio_pipelines.settings import Settings


def export(
    settings: Settings,
    user_id: str,
    start: str | None,
    end: str | None,
    what: What,
    form: Form,
    to_folder: Path | None,
    paper: Literal["a4", "us-letter"],
) -> None:
    """Write an export and say what it is.

    Args:
        settings: Of the installation.
        user_id: Whose.
        start: First day; everything from the beginning without one.
        end: Last day, inclusive; yesterday without one.
        what: Which tables.
        form: The format.
        to_folder: Folder of the files; one below `exports` in the home folder without one.
        paper: Pages of a PDF.

    Raises:
        CommandError: If there is nothing to export, or not so; the message says what there is.
    """
    from portfolio_pipelines.delivery.exports.reading import ExportRefusedError
    from portfolio_pipelines.delivery.exports.write import ReportStyle, folder_name, write_export

    first, last = parse_day(start, FIRST_DAY), parse_day(end, yesterday())
    folder = to_folder or settings.exports / folder_name(user_id, what, form, first, last)
    style = ReportStyle(paper, FigureRules.of(settings))
    try:
        manifest = write_export(
            Warehouse.from_settings(settings), user_id, what, form, first, last, folder.absolute(), style
        )
    except ExportRefusedError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        msg = f"the files cannot be written to {folder}: {error.strerror or error}"
        raise CommandError(msg) from error
    files = ", ".join(file.name for file in manifest.files)
    rows = f"{manifest.rows:,} rows in {len(manifest.tables)} tables, " if manifest.tables else ""
    OUT.print(f"{rows}{manifest.size:,} bytes in {manifest.folder}: {files}, manifest.json", markup=False)
    newest = manifest.build["newest_day"]
    if newest and newest < last.isoformat():
        OUT.print(f"The marts end on {newest}: later days are not in it; `portfolio run` values them.", markup=False)
