"""Importing investment files into a real database: versions, derived quantities, all or nothing."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_pipelines.database import investment_versions
from portfolio_pipelines.database.closes import Close
from portfolio_pipelines.database.connection import create_engine
from portfolio_pipelines.database.investment_import import (
    InvestmentImport,
    import_investments,
    replace_sample_quantities,
)
from portfolio_pipelines.database.investments import load_investment_legs, load_users
from portfolio_pipelines.market.file_faults import FileRefusedError
from portfolio_pipelines.tables import INVESTMENT_LEGS_SCHEMA, USERS_SCHEMA

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"
FILE = HEADER + "ann,i1,2024-01-01,BTC,600.00,0.0142\nann,i1,2024-01-01,ETH,400,\nbob,i1,2024-02-01,SOL,1000,\n"
TABLES = ("imports", "users", "investments", "investment_legs", "assets")


class Market:
    """Answers with the closes it is given, and remembers what it was asked."""

    def __init__(self, price: float = 2000.0, **close: object) -> None:
        self.close = replace(Close(price, "coingecko", "ok"), **close)
        self.asked: list[list[tuple[str, date]]] = []

    def __call__(self, needs: list[tuple[str, date]]) -> Mapping[tuple[str, date], Close]:
        self.asked.append(needs)
        return dict.fromkeys(needs, self.close)


def load(
    database: sa.Engine, text: str | bytes | Path, market: Market | None = None, now: datetime = NOW
) -> InvestmentImport:
    source = text.encode() if isinstance(text, str) else text
    market = market or Market()
    return import_investments(
        database, source, closes=market, first_day=date(2013, 1, 1), who="ann", now=now, name="orders.csv"
    )


def counts(done: InvestmentImport) -> tuple[int, int, int]:
    return done.inserted, done.corrected, done.unchanged


def state(database: sa.Engine) -> list[int]:
    with database.connect() as connection:
        return [connection.scalar(sa.text(f"select count(*) from app.{table}")) for table in TABLES]


def versions(database: sa.Engine) -> list[dict[str, object]]:
    with database.connect() as connection:
        rows = connection.execute(
            sa.text("select * from app.investment_legs order by investment_key, asset_id, version")
        )
        return [dict(row) for row in rows.mappings()]


def refusal(database: sa.Engine, text: str | bytes, market: Market | None = None) -> str:
    before = state(database)
    with pytest.raises(FileRefusedError) as caught:
        load(database, text, market)
    assert state(database) == before
    return str(caught.value)


def test_legs_arrive_with_given_and_derived_quantities(database: sa.Engine) -> None:
    market = Market(2000.0)
    done = load(database, FILE, market)
    assert counts(done) == (3, 0, 0)
    assert done.first_affected_day == date(2024, 1, 1)
    assert market.asked == [[("coingecko:ethereum", date(2024, 1, 1)), ("coingecko:solana", date(2024, 2, 1))]]
    legs = load_investment_legs(database)
    assert legs.schema == INVESTMENT_LEGS_SCHEMA
    assert legs.rows() == [
        (1, 1, "ann", "i1", date(2024, 1, 1), "coingecko:bitcoin", 600.0, 0.0142, "given", None),
        (1, 1, "ann", "i1", date(2024, 1, 1), "coingecko:ethereum", 400.0, 0.2, "derived", "coingecko"),
        (2, 2, "bob", "i1", date(2024, 2, 1), "coingecko:solana", 1000.0, 0.5, "derived", "coingecko"),
    ]
    users = load_users(database)
    assert users.schema == USERS_SCHEMA
    assert users.rows() == [(1, "ann"), (2, "bob")]


def test_the_same_file_again_changes_nothing_and_asks_for_no_price(database: sa.Engine) -> None:
    load(database, FILE, Market(2000.0))
    before, kept, market = state(database), versions(database), Market(9999.0)
    done = load(database, FILE, market, NOW + timedelta(days=1))
    assert counts(done) == (0, 0, 3)
    assert done.first_affected_day is None
    assert market.asked == []
    assert state(database) == before
    assert versions(database) == kept


def test_a_changed_row_is_a_new_version_and_the_old_one_stays_readable(database: sa.Engine) -> None:
    load(database, FILE)
    later = NOW + timedelta(days=1)
    done = load(database, FILE.replace("600.00", "650") + "cy,i1,2025-01-01,BTC,5,1\n", now=later)
    assert counts(done) == (1, 1, 2)
    assert done.first_affected_day == date(2024, 1, 1)
    old, new = (row for row in versions(database) if row["asset_id"] == "coingecko:bitcoin" and row["row_number"] == 2)
    assert (old["version"], old["amount_usd"], old["superseded_at"]) == (1, Decimal("600.00"), later)
    assert (new["version"], new["amount_usd"], new["superseded_at"]) == (2, Decimal(650), None)
    assert new["known_at"] == later
    assert new["reason"] == "corrected by the file: amount_usd 600 -> 650"
    assert load_investment_legs(database)["amount_usd"].to_list() == [650.0, 400.0, 1000.0, 5.0]


def test_a_changed_amount_without_quantity_is_derived_again_and_only_that(database: sa.Engine) -> None:
    load(database, FILE, Market(2000.0))
    market = Market(4000.0)
    load(database, FILE.replace(",400,", ",800,"), market)
    assert market.asked == [[("coingecko:ethereum", date(2024, 1, 1))]]
    assert load_investment_legs(database)["quantity"].to_list() == [0.0142, 0.2, 0.5]
    assert versions(database)[2]["price_usd"] == 4000


def test_another_time_of_the_same_day_keeps_the_stored_quantity(database: sa.Engine) -> None:
    load(database, FILE, Market(2000.0))
    market = Market(4000.0)
    done = load(database, FILE.replace("2024-02-01", "2024-02-01T15:00Z"), market)
    assert counts(done) == (0, 1, 2)
    assert market.asked == []
    assert versions(database)[-1]["quantity"] == Decimal("0.5")


def test_a_purchase_moved_to_an_earlier_day_affects_figures_from_that_day_on(database: sa.Engine) -> None:
    load(database, FILE)
    assert load(database, FILE.replace("2024-02-01", "2023-06-01")).first_affected_day == date(2023, 6, 1)
    assert load(database, FILE).first_affected_day == date(2023, 6, 1)


def test_going_back_to_an_earlier_file_is_a_correction_too(database: sa.Engine) -> None:
    load(database, FILE)
    load(database, FILE.replace("600.00", "650"))
    assert counts(load(database, FILE)) == (0, 1, 2)
    assert load_investment_legs(database)["amount_usd"][0] == 600


def test_one_coin_cannot_be_moved_away_from_the_others_of_its_investment(database: sa.Engine) -> None:
    load(database, FILE)
    message = refusal(database, HEADER + "ann,i1,2024-01-05,BTC,600.00,0.0142\n")
    assert "row 2: investment 'i1' of 'ann' has coingecko:ethereum bought at 2024-01-01 00:00" in message


def test_symbols_mean_what_they_meant_on_the_day(database: sa.Engine) -> None:
    load(database, HEADER + "ann,i1,2022-05-01,LUNA,100,1\nann,i2,2022-05-31,LUNA,100,1\n")
    assert load_investment_legs(database)["asset_id"].to_list() == ["coingecko:terra-luna", "coingecko:terra-luna-2"]


def test_json_and_parquet_import_like_csv(database: sa.Engine, tmp_path: Path) -> None:
    columns = HEADER.strip().split(",")
    rows = [dict(zip(columns, line.split(","), strict=True)) for line in FILE.split("\n")[1:-1]]
    load(database, json.dumps(rows))
    frame = pl.DataFrame(rows).with_columns(
        pl.col("invested_at").str.to_date(),
        pl.col("amount_usd").cast(pl.Float64),
        pl.col("quantity").cast(pl.Float64, strict=False),
    )
    frame.write_parquet(tmp_path / "orders.parquet")
    assert counts(load(database, tmp_path / "orders.parquet")) == (0, 0, 3)
    assert counts(load(database, FILE)) == (0, 0, 3)


BAD_ROWS = [
    ("ann,i9,2024-01-01,BTX,1,1", "row 3: unknown asset 'BTX'; did you mean "),
    (
        "ann,i9,2024-01-01,coingecko:bitcon,1,1",
        "row 3: unknown asset 'coingecko:bitcon'; did you mean coingecko:bitcoin",
    ),
    ("ann,i9,2023-01-01,UST,1,1", "row 3: asset 'UST' was no symbol on 2023-01-01"),
    ("ann,i9,2024-01-01,DUP,1,1", "row 3: asset 'DUP' is ambiguous on 2024-01-01: write one of coingecko:bitcoin, "),
    ("ann,i9,2024-01-01,BTC,-1,1", "row 3: amount_usd is -1: it must be positive"),
    ("ann,i9,2024-01-01,BTC,0,1", "row 3: amount_usd is 0: it must be positive"),
    ("ann,i9,2024-01-01,BTC,NaN,1", "row 3: amount_usd is NaN: it must be positive"),
    ("ann,i9,2024-01-01,BTC,inf,1", "row 3: amount_usd is inf: it must be positive"),
    ("ann,i9,2024-01-01,BTC,1,-1", "row 3: quantity is -1: it must be positive"),
    ("ann,i9,2026-01-11,BTC,1,1", "row 3: invested_at 2026-01-11 is in the future"),
    ("ann,i9,2012-12-31,BTC,1,1", "row 3: invested_at 2012-12-31 is before 2013-01-01"),
    ("ann,i9,31/12/2024,BTC,1,1", "row 3: dates look like day-month-year"),
    ("ann,i9,2024-01-01,BTC,1", "row 3: has 5 fields instead of 6"),
    ('ann,i9,2024-01-01,"BTC,1,1', "row 3: has broken quotes"),
    ("new,i1,2024-01-01,btc,1,1", "row 3: repeats row 2: investment 'i1' of 'new' has coingecko:bitcoin already"),
    ("new,i1,2024-01-01,coingecko:bitcoin,2,1", "row 3: contradicts row 2: investment 'i1' of 'new' has"),
    ("new,i1,2024-01-02,ETH,1,1", "row 3: investment 'i1' of 'new' was bought at 2024-01-02 00:00 here and at"),
    (",i9,2024-01-01,BTC,1,1", "row 3: no user_id"),
    (f"{'x' * 256},i9,2024-01-01,BTC,1,1", "row 3: user_id has 256 characters"),
    ("a\x1bb,i9,2024-01-01,BTC,1,1", "row 3: user_id 'a\\x1bb' holds control characters"),
]


@pytest.fixture(scope="module")
def refusing(migrated_template: sa.URL) -> Iterator[sa.Engine]:
    """A database in which nothing is ever imported; DUP means two assets."""
    name = "test_refusing"
    server = create_engine(migrated_template.set(database="portfolio"))
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"create database {name} template template_of_tests"))
    server.dispose()
    engine = create_engine(migrated_template.set(database=name))
    with engine.begin() as connection:
        connection.execute(
            sa.text("""
                insert into app.asset_symbols (symbol, asset_id)
                values ('DUP', 'coingecko:bitcoin'), ('DUP', 'coingecko:ethereum')
            """)
        )
    yield engine
    engine.dispose()


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_row_refuses_the_whole_file(refusing: sa.Engine, row: str, message: str) -> None:
    assert message in refusal(refusing, HEADER + f"new,i1,2024-01-01,BTC,1,1\n{row}\n")


def test_all_faults_are_told_at_once_missing_prices_included(refusing: sa.Engine) -> None:
    text = HEADER + "a,1,2024-01-01,BTX,1,1\nb,1,2024-01-01,BTC,-1,\nc,1,2010-01-01,BTC,1,1\nd,1,2024-01-01,BTC,5,\n"
    message = refusal(refusing, text, Market(status="no_source", close_usd=None))
    assert "4 faults" in message
    assert [line.split(":")[0].strip() for line in message.split("\n")[1:]] == ["row 2", "row 3", "row 4", "row 5"]


@pytest.mark.parametrize("data", [FILE.encode("utf-16"), FILE.replace("ann", "Zoë").encode("latin-1"), b"", b"\0" * 9])
def test_other_encodings_are_refused(refusing: sa.Engine, data: bytes) -> None:
    assert "orders.csv was refused, nothing was imported: 1 fault" in refusal(refusing, data)


@pytest.mark.parametrize(
    ("close", "message"),
    [
        (
            {"status": "no_source", "first_day": date(2020, 4, 10)},
            "row 2: coingecko:solana has no price on 2019-01-01: its first price is of 2020-04-10",
        ),
        (
            {"status": "rate_limited", "reason": "coingecko: 429"},
            "row 2: no provider answered for coingecko:solana on 2019-01-01: rate limited (coingecko: 429); try again "
            "later, give a quantity or import a price file",
        ),
        (
            {"status": "no_source", "reason": "unreachable"},
            "row 2: no provider answered with a price of coingecko:solana on 2019-01-01 (unreachable): give a quantity",
        ),
        ({"status": "stale", "close_usd": 5.0}, "row 2: no close of coingecko:solana on 2019-01-01 itself is known"),
        ({"status": "ok", "close_usd": float("nan")}, "row 2: no provider answered with a price of coingecko:solana"),
    ],
)
def test_a_missing_close_says_why_it_is_missing(refusing: sa.Engine, close: dict[str, object], message: str) -> None:
    market = Market(**({"close_usd": None} | close))
    assert message in refusal(refusing, HEADER + "ann,i1,2019-01-01,SOL,10,\n", market)


def test_an_answer_that_forgets_a_need_counts_as_no_price(refusing: sa.Engine) -> None:
    with pytest.raises(FileRefusedError, match="no provider answered with a price of coingecko:bitcoin on 2024-01-01"):
        import_investments(
            refusing,
            (HEADER + "ann,i1,2024-01-01,BTC,10,\n").encode(),
            closes=lambda _: {},
            first_day=date(2013, 1, 1),
            who="ann",
            now=NOW,
        )


def test_an_amount_that_buys_nothing_is_refused(refusing: sa.Engine) -> None:
    message = refusal(refusing, HEADER + "ann,i1,2024-01-01,BTC,0.00000000000001,\n", Market(100_000.0))
    assert "row 2: amount_usd 0.00000000000001 buys less of coingecko:bitcoin than the 18 decimals" in message


def test_a_price_service_that_breaks_leaves_nothing_behind(database: sa.Engine) -> None:
    def broken(needs: list[tuple[str, date]]) -> Mapping[tuple[str, date], Close]:
        raise ConnectionError

    before = state(database)
    with pytest.raises(ConnectionError):
        import_investments(database, FILE.encode(), closes=broken, first_day=date(2013, 1, 1), who="ann", now=NOW)
    assert state(database) == before


def test_two_imports_of_one_file_at_once_are_one(database: sa.Engine) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: load(database, FILE), range(2)))
    assert sorted(map(counts, done)) == [(0, 0, 3), (3, 0, 0)]
    assert state(database)[:4] == [1, 2, 2, 3]


def test_quantities_from_sample_prices_are_replaced_once_real_closes_exist(database: sa.Engine) -> None:
    load(database, FILE, Market(1.0, provider="sample"))
    nothing = replace_sample_quantities(database, closes=Market(2.0, provider="sample"), now=NOW)
    assert (nothing.replaced, nothing.remaining, nothing.first_affected_day) == (0, 2, None)

    def only_ethereum(needs: list[tuple[str, date]]) -> Mapping[tuple[str, date], Close]:
        return {need: Close(1600.0, "defillama", "ok") for need in needs if need[0] == "coingecko:ethereum"}

    done = replace_sample_quantities(database, closes=only_ethereum, now=NOW + timedelta(days=1))
    assert (done.replaced, done.remaining, done.first_affected_day) == (1, 1, date(2024, 1, 1))
    old, new = (row for row in versions(database) if row["asset_id"] == "coingecko:ethereum")
    assert (old["quantity"], old["superseded_at"]) == (400, NOW + timedelta(days=1))
    assert (new["quantity"], new["price_source"], new["version"]) == (Decimal("0.25"), "defillama", 2)
    assert new["reason"] == "sample price 1 replaced by the close 1600 of defillama"
    assert counts(load(database, FILE)) == (0, 0, 3)  # the file's empty quantity keeps the replaced one


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    amounts=st.lists(st.decimals(Decimal("0.01"), Decimal("1e9"), places=2), min_size=1, max_size=20),
    price=st.floats(min_value=1e-9, max_value=1e6),
)
def test_derived_quantities_are_exact_to_the_eighteenth_decimal(
    database: sa.Engine, amounts: list[Decimal], price: float
) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("truncate app.users, app.investments, app.investment_legs, app.imports cascade"))
    text = HEADER + "".join(f"u{n},i,2024-01-01,BTC,{amount},\n" for n, amount in enumerate(amounts))
    load(database, text, Market(price))
    with localcontext(prec=100):
        wanted = [
            (amount / Decimal(repr(price))).quantize(Decimal("1e-18"), rounding=ROUND_HALF_UP) for amount in amounts
        ]
    with database.connect() as connection:
        stored = connection.scalars(sa.text("select quantity from app.investment_legs order by row_number")).all()
    assert stored == wanted


def test_a_bulk_is_held_together_by_the_same_foreign_keys(database: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    query = sa.text("select conname from pg_constraint where conrelid = 'app.investment_legs'::regclass order by 1")
    with database.connect() as connection:
        before = connection.scalars(query).all()
    monkeypatch.setattr(investment_versions, "BULK", 2)
    assert counts(load(database, FILE)) == (3, 0, 0)
    assert counts(load(database, FILE.replace("2024-02-01", "2024-02-02"))) == (0, 1, 2)
    with database.connect() as connection:
        assert connection.scalars(query).all() == before


def test_two_thousand_users_arrive_complete(database: sa.Engine) -> None:
    users = pl.DataFrame({"user": pl.arange(2_000, eager=True)})
    legs = users.join(pl.DataFrame({"asset": ["BTC", "ETH", "SOL"]}), how="cross")
    frame = legs.select(
        user_id=pl.format("user-{}", "user"),
        investment_id=pl.lit("i1"),
        invested_at=pl.lit("2024-01-01"),
        asset="asset",
        amount_usd=(100 + pl.col("user")).cast(pl.String),
        quantity=pl.lit(""),
    )
    assert counts(load(database, frame.write_csv())) == (6_000, 0, 0)
    loaded = load_investment_legs(database)
    assert loaded.height == 6_000
    assert loaded["amount_usd"].sum() == legs.select((100 + pl.col("user")).sum()).item()
    assert loaded.select("user_key", "investment_key", "asset_id").equals(
        loaded.select("user_key", "investment_key", "asset_id").sort("user_key", "investment_key", "asset_id")
    )
