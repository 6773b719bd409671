"""What changes afterwards: corrected investments, prices that die, prices that come late, days that are asked for."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

SECOND = date(2024, 4, 10)  # the day of the investment that is corrected
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"
CORRECTED = HEADER + "ann,second,2024-04-10T15:30:00Z,BTC,300,\n"
TABLES = ("investment_performance", "portfolio_performance")
STALE_DAYS = 7


def of_day(path: str) -> date | None:
    part = Path(path).parent.name
    return date.fromisoformat(part.removeprefix("date=")) if part.startswith("date=") else None


def test_the_same_file_again_changes_nothing(built: Any, world: tuple[date, ...]) -> None:
    runs, modified, counts = built.runs(), built.modified(), built.counts()
    again = built.write("investments-again.csv", (built.home.parent / "imported-files/investments.csv").read_bytes())
    assert "0 new legs, 0 corrected, 7 unchanged" in built.does("import", "investments", again)
    again = built.write("prices-again.csv", (built.home.parent / "imported-files/prices.csv").read_bytes())
    assert "no change" in built.does("import", "prices", again)
    assert "up to date" in built.does("run", "--to", world[1])
    assert (built.runs(), built.modified(), built.counts()) == (runs, modified, counts)


@pytest.fixture(scope="module")
def corrected(install: Callable[..., Any], built: Any, world: tuple[date, ...]) -> Any:
    """One investment of April 10th is corrected from 250.50 to 300 USD."""
    home = install("corrected", like=built)
    home.before = {"lake": home.lake(), "marts": home.marts(), "modified": home.modified()}
    home.said = home.does("import", "investments", home.write("corrected.csv", CORRECTED))
    home.does("run", "--to", world[1])
    return home


def test_a_correction_says_what_it_changes_and_from_which_day_on(corrected: Any) -> None:
    assert "0 new legs, 1 corrected, 0 unchanged" in corrected.said
    assert f"figures from {SECOND} on are affected" in corrected.said


def test_only_the_days_since_the_corrected_investment_are_written_again(corrected: Any) -> None:
    before, after = corrected.before["lake"], corrected.lake()
    assert before.keys() == after.keys()
    changed = {name for name in after if before[name] != after[name]}
    dated = {name for name in changed if of_day(name)}
    since = {SECOND + timedelta(days=n) for n in range(20)}
    valued = {name for name in dated if Path(name).parts[1] in TABLES}
    assert {Path(name).parts[1] for name in valued} == set(TABLES)
    assert {of_day(name) for name in valued} == since
    assert {Path(name).parts[1] for name in dated - valued} == {
        "portfolio_metrics", "benchmark_comparison", "diversification",
    }, "metrics are computed for month ends and the last day"  # fmt: skip
    assert {of_day(name) for name in dated - valued} == {max(since)}
    assert {Path(name).parts[1] for name in changed - dated} == {
        "investment_legs", "investment_days", "holding_versions", "holding_changes",
    }  # fmt: skip
    untouched = {name: time for name, time in corrected.before["modified"].items() if "prices_daily" in name}
    assert untouched.items() <= corrected.modified().items()


def test_a_correction_restates_its_own_user_from_its_day_on_and_nobody_else(corrected: Any) -> None:
    before, after = corrected.before["marts"], corrected.marts()
    for mart, day_at in (("investment_performance_daily", 2), ("portfolio_performance_daily", 1)):
        old, new = set(before[mart]), set(after[mart])
        assert len(before[mart]) == len(after[mart])
        assert {row[0] for row in old ^ new} == {"ann"}
        assert min(row[day_at] for row in old ^ new) == SECOND
    assert corrected.row(
        "select invested_usd, value_usd from investment_performance_daily"
        f" where investment_id = 'second' and date = '{SECOND}'"
    ) == pytest.approx({"invested_usd": 300.0, "value_usd": 300.0})
    assert before["prices_daily"] == after["prices_daily"]


def test_the_version_before_a_correction_stays_readable(corrected: Any) -> None:
    versions = corrected.sql(
        "select l.amount_usd, l.superseded_at is null from app.investment_legs l join app.investments i"
        " using (investment_key) where i.investment_id = 'second' order by l.known_at"
    )
    assert versions == [(Decimal("250.50"), False), (Decimal(300), True)]


def test_a_dead_price_is_carried_as_stale_for_seven_days_and_is_then_missing(
    built: Any, world: tuple[date, ...]
) -> None:
    rows = built.rows(
        "select date, close_usd, status, reason from prices_daily where asset_id = 'file:GHOST' order by date"
    )
    by_day = {date.fromisoformat(row["date"]): row for row in rows}
    last_close = by_day[world[2]]["close_usd"]
    for day, row in by_day.items():
        age = (day - world[2]).days
        if age <= 0:
            assert row["status"] == "ok"
            continue
        assert row["reason"], day
        expected = ("stale", last_close) if age <= STALE_DAYS else ("no_source", None)
        assert (row["status"], row["close_usd"]) == expected, day
    assert max(by_day) == world[1]


def test_a_dead_price_lowers_the_coverage_and_is_never_worth_0(built: Any, world: tuple[date, ...]) -> None:
    rows = built.rows("select * from portfolio_performance_daily where user_id = 'ben' order by date")
    for row in rows:
        age = (date.fromisoformat(row["date"]) - world[2]).days
        assert row["value_usd"] > 0
        assert row["invested_usd"] == 1_000
        if age <= 0:
            assert row["coverage"] == 1
            continue
        assert 0 < row["coverage"] < 1
        is_known = age <= STALE_DAYS
        assert (row["pnl_usd"] is not None, row["roi"] is not None, row["daily_return"] is not None) == (is_known,) * 3
    bitcoin = {row["date"]: row["worth"] for row in built.rows(
        "select p.date, p.close_usd * a.balance as worth from prices_daily p, portfolio_assets a"
        " where a.user_id = 'ben' and a.token = 'BTC' and p.asset_id = a.asset_id"
    )}  # fmt: skip
    newest = rows[-1]
    assert newest["value_usd"] == pytest.approx(bitcoin[newest["date"]], rel=1e-12)  # what is priced, and no less


def test_the_holding_without_a_price_stays_listed_without_a_value(built: Any) -> None:
    row = built.row("select * from portfolio_assets where user_id = 'ben' and asset_id = 'file:GHOST'")
    assert (row["value_usd"], row["pnl_usd"], row["current_price_usd"], row["price_status"]) == (
        None,
        None,
        None,
        "no_source",
    )
    assert float(row["balance"]) > 0


def test_another_user_does_not_notice_the_dead_price(built: Any) -> None:
    row = built.row(
        "select min(coverage) as low, count(*) filter (where pnl_usd is null) as unknown, bool_and(is_final) as final"
        " from portfolio_performance_daily where user_id <> 'ben'"
    )
    assert row == {"low": 1.0, "unknown": 0, "final": True}


def test_the_scorecard_says_that_coverage_fell(built: Any, world: tuple[date, ...]) -> None:
    rows = built.rows(
        f"select metric, status from data_quality_scorecard where date = '{world[1]}' and metric not like 'check:%'"
    )
    verdicts = {row["metric"]: row["status"] for row in rows}
    assert verdicts["prices_missing_share"] == verdicts["unpriced_legs"] == "warn"
    assert verdicts["missing_investment_rows"] == "ok"


@pytest.fixture(scope="module")
def healed(install: Callable[..., Any], built: Any, world: tuple[date, ...], price_csv: Callable[..., str]) -> Any:
    """The missing prices of the dead coin come late, and one known close of it is corrected."""
    home = install("healed", like=built)
    late = [(world[2] + timedelta(days=n), "GHOST", 2.0 + n / 100) for n in range((world[1] - world[2]).days + 1)]
    home.does("import", "prices", home.write("late.csv", price_csv(late)))
    home.does("run", "--to", world[1])
    return home


def test_a_price_that_comes_late_heals_every_day(healed: Any, world: tuple[date, ...]) -> None:
    row = healed.row(
        "select count(*) as days, bool_and(status = 'ok') as good, max(close_usd) as newest from prices_daily"
        " where asset_id = 'file:GHOST'"
    )
    assert row["good"]
    assert row["newest"] >= 2.0 + (world[1] - world[2]).days / 100
    row = healed.row(
        "select min(coverage) as low, count(*) filter (where daily_return is null or roi is null) as unknown"
        " from portfolio_performance_daily where user_id = 'ben' and date > '2024-03-05'"
    )
    assert row == {"low": 1.0, "unknown": 0}


def test_only_a_served_close_that_changed_is_a_restatement(healed: Any, built: Any, world: tuple[date, ...]) -> None:
    old = built.row(f"select close_usd from prices_daily where asset_id = 'file:GHOST' and date = '{world[2]}'")
    (row,) = healed.rows("select * from price_restatements")
    assert (row["asset_id"], row["date"], row["cause"]) == ("file:GHOST", str(world[2]), "provider_restated")
    assert (row["old_close_usd"], row["new_close_usd"]) == (old["close_usd"], 2.0)
    assert built.rows("select * from price_restatements") == []


def test_a_late_price_leaves_the_others_as_they_were(healed: Any, built: Any) -> None:
    before, after = built.marts(), healed.marts()
    for mart in ("investment_performance_daily", "portfolio_performance_daily"):
        others = [[row for row in marts[mart] if row[0] != "ben"] for marts in (before, after)]
        assert others[0] == others[1]


def test_a_changed_close_alone_reaches_the_return_of_the_day_after(
    install: Callable[..., Any], built: Any, world: tuple[date, ...]
) -> None:
    home = install("one-close", like=built)
    day = date(2024, 3, 20)
    home.does("prices", "override", "ADA", day, "0.70", "--why", "the exchange corrected its print")
    home.does("run", "--from", day, "--to", day)
    rows = home.rows(
        "select value_usd, daily_return from portfolio_performance_daily where user_id = 'cleo'"
        f" and date between '{day}' and '{day + timedelta(days=1)}' order by date"
    )
    assert rows[0]["value_usd"] == pytest.approx(0.70 * 1_500)
    assert rows[1]["daily_return"] == pytest.approx(rows[1]["value_usd"] / rows[0]["value_usd"] - 1)
    index = home.rows(
        "select twr_index, value_usd from portfolio_performance_daily where user_id = 'cleo' order by date"
    )
    assert index[-1]["twr_index"] / index[0]["twr_index"] == pytest.approx(
        index[-1]["value_usd"] / index[0]["value_usd"]
    )
    assert "up to date" in home.does("run", "--to", world[1])
