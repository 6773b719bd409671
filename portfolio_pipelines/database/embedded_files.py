"""The files around the embedded server: its settings, access rules and socket folder.

Belongs here: what is written where. Starting and stopping is `embedded`, the door for BI `embedded_tcp`.
"""

import hashlib
import os
import re
import socket
from pathlib import Path
from typing import Final

from portfolio_pipelines.database.postgres_programs import EmbeddedPostgresError, give_to_server, let_server_reach

PORTFOLIO: Final = "portfolio"
DAGSTER: Final = "dagster"
SOCKET_PORT: Final = 5432
"""The socket is always found under this number, whatever TCP port is open: URLs stay the same."""
LONGEST_SOCKET_PATH: Final = 100
"""Bytes of a unix socket path that every system takes (Linux 107, macOS 103)."""

TUNING: Final = {
    # One machine, no replica, no archive: no need for the log that those would read.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    # Parallel plans share memory through /dev/shm, which containers keep at 64 MB; our tables are read by key.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def socket_folder(folder: Path) -> Path:
    """Where the server's unix socket lies: in the data folder, or below /tmp when that path is too long."""
    if len(os.fsencode(folder / f".s.PGSQL.{SOCKET_PORT}")) <= LONGEST_SOCKET_PATH:
        return folder
    name = hashlib.blake2b(os.fsencode(folder), digest_size=6).hexdigest()
    return Path("/tmp") / f"portfolio-{os.geteuid()}-{name}"  # noqa: S108 (not TMPDIR: every process must find it; see make_socket_folder)


def make_socket_folder(folder: Path) -> None:
    """Make the folder of `socket_folder`.

    Raises:
        EmbeddedPostgresError: If somebody else has it already.
    """
    where = socket_folder(folder)
    if where == folder:
        return
    where.mkdir(mode=0o700, exist_ok=True)
    if where.is_symlink() or where.stat().st_uid not in {os.geteuid(), folder.stat().st_uid}:
        msg = f"{where} belongs to another user, and the path {folder} is too long for a socket; use a shorter one"
        raise EmbeddedPostgresError(msg)
    give_to_server(where)
    let_server_reach(where)


def server_settings(folder: Path) -> str:
    """Text of portfolio.conf."""
    where = str(socket_folder(folder)).replace('"', '""').replace("'", "''")
    lines = [f"{name} = '{value}'" for name, value in TUNING.items()]
    return "\n".join([*lines, f"unix_socket_directories = '\"{where}\"'", "unix_socket_permissions = 0700", ""])


def tcp_settings(port: int | None) -> str:
    """Text of portfolio_tcp.conf: closed, or open on 127.0.0.1."""
    return "listen_addresses = ''\n" if port is None else f"listen_addresses = '127.0.0.1'\nport = {port}\n"


def tcp_port(folder: Path) -> int | None:
    """The port that portfolio_tcp.conf opens."""
    found = re.search(r"^port = (\d+)$", (folder / "portfolio_tcp.conf").read_text(), re.MULTILINE)
    return int(found[1]) if found else None


def access_rules(role: str | None) -> str:
    """Text of pg_hba.conf: the socket for us, TCP for `role` alone."""
    lines = ["local all all trust"]  # the socket lies in a folder that only its owner can enter
    if role is not None:
        lines = [f'host "{PORTFOLIO}" "{role}" 127.0.0.1/32 scram-sha-256', "host all all all reject", *lines]
    return "\n".join([*lines, ""])


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Postgres does; else old connections block us
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def end_of_log(folder: Path) -> str:
    """The last lines of the server's log."""
    log = folder / "server.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else "(no log)"


def write(path: Path, text: str) -> None:
    """Replace a settings file whole, owned by the server's account."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text)
    beside.chmod(0o600)
    give_to_server(beside)
    beside.replace(path)
