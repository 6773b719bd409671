"""Importing price files into a real database."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from portfolio_pipelines.database.assets import load_asset_symbols, load_assets
from portfolio_pipelines.database.price_import import PriceImport, import_prices
from portfolio_pipelines.market.file_faults import FileRefusedError
from portfolio_pipelines.market.quotes import QUOTES

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SHARED = Path(os.environ.get("PORTFOLIO_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
HEADER = "date,symbol,close_usd,source\n"


class Lake:
    """Keeps the quotes it is given, or fails as a full disk does."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.quotes: list[pl.DataFrame] = []

    def store(self, quotes: pl.DataFrame) -> None:
        if self.full:
            raise OSError(28, "no space left")
        self.quotes.append(quotes)


def load(database: sa.Engine, text: str, lake: Lake | None = None) -> PriceImport:
    lake = lake or Lake()
    return import_prices(database, text.encode(), store=lake.store, who="ann", now=NOW, name="prices.csv")


def state(database: sa.Engine) -> tuple[int, ...]:
    with database.connect() as connection:
        return tuple(
            connection.scalar(sa.text(f"select count(*) from app.{table}"))
            for table in ("imports", "assets", "asset_symbols")
        )


def refusal(database: sa.Engine, text: str) -> str:
    lake, before = Lake(), state(database)
    with pytest.raises(FileRefusedError) as caught:
        load(database, text, lake)
    assert state(database) == before
    assert lake.quotes == []
    return str(caught.value)


def test_quotes_say_who_gave_the_price_and_when_we_knew_it(database: sa.Engine) -> None:
    lake = Lake()
    done = load(database, HEADER + "2024-01-02,BTC,43000,exchange\n2024-01-01,btc,42000.5,\n", lake)
    assert (done.n_quotes, done.first_day, done.last_day) == (2, date(2024, 1, 1), date(2024, 1, 2))
    (quotes,) = lake.quotes
    assert quotes.schema == QUOTES
    assert quotes.rows() == [
        ("coingecko:bitcoin", date(2024, 1, 1), "file", "prices.csv", 42000.5, "ok", None, None, NOW, NOW),
        ("coingecko:bitcoin", date(2024, 1, 2), "file", "exchange", 43000.0, "ok", None, None, NOW, NOW),
    ]


def test_a_name_that_nobody_knows_becomes_an_asset_of_its_own(database: sa.Engine) -> None:
    lake = Lake()
    done = load(database, HEADER + "2024-01-01,steth,2300,\n2024-01-02,STETH,2310,\n", lake)
    assert done.new_assets == ("file:STETH",)
    assert set(lake.quotes[0]["asset_id"]) == {"file:STETH"}
    asset = load_assets(database).row(by_predicate=pl.col("asset_id") == "file:STETH", named=True)
    assert (asset["symbol"], asset["kind"], asset["calendar"]) == ("STETH", "file", "daily")
    assert load_asset_symbols(database).filter(symbol="STETH")["asset_id"].to_list() == ["file:STETH"]

    again = load(database, "date,asset_id,close_usd\n2024-01-03,file:STETH,2320\n")
    assert again.new_assets == ()
    by_id = load(database, "date,asset_id,close_usd\n2024-01-03,file:GOLDCOIN,1\n")
    assert by_id.new_assets == ("file:GOLDCOIN",)


def test_a_reused_ticker_is_priced_as_the_asset_it_meant_on_the_day(database: sa.Engine) -> None:
    lake = Lake()
    load(database, HEADER + "2022-05-13,LUNA,0.00005,\n2022-05-31,LUNA,8.87,\n2022-05-31,LUNC,0.0001,\n", lake)
    assert lake.quotes[0].select("asset_id", "date", "close_usd").rows() == [
        ("coingecko:terra-luna", date(2022, 5, 13), 0.00005),
        ("coingecko:terra-luna", date(2022, 5, 31), 0.0001),
        ("coingecko:terra-luna-2", date(2022, 5, 31), 8.87),
    ]


def test_two_names_of_one_asset_give_one_quote_and_a_note(database: sa.Engine) -> None:
    lake = Lake()
    done = load(database, HEADER + "2021-01-01,LUNA,1.00,\n2021-01-01,LUNC,1.05,\n", lake)
    assert lake.quotes[0]["close_usd"].to_list() == [1.0]
    assert done.notes == (
        "1 row of LUNC was left out: LUNA prices coingecko:terra-luna on the same days (largest spread 5.0%)",
    )


def test_two_names_of_one_asset_that_contradict_each_other_are_refused(database: sa.Engine) -> None:
    message = refusal(database, HEADER + "2021-01-01,LUNA,1,\n2021-01-01,LUNC,2,\n")
    assert "row 3: contradicts row 2: LUNC and LUNA are both coingecko:terra-luna on 2021-01-01" in message


