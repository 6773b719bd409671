"""What `portfolio import prices`, `portfolio prices` and `portfolio assets` say, on a real database."""

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
