"""The embedded Postgres: one server a data folder, on a unix socket, started on demand and left running.

Belongs here: the server's life and its two databases. Settings are in `embedded_files`, the door for BI in
`embedded_tcp`, URLs for drivers in `connection`. The server is shared by every process of the project, so a client
that is killed takes nothing with it; `stop` ends it.
"""

import fcntl
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg

from portfolio_pipelines.database.embedded_files import (
    DAGSTER,
    PORTFOLIO,
    SOCKET_PORT,
    access_rules,
    end_of_log,
    is_free,
    make_socket_folder,
    server_settings,
    socket_folder,
    tcp_port,
    tcp_settings,
    write,
)
from portfolio_pipelines.database.postgres_programs import (
    EmbeddedPostgresError,
    give_to_server,
    let_server_reach,
    run_program,
    server_process_runs,
    worker_pids,
)

logger = logging.getLogger(__name__)

START_SECONDS: Final = 300
"""Recovery after a crash may replay a whole `max_wal_size`."""
WORKER_SECONDS: Final = 30
"""Workers of a killed server end within a moment, after a long statement at the latest."""


@dataclass(frozen=True, slots=True)
class EmbeddedUrls:
    """Plain libpq URLs of the two databases, over the unix socket as superuser."""

    portfolio: str
    dagster: str


def start(folder: Path) -> EmbeddedUrls:
    """Start the server of `folder` unless it runs, and return its URLs. Any number of processes may call this at once.

    Args:
        folder: Data folder; made when missing. Spaces and long paths are fine.

    Raises:
        EmbeddedPostgresError: If the folder cannot be used or the server does not come up.
    """
    folder = folder.absolute()
    if not _answers(folder):
        with alone(folder):
            if not _answers(folder):
                _make_cluster(folder)
                if server_process_runs(
                    folder
                ):  # left in recovery, or without our databases, by a start that was killed
                    _wait_for_server(folder)
                else:
                    start_server(folder)
                _make_databases(folder)
    return _urls(folder)


def stop(folder: Path) -> None:
    """Stop the server of `folder`; open transactions are rolled back. Does nothing when it is not running."""
    folder = folder.absolute()
    if folder.is_dir():
        with alone(folder):
            stop_server(folder)
            if socket_folder(folder) != folder:
                shutil.rmtree(socket_folder(folder), ignore_errors=True)  # the next start makes it again


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: a lock of the system, which a killed process gives back."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = (folder.parent / f".{folder.name}.lock").open("w")
    except OSError as error:
        msg = f"the data folder {folder} cannot be used ({error.strerror}); set PORTFOLIO_HOME to a writable folder"
        raise EmbeddedPostgresError(msg) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _urls(folder: Path) -> EmbeddedUrls:
    where = quote(str(socket_folder(folder)), safe="")
    portfolio, dagster = (
        f"postgresql://postgres@/{name}?host={where}&port={SOCKET_PORT}" for name in (PORTFOLIO, DAGSTER)
    )
    return EmbeddedUrls(portfolio, dagster)


