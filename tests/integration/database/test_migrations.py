"""Migrations and seeds on a real Postgres."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from portfolio_pipelines.database import (  # noqa: F401 (tables of Base)
    alert_models,
    chain_models,
    channel_models,
    migrate,
    outbox_models,
    schedule_models,
    target_models,
    transaction_models,
    wallet_models,
)
from portfolio_pipelines.database.connection import create_engine
from portfolio_pipelines.database.migrate import upgrade
from portfolio_pipelines.database.models import SCHEMA, Base


def test_models_and_migrations_agree(database: sa.Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table_schema": SCHEMA,
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
                "compare_type": True,
            },
        )
        assert compare_metadata(context, Base.metadata) == []


def test_two_processes_may_migrate_at_once(empty_database: sa.Engine) -> None:
    engines = [create_engine(empty_database.url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(upgrade, engines))
    for engine in engines:
        engine.dispose()
    with empty_database.connect() as connection:
        assert connection.scalar(sa.text("select count(*) from app.alembic_version")) == 1


def test_migrating_again_keeps_what_people_added(database: sa.Engine) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("update app.assets set name = 'Bitkoin' where symbol = 'BTC'"))
        connection.execute(
            sa.text("insert into app.asset_symbols (symbol, asset_id) values ('XBT', 'coingecko:bitcoin')")
        )
        before = connection.scalar(sa.text("select count(*) from app.asset_symbols"))
    upgrade(database)
    with database.connect() as connection:
        assert connection.scalar(sa.text("select count(*) from app.asset_symbols")) == before
        assert connection.scalar(sa.text("select name from app.assets where symbol = 'BTC'")) == "Bitcoin"


def test_wallets_and_chains_can_be_taken_back_and_brought_again(database: sa.Engine) -> None:
    tables = sa.text("select relname from pg_class where relnamespace = 'app'::regnamespace and relkind in ('r', 'i')")
    insert = sa.text("""
        insert into app.imports (kind, file_name, file_hash, n_rows, imported_at, imported_by)
        values (:kind, 'f', 'h', 1, now(), 'ann')
    """)
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with database.begin() as connection:
        before = set(connection.scalars(tables))
        for kind in ("investments", "wallets", "liquidity_positions"):
            connection.execute(insert, {"kind": kind})
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        assert {"wallets", "chain_tokens", "liquidity_pools"} <= before - set(connection.scalars(tables))
        assert connection.scalars(sa.text("select kind from app.imports")).all() == ["investments"]
    upgrade(database)
    with database.connect() as connection:
        assert set(connection.scalars(tables)) == before


def test_every_table_and_every_unclear_column_is_explained(database: sa.Engine) -> None:
    with database.connect() as connection:
        silent = connection.scalars(
            sa.text("""
                select c.relname from pg_class c
                where c.relnamespace = 'app'::regnamespace and c.relkind = 'r' and c.relname <> 'alembic_version'
                  and obj_description(c.oid) is null
            """)
        ).all()
    assert silent == []


def test_no_two_seeded_assets_share_a_symbol_on_one_day(database: sa.Engine) -> None:
    with database.connect() as connection:
        shared = connection.execute(
            sa.text("""
                select a.symbol, a.asset_id, b.asset_id from app.asset_symbols a
                join app.asset_symbols b on a.symbol = b.symbol and a.symbol_key < b.symbol_key
                 and daterange(a.valid_from, a.valid_to) && daterange(b.valid_from, b.valid_to)
            """)
        ).all()
    assert shared == []
