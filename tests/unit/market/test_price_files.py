"""Price files: what loads, and every way in which one is refused."""

import gzip
import io
import math
import os
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.market.file_faults import FileRefusedError
from portfolio_pipelines.market.price_files import PriceFile, read_price_file

TODAY = date(2026, 1, 10)
GOOD = "date,symbol,close_usd,source\n2024-01-01,BTC,42000.5,here\n2024-01-02,BTC,43000,\n"
SHARED = Path(os.environ.get("PORTFOLIO_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
needs_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason="shared data (PORTFOLIO_SHARED_DATA) is absent")


def read(text: str | bytes) -> PriceFile:
    data = text.encode() if isinstance(text, str) else text
    return read_price_file(data, today=TODAY, name="prices.csv")


def faults(text: str | bytes) -> list[str]:
    try:
        found = read(text).faults
    except FileRefusedError as error:
        return [str(fault) for fault in error.faults]
    return [str(fault) for fault in found.first]


def row(*cells: str) -> str:
    return "date,symbol,close_usd\n2024-01-01,BTC,1\n" + ",".join(cells) + "\n"


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def test_a_good_file_loads_with_its_row_numbers_and_sources() -> None:
    file = read(GOOD)
    assert not file.faults
    assert file.rows.to_dicts() == [
        {"row": 2, "date": date(2024, 1, 1), "symbol": "BTC", "asset_id": None, "close_usd": 42000.5, "source": "here"},
        {"row": 3, "date": date(2024, 1, 2), "symbol": "BTC", "asset_id": None, "close_usd": 43000, "source": None},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,  # byte order mark
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.replace("symbol", '"Symbol"').replace("here", '"here"'),
        GOOD.replace("close_usd", "Close"),
        GOOD.replace("source", "source,volume,").replace("here", "here,1,").replace("43000,", "43000,,2,"),
        GOOD.replace("2024-01-01", "2024-01-01 23:59:59").replace("2024-01-02", "2024-01-02 00:00:00+00:00"),
        GOOD + "\n,,,\n",
    ],
    ids=["bom", "crlf", "cr", "quotes", "close", "more columns", "times", "blank lines"],
)
def test_harmless_differences_of_form_do_not_matter(text: str) -> None:
    file = read(text)
    assert not file.faults
    assert file.rows["close_usd"].to_list() == [42000.5, 43000]
    assert file.rows["date"].to_list() == [date(2024, 1, 1), date(2024, 1, 2)]


