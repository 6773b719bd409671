"""Connections that broke are replaced before use, and those that did not are not asked at every use."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from portfolio_pipelines.database import pooling
from portfolio_pipelines.database.connection import DAGSTER_DRIVER, DRIVER
from portfolio_pipelines.database.pooling import replace_broken_connections

ONE = sa.text("select 1")


@pytest.fixture(params=[DRIVER, DAGSTER_DRIVER])
def engine(request: pytest.FixtureRequest, empty_database: sa.Engine) -> Iterator[sa.Engine]:
    """An engine of one connection, with each of the two drivers that we use."""
    made = sa.create_engine(empty_database.url.set(drivername=request.param), pool_size=1, max_overflow=2)
    yield replace_broken_connections(made)
    made.dispose()


@pytest.fixture
def asked(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connections whose server was asked whether it is there."""
    found: list[Any] = []
    ask = engine.dialect.do_ping

    def do_ping(connection: Any) -> bool:
        found.append(connection)
        return ask(connection)

    monkeypatch.setattr(engine.dialect, "do_ping", do_ping)
    return found


def use(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(sa.text("select pg_backend_pid()")) or 0)


def end_all_others(database: sa.Engine) -> None:
    others = sa.text(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert all(row[0] for row in connection.execute(others))


def test_a_connection_in_use_is_asked_when_it_is_new_and_then_trusted(engine: sa.Engine, asked: list[Any]) -> None:
    backends = {use(engine) for _ in range(5)}
    assert len(backends) == 1
    assert len(asked) == 1


def test_one_that_was_not_used_for_long_is_asked(
    engine: sa.Engine, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = use(engine)
    monkeypatch.setattr(pooling, "TRUSTED_SECONDS", 0.0)
    assert use(engine) == before
    assert len(asked) == 2


def test_one_whose_server_went_is_replaced_before_anybody_uses_it(engine: sa.Engine, empty_database: sa.Engine) -> None:
    before = use(engine)
    end_all_others(empty_database)
    assert use(engine) != before


def test_all_that_broke_at_once_are_replaced(engine: sa.Engine, empty_database: sa.Engine) -> None:
    open_at_once = [engine.connect() for _ in range(3)]
    for connection in open_at_once:
        connection.close()
    use(engine)
    end_all_others(empty_database)
    open_at_once = [engine.connect() for _ in range(3)]
    assert [connection.scalar(ONE) for connection in open_at_once] == [1, 1, 1]
    for connection in open_at_once:
        connection.close()
