"""Connections of a pool that broke, found out without asking the server at every use. Import nothing heavy here."""

import select
import time
from typing import Any, Final

from sqlalchemy import Engine, event, exc

TRUSTED_SECONDS: Final = 30.0
"""A connection that was used within this time, and was sent nothing since, is taken to be alive."""


def replace_broken_connections(engine: Engine) -> Engine:
    """Let the pool of an engine replace connections that broke, before anybody uses them.

    The embedded server restarts under long-lived processes. A server that goes says so, which the socket shows at
    once; only one that vanished behind a network does not, and a connection unused for long is asked. SQLAlchemy's own
    `pool_pre_ping` asks at every use: a run has thousands.

    Args:
        engine: Of Postgres, with psycopg or psycopg2.

    Returns:
        The same engine.
    """
    dialect = engine.dialect

    def remember(_connection: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    def check(connection: Any, record: Any, _proxy: Any) -> None:
        unused = time.monotonic() - record.info.get("used", float("-inf"))
        if unused < TRUSTED_SECONDS and not connection.closed and not _has_news(connection.fileno()):
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise exc.InvalidatePoolError(str(error)) from error

    event.listen(engine, "checkin", remember)
    event.listen(engine, "checkout", check)
    return engine


def _has_news(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
