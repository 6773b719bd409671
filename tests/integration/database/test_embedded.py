"""The embedded Postgres as its users meet it: started by several, killed, moved, opened for BI."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from portfolio_pipelines.database import embedded
from portfolio_pipelines.database.embedded_files import socket_folder
from portfolio_pipelines.database.embedded_tcp import close_tcp, open_tcp
from portfolio_pipelines.database.postgres_programs import EmbeddedPostgresError


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder whose name has a space and a quote; servers in it are stopped afterwards."""
    yield from _home()


@pytest.fixture(scope="module")
def running() -> Iterator[Path]:
    """Data folder of a server that tests share; each closes what it opened."""
    for home in _home():
        with psycopg.connect(embedded.start(home / "postgres").portfolio, autocommit=True) as connection:
            connection.execute("create role portfolio_bi login password 'open sesame'")
            connection.execute("create role other login password 'open sesame'")
        yield home / "postgres"


def _home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="portfolio's test "))
    try:
        yield folder
    finally:
        for data in folder.rglob("portfolio.conf"):
            embedded.stop(data.parent)
        shutil.rmtree(folder)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    return row and row[0]


def connect_over_tcp(port: int, user: str, password: str, database: str = "portfolio") -> object:
    with psycopg.connect(
        host="127.0.0.1", port=port, user=user, password=password, dbname=database, connect_timeout=5
    ) as connection:
        row = connection.execute("select current_user").fetchone()
    return row and row[0]


def test_several_processes_may_start_it_at_once_and_share_one_server(home: Path) -> None:
    program = (
        "import sys, pathlib; from portfolio_pipelines.database import embedded; "
        "print(embedded.start(pathlib.Path(sys.argv[1])).portfolio)"
    )
    with ThreadPoolExecutor(3) as pool:
        urls = list(
            pool.map(
                lambda _: subprocess.run(
                    [sys.executable, "-c", program, str(home / "postgres")], check=True, capture_output=True, text=True
                ).stdout.strip(),
                range(3),
            )
        )
    assert len(set(urls)) == 1
    assert ask(urls[0], "select count(*) from pg_database where datname in ('portfolio', 'dagster')") == 2


def test_only_dagster_commits_without_waiting_for_the_disk_and_nothing_listens_on_tcp(running: Path) -> None:
    urls = embedded.start(running)
    assert ask(urls.portfolio, "show synchronous_commit") == "on"
    assert ask(urls.dagster, "show synchronous_commit") == "off"
    assert ask(urls.portfolio, "show listen_addresses") == ""
    assert ask(urls.portfolio, "show wal_level") == "minimal"


