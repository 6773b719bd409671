"""Bad input at the command line: exit status 1, a message that names the rows, and nothing changed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity"
GOOD = "ann,third,2024-03-10,BTC,100,"
TOMORROW = (datetime.now(UTC) + timedelta(days=2)).date()

INVESTMENTS = {
    "an unknown asset": (["ann,x,2024-03-10,NOSUCH,100,"], ["row 3", "NOSUCH"]),
    "an ambiguous asset": (
        ["ann,x,2024-03-10,TWIN,100,"],
        ["row 3", "TWIN", "coingecko:twin-one", "coingecko:twin-two"],
    ),
    "a negative amount": (["ann,x,2024-03-10,BTC,-5,"], ["row 3", "amount_usd is -5"]),
    "a zero amount": (["ann,x,2024-03-10,BTC,0,"], ["row 3", "amount_usd is 0"]),
    "NaN as an amount": (["ann,x,2024-03-10,BTC,NaN,"], ["row 3", "amount_usd is NaN"]),
    "an infinite amount": (["ann,x,2024-03-10,BTC,inf,"], ["row 3", "amount_usd is inf"]),
    "a negative quantity": (["ann,x,2024-03-10,BTC,5,-1"], ["row 3", "quantity is -1"]),
    "a date in the future": ([f"ann,x,{TOMORROW},BTC,5,"], ["row 3", "future"]),
    "a date before the first price": (["ann,x,2014-03-10,BTC,5,"], ["row 3", "coingecko:bitcoin", "2024-03-01"]),
    "a date before the first day": (["ann,x,2009-03-10,BTC,5,"], ["row 3", "2013-01-01"]),
    "a day-month date": (["ann,x,10/03/2024,BTC,5,"], ["row 3", "day-month-year"]),
    "a coin that is there twice": (["ann,x,2024-03-10,BTC,5,", "ann,x,2024-03-10,BTC,6,"], ["row 4", "row 3"]),
    "two moments of one investment": (["ann,x,2024-03-10,BTC,5,", "ann,x,2024-03-11,ETH,6,"], ["row 4", "row 3"]),
    "no user": ([",x,2024-03-10,BTC,5,"], ["row 3", "no user_id"]),
    "a row that is too long": (["ann,x,2024-03-10,BTC,5,,surplus"], ["row 3"]),
    "several faults at once": (
        ["ann,x,2024-03-10,NOSUCH,-1,", "ann,y,10/03/2024,BTC,5,", "ann,z,2024-03-10,ETH,0,"],
        ["row 3", "row 4", "row 5"],
    ),
}
PRICES = {
    "a price of zero": ("date,symbol,close_usd\n2024-05-01,BTC,0\n", ["row 2", "close_usd is 0"]),
    "a negative price": ("date,symbol,close_usd\n2024-05-01,BTC,-1\n", ["row 2", "close_usd is -1"]),
    "NaN as a price": ("date,symbol,close_usd\n2024-05-01,BTC,NaN\n", ["row 2", "close_usd is NaN"]),
    "the same asset and day twice": (
        "date,symbol,close_usd\n2024-05-01,BTC,5\n2024-05-01,BTC,6\n",
        ["row 3", "row 2", "BTC"],
    ),
    "swapped columns": (
        "date,symbol,close_usd\nBTC,2024-05-01,5\nETH,2024-05-01,6\n",
        ["columns date and symbol look swapped"],
    ),
    "price and symbol swapped": ("date,symbol,close_usd\n2024-05-01,5.5,BTC\n", ["symbol and close_usd look swapped"]),
    "dd/mm dates": ("date,symbol,close_usd\n13/05/2024,BTC,5\n", ["day-month-year", "13/05/2024"]),
    "a price of tomorrow": (f"date,symbol,close_usd\n{TOMORROW},BTC,5\n", ["row 2", "future"]),
    "a price in euro": ("date,symbol,close_usd,quote\n2024-05-01,BTC,5,EUR\n", ["row 2", "EUR"]),
    "an ambiguous symbol": ("date,symbol,close_usd\n2024-05-01,TWIN,5\n", ["row 2", "TWIN", "coingecko:twin-one"]),
    "a header alone": ("date,symbol,close_usd\n", ["no rows"]),
    "no column with a price": ("date,symbol,volume\n2024-05-01,BTC,5\n", ["close_usd", "volume"]),
}
UNREADABLE = {
    "an empty file": b"",
    "bytes that are no text": b"\xff\xfe\x00\x9f\x81not a table\x00\x01",
    "a file in latin-1": "user_id,investment_id,invested_at,asset,amount_usd\nJos\xe9,x,2024-03-10,BTC,5\n".encode(
        "latin-1"
    ),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "an open quote": b'date,symbol,close_usd\n"2024-05-01,BTC,5\n',
}


@pytest.fixture(scope="module")
def home(install: Callable[..., Any], imported: Any) -> Any:
    """Imported data beside which two assets share a symbol."""
    home = install("bad-input", like=imported)
    for name in ("one", "two"):
        home.sql(
            "insert into app.assets (asset_id, symbol, name, kind, calendar)"
            f" values ('coingecko:twin-{name}', 'TWIN', 'Twin {name}', 'crypto', 'daily')"
        )
        home.sql(f"insert into app.asset_symbols (symbol, asset_id) values ('TWIN', 'coingecko:twin-{name}')")
    home.before = (home.counts(), home.lake())
    return home


def refused(home: Any, *command: object) -> str:
    message: str = home.refuses(*command)
    assert (home.counts(), home.lake()) == home.before
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("what", INVESTMENTS)
def test_an_investment_file_is_refused_whole_and_the_rows_are_named(home: Any, what: str) -> None:
    rows, parts = INVESTMENTS[what]
    message = refused(home, "import", "investments", home.write("bad.csv", "\n".join([HEADER, GOOD, *rows]) + "\n"))
    assert "bad.csv was refused, nothing was imported" in message
    assert [part for part in parts if part not in message] == [], message


@pytest.mark.parametrize("what", PRICES)
def test_a_price_file_is_refused_whole_and_the_rows_are_named(home: Any, what: str) -> None:
    content, parts = PRICES[what]
    message = refused(home, "import", "prices", home.write("bad.csv", content))
    assert "bad.csv was refused, nothing was imported" in message
    assert [part for part in parts if part not in message] == [], message


@pytest.mark.parametrize("kind", ["investments", "prices"])
@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_cannot_be_read_is_refused_by_name(home: Any, kind: str, what: str) -> None:
    assert "bad.csv" in refused(home, "import", kind, home.write("bad.csv", UNREADABLE[what]))


def test_a_missing_file_among_several_is_told_before_any_is_read(home: Any) -> None:
    message = refused(
        home,
        "import",
        "prices",
        home.write("bad.csv", "date,symbol,close_usd\n2024-05-01,BTC,0\n"),
        home.files / "no.csv",
    )
    assert "no.csv" in message  # it is not there: said before anything is imported


@pytest.mark.parametrize("kind", ["investments", "prices"])
def test_a_file_that_is_not_there_is_named(home: Any, kind: str) -> None:
    assert "there is no file" in refused(home, "import", kind, home.files / "missing.csv")


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["run", "--from", "01/03/2024"], "YYYY-MM-DD"),
        (["run", "--from", "2024-03-05", "--to", "2024-03-01"], "the first one first"),
        (["run", "--to", str(TOMORROW)], "no days from"),
        (["run", "--from", "2012-01-01", "--to", "2012-01-02"], "2013-01-01"),
        (["run", "--users", "nobody"], "nobody"),
        (["backfill", "--from", "2024-03-05", "--to", "yesterday"], "YYYY-MM-DD"),
        (["query", "select 1"], "portfolio run"),
        (["prices", "override", "NOSUCH", "2024-03-05", "5", "--why", "x"], "NOSUCH"),
        (["prices", "override", "TWIN", "2024-03-05", "5", "--why", "x"], "coingecko:twin-two"),
        (["prices", "override", "BTC", "2024-03-05", "five", "--why", "x"], "'five'"),
        (["prices", "override", "BTC", "2024-03-05", "nan", "--why", "x"], "positive"),
        (["prices", "override", "BTC", "2024-03-05", "--why", "x", "--", "-5"], "positive"),
        (["prices", "override", "BTC", str(TOMORROW), "5", "--why", "x"], "future"),
        (["prices", "override", "BTC", "2024-03-05", "5", "--why", " "], "who and why"),
        (["prices", "confirm", "BTC", "2024-03-05", "--why", "x"], "held back"),
        (["prices", "withdraw", "99", "--why", "x"], "99"),
    ],
)
def test_a_command_that_makes_no_sense_says_why(home: Any, command: list[str], part: str) -> None:
    assert part in refused(home, *command)


def test_a_query_can_read_and_nothing_else(built: Any) -> None:
    before = built.modified()
    for statement in (
        "delete from marts.prices_daily",
        "drop view marts.portfolio_assets",
        "create table marts.mine as select 1",
        "select nonsense from nowhere",
        "not sql at all",
    ):
        assert built.refuses("query", statement)
    assert built.modified() == before