BOTH = "date,symbol,asset_id,close_usd\n2024-05-01,{first},{second},60000\n2024-05-01,{other},{further},{close}\n"


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (("BTC", ""), ("", "coingecko:bitcoin"), "coingecko:bitcoin and BTC"),
        (("", "coingecko:bitcoin"), ("btc", ""), "BTC and coingecko:bitcoin"),
        (("", "btc"), ("", "Coingecko:Bitcoin"), "Coingecko:Bitcoin and btc"),
        (("STETH", ""), ("", "file:STETH"), "file:STETH and STETH"),
    ],
    ids=["symbol, id", "id, symbol", "ticker in the column of ids", "an asset that the file makes"],
)
def test_a_ticker_beside_the_id_of_the_same_asset_is_the_same_row_twice(
    database: sa.Engine, first: tuple[str, str], second: tuple[str, str], names: str
) -> None:
    def text(close: float) -> str:
        return BOTH.format(first=first[0], second=first[1], other=second[0], further=second[1], close=close)

    asset = "file:STETH" if "STETH" in names else "coingecko:bitcoin"
    contradicting = refusal(database, text(70_000))
    assert f"row 3: contradicts row 2: {names} are both {asset} on 2024-05-01, priced 70000.0 and" in contradicting
    assert f"row 3: repeats row 2: {names} are both {asset} on 2024-05-01" in refusal(database, text(60_000))


def test_each_row_that_is_there_again_is_one_fault(database: sa.Engine) -> None:
    message = refusal(
        database,
        "date,asset_id,close_usd\n"
        + "".join(f"2024-05-01,{name},{close}\n" for name, close in [("BTC", 1), ("btc", 2), ("coingecko:bitcoin", 3)]),
    )
    assert "2 faults" in message
    assert "row 3: contradicts row 2: btc on 2024-05-01 is 2.0 here and 1.0 there" in message
    assert "row 4: contradicts row 2: coingecko:bitcoin and BTC are both coingecko:bitcoin on 2024-05-01" in message


def test_the_same_content_again_changes_nothing_and_says_so(database: sa.Engine) -> None:
    text = HEADER + "2024-01-01,BTC,42000,\n"
    load(database, text)
    before, lake = state(database), Lake()
    again = import_prices(database, text.encode(), store=lake.store, who="bob", name="renamed.csv")
    assert again.already_imported == NOW
    assert again.notes == ("imported before, nothing changed",)
    assert lake.quotes == []
    assert state(database) == before


def test_a_lake_that_fails_leaves_no_trace_and_the_file_can_be_imported_later(database: sa.Engine) -> None:
    before, text = state(database), HEADER + "2024-01-01,STETH,2300,\n"
    with pytest.raises(OSError, match="no space left"):
        load(database, text, Lake(full=True))
    assert state(database) == before
    assert load(database, text).n_quotes == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2024-01-02,UST,1,", "row 3: asset 'UST' was no symbol on 2024-01-02: it means coingecko:terrausd until"),
        (
            "2024-01-02,coingecko:bitcoins,1,",
            "unknown asset 'COINGECKO:BITCOINS'; did you mean coingecko:bitcoin",
        ),
        ("2024-01-02,my coin,1,", "row 3: unknown asset 'MY COIN'"),
        ("2024-01-02,ETH,0,", "row 3: close_usd is 0"),
        ("02/01/2024,ETH,1,", "row 3: dates look like day-month-year"),
        ("2026-03-05,ETH,1,", "row 3: date 2026-03-05 is in the future"),
    ],
)
def test_a_bad_row_refuses_the_whole_file(database: sa.Engine, row: str, message: str) -> None:
    assert message in refusal(database, HEADER + f"2024-01-01,NEWCOIN,1,\n{row}\n")


def test_an_ambiguous_ticker_is_refused_with_its_candidates(database: sa.Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            sa.text("insert into app.asset_symbols (symbol, asset_id) values ('SOL', 'coingecko:cardano')")
        )
    message = refusal(database, HEADER + "2024-01-01,SOL,1,\nbad,SOL,1,\n")
    assert "row 2: asset 'SOL' is ambiguous on 2024-01-01: write one of coingecko:cardano, coingecko:solana" in message
    assert "row 3: date 'bad' is no date" in message


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data (PORTFOLIO_SHARED_DATA) is absent")
def test_the_shared_price_files_load_as_they_are(database: sa.Engine) -> None:
    lake = Lake()
    crypto = import_prices(database, SHARED / "prices_daily.parquet", store=lake.store, who="ann", now=NOW)
    index = import_prices(database, SHARED / "sp500/sp500_daily.csv", store=lake.store, who="ann", now=NOW)
    assert crypto.n_assets == 41
    assert crypto.new_assets == ("file:FDUSD", "file:LDO", "file:PAXG", "file:STETH", "file:SUI", "file:WSTETH")
    assert crypto.n_quotes == 81_397 - 542  # LUNC repeats LUNA on 542 days before the split
    assert index.n_quotes == 9_095
    assert lake.quotes[1]["asset_id"].unique().to_list() == ["yahoo:^GSPC"]
    assert all(not quotes.select("asset_id", "date").is_duplicated().any() for quotes in lake.quotes)
