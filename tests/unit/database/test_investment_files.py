"""Investment files: what loads, and every way in which one is refused."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.database.investment_files import InvestmentFile, read_investment_file
from portfolio_pipelines.market.file_faults import FileRefusedError

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"
GOOD = HEADER + "ann,i1,2024-01-01,BTC,600.00,0.0142\nann,i1,2024-01-01,coingecko:ethereum,400,\n"


def read(text: str | bytes) -> InvestmentFile:
    data = text.encode() if isinstance(text, str) else text
    return read_investment_file(data, first_day=date(2013, 1, 1), now=NOW, name="orders.csv")


def faults(text: str | bytes) -> list[str]:
    try:
        found = read(text).faults
    except FileRefusedError as error:
        return [str(fault) for fault in error.faults]
    return [str(fault) for fault in found.first]


def leg(**changes: str) -> str:
    cells = {"user_id": "ann", "investment_id": "i1", "invested_at": "2024-01-01", "asset": "BTC", "amount_usd": "600"}
    return HEADER + ",".join((cells | {"quantity": ""} | changes).values()) + "\n"


def test_csv_json_lines_and_parquet_say_the_same() -> None:
    columns = HEADER.strip().split(",")
    objects = [
        dict(zip(columns, ["ann", "i1", "2024-01-01", "BTC", 600.5, 0.0142], strict=True)),
        dict(zip(columns[:-1], ["ann", "i1", "2024-01-01", "coingecko:ethereum", 400], strict=True)),
    ]
    frame = pl.DataFrame(objects).with_columns(pl.col("invested_at").str.to_date())
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    files = [
        read(GOOD.replace("600.00", "600.5")),
        read(json.dumps(objects)),
        read("\n".join(json.dumps(item) for item in objects)),
        read(buffer.getvalue()),
    ]
    for file in files:
        assert not file.faults, str(file.faults.refusal())
        assert file.rows["invested_at"].to_list() == [datetime(2024, 1, 1, tzinfo=UTC)] * 2
        assert [Decimal(text) for text in file.rows["amount_usd"]] == [Decimal("600.5"), 400]
        assert file.rows["quantity"].to_list() == ["0.0142", None]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-01", datetime(2024, 1, 1, tzinfo=UTC)),
        ("2024-01-01T15:30", datetime(2024, 1, 1, 15, 30, tzinfo=UTC)),
        ("2024-01-01 15:30:10.25Z", datetime(2024, 1, 1, 15, 30, 10, 250_000, tzinfo=UTC)),
        ("2024-01-01 15:30:10 UTC", datetime(2024, 1, 1, 15, 30, 10, tzinfo=UTC)),
        ("2024-01-01T23:30:00-05:00", datetime(2024, 1, 2, 4, 30, tzinfo=UTC)),
        ("2024-01-01T01:30:00+0530", datetime(2023, 12, 31, 20, 0, tzinfo=UTC)),
    ],
)
def test_times_without_zone_are_utc_and_offsets_are_converted(text: str, moment: datetime) -> None:
    file = read(leg(invested_at=text))
    assert not file.faults
    assert file.rows["invested_at"][0] == moment
    assert file.rows["day"][0] == moment.date()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (HEADER, "has no rows"),
        (leg(amount_usd="-600"), "row 2: amount_usd is -600: it must be positive and finite"),
        (leg(amount_usd="0"), "row 2: amount_usd is 0: it must be positive and finite"),
        (leg(amount_usd="NaN"), "row 2: amount_usd is NaN: it must be positive and finite"),
        (leg(amount_usd="Infinity"), "row 2: amount_usd is Infinity: it must be positive and finite"),
        (leg(amount_usd="1e15"), "row 2: amount_usd 1e15 is beyond reason"),
        (leg(amount_usd="$600"), "row 2: amount_usd '$600' is no number"),
        (leg(amount_usd='"1,000.50"'), "row 2: amount_usd '1,000.50' is no number (write 1000.50)"),
        (leg(amount_usd=""), "row 2: no amount_usd"),
        (leg(quantity="0"), "row 2: quantity is 0: it must be positive and finite"),
        (leg(quantity="-1"), "row 2: quantity is -1: it must be positive and finite"),
        (leg(quantity="nan"), "row 2: quantity is nan: it must be positive and finite"),
        (leg(quantity="1e-19"), "row 2: quantity 1e-19 is smaller than the 18 decimals"),
        (leg(quantity="1e40"), "row 2: quantity 1e40 is beyond reason"),
        (leg(invested_at="2026-01-10T12:00:01Z"), "row 2: invested_at 2026-01-10T12:00:01Z is in the future"),
        (leg(invested_at="2026-01-11"), "row 2: invested_at 2026-01-11 is in the future"),
        (leg(invested_at="2012-12-31"), "row 2: invested_at 2012-12-31 is before 2013-01-01, the first day"),
        (leg(invested_at="31/12/2024"), "row 2: dates look like day-month-year ('31/12/2024', 1 row)"),
        (leg(invested_at="2024-02-30"), "row 2: invested_at '2024-02-30' is no date"),
        (leg(invested_at="2024-01-01T25:00"), "row 2: invested_at '2024-01-01T25:00' is no date"),
        (leg(invested_at="0001-01-01T00:00+14:00"), "row 2: invested_at '0001-01-01T00:00+14:00' is no date"),
        (leg(invested_at="2024-W01-1"), "row 2: invested_at '2024-W01-1' is no date"),
        (leg(invested_at=""), "row 2: no invested_at"),
        (leg(user_id=""), "row 2: no user_id"),
        (leg(investment_id=" "), "row 2: no investment_id"),
        (leg(asset=""), "row 2: no asset"),
        (leg(user_id="x" * 256), "row 2: user_id has 256 characters, more than 255"),
        (leg(investment_id="a\x07b"), "row 2: investment_id 'a\\x07b' holds control characters"),
        (leg(user_id='"a\nb"'), "row 2: user_id 'a\\nb' holds control characters"),
        (GOOD.replace(",amount_usd", "").replace(",600.00", "").replace(",400", ""), "column amount_usd is missing"),
        (HEADER.replace("quantity", "asset") + leg()[len(HEADER) :], "has 2 columns named asset"),
        (GOOD + "ann,i1,2024-01-02,SOL,1,\n", "row 4: investment 'i1' of 'ann' was bought at 2024-01-02 00:00 here"),
        (GOOD + "ann,i2,2024-01-02\n", "row 4: has 3 fields instead of 6"),
        (HEADER + "ann,i1,600,BTC,2024-01-01,\n", "columns invested_at and amount_usd look swapped"),
        (HEADER + "ann,i1,2024-01-01,600,BTC,\n", "columns asset and amount_usd look swapped"),
        (GOOD.replace("ann", "Jürgen").encode("latin-1"), "row 2: is not UTF-8 (byte 0xFC)"),
        (GOOD.encode("utf-16"), "is encoded in UTF-16"),
        (GOOD.replace("ann", "a\0n"), "row 2: contains NUL bytes"),
        ('[{"user_id": "a"', "is not valid JSON"),
        ("[1, 2]", "JSON must be an array of objects"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"user_id": "a"}\n{"user_id"}', "row 2: is not valid JSON"),
        ('[{"user_id": "a", "user_id": "b"}]', "row 1: repeats 'user_id'"),
        ('[{"user_id": ["a"]}]', "row 1: user_id holds a list or an object"),
        ('[{"user_id": "\\ud800"}]', "row 1: user_id holds half of a character"),
    ],
)
def test_each_defect_is_named_with_its_row(text: str | bytes, message: str) -> None:
    found = faults(text)
    assert any(fault.startswith(message) for fault in found), found


def test_every_digit_of_an_amount_is_kept() -> None:
    text = leg(amount_usd="1234567890.123456789012345678", quantity="0.000000000000000001")
    for data in (text, json.dumps(dict(zip(HEADER.strip().split(","), text.split("\n")[1].split(","), strict=True)))):
        rows = read(data).rows
        assert rows["amount_usd"][0] == "1234567890.123456789012345678"
        assert rows["quantity"][0] == "0.000000000000000001"


def test_json_numbers_are_not_rounded_to_doubles() -> None:
    cells = (
        '{"user_id":1,"investment_id":2,"invested_at":"2024-01-01","asset":"BTC","amount_usd":0.10000000000000000001}'
    )
    rows = read(f"[{cells}]").rows
    assert rows.select("user_id", "investment_id", "amount_usd").row(0) == ("1", "2", "0.10000000000000000001")


def test_a_million_day_first_dates_are_one_fault() -> None:
    found = faults(HEADER + "".join(f"ann,i{n},31/12/2024,BTC,1,\n" for n in range(1000)))
    assert found == ["row 2: dates look like day-month-year ('31/12/2024', 1,000 rows): write YYYY-MM-DD"]


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise_than_by_a_refusal(data: bytes) -> None:
    faults(data)


@given(st.text(alphabet='0129-,/"\n.eTZ:+ann[]{}', max_size=100))
def test_what_gets_through_is_usable(body: str) -> None:
    try:
        file = read(HEADER + body)
    except FileRefusedError:
        return
    for row in file.rows.iter_rows(named=True):
        assert row["user_id"]
        assert row["asset"]
        assert Decimal(row["amount_usd"]).is_finite()
    assert not file.rows.is_empty() or file.faults


@given(st.decimals(min_value=Decimal("0.01"), max_value=Decimal("1e14"), allow_nan=False, places=8))
def test_decimals_are_read_as_written(amount: Decimal) -> None:
    file = read(leg(amount_usd=str(amount)))
    assert not file.faults
    assert Decimal(file.rows["amount_usd"][0]) == amount


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(FileRefusedError, match=r"nowhere\.csv was refused.*\n.*cannot be read"):
        read_investment_file(Path("nowhere.csv"), first_day=date(2013, 1, 1), now=NOW)
