"""Assets, overrides, reservations, the partition log and check results on a real database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.database.assets import add_asset, load_asset_symbols, load_assets, load_successions
from portfolio_pipelines.database.connection import create_engine, url_text
from portfolio_pipelines.database.overrides import (
    OverrideRefusedError,
    add_override,
    load_overrides,
    withdraw_override,
)
from portfolio_pipelines.database.partition_log import (
    forget_partitions,
    load_check_results,
    load_partition_log,
    record_check_results,
    record_partitions,
)
from portfolio_pipelines.database.reservations import DatabaseReservations
from portfolio_pipelines.market.consensus import OVERRIDES
from portfolio_pipelines.market.limiter import Reservations
from portfolio_pipelines.resources.database import WRITER_LOCK, Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.settings import Settings
from portfolio_pipelines.tables import ASSETS_SCHEMA, CHECK_RESULTS_SCHEMA, PARTITION_LOG_SCHEMA, SUCCESSIONS_SCHEMA

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAY = date(2024, 1, 1)
BITCOIN = "coingecko:bitcoin"


def test_assets_have_the_names_that_providers_use(database: sa.Engine) -> None:
    assets = load_assets(database)
    assert assets.schema == ASSETS_SCHEMA
    assert assets["asset_id"].is_sorted()
    rows = {row["asset_id"]: row for row in assets.iter_rows(named=True)}
    assert rows[BITCOIN] == {
        "asset_id": BITCOIN,
        "symbol": "BTC",
        "name": "Bitcoin",
        "kind": "crypto",
        "calendar": "daily",
        "coingecko_symbol": "bitcoin",
        "defillama_symbol": BITCOIN,
        "yahoo_symbol": "BTC-USD",
    }
    index = rows["yahoo:^GSPC"]
    assert (index["symbol"], index["calendar"], index["yahoo_symbol"]) == ("SP500", "weekdays", "^GSPC")
    assert index["coingecko_symbol"] is None
    assert {"STETH", "WSTETH"}.isdisjoint(assets["symbol"])


def test_successions_give_the_units_of_the_successor_for_one_unit(database: sa.Engine) -> None:
    successions = load_successions(database)
    assert successions.schema == SUCCESSIONS_SCHEMA
    assert successions.rows() == [
        ("coingecko:ethlend", "coingecko:aave", date(2020, 10, 3), 0.01),
        ("coingecko:matic-network", "coingecko:polygon-ecosystem-token", date(2024, 9, 4), 1.0),
    ]


def test_an_asset_can_be_added_once_with_its_ticker(database: sa.Engine) -> None:
    for _ in range(2):
        with database.begin() as connection:
            add_asset(connection, "coingecko:pendle", "pendle", "Pendle", coingecko_symbol="pendle")
    assert load_asset_symbols(database).filter(symbol="PENDLE").rows() == [("PENDLE", "coingecko:pendle", None, None)]


def test_an_override_holds_until_it_is_withdrawn_and_stays_listed(database: sa.Engine) -> None:
    number = add_override(database, BITCOIN, DAY, Decimal("42000.5"), who=" ann ", why="typo at the source", now=NOW)
    later = NOW + timedelta(hours=1)
    withdraw_override(database, number, who="bob", why="source corrected", now=later)
    overrides = load_overrides(database)
    assert overrides.row(0) == (number, BITCOIN, DAY, 42000.5, "ann", "typo at the source", "manual", NOW, later)
    assert overrides.select(OVERRIDES.names()).schema == OVERRIDES


def test_a_second_override_of_a_day_replaces_the_first(database: sa.Engine) -> None:
    first = add_override(database, BITCOIN, DAY, Decimal(1), who="ann", why="a", now=NOW)
    second = add_override(database, BITCOIN, DAY, Decimal(2), who="bob", why="b", kind="confirm_jump", now=NOW)
    holding = load_overrides(database).filter(pl.col("withdrawn_at").is_null())
    assert holding["override_id"].to_list() == [second]
    with pytest.raises(OverrideRefusedError, match=f"no override {first} is in force"):
        withdraw_override(database, first, who="ann", why="again")


def test_an_override_that_makes_no_sense_is_refused(database: sa.Engine) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"asset_id": "coingecko:nothing"}, "there is no asset 'coingecko:nothing'"),
        ({"day": date(2026, 1, 11)}, "2026-01-11 is in the future"),
        ({"close_usd": Decimal(0)}, "must be a positive number of US dollars, not 0"),
        ({"close_usd": Decimal(-1)}, "must be a positive number of US dollars, not -1"),
        ({"close_usd": Decimal("NaN")}, "must be a positive number of US dollars, not NaN"),
        ({"close_usd": Decimal("Infinity")}, "must be a positive number of US dollars, not Infinity"),
        ({"who": " "}, "say who and why"),
        ({"why": ""}, "say who and why"),
        ({"kind": "guess"}, "kind must be one of manual, confirm_jump"),
    ]
    sound = {"asset_id": BITCOIN, "day": DAY, "close_usd": Decimal(1), "who": "ann", "why": "because"}
    for changes, message in cases:
        with pytest.raises(OverrideRefusedError, match=message):
            add_override(database, **(sound | changes), now=NOW)  # type: ignore[arg-type]
    assert load_overrides(database).is_empty()


@pytest.mark.parametrize(
    "statement", ["delete from app.price_overrides", "update app.price_overrides set close_usd = 7"]
)
def test_the_database_itself_refuses_to_rewrite_overrides(database: sa.Engine, statement: str) -> None:
    add_override(database, BITCOIN, DAY, Decimal(1), who="ann", why="because", now=NOW)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.begin() as connection:
        connection.execute(sa.text(statement))


def test_slots_are_spaced_evenly_and_begin_at_once(database: sa.Engine) -> None:
    reservations: Reservations = DatabaseReservations(database)
    now = NOW.timestamp()
    assert [reservations.reserve("coingecko", 2.0, now) for _ in range(3)] == pytest.approx([0, 2, 4], abs=1e-5)
    assert reservations.reserve("yahoo", 2.0, now) == pytest.approx(0, abs=1e-5)
    assert reservations.reserve("coingecko", 2.0, now + 100) == pytest.approx(0, abs=1e-5)


def test_no_slot_is_given_out_before_the_end_of_a_block(database: sa.Engine) -> None:
    reservations, now = DatabaseReservations(database), NOW.timestamp()
    reservations.block_until("new", now + 60)
    assert reservations.reserve("new", 1.0, now) == pytest.approx(60, abs=1e-5)
    reservations.block_until("new", now + 30)
    assert reservations.reserve("new", 1.0, now) == pytest.approx(61, abs=1e-5)
    assert reservations.reserve("new", 1.0, now + 90) == pytest.approx(0, abs=1e-5)


def test_processes_never_share_a_slot(database: sa.Engine) -> None:
    engines = [create_engine(database.url) for _ in range(4)]

    def take(engine: sa.Engine) -> list[float]:
        return [DatabaseReservations(engine).reserve("coingecko", 1.0, NOW.timestamp()) for _ in range(25)]

    with ThreadPoolExecutor(4) as pool:
        slots = sorted(wait for waits in pool.map(take, engines) for wait in waits)
    for engine in engines:
        engine.dispose()
    assert slots == pytest.approx(list(range(100)), abs=1e-4)


def partitions(run: str, days: int, written_at: datetime = NOW) -> pl.DataFrame:
    days_of = pl.date_range(DAY, DAY + timedelta(days=days - 1), eager=True)
    return pl.DataFrame(
        {
            "table": "core/prices_daily",
            "partition": days_of.cast(pl.String),
            "run_id": run,
            "code_version": "1",
            "input_hash": "in",
            "content_hash": "out",
            "written_at": written_at,
        },
        schema=PARTITION_LOG_SCHEMA,
    )


def test_the_partition_log_keeps_the_newest_writer_of_each_partition(database: sa.Engine) -> None:
    record_partitions(database, partitions("first", 3_000))
    record_partitions(database, partitions("second", 10, NOW + timedelta(days=1)))
    record_partitions(database, partitions("never", 0))
    log = load_partition_log(database)
    assert log.schema == PARTITION_LOG_SCHEMA
    assert log.equals(
        pl.concat([partitions("second", 10, NOW + timedelta(days=1)), partitions("first", 3_000).slice(10)])
    )
    assert load_partition_log(database, "core/prices_daily").equals(log)
    assert load_partition_log(database, "core/nothing").schema == PARTITION_LOG_SCHEMA


def test_forgotten_partitions_are_gone_and_all_others_stay(database: sa.Engine) -> None:
    record_partitions(database, partitions("run", 10))
    gone = [("core/prices_daily", f"{DAY + timedelta(days=n)}") for n in (2, 3, 3, 99)] + [("core/other", f"{DAY}")]
    assert forget_partitions(database, gone) == 2
    assert forget_partitions(database, []) == 0
    days = partitions("run", 10)["partition"].to_list()
    assert load_partition_log(database)["partition"].to_list() == [*days[:2], *days[4:]]


def test_check_results_are_kept_for_all_runs(database: sa.Engine) -> None:
    rows = pl.DataFrame(
        [
            ("no_day_is_missing", "prices_daily", "ERROR", True, "run", NOW, '{"days": 365, "assets": 3}'),
            ("no_day_is_missing", "prices_daily", "WARN", False, "run2", NOW + timedelta(days=1), None),
        ],
        schema=CHECK_RESULTS_SCHEMA,
        orient="row",
    )
    record_check_results(database, rows)
    record_check_results(database, rows.clear())
    loaded = load_check_results(database)
    assert loaded.schema == CHECK_RESULTS_SCHEMA
    assert loaded["details"].to_list() == ['{"assets": 3, "days": 365}', "{}"]
    assert loaded.drop("details").equals(rows.drop("details"))


def test_a_writer_that_fails_on_a_full_disk_gives_its_turn_back(database: sa.Engine, tmp_path: Path) -> None:
    class FullDisk(Lake):
        @staticmethod
        def place(path: Path, data: bytes) -> bool:
            raise OSError(28, f"No space left on device: {path.name}, {len(data)} bytes")

    platform = Database(Settings(home=tmp_path, database_url=SecretStr(url_text(database.url))))
    rows = pl.DataFrame({"value": [1]})
    try:
        with pytest.raises(OSError, match="No space left"), platform.writer(FullDisk(tmp_path), "run") as writer:
            writer.write("core/things", DAY, rows, "inputs", "1")
        with database.connect() as other:
            assert other.scalar(sa.text("select pg_try_advisory_xact_lock(:lock)"), {"lock": WRITER_LOCK})
        with platform.writer(Lake(tmp_path), "run again") as writer:  # the step is tried again by the same process
            writer.write("core/things", DAY, rows, "inputs", "1")
        assert platform.partition_log("core/things")["run_id"].to_list() == ["run again"]
    finally:
        platform.engine.dispose()
