"""What `portfolio import prices`, `portfolio prices` and `portfolio assets` say, on a real database."""

import csv
import io
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import Result
from typer.testing import CliRunner

from portfolio_pipelines.cli import app
from portfolio_pipelines.database.connection import url_text

HEADER = "date,symbol,close_usd\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: sa.Engine) -> Path:
    """An installation whose database is the test's own, without live providers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTFOLIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", url_text(database.url))
    monkeypatch.setenv("PORTFOLIO_PRICE_PROVIDERS", "")
    return tmp_path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 1, result.output
    return " ".join(result.output.split())


def write(home: Path, name: str, text: str) -> Path:
    (home / name).write_text(text)
    return home / name


def test_an_import_of_prices_says_what_it_changes_and_what_comes_next(home: Path) -> None:
    first = write(home, "first.csv", HEADER + "2024-03-01,BTC,60000\n2024-03-02,BTC,61000\n2024-03-02,ETH,3000\n")
    assert done("import", "prices", first).split("\n") == [
        "first.csv: 3 closes of 2 assets, 2024-03-01 to 2024-03-02",
        "`portfolio run` brings the figures up to date.",
        "",
    ]
    second = write(home, "second.csv", HEADER + "2024-03-02,BTC,61500\n2024-03-02,ETH,3000\n2024-03-03,BTC,62000\n")
    assert "  1 close differs from one that a file brought before: the newer price counts\n" in done(
        "import", "prices", second
    )
    again = done("import", "prices", first, second)
    assert again.count("no change") == 2
    assert "portfolio run" not in again


@pytest.fixture
def priced(home: Path) -> Path:
    """Closes of Bitcoin on the first three days of March."""
    rows = "2024-03-01,BTC,60000\n2024-03-02,BTC,61000\n2024-03-03,BTC,62000\n"
    done("import", "prices", write(home, "prices.csv", HEADER + rows))
    return home


@pytest.mark.parametrize(
    ("day", "price", "said"),
    [
        ("2024-03-02", "1e12", "1E+12 USD is 16,393,443 times 61000.0 USD, the accepted close of coingecko:bitcoin on"),
        ("2024-03-02", "305000", "305000 USD is 5 times 61000.0 USD"),
        ("2024-03-02", "12200", "12200 USD is a fraction (0.2) of 61000.0 USD"),
        (
            "2024-03-05",
            "6.2",
            "6.2 USD is a fraction (0.0001) of 62000.0 USD, the accepted close of coingecko:bitcoin on",
        ),
        ("2024-02-28", "6.2", "of 60000.0 USD, the accepted close of coingecko:bitcoin on 2024-03-01"),
    ],
)
def test_an_override_far_from_the_closes_around_it_is_asked_about(
    priced: Path, day: str, price: str, said: str
) -> None:
    command = ["prices", "override", "BTC", day, price, "--why", "typed"]
    message = refused(*command)
    assert said in message
    assert "say so with --yes" in message
    assert "no price was ever set by hand" in done("prices", "overrides")
    assert f"closed at {price.upper().replace('E', 'E+')} USD on {day}" in done(*command, "--yes")


def test_an_override_near_the_closes_around_it_or_far_from_all_is_taken_at_once(priced: Path) -> None:
    done("prices", "override", "BTC", "2024-03-02", "12201", "--why", "within five times")
    done("prices", "override", "BTC", "2024-03-11", "5", "--why", "no close within seven days")
    done("prices", "override", "ETH", "2024-03-02", "5", "--why", "nobody prices it")


def test_a_wrong_override_is_put_right_without_being_the_measure_itself(priced: Path) -> None:
    done("prices", "override", "BTC", "2024-03-02", "1e9", "--why", "a slip", "--yes")
    done("prices", "override", "BTC", "2024-03-02", "61100", "--why", "put right")


def test_a_negative_close_typed_plainly_is_refused_as_a_price(priced: Path) -> None:
    message = refused("prices", "override", "BTC", "2024-03-02", "-5", "--why", "typed")
    assert "a close must be a positive number of US dollars, not -5" in message


def test_an_override_that_nobody_signs_is_refused_before_its_price_is_questioned(priced: Path) -> None:
    assert "say who and why" in refused("prices", "override", "BTC", "2024-03-02", "5", "--why", " ")


PENDLE = ["assets", "add", "coingecko:pendle", "--symbol", "pendle", "--name", "Pendle"]


def listed(*arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done("assets", "list", *arguments, "--format", "csv"))))


def test_a_coin_that_nobody_knew_is_added_and_can_be_bought(home: Path) -> None:
    bought = write(
        home,
        "orders.csv",
        "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"
        "ann,one,2024-03-01,coingecko:pendle,100,20\nann,two,2024-03-01,PENDLE,100,20\n",
    )
    message = refused("import", "investments", bought)
    assert "`portfolio assets add coingecko:pendle --symbol TICKER --name NAME` makes it known" in message
    assert "did you mean" not in message
    assert "coingecko:pendle is known from now on: PENDLE, Pendle." in done(*PENDLE)
    assert listed("pend") == [
        {
            "asset_id": "coingecko:pendle", "symbol": "PENDLE", "name": "Pendle", "kind": "crypto",
            "tickers": "PENDLE", "defillama_symbol": "coingecko:pendle", "yahoo_symbol": "",
        }
    ]  # fmt: skip
    assert "2 new legs, 0 corrected, 0 unchanged" in done("import", "investments", bought)


def test_a_coin_added_twice_stays_as_it_is(home: Path) -> None:
    done(*PENDLE)
    before = listed()
    assert "coingecko:pendle is known already, no change" in done(*PENDLE)
    message = refused(*PENDLE[:-1], "Pendle Finance")
    assert "is known already, with name Pendle, not Pendle Finance: nothing was changed" in message
    assert listed() == before


def test_the_providers_are_asked_by_the_names_that_were_given(home: Path, database: sa.Engine) -> None:
    done(*PENDLE, "--defillama", "ethereum:0x808507121B80c02388fAd14726482e061B8da827", "--yahoo", "PENDLE-USD")
    with database.connect() as connection:
        row = connection.execute(sa.text("select * from app.assets where asset_id = 'coingecko:pendle'")).one()
    assert (row.coingecko_symbol, row.yahoo_symbol) == ("pendle", "PENDLE-USD")
    assert row.defillama_symbol == "ethereum:0x808507121B80c02388fAd14726482e061B8da827"


def test_a_ticker_that_another_asset_has_is_ambiguous_from_then_on(home: Path) -> None:
    output = done("assets", "add", "coingecko:bitcoin-copy", "--symbol", "BTC", "--name", "Copy")
    assert "BTC also means coingecko:bitcoin: on days of both it is ambiguous and files must write the id" in output
    message = refused("prices", "override", "BTC", "2024-03-01", "60000", "--why", "x")
    assert "write one of coingecko:bitcoin, coingecko:bitcoin-copy" in message


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({2: "pendle"}, "'pendle' is no market id: write coingecko:"),
        ({2: "file:PENDLE"}, "becomes an asset by importing them"),
        ({2: "eip155:1/erc20:0x808507121B80c02388fAd14726482e061B8da827"}, "`portfolio tokens add`"),
        ({2: "coingecko:pen dle"}, "is no market id"),
        ({4: "PEN DLE"}, "is no ticker"),
        ({4: ""}, "is no ticker"),
        ({4: "coingecko:pendle"}, "is no ticker"),
        ({6: " "}, "is no name"),
        ({6: "Pendle\x1b[31m"}, "is no name"),
        ({7: "--yahoo", 8: "pendle usd"}, "is no name of Yahoo"),
        ({7: "--defillama", 8: "pendle"}, "is no name of DefiLlama"),
    ],
)
def test_names_that_make_no_sense_are_refused_at_the_door(home: Path, changed: dict[int, str], said: str) -> None:
    command = [changed.get(place, word) for place, word in enumerate([*PENDLE, "", ""])]
    assert said in refused(*[word for place, word in enumerate(command) if place < 7 or word])
    assert listed("pendle") == []


def test_assets_are_found_by_a_ticker_that_they_had_once(home: Path) -> None:
    assert {row["asset_id"] for row in listed("LUNA")} == {"coingecko:terra-luna", "coingecko:terra-luna-2"}
    (old,) = listed("terra luna classic")
    assert old["tickers"].startswith("LUNA until 2022-05-28")
    assert "no asset is called 'nosuch'" in done("assets", "list", "nosuch")
