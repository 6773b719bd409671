"""BI reads the marts over TCP with a password, as one role that can do nothing else."""

import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.database import embedded
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources.bi_access import (
    ROLE,
    WITHHELD,
    BiAccessError,
    BiConnection,
    connection_settings,
    open_for_bi,
)
from portfolio_pipelines.resources.dbt_manifest import read_models
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.served_marts import publish
from portfolio_pipelines.resources.warehouse import Warehouse
from portfolio_pipelines.settings import Settings


@dataclass(frozen=True)
class Served:
    """An embedded server with published marts, open for BI."""

    settings: Settings
    connection: BiConnection
    warehouse: Warehouse

    @property
    def url(self) -> str:
        """Of the owner."""
        return embedded.start(self.settings.postgres).portfolio


@pytest.fixture(scope="module")
def served(template: Any, dbt_state: Any) -> Iterator[Served]:
    home = Path(tempfile.mkdtemp(prefix="portfolio-bi-"))  # reachable for the account that runs Postgres
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = Settings(home=home, bi_port=port)
    try:
        url = embedded.start(settings.postgres).portfolio
        warehouse = Warehouse(template.warehouse, Lake(template.lake), dbt_state)
        publish(warehouse, url)
        with psycopg.connect(url) as owner:
            owner.execute("create schema app")
            owner.execute("create table app.users as select 'alice' as name")
            owner.execute("create role somebody login password 'else'")
        yield Served(settings, open_for_bi(settings), warehouse)
    finally:
        embedded.stop(settings.postgres)
        shutil.rmtree(home)


@pytest.fixture
def reader(served: Served) -> Iterator[psycopg.Connection[Any]]:
    url = served.connection.url.get_secret_value()
    assert url.startswith(f"postgresql://{ROLE}:")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_the_role_reads_the_marts_over_tcp(reader: psycopg.Connection[Any]) -> None:
    assert reader.info.host == "127.0.0.1"
    found = reader.execute("select roi from marts.portfolio_performance_daily where user_id = 'alice' order by date")
    assert found.fetchall() == [(0.0,), (0.125,), (None,), (0.03125,)]
    assert reader.execute("select count(*) from marts.portfolio_assets").fetchone() == (4,)


@pytest.mark.parametrize(
    "statement",
    [
        "insert into marts.portfolio_holdings (id) values (gen_random_uuid())",
        "delete from marts.prices_daily",
        "truncate marts.prices_daily",
        "create table marts.mine (a int)",
        "create table public.mine (a int)",
    ],
)
def test_the_role_writes_nothing_not_even_outside_read_only_mode(
    reader: psycopg.Connection[Any], statement: str
) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader.execute(statement)
    reader.execute("set default_transaction_read_only = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(statement)


def test_the_role_sees_no_other_schema(reader: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("select * from app.users")
    schemas = reader.execute("select distinct table_schema from information_schema.tables").fetchall()
    assert {name for (name,) in schemas} <= {"marts", "pg_catalog", "information_schema"}


def tables_of(reader: psycopg.Connection[Any]) -> set[str]:
    """What a tool lists for the role."""
    rows = reader.execute(
        "select table_schema || '.' || table_name from information_schema.tables "
        "where table_schema not in ('pg_catalog', 'information_schema')"
    )
    return {name for (name,) in rows}


def marts_of(served: Served) -> set[str]:
    """The documented marts, but for what is withheld from BI."""
    models = read_models(served.warehouse.project.manifest())
    return {f"marts.{model.name}" for model in models if model.schema == "marts" and model.name not in WITHHELD}


def test_the_role_sees_the_documented_marts_and_nothing_else(served: Served, reader: psycopg.Connection[Any]) -> None:
    assert tables_of(reader) == marts_of(served)
    for name in sorted(marts_of(served)):
        reader.execute(f"select * from {name} limit 1")


def test_the_role_sees_the_same_after_every_partition_was_written_anew(
    served: Served, reader: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(served.url) as owner:
        owner.execute("delete from marts.published_partitions")
    assert publish(served.warehouse, served.url).rows["portfolio_performance_daily"] > 0
    assert tables_of(reader) == marts_of(served)
    assert reader.execute("select count(*) > 0 from marts.portfolio_performance_daily").fetchone() == (True,)


def test_rights_that_earlier_versions_gave_are_taken_back(served: Served, reader: psycopg.Connection[Any]) -> None:
    """They gave every table of the schema: partitions, which lay there, and the books of publishing."""
    with psycopg.connect(served.url) as owner:
        ((partition,),) = owner.execute(
            "select relname from pg_class where relnamespace = 'marts_storage'::regnamespace "
            "and relkind = 'r' and starts_with(relname, 'portfolio_totals')"
        ).fetchall()
        owner.execute(f"alter table marts_storage.{partition} set schema marts")
        owner.execute(f"grant select on all tables in schema marts, marts_storage to {ROLE}")
    assert {f"marts.{partition}", "marts.published_tables", "marts.leaderboard"} <= tables_of(reader)
    open_for_bi(served.settings)
    assert tables_of(reader) == marts_of(served)
    publish(served.warehouse, served.url)
    assert tables_of(reader) == marts_of(served)
    with psycopg.connect(served.url) as owner:
        assert owner.execute("select to_regclass(%s)", (f"marts.{partition}",)).fetchone() == (None,)


def test_a_wrong_password_and_other_roles_are_refused_over_tcp(served: Served) -> None:
    where = f"127.0.0.1:{served.settings.bi_port}/portfolio"
    for login in (f"{ROLE}:wrong", "somebody:else", "postgres:"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://{login}@{where}", connect_timeout=5)


def test_tables_of_later_publishes_are_readable_too(served: Served, reader: psycopg.Connection[Any]) -> None:
    with psycopg.connect(served.url, autocommit=True) as owner:
        owner.execute("create table marts.later as select 1 as a")
        assert reader.execute("select * from marts.later").fetchone() == (1,)
        owner.execute("drop table marts.later")


def test_the_generated_password_stays_and_is_readable_by_its_owner_only(served: Served) -> None:
    again = open_for_bi(served.settings)
    assert again.password.get_secret_value() == served.connection.password.get_secret_value()
    path = served.settings.home / "bi_password"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_before_the_first_publish_bi_is_told_to_wait(empty_database: sa.Engine) -> None:
    url = SecretStr(url_text(empty_database.url.set(drivername="postgresql")))
    with pytest.raises(BiAccessError, match="run `portfolio run` first"):
        open_for_bi(Settings(database_url=url, bi_password=SecretStr("secret")))


def test_the_settings_name_everything_a_tool_asks_for(served: Served) -> None:
    shown = connection_settings(served.connection, show_password=True)
    assert set(shown) == {"psql", "Metabase", "Superset", "DBeaver"}
    password = served.connection.password.get_secret_value()
    for text in shown.values():
        assert "127.0.0.1" in text
        assert str(served.settings.bi_port) in text
        assert password in text
    hidden = connection_settings(served.connection)
    assert not any(password in text for text in hidden.values())
    assert password not in repr(served.connection)