def test_a_client_that_is_killed_leaves_the_server_running(running: Path) -> None:
    program = (
        "import os, sys, pathlib, psycopg; from portfolio_pipelines.database import embedded; "
        "c = psycopg.connect(embedded.start(pathlib.Path(sys.argv[1])).portfolio); "
        "c.execute('create table half_done ()'); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(running)], check=False)
    assert ended.returncode == -signal.SIGKILL
    urls = embedded.start(running)
    assert ask(urls.portfolio, "select to_regclass('half_done')") is None


def test_a_killed_server_comes_back_with_what_was_committed(running: Path) -> None:
    urls = embedded.start(running)
    with psycopg.connect(urls.portfolio) as connection:
        connection.execute("create table kept as select 7 as seven")
    pid = int((running / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    embedded.start(running)
    assert ask(urls.portfolio, "select seven from kept") == 7


def test_a_stale_pid_file_with_the_number_of_another_program_does_not_matter(running: Path) -> None:
    urls = embedded.start(running)
    pid_file = running / "postmaster.pid"
    text = pid_file.read_text()
    embedded.stop(running)
    pid_file.write_text(text.replace(text.split()[0], str(os.getpid()), 1))
    embedded.start(running)
    assert ask(urls.portfolio, "select 1") == 1


def test_a_start_that_died_while_making_the_folder_is_repeated(home: Path) -> None:
    (home / ".postgres.new").mkdir()
    (home / ".postgres.new" / "PG_VERSION").write_text("18")
    assert ask(embedded.start(home / "postgres").portfolio, "select 1") == 1


def test_a_path_too_long_for_a_socket_works(home: Path) -> None:
    folder = home / ("a long name " * 10) / "postgres"
    urls = embedded.start(folder)
    assert ask(urls.portfolio, "select 1") == 1
    embedded.stop(folder)
    assert not socket_folder(folder).exists()
    assert ask(embedded.start(folder).portfolio, "select 1") == 1


def test_a_folder_with_other_files_is_refused_and_left_alone(home: Path) -> None:
    (home / "photos").mkdir()
    (home / "photos" / "cat.jpg").write_text("cat")
    with pytest.raises(EmbeddedPostgresError, match="holds files that are not a Postgres data folder"):
        embedded.start(home / "photos")
    assert (home / "photos" / "cat.jpg").read_text() == "cat"


def test_a_folder_that_cannot_be_made_is_refused_with_advice(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"cannot be used.*PORTFOLIO_HOME"):
        embedded.start(home / "file" / "postgres")


def test_another_major_version_is_refused_and_left_alone(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match="was made by Postgres 16"):
        embedded.start(home / "postgres")
    assert (home / "postgres" / "PG_VERSION").read_text() == "16\n"


def test_tcp_lets_one_role_in_with_its_password_and_nobody_else(running: Path, free_port: int) -> None:
    urls = embedded.start(running)
    open_tcp(running, free_port, "portfolio_bi")
    assert connect_over_tcp(free_port, "portfolio_bi", "open sesame") == "portfolio_bi"
    for user, password, database in [
        ("portfolio_bi", "wrong", "portfolio"),
        ("portfolio_bi", "open sesame", "dagster"),
        ("other", "open sesame", "portfolio"),
        ("postgres", "", "portfolio"),
    ]:
        with pytest.raises(psycopg.OperationalError, match=r"password authentication failed|rejects connection"):
            connect_over_tcp(free_port, user, password, database)
    assert ask(urls.portfolio, "select 1") == 1  # the socket is where it was

    embedded.stop(running)
    embedded.start(running)
    assert connect_over_tcp(free_port, "portfolio_bi", "open sesame") == "portfolio_bi"

    close_tcp(running)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect_over_tcp(free_port, "portfolio_bi", "open sesame")
    assert ask(urls.portfolio, "select 1") == 1


def test_opening_twice_does_not_restart_the_server(running: Path, free_port: int) -> None:
    open_tcp(running, free_port, "portfolio_bi")
    started = ask(embedded.start(running).portfolio, "select pg_postmaster_start_time()")
    open_tcp(running, free_port, "portfolio_bi")
    assert ask(embedded.start(running).portfolio, "select pg_postmaster_start_time()") == started
    close_tcp(running)


def test_a_taken_port_is_refused_and_the_server_goes_on(running: Path) -> None:
    urls = embedded.start(running)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        with pytest.raises(EmbeddedPostgresError, match=f"port {port} on 127.0.0.1 is taken"):
            open_tcp(running, port, "portfolio_bi")
    assert ask(urls.portfolio, "show listen_addresses") == ""


def test_a_port_taken_after_a_restart_keeps_bi_out_but_not_us(running: Path) -> None:
    urls = embedded.start(running)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = int(other.getsockname()[1])
        other.close()
        open_tcp(running, port, "portfolio_bi")
    embedded.stop(running)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        embedded.start(running)
        assert ask(urls.portfolio, "select 1") == 1
        with pytest.raises(EmbeddedPostgresError, match="is taken"):
            open_tcp(running, port, "portfolio_bi")
    open_tcp(running, port, "portfolio_bi")
    assert connect_over_tcp(port, "portfolio_bi", "open sesame") == "portfolio_bi"
    close_tcp(running)


@pytest.mark.parametrize(
    ("role", "rights", "problem"),
    [
        ("nobody", None, "does not exist"),
        ("no_password", "login", "has no login with a scram password"),
        ("no_login", "password 'x'", "has no login with a scram password"),
        ("mighty", "superuser login password 'x'", "may do more than read"),
        ("all", None, "does not exist"),
        ('x"\nhost all all 0.0.0.0/0 trust', None, "is not a plain role name"),
    ],
)
def test_tcp_stays_closed_for_a_role_that_is_not_safe(
    running: Path, role: str, rights: str | None, problem: str
) -> None:
    if rights:
        with psycopg.connect(embedded.start(running).portfolio, autocommit=True) as connection:
            connection.execute(f"create role {role} {rights}")  # type: ignore[call-overload]
    with pytest.raises(EmbeddedPostgresError, match=problem):
        open_tcp(running, 5999, role)