def test_parquet_with_dates_and_numbers_loads_like_text() -> None:
    frame = pl.DataFrame({"date": [date(2024, 1, 1)], "asset_id": ["coingecko:bitcoin"], "close_usd": [0.1 + 0.2]})
    file = read(parquet(frame))
    assert not file.faults
    assert file.rows.row(0) == (1, date(2024, 1, 1), None, "coingecko:bitcoin", 0.1 + 0.2, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("date,symbol,close_usd\n", "has a header and no rows"),
        (row("2024-01-02", "BTC", "0"), "row 3: close_usd is 0: a price is a positive"),
        (row("2024-01-02", "BTC", "-5"), "row 3: close_usd is -5: a price is a positive"),
        (row("2024-01-02", "BTC", "NaN"), "row 3: close_usd is NaN: a price is a positive"),
        (row("2024-01-02", "BTC", "inf"), "row 3: close_usd is inf: a price is a positive"),
        (row("2024-01-02", "BTC", "1e999"), "row 3: close_usd is 1e999: a price is a positive"),
        (row("2024-01-02", "BTC", "four"), "row 3: close_usd 'four' is no number"),
        (row("2024-01-01", "btc", "1"), "row 3: repeats row 2 (BTC on 2024-01-01)"),
        ("date,asset_id,close_usd\n2024-01-01,btc,60000\n2024-01-01,BTC,70000\n", "row 3: contradicts row 2: BTC on"),
        (
            "date,asset_id,close_usd\n2024-01-01,coingecko:bitcoin,1\n2024-01-01,Coingecko:Bitcoin,1\n",
            "row 3: repeats row 2 (Coingecko:Bitcoin on 2024-01-01)",
        ),
        (row("2024-01-01", "BTC", "2"), "row 3: contradicts row 2: BTC on 2024-01-01 is 2.0 here and 1.0 there"),
        (row("31/12/2023", "BTC", "1"), "row 3: dates look like day-month-year ('31/12/2023', 1 row)"),
        (row("31-12-2023", "BTC", "1"), "row 3: dates look like day-month-year ('31-12-2023', 1 row)"),
        (row("31.12.23", "BTC", "1"), "row 3: dates look like day-month-year ('31.12.23', 1 row)"),
        (row("2023-02-30", "BTC", "1"), "row 3: date '2023-02-30' is no date"),
        (row("2023-02-03 14:00", "BTC", "1"), "row 3: date '2023-02-03 14:00' is no date"),
        (row("yesterday", "BTC", "1"), "row 3: date 'yesterday' is no date"),
        (row("", "BTC", "1"), "row 3: no date"),
        (row("2026-01-11", "BTC", "1"), "row 3: date 2026-01-11 is in the future"),
        (row("2024-01-02", "", "1"), "row 3: no symbol and no asset_id"),
        (row("2024-01-02", "BTC"), "row 3: has 2 fields instead of 3"),
        (row("2024-01-02", "BTC", "1", "2"), "row 3: has 4 fields instead of 3"),
        ('date,symbol,close_usd\n2024-01-01,"BTC,1\n', "row 2: has broken quotes"),
        (row("2024-01-02", '"BTC"', "1", "2"), "row 3: has 4 fields instead of 3"),
        ("date,symbol,close_usd,quote\n2024-01-01,BTC,1,EUR\n", "row 2: is quoted in EUR, not in US dollars"),
        ("date,symbol\n2024-01-01,BTC\n", "column close_usd is missing; the file has date, symbol"),
        ("symbol,close_usd\nBTC,1\n", "column date is missing"),
        ("date,close_usd\n2024-01-01,1\n", "column symbol or asset_id is missing"),
        ("date,symbol,close,adj close\n2024-01-01,BTC,1,2\n", "column close_usd is missing (rename adj close or close"),
        ("date,symbol,close_usd,close_usd\n2024-01-01,BTC,1,2\n", "has 2 columns named close_usd"),
        ("date;symbol;close_usd\n2024-01-01;BTC;1\n", "separates its columns by semicolons"),
        ("date,symbol,close_usd\n1.5,BTC,2024-01-01\n", "columns date and close_usd look swapped"),
        ("date,symbol,close_usd\n2024-01-01,1.5,BTC\n", "columns symbol and close_usd look swapped"),
        ("date,symbol,close_usd\nBTC,2024-01-01,1.5\n", "columns date and symbol look swapped"),
        ("date,symbol,close_usd\n2024-01-01,BTC,\n", "has no row with a price"),
        ('[{"date": "2024-01-01"}]', "this looks like JSON, not like a CSV or Parquet file"),
        ("<!doctype html><p>404", "this looks like HTML"),
        (GOOD.encode("utf-16"), "is encoded in UTF-16: save it as UTF-8"),
        (GOOD.encode("utf-16-le"), "is encoded in UTF-16: save it as UTF-8"),
        (GOOD.replace("here", "Zürich").encode("latin-1"), "row 2: is not UTF-8 (byte 0xFC), probably Latin-1"),
        (GOOD.replace("43000", "43\x00000").encode(), "row 3: contains NUL bytes"),
        (gzip.compress(GOOD.encode(), mtime=0), "is compressed (gzip)"),
        (b"PK\x03\x04rest", "is a zip archive or an Excel workbook"),
        (b"PAR1 but not really", "is not a readable Parquet file"),
    ],
)
def test_each_defect_is_named_with_its_row(text: str | bytes, message: str) -> None:
    found = faults(text)
    assert any(fault.startswith(message) for fault in found), found


def test_all_faults_are_told_at_once() -> None:
    text = "date,symbol,close_usd\n01/02/2024,BTC,1\n2024-01-01,BTC,0\n2024-01-02,,3\nx\n2030-01-01,BTC,3\n"
    found = faults(text)
    assert [fault.split(":")[0] for fault in found] == ["row 2", "row 3", "row 4", "row 5", "row 6"]


def refusal_of(faulty: int) -> FileRefusedError:
    days = (date(2020, 1, 1) + timedelta(days=n) for n in range(faulty))
    return read("date,symbol,close_usd\n" + "".join(f"{day},BTC,-1\n" for day in days)).faults.refusal()


def test_a_thousand_faults_are_all_listed() -> None:
    refusal = refusal_of(1_000)
    lines = str(refusal).split("\n")
    assert lines[0] == "prices.csv was refused, nothing was imported: 1,000 faults"
    assert [line.split(":")[0] for line in lines[1:]] == [f"  row {number}" for number in range(2, 1_002)]


def test_beyond_a_thousand_faults_the_rest_is_counted() -> None:
    refusal = refusal_of(2_200)
    assert refusal.total == 2_200
    assert len(refusal.faults) == 1_000
    assert str(refusal).endswith("\n  … and 1,200 more")


@pytest.mark.parametrize("name", ["bad.parquet", "BAD.PARQUET", "bad.pq"])
def test_text_in_a_file_that_calls_itself_parquet_is_named_so(name: str) -> None:
    with pytest.raises(FileRefusedError) as caught:
        read_price_file(b"hello\n", today=TODAY, name=name)
    assert [str(fault) for fault in caught.value.faults] == ["is not a Parquet file, although its name says so"]


