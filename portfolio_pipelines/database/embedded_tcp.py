"""The door for BI tools: 127.0.0.1 with a password, for one read-only role of the embedded server.

Belongs here: opening and closing. What the role may read is decided where the marts are published.
"""

import re
from pathlib import Path

from portfolio_pipelines.database.embedded import alone, connect_as_owner, start, start_server, stop_server
from portfolio_pipelines.database.embedded_files import access_rules, is_free, tcp_settings, write
from portfolio_pipelines.database.postgres_programs import EmbeddedPostgresError, run_program


def open_tcp(folder: Path, port: int, role: str) -> None:
    """Let one role in over 127.0.0.1:`port` with its password; every other connection over TCP is refused.

    The server restarts (open connections of other processes break once), unless exactly this is open already. It
    stays open over restarts until `close_tcp`.

    Args:
        folder: Data folder of the server.
        port: TCP port, 1024 to 65535.
        role: A role with a password that is no superuser.

    Raises:
        EmbeddedPostgresError: If the role is missing, has no password or too many rights, or the port is taken.
    """
    folder = folder.absolute()
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", role):
        msg = f"{role!r} is not a plain role name (small letters, digits, underscore)"
        raise EmbeddedPostgresError(msg)
    start(folder)
    with alone(folder):
        _check_role(folder, role)
        if _is_open(folder, port):
            write(folder / "pg_hba.conf", access_rules(role))
            run_program("pg_ctl", "reload", "-D", str(folder))
            return
        before = {name: (folder / name).read_text() for name in ("portfolio_tcp.conf", "pg_hba.conf")}
        if not is_free(port):
            msg = f"port {port} on 127.0.0.1 is taken by another program; choose another (PORTFOLIO_BI_PORT)"
            raise EmbeddedPostgresError(msg)
        write(folder / "portfolio_tcp.conf", tcp_settings(port))
        write(folder / "pg_hba.conf", access_rules(role))
        stop_server(folder)
        try:
            start_server(folder)
        except EmbeddedPostgresError:
            for name, text in before.items():
                write(folder / name, text)
            start_server(folder)
            raise


def close_tcp(folder: Path) -> None:
    """Close the door that `open_tcp` opened; the server restarts when one was open."""
    folder = folder.absolute()
    start(folder)
    with alone(folder):
        if (folder / "portfolio_tcp.conf").read_text() == tcp_settings(None):
            return
        write(folder / "portfolio_tcp.conf", tcp_settings(None))
        write(folder / "pg_hba.conf", access_rules(None))
        stop_server(folder)
        start_server(folder)


def _check_role(folder: Path, role: str) -> None:
    query = """
        select rolsuper or rolcreaterole or rolcreatedb, rolcanlogin, rolpassword from pg_authid where rolname = %s
    """
    with connect_as_owner(folder) as connection:
        found = connection.execute(query, (role,)).fetchone()
    if found is None:
        problem = "does not exist"
    elif found[0]:
        problem = "may do more than read"
    elif not found[1] or not str(found[2]).startswith("SCRAM-SHA-256"):
        problem = "has no login with a scram password"
    else:
        return
    msg = f"TCP stays closed: the role {role!r} {problem}"
    raise EmbeddedPostgresError(msg)


def _is_open(folder: Path, port: int) -> bool:
    """Ask the server itself: it may have started without TCP, with another program behind the port."""
    query = "select current_setting('listen_addresses'), current_setting('port')"
    with connect_as_owner(folder) as connection:
        return connection.execute(query).fetchone() == ("127.0.0.1", str(port))
