"""`portfolio export` and `portfolio schedules` as a person types them."""

import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from portfolio_pipelines.cli import app
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources.warehouse import Warehouse


class Terminal:
    """An installation and its command line."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def does(self, *words: str) -> str:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == 0, result.output
        return result.stdout

    def refuses(self, *words: str) -> str:
        result = CliRunner().invoke(app, list(words))
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == 1
        return " ".join(result.stderr.split())


@pytest.fixture
def terminal(database: sa.Engine, warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    home = tmp_path / "home"
    monkeypatch.setenv("PORTFOLIO_HOME", str(home))
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", url_text(database.url))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)
    home.mkdir()
    shutil.copy(warehouse.path, home / "warehouse.duckdb")
    warehouse.project.manifest()
    version = warehouse.project.target.name
    (home / "dbt" / version).mkdir(parents=True)
    shutil.copy(warehouse.project.target / "manifest.json", home / "dbt" / version / "manifest.json")
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('alice')"))
        connection.execute(
            sa.text("""
                insert into app.notification_channels (user_key, kind, shown_address, sealed_address, least_severity,
                    code_tries, failures, created_at, verified_at)
                select user_key, 'email', 'x', 'sealed', 'info', 0, 0, now(), now() from app.users
            """)
        )
    return Terminal(home)


def test_an_export_is_written_below_home_or_where_one_wants_it(terminal: Terminal, tmp_path: Path) -> None:
    said = terminal.does("export", "alice", "--from", "2025-01-30", "--to", "2025-02-02", "--what", "snapshots")
    folder = terminal.home / "exports" / "alice-snapshots-2025-01-30-to-2025-02-02-csv"
    assert {path.name for path in folder.iterdir()} == {"snapshots.csv", "holdings.csv", "manifest.json"}
    assert "snapshots.csv" in said
    said = terminal.does("export", "alice", "--format", "json", "--what", "pnl", "--to-folder", "mine")
    assert "The marts end on 2025-02-02" in said
    document = json.loads((tmp_path / "mine" / "portfolio.json").read_text())
    assert document["user_id"] == "alice"
    assert len(document["tables"]["transactions"]) == 2


def test_what_cannot_be_exported_is_said_with_what_can(terminal: Terminal, tmp_path: Path) -> None:
    assert "no user 'alicia', but 'alice'" in terminal.refuses("export", "alicia")
    assert "there is no PDF of all" in terminal.refuses("export", "alice", "--format", "pdf")
    assert "write it as YYYY-MM-DD" in terminal.refuses("export", "alice", "--from", "yesterday")
    assert "there is performance" not in terminal.refuses(
        "export", "alice", "--from", "2030-01-01", "--to", "2029-01-01"
    )
    (tmp_path / "file").write_text("mine")
    assert "holds something else" in terminal.refuses("export", "alice", "--to-folder", "file")
    (terminal.home / "warehouse.duckdb").unlink()
    assert "run `portfolio run` first" in terminal.refuses("export", "alice")


def test_a_schedule_lives_from_adding_to_deleting(terminal: Terminal, database: sa.Engine) -> None:
    said = terminal.does(
        "schedules", "add", "alice", "taxes", "--what", "pnl", "--format", "xlsx", "--period", "weekly", "--on", "tue",
        "--at", "07:30", "--zone", "Europe/Berlin", "--channel", "1",
    )  # fmt: skip
    assert "Next: Tuesday" in said
    assert "07:30 Europe/Berlin" in said
    (row,) = json.loads(terminal.does("schedules", "list", "--user", "alice", "--format", "json"))
    assert (row["name"], row["period"], row["on_day"], row["at_local"], row["channel_id"]) == (
        "taxes", "weekly", 2, "07:30", 1,
    )  # fmt: skip
    assert "07:30" in terminal.does("schedules", "list")
    assert "Next:" in terminal.does(
        "schedules", "edit", "alice", "taxes", "--period", "monthly", "--on", "31", "--days", "everything"
    )
    assert "made and handed to the outbox" in terminal.does("schedules", "run-now", "alice", "taxes")
    (run,) = json.loads(terminal.does("schedules", "history", "--format", "json"))
    assert run["status"] == "done"
    folder = terminal.home / "exports" / run["folder"]
    assert (folder / "files" / "portfolio.xlsx").is_file()
    assert "nothing is due" in terminal.does("schedules", "run-due")
    with database.begin() as connection:
        connection.execute(sa.text("update app.scheduled_exports set next_due_at = now() - interval '20 days'"))
    assert "taxes of alice: done" in terminal.does("schedules", "run-due")
    terminal.does("schedules", "pause", "alice", "taxes")
    assert "paused" in terminal.does("schedules", "list")
    assert "Next:" in terminal.does("schedules", "resume", "alice", "taxes")
    terminal.does("schedules", "delete", "alice", "taxes")
    assert "nothing is scheduled" in terminal.does("schedules", "list")


def test_bad_schedules_are_refused_with_all_faults(terminal: Terminal) -> None:
    said = terminal.refuses("schedules", "add", "alice", "x", "--at", "25:00", "--on", "someday")
    assert "'25:00' is no time of the day" in said
    assert "'someday' is no day" in said
    said = terminal.refuses("schedules", "add", "nobody", "x", "--zone", "Mars/Olympus", "--channel", "7")
    for part in ("no user 'nobody'", "Mars/Olympus", "no channel 7"):
        assert part in said
    assert "no scheduled export 'x'" in terminal.refuses("schedules", "pause", "alice", "x")
    terminal.does("schedules", "add", "alice", "x")
    assert "name what shall change" in terminal.refuses("schedules", "edit", "alice", "x")


def test_a_due_export_that_fails_ends_with_status_one(terminal: Terminal, database: sa.Engine) -> None:
    terminal.does("schedules", "add", "alice", "x", "--what", "il", "--days", "everything")
    with database.begin() as connection:
        connection.execute(sa.text("update app.scheduled_exports set next_due_at = now() - interval '60 days'"))
    (terminal.home / "exports").write_text("no folder")
    result = CliRunner().invoke(app, ["schedules", "run-due"])
    assert result.exit_code == 1
    assert "x of alice: failed" in result.stdout