def test_rows_before_listing_have_no_price_and_are_left_out_with_a_note() -> None:
    file = read("date,symbol,close_usd\n2024-01-01,SOL,\n2024-01-02,SOL,null\n2024-01-03,SOL,5\n")
    assert not file.faults
    assert file.rows["row"].to_list() == [4]
    assert file.notes == ("2 of 3 rows have no price and were left out (SOL)",)


def test_prices_in_a_dollar_token_are_taken_and_noted() -> None:
    file = read("date,symbol,close_usd,quote\n2024-01-01,SOL,5,USDT\n2024-01-02,SOL,5,USD\n")
    assert not file.faults
    assert file.notes == ("1 row is quoted in USDT, taken as US dollars",)


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise_than_by_a_refusal(data: bytes) -> None:
    faults(data)


@given(st.text(alphabet='01-,/"\n.eabBTC ', max_size=80))
def test_no_text_below_a_good_header_is_let_through_unchecked(body: str) -> None:
    try:
        file = read("date,symbol,close_usd\n" + body)
    except FileRefusedError:
        return
    closes = file.rows["close_usd"].to_list()
    assert all(math.isfinite(close) and close > 0 for close in closes)
    assert all(day <= TODAY for day in file.rows["date"]) or file.faults
    assert closes or file.faults


@given(
    st.dictionaries(
        st.dates(date(2013, 1, 1), TODAY), st.floats(min_value=1e-12, max_value=1e9), min_size=1, max_size=20
    )
)
def test_what_is_written_is_what_is_read(closes: dict[date, float]) -> None:
    frame = pl.DataFrame({"date": list(closes), "symbol": "BTC", "close_usd": list(closes.values())})
    for data in (frame.write_csv().encode(), parquet(frame)):
        file = read(data)
        assert not file.faults
        assert dict(file.rows.select("date", "close_usd").iter_rows()) == closes


@needs_shared_data
@pytest.mark.parametrize(("path", "height"), [("prices_daily.parquet", 81_397), ("sp500/sp500_daily.csv", 9_095)])
def test_the_shared_price_files_load_as_they_are(path: str, height: int) -> None:
    file = read_price_file(SHARED / path, today=date(2026, 3, 4))
    assert not file.faults
    assert file.rows.height == height


@needs_shared_data
@pytest.mark.parametrize(
    "path", sorted((SHARED / "prices/raw/yahoo2024_defects").glob("*.csv")), ids=lambda path: path.name
)
def test_real_files_with_nothing_but_a_header_are_named_so(path: Path) -> None:
    found = read_price_file(path, today=TODAY).faults
    assert "has a header and no rows" in {fault.message for fault in found.first}


@needs_shared_data
@pytest.mark.parametrize(
    "path", sorted((SHARED / "prices/raw/coingecko2025").glob("*.csv")), ids=lambda path: path.name
)
def test_real_files_with_day_first_dates_and_midnight_prices_are_named_so(path: Path) -> None:
    messages = " ".join(str(fault) for fault in read_price_file(path, today=TODAY).faults.first)
    assert "dates look like day-month-year ('01-01-2025', 245 rows)" in messages
    assert (
        "rename price_usd if that is the close of the UTC day; CoinGecko's daily price is the close of the" in messages
    )


@needs_shared_data
@pytest.mark.parametrize("name", ["SOL1-USD-1d.csv", "DOT1-USD-1d.csv", "AVAX-USD-1d.csv", "BTC-USD-1d.csv"])
def test_real_files_with_nulls_before_listing_load_once_symbol_and_close_are_named(name: str) -> None:
    path = SHARED / "prices/raw/yahoo2022" / name
    assert len(read_price_file(path, today=TODAY).faults.first) == 2  # no symbol, and two columns that may be the close
    frame = pl.read_csv(path, infer_schema=False).select(date="Date", symbol=pl.lit("X"), close_usd="Close")
    file = read(frame.write_csv())
    assert not file.faults
    assert file.rows.height == frame["close_usd"].is_not_null().sum()
    assert bool(file.notes) == (file.rows.height < frame.height)


@needs_shared_data
@pytest.mark.parametrize("path", sorted((SHARED / "prices/raw/cmc2021").glob("*.csv")), ids=lambda path: path.name)
def test_real_files_of_coinmarketcap_load_unless_their_dates_are_day_first(path: Path) -> None:
    file = read_price_file(path, today=TODAY)
    if path.name in {"coin_Bitcoin.csv", "coin_XRP.csv"}:  # these two were saved again with dd/mm/yyyy dates
        assert [fault.message.split(" (")[0] for fault in file.faults.first] == ["dates look like day-month-year"]
    else:
        assert not file.faults, str(file.faults.refusal())
        assert file.rows.height == pl.read_csv(path).height
