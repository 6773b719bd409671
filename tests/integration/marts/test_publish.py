"""The marts in Postgres: the same rows, only what changed, in one transaction."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.assets.publish import build_published_asset
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources import served_storage
from portfolio_pipelines.resources.dbt_manifest import read_models
from portfolio_pipelines.resources.served_marts import PublishError, ServedMarts, publish
from portfolio_pipelines.resources.served_storage import BOOKS
from portfolio_pipelines.resources.warehouse import Warehouse
from portfolio_pipelines.settings import Settings

D1, D2, D3, D4 = (date(2025, 1, 30) + timedelta(days=n) for n in range(4))
BTC = "coingecko:bitcoin"
DAILY = ("investment_performance_daily", "portfolio_performance_daily", "prices_daily", "benchmarks_daily")
WHOLE = (
    "portfolio_totals",
    "portfolio_holdings",
    "current_prices",
    "portfolio_assets",
    "portfolio_breakdown",
    "price_restatements",
    "data_quality_scorecard",
    "partition_log",
)


@pytest.fixture
def url(empty_database: sa.Engine) -> str:
    return url_text(empty_database.url.set(drivername="postgresql"))


@pytest.fixture
def postgres(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def served(postgres: psycopg.Connection[Any], mart: str) -> list[tuple[Any, ...]]:
    found = postgres.execute(f"select * from marts.{mart}").fetchall()
    plain = [tuple(json.dumps(v, sort_keys=True) if isinstance(v, list) else v for v in row) for row in found]
    return sorted(plain, key=str)


def built(warehouse: Warehouse, mart: str, condition: str = "true") -> list[tuple[Any, ...]]:
    with warehouse.connect() as connection:
        relation = connection.sql(f"select * from marts.{mart} where {condition}")
        json_columns = [i for i, kind in enumerate(relation.types) if str(kind) == "JSON"]
        found = [list(row) for row in relation.fetchall()]
    for row in found:
        for i in json_columns:
            row[i] = json.dumps(json.loads(row[i]), sort_keys=True)
    return sorted((tuple(row) for row in found), key=str)


SNAPSHOTS = "snapshot_timestamp in (timestamp '2025-02-01', timestamp '2025-02-02')"
"""January's last day, and the newest closed day: the fourth is still running."""


def assert_served(postgres: psycopg.Connection[Any], warehouse: Warehouse, snapshots: str = SNAPSHOTS) -> None:
    for mart in (*DAILY, *WHOLE):
        assert served(postgres, mart) == built(warehouse, mart), mart
    assert served(postgres, "portfolio_snapshots") == built(warehouse, "portfolio_snapshots", snapshots)


def test_postgres_serves_the_same_rows(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], market: Any
) -> None:
    market.users[3] = 'o"brien, \\n ünï'  # whatever an id may contain
    market.investments[30] = (3, "", D2, {BTC: (60.0, 0.001)})
    market.write()
    warehouse.build()

    result = publish(warehouse, url)

    assert_served(postgres, warehouse)
    assert result.rows["investment_performance_daily"] == 14
    assert result.partitions["prices_daily"] == 4
    assert result.rows["portfolio_snapshots"] == 6
    assert [row[9] for row in served(postgres, "prices_daily")].count("") == 2  # not turned into null


def test_nothing_is_copied_when_nothing_changed(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any]
) -> None:
    publish(warehouse, url)
    partitions = "select inhrelid::regclass::text from pg_inherits order by 1"
    before = postgres.execute(partitions).fetchall()

    result = publish(warehouse, url)

    assert not result.changed
    assert sum(result.rows.values()) == 0
    assert postgres.execute(partitions).fetchall() == before


def test_only_changed_days_are_copied_and_the_result_equals_a_full_publish(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], market: Any
) -> None:
    publish(warehouse, url)
    new = date(2025, 2, 3)
    market.closes[BTC, D2] = 61_000.0  # restated
    market.days.append(new)
    market.closes.update({(asset, new): market.closes[asset, D4] for asset, _ in list(market.closes)})
    market.users[3] = "carol"
    market.investments[30] = (3, "new", new, {BTC: (55.0, 0.001)})
    market.write()
    warehouse.build()

    result = publish(warehouse, url)

    # The new day, the restated one, and the fourth, which became final; a new user changes no older day.
    assert result.rows["portfolio_performance_daily"] == 2 + 2 + 3
    assert result.partitions["investment_performance_daily"] == 3
    newest = "snapshot_timestamp in (timestamp '2025-02-01', timestamp '2025-02-03')"
    assert_served(postgres, warehouse, newest)
    assert publish(warehouse, url).changed is False


def test_a_day_that_vanished_is_removed(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], market: Any
) -> None:
    import shutil

    from portfolio_pipelines import tables

    publish(warehouse, url)
    gone = (tables.PRICES, tables.INVESTMENT_PERFORMANCE, tables.PORTFOLIO_PERFORMANCE, tables.BENCHMARKS)
    for table in gone:
        for day in (D3, D4):  # the whole of February, so a whole partition
            shutil.rmtree(market.lake.path(table, day).parent)
    warehouse.build()

    publish(warehouse, url)

    assert postgres.execute("select distinct date from marts.prices_daily order by 1").fetchall() == [(D1,), (D2,)]
    assert_served(postgres, warehouse, "snapshot_timestamp = timestamp '2025-02-01'")


