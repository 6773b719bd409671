"""What `run`, `doctor` and `query` say when something is not there, not known, or not to be done."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

TODAY = datetime.now(UTC).date()
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("", "no statement in it"),
        ("/* nothing */", "no statement in it"),
        ("select 1; select 2", "2 statements"),
        ("copy (select 1) to '{file}'", "only reads"),
        ("explain analyze copy (select 1) to '{file}'", "only reads"),
        ("copy (pivot (select 1 as a) on a) to '{file}'", "only reads"),
        ("explain analyze copy (pivot (select 1 as a) on a) to '{file}'", "only reads"),
        ("import database '{file}'", "only reads"),
        ("set threads = 1", "only reads"),
        ("create table t (a int)", "only reads"),
        ("selct 1", "syntax error"),
    ],
)
def test_a_query_that_does_not_read_is_refused_in_words(built: Any, tmp_path: Path, statement: str, says: str) -> None:
    file = tmp_path / "written.csv"
    said = built.refuses("query", statement.format(file=file))
    assert says in said
    assert not said.startswith("\n")
    assert not file.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "from portfolio_totals limit 1",
        "with a as (select 1 as b) select * from a",
        "describe portfolio_totals",
        "show tables",
        "summarize portfolio_totals",
        "pragma table_info('portfolio_totals')",
        "explain select 1",
        "explain (format json) select 1",
        "explain analyze select 1",
        "values (1)",
        "pivot (select 1 as a, 2 as b) on a using sum(b)",
    ],
)
def test_whatever_reads_is_answered(built: Any, statement: str) -> None:
    assert built.does("query", statement, "--format", "csv").count("\n") > 1


def test_json_has_no_word_for_what_is_no_number(built: Any) -> None:
    said = built.does(
        "query",
        "select 'nan'::double as a, 'inf'::double as b, [1.5, 'nan'::double] as c, {'d': '-inf'::double} as e",
        "--format", "json",
    )  # fmt: skip

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    assert json.loads(said, parse_constant=refuse) == [{"a": None, "b": None, "c": [1.5, None], "e": {"d": None}}]


def test_a_text_between_colons_stays_a_text(built: Any) -> None:
    assert "a:x:0" in built.does("query", "select 'a:x:0' as name")
    assert ":x:" in built.refuses("query", 'select * from ":x:"')


def test_the_doctor_stops_at_missing_tables(built: Any, template: Path) -> None:
    home = type(built)(template.parent / "blank", {})
    said = home.portfolio("doctor")
    assert said.exit_code == 1
    _, _, rest = said.stdout.partition("bad  tables are missing")
    assert rest.strip() == "→ portfolio init"


def test_the_doctor_has_words_for_nothing_valued_and_for_wallets_nobody_reads(install: Callable[..., Any]) -> None:
    home = install("unvalued")
    wallet = "0x00000000219ab540356cBB839Cbe05303d7705Fa"
    home.does("import", "wallets", home.write("wallets.csv", f"user_id,address,label,chains\nann,{wallet},,31337\n"))
    home.does("run", "--only", "onchain")
    said = home.portfolio("doctor").stdout
    assert "no investment is valued yet" in said
    assert "1 wallet is watched on none of them" in said
    assert "None" not in said


def test_a_run_without_new_prices_stops_where_they_end_and_says_so(install: Callable[..., Any], built: Any) -> None:
    home = install("old-prices", like=built)
    said = home.does("run")
    assert "price files end on 2024-04-29: valuing up to that day" in said
    assert "Everything is up to date" in said
    assert "Portfolios at the close of 2024-04-29" in said
    assert home.row("select max(date) as last from portfolio_performance_daily") == {"last": "2024-04-29"}


def cells(said: str, user: str) -> list[str]:
    """The row of a user in the table of portfolios."""
    (row,) = (line for line in said.splitlines() if line.startswith(f"│ {user} "))
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_days_that_were_not_computed_are_told_and_the_return_says_since_when_it_counts(
    install: Callable[..., Any], imported: Any
) -> None:
    home = install("last-days", like=imported)
    said = home.does("run", "--from", date(2024, 4, 14), "--to", date(2024, 4, 29))
    command = "portfolio backfill --from 2024-03-01 --to 2024-04-09 --only-missing"
    assert f"40 days since the first purchase are not valued, 2024-03-01 to 2024-04-09: `{command}`" in said
    assert cells(said, "ann")[6] == "2024-04-10"
    assert abs(float(cells(said, "ann")[5].rstrip("%"))) < 60, "her purchase of that day is not all she has"
    healed = home.does(*command.split()[1:])
    assert "are not valued" not in healed
    assert cells(home.does("run", "--to", "2024-04-29"), "ann")[6] == "2024-03-01"
    assert all(len(line) <= 100 for line in said.splitlines() if line.startswith("│"))


def test_a_return_below_a_dollar_is_not_shown_as_none_lost(
    install: Callable[..., Any], price_csv: Callable[..., str]
) -> None:
    home = install("dust")
    closes = [300.0, 75.0, 19.0, 5.0, 1.5, 0.5, 0.4]
    first = TODAY - timedelta(days=6)
    rows = [(first + timedelta(days=n), "DUST", close) for n, close in enumerate(closes)]
    home.does("import", "prices", home.write("prices.csv", price_csv(rows)))
    home.does("import", "investments", home.write("investments.csv", f"{HEADER}ann,one,{first},DUST,300,\n"))
    said = home.does("run", "--to", TODAY - timedelta(days=1))
    assert cells(said, "ann")[4:7] == ["-99.83%", "-99.83%", str(first)]
    assert f"Portfolios at the close of {TODAY - timedelta(days=1)}" in said
    said = home.does("run", "--to", TODAY)
    assert cells(said, "ann *" if "ann *" in said else "ann")[4:7] == ["-99.87%", "–", "–"]
    assert f"Portfolios so far on {TODAY} (UTC)" in said