def connect_as_owner(folder: Path, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
    """A connection as superuser over the socket, each statement its own transaction."""
    where = str(socket_folder(folder))
    return psycopg.connect(
        host=where, port=SOCKET_PORT, user="postgres", dbname=database, autocommit=True, connect_timeout=10
    )


def _answers(folder: Path) -> bool:
    """Whether the server accepts connections and both databases are there."""
    if not (folder / "postmaster.pid").exists():
        return False
    try:
        with connect_as_owner(folder) as connection:
            here = connection.execute("show data_directory").fetchone()
            wanted = "select count(*) from pg_database where datname in (%s, %s)"
            found = connection.execute(wanted, (PORTFOLIO, DAGSTER))
            return here is not None and folder.samefile(str(here[0])) and found.fetchone() == (2,)
    except psycopg.OperationalError:
        return False


def _make_cluster(folder: Path) -> None:
    """Make the data folder, whole or not at all: beside its place, then renamed."""
    try:
        if (folder / "PG_VERSION").exists():
            _check_version(folder)
            return
        if folder.exists() and any(folder.iterdir()):
            msg = f"{folder} holds files that are not a Postgres data folder; empty it or choose another PORTFOLIO_HOME"
            raise EmbeddedPostgresError(msg)
        beside = folder.parent / f".{folder.name}.new"
        shutil.rmtree(beside, ignore_errors=True)  # left by a start that was killed; we hold the lock
        beside.mkdir(mode=0o700)
        give_to_server(beside)
        let_server_reach(beside)
        run_program(
            "initdb", "-D", str(beside), "-U", "postgres", "--auth=trust", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        )  # fmt: skip
        with (beside / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'portfolio.conf'\ninclude 'portfolio_tcp.conf'\n")
        write(beside / "portfolio_tcp.conf", tcp_settings(None))
        write(beside / "pg_hba.conf", access_rules(None))
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except OSError as error:
        msg = f"the data folder {folder} cannot be used ({error}); set PORTFOLIO_HOME to a writable folder"
        raise EmbeddedPostgresError(msg) from error


def _check_version(folder: Path) -> None:
    ours = run_program("postgres", "--version").split()[2].split(".")[0]
    theirs = (folder / "PG_VERSION").read_text().strip()
    if ours != theirs:
        msg = (
            f"{folder} was made by Postgres {theirs}, the bundled one is {ours}; "
            "dump it with the old version and load it into a new PORTFOLIO_HOME"
        )
        raise EmbeddedPostgresError(msg)


def start_server(folder: Path) -> None:
    """Start the server of a made folder that does not run. The caller holds the lock.

    Raises:
        EmbeddedPostgresError: If it does not come up; the message ends with the server's log.
    """
    write(folder / "portfolio.conf", server_settings(folder))
    make_socket_folder(folder)
    let_server_reach(folder)
    _clear_remains(folder)
    port = tcp_port(folder)
    arguments = ["start", "-w", "-t", str(START_SECONDS), "-D", str(folder), "-l", str(folder / "server.log")]
    if port is not None and not is_free(port):
        # The daily run must not depend on a port for BI.
        logger.warning("port %s is taken by another program: Postgres starts without TCP, BI cannot connect", port)
        arguments += ["-o", "-c listen_addresses="]
    try:
        run_program("pg_ctl", *arguments)
    except EmbeddedPostgresError as error:
        log = folder / "server.log"
        msg = f"Postgres in {folder} does not start: {error}\nend of {log}:\n{end_of_log(folder)}"
        raise EmbeddedPostgresError(msg) from error
    if port is not None and port != SOCKET_PORT:
        beside = socket_folder(folder) / ".s.PGSQL.link"
        beside.unlink(missing_ok=True)
        beside.symlink_to(f".s.PGSQL.{port}")
        beside.replace(socket_folder(folder) / f".s.PGSQL.{SOCKET_PORT}")


def stop_server(folder: Path) -> None:
    """Stop the server if it runs. The caller holds the lock."""
    if server_process_runs(folder):
        run_program("pg_ctl", "stop", "-w", "-t", str(START_SECONDS), "-m", "fast", "-D", str(folder))


def _clear_remains(folder: Path) -> None:
    """Remove the lock files of a server that was killed: their number may belong to any program, or to a zombie.

    Only when its workers are gone too, which end by themselves once they notice: two servers on one folder ruin it.
    """
    deadline = time.monotonic() + WORKER_SECONDS
    while workers := worker_pids(folder):
        if time.monotonic() > deadline:
            msg = f"processes {workers} of a killed Postgres still work in {folder}: stop them and try again"
            raise EmbeddedPostgresError(msg)
        time.sleep(0.05)
    remains = [folder / "postmaster.pid", *socket_folder(folder).glob(".s.PGSQL.*")]
    for path in remains:
        path.unlink(missing_ok=True)


def _wait_for_server(folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connect_as_owner(folder).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                msg = f"Postgres in {folder} runs and does not answer: {error}\n{end_of_log(folder)}"
                raise EmbeddedPostgresError(msg) from error
            time.sleep(0.1)
        else:
            return


def _make_databases(folder: Path) -> None:
    with connect_as_owner(folder) as connection:
        found = {str(name) for (name,) in connection.execute("select datname from pg_database")}
        for name in {PORTFOLIO, DAGSTER} - found:
            connection.execute(f'create database "{name}"')
        # A lost second of Dagster's events is repeated by the next run; of our own tables nothing may be lost.
        connection.execute(f'alter database "{DAGSTER}" set synchronous_commit = off')