def test_a_failing_publish_leaves_the_previous_content_readable(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], market: Any
) -> None:
    publish(warehouse, url)
    before = {mart: served(postgres, mart) for mart in (*DAILY, *WHOLE, "portfolio_snapshots")}
    market.closes[BTC, D2] = 61_000.0
    market.write_day(D2)
    warehouse.build()
    postgres.execute(
        "alter table marts.portfolio_performance_daily add constraint nobody_is_that_rich check (value_usd < 1810)"
    )

    with pytest.raises(PublishError, match=r"marts.portfolio_performance_daily failed.*nobody_is_that_rich"):
        publish(warehouse, url)

    assert {mart: served(postgres, mart) for mart in before} == before
    postgres.execute("alter table marts.portfolio_performance_daily drop constraint nobody_is_that_rich")
    publish(warehouse, url)
    assert_served(postgres, warehouse)


def test_a_failure_of_duckdb_in_the_middle_does_not_publish_half_a_table(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from portfolio_pipelines.resources import served_marts

    broken = " where case when date = '2025-02-02' then error('disk on fire') else true end"
    monkeypatch.setattr(served_marts, "_condition", lambda table, _: broken if table.name in DAILY else "")
    with pytest.raises(PublishError, match="disk on fire"):
        publish(warehouse, url)
    assert postgres.execute("select to_regnamespace('marts')").fetchone() == (None,)


def test_readers_see_the_old_rows_until_the_publish_is_committed(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portfolio_pipelines.resources import served_marts

    publish(warehouse, url)
    before = served(postgres, "portfolio_assets")
    market.closes[BTC, D4] = 54_000.0
    market.write_day(D4)
    warehouse.build()
    seen = []
    original = served_marts._Publisher._record

    def record(self: Any, table: Any, *rest: Any) -> None:
        original(self, table, *rest)
        seen.append(served(postgres, "portfolio_assets"))  # would wait for ever if loading locked readers out

    monkeypatch.setattr(served_marts._Publisher, "_record", record)
    publish(warehouse, url)
    marts = [model for model in read_models(warehouse.project.manifest()) if model.schema == "marts"]
    assert len(seen) == sum(model.meta["published_by"] != "view" for model in marts)
    assert all(content == before for content in seen)
    assert served(postgres, "portfolio_assets") == built(warehouse, "portfolio_assets")


def test_documented_columns_types_and_indexes_are_there(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any]
) -> None:
    publish(warehouse, url)

    def columns(mart: str) -> dict[str, str]:
        found = postgres.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = %s::regclass and attnum > 0 order by attnum",
            (f"marts.{mart}",),
        )
        return dict(found.fetchall())

    assert columns("portfolio_snapshots") == {
        "id": "uuid", "user_id": "text", "total_value_usd": "numeric(38,8)", "change_24h_pct": "numeric(18,4)",
        "assets": "jsonb", "snapshot_timestamp": "timestamp without time zone",
        "created_at": "timestamp without time zone", "updated_at": "timestamp without time zone",
        "coverage": "double precision", "is_final": "boolean",
    }  # fmt: skip
    assets = columns("portfolio_assets")
    assert (assets["balance"], assets["entry_price_usd"], assets["il_pct"]) == (
        "numeric(38,18)", "numeric(38,18)", "numeric(18,4)",
    )  # fmt: skip
    names = {name for (name,) in postgres.execute("select indexname from pg_indexes where schemaname = 'marts'")}
    assert names >= {
        "idx_portfolio_snapshots_user_id", "idx_portfolio_snapshots_timestamp", "idx_portfolio_holdings_user_id",
        "idx_portfolio_holdings_asset_type", "investment_performance_daily_pkey", "portfolio_performance_daily_pkey",
    }  # fmt: skip
    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute("update marts.portfolio_holdings set asset_type = 'house'")


def test_a_new_price_moves_the_assets_without_copying_a_holding(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], market: Any
) -> None:
    publish(warehouse, url)
    market.closes[BTC, D4] = 54_321.987654321
    market.write_day(D4)
    warehouse.build()

    result = publish(warehouse, url)

    assert result.partitions["portfolio_holdings"] == 0
    assert result.rows["current_prices"] > 0
    assert served(postgres, "portfolio_assets") == built(warehouse, "portfolio_assets")


def test_a_table_of_an_earlier_version_gives_way_to_the_view(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any]
) -> None:
    publish(warehouse, url)
    postgres.execute("drop view marts.portfolio_assets")
    postgres.execute("create table marts.portfolio_assets (id uuid) partition by hash (id)")
    postgres.execute("update marts.published_tables set definition_hash = 'old' where table_name = 'portfolio_assets'")
    publish(warehouse, url)
    assert served(postgres, "portfolio_assets") == built(warehouse, "portfolio_assets")


def test_every_table_and_column_carries_its_description(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any]
) -> None:
    publish(warehouse, url)
    without = postgres.execute(
        "select relname, attname from pg_class join pg_attribute on attrelid = pg_class.oid "
        "where relnamespace = 'marts'::regnamespace and relkind in ('r', 'p', 'v') and attnum > 0 "
        "and (col_description(pg_class.oid, attnum) is null or obj_description(pg_class.oid) is null)"
    ).fetchall()
    assert without == []
    comment = "select col_description('marts.portfolio_performance_daily'::regclass, 5)"
    assert postgres.execute(comment).fetchone() == (
        "value_usd - invested_usd, USD; null when a coin has no usable price",
    )


def test_the_schema_of_the_marts_holds_the_marts_and_the_books_and_no_partition(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any]
) -> None:
    publish(warehouse, url)
    marts = {model.name for model in read_models(warehouse.project.manifest()) if model.schema == "marts"}
    in_schema = "select relname from pg_class where relnamespace = %s::regnamespace and relkind in ('r', 'p', 'v')"
    assert {name for (name,) in postgres.execute(in_schema, ["marts"])} == marts | set(BOOKS)
    partitions = postgres.execute(
        "select relispartition from pg_class where relnamespace = 'marts_storage'::regnamespace and relkind <> 'i'"
    ).fetchall()
    assert len(partitions) >= 15
    assert set(partitions) == {(True,)}


def test_an_installation_with_partitions_beside_its_tables_is_brought_over_without_copying_them(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions left it. One day of a month changes, so that a partition is changed where it lies, too."""
    publish(warehouse, url)
    partitions = "select inhrelid::regclass::text from pg_inherits join pg_class on oid = inhrelid where relkind = 'r'"
    new = sorted(name for (name,) in postgres.execute(partitions))
    for name in new:
        postgres.execute(f"alter table {name} set schema marts")
    postgres.execute("drop schema marts_storage")
    market.closes[BTC, D4] = 54_321.0
    market.write_day(D4)
    warehouse.build()

    monkeypatch.setattr(served_storage, "MOST_MOVED", 5)
    result = publish(warehouse, url)

    assert result.partitions["prices_daily"] == 1
    assert_served(postgres, warehouse)
    beside = f"select count(*) from ({partitions}) as all_of_them (name) where starts_with(name, 'marts.')"
    ((before,),) = postgres.execute(beside)
    assert not publish(warehouse, url).changed
    assert postgres.execute(beside).fetchone() == (before - 5,), "each publish moves some"
    monkeypatch.undo()
    publish(warehouse, url)
    now = {name for (name,) in postgres.execute(partitions)}
    assert {name.partition(".")[0] for name in now} == {"marts_storage"}
    assert {name for name in new if ".prices_daily_" in name} <= now, "of a month, days were replaced in place"
    assert_served(postgres, warehouse)


def test_one_users_history_is_found_by_index(warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any]) -> None:
    publish(warehouse, url)
    postgres.execute("set enable_seqscan = off")
    plan = postgres.execute(
        "explain (costs off) select * from marts.investment_performance_daily where user_id = 'alice'"
    ).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "Seq Scan" not in text
    assert "Index Cond: (user_id = 'alice'::text)" in text


def test_a_view_that_somebody_built_on_a_mart_survives_a_publish(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], market: Any
) -> None:
    publish(warehouse, url)
    postgres.execute(
        "create view public.wealth as select user_id, sum(value_usd) as usd from marts.portfolio_assets group by 1"
    )
    market.closes[BTC, D4] = 50_000.0
    market.write_day(D4)
    warehouse.build()
    publish(warehouse, url)
    found = dict(postgres.execute("select * from public.wealth").fetchall())
    assert found == {"alice": Decimal("1550.00000000"), "bob": Decimal("80.00000000")}


def test_a_huge_quantity_is_null_and_named_instead_of_breaking_the_publish(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], market: Any
) -> None:
    market.investments[20] = (2, "lend", D1, {"coingecko:ethlend": (50.0, 1e25)})
    market.write()
    result = warehouse.build()
    publish(warehouse, url)
    assert postgres.execute("select balance from marts.portfolio_assets where user_id = 'bob'").fetchone() == (None,)
    warning = next(w for w in result.warnings if w.result.name.startswith("figures_fit_their_types"))
    assert "user_id=bob, asset_id=coingecko:" in str(warning)


def test_the_asset_publishes_and_says_what_it_copied(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any]
) -> None:
    asset = build_published_asset([dg.AssetKey(["marts", "prices_daily"])])
    served_marts = ServedMarts(warehouse, Settings(database_url=SecretStr(url)))

    result = dg.materialize([asset], resources={"served_marts": served_marts})

    assert result.success
    (event,) = result.asset_materializations_for_node("served__marts")
    assert event.metadata["rows copied"].value["portfolio_performance_daily"] == 8
    assert len(served(postgres, "portfolio_performance_daily")) == 8
