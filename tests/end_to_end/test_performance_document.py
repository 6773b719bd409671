"""The worked examples of the performance document, through files, the command line and the marts."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

JANUARY_1, MARCH_1, JULY_1, AUGUST_31 = date(2024, 1, 1), date(2024, 3, 1), date(2024, 7, 1), date(2024, 8, 31)
BEFORE = {"BTC": 50_000, "ETH": 2_500, "SOL": 100, "ADA": 0.50, "LINK": 18, "AVAX": 40}
AFTER = {"BTC": 60_000, "ETH": 3_000, "SOL": 120, "ADA": 0.45, "LINK": 27, "AVAX": 60}
INVESTMENTS = """\
user_id,investment_id,invested_at,asset,amount_usd,quantity
alice,A,2024-01-01,BTC,500,
alice,A,2024-01-01,ETH,300,
alice,A,2024-01-01,SOL,200,
alice,B,2024-01-01,ADA,888.888888888888888889,
alice,C,2024-01-01,LINK,600,
alice,C,2024-01-01,AVAX,400,
"""
IN_JULY = """\
user_id,investment_id,invested_at,asset,amount_usd,quantity
bob,july,2024-07-01,BTC,1000,
"""


def prices() -> list[tuple[date, str, float]]:
    """Exactly the document's prices: those of January 1st until the day before March 1st, and then those of March."""
    rows = []
    for offset in range((AUGUST_31 - JANUARY_1).days + 1):
        day = JANUARY_1 + timedelta(days=offset)
        rows += [(day, symbol, float(price)) for symbol, price in (BEFORE if day < MARCH_1 else AFTER).items()]
    return rows


@pytest.fixture(scope="module")
def document(install: Callable[..., Any], price_csv: Callable[..., str]) -> Any:
    """Run until March 1st; tracking of the July investment starts in August, when it is imported and run."""
    home = install("document")
    home.does("import", "prices", home.write("prices.csv", price_csv(prices())))
    home.does("import", "investments", home.write("investments.csv", INVESTMENTS))
    home.does("run", "--to", MARCH_1)
    home.does("import", "investments", home.write("july.csv", IN_JULY))
    home.does("run", "--to", AUGUST_31)
    return home


def cents(amount: float) -> str:
    return f"{amount:,.2f}"


def test_the_quantities_0_01_btc_0_12_eth_and_2_sol_are_stored_exactly(document: Any) -> None:
    stored = document.sql(
        "select l.asset_id, l.quantity from app.investment_legs l join app.investments i using (investment_key)"
        " where i.investment_id = 'A' and l.superseded_at is null order by l.asset_id"
    )
    assert dict(stored) == {
        "coingecko:bitcoin": Decimal("0.01"),
        "coingecko:ethereum": Decimal("0.12"),
        "coingecko:solana": Decimal(2),
    }


def test_on_march_1st_the_bundle_is_worth_1200_usd_a_gain_of_20_percent(document: Any) -> None:
    row = document.row(
        f"select * from marts.investment_performance_daily where investment_id = 'A' and date = '{MARCH_1}'"
    )
    assert (cents(row["invested_usd"]), cents(row["value_usd"]), cents(row["pnl_usd"])) == (
        "1,000.00",
        "1,200.00",
        "200.00",
    )
    assert row["roi"] == pytest.approx(0.20, abs=1e-12)
    assert (row["coverage"], row["is_final"]) == (1.0, True)


def test_three_investments_of_1200_800_and_1500_usd_sum_to_3500(document: Any) -> None:
    parts = document.rows(
        "select investment_id, value_usd, roi from marts.investment_performance_daily"
        f" where user_id = 'alice' and date = '{MARCH_1}' order by investment_id"
    )
    assert [(row["investment_id"], cents(row["value_usd"]), round(row["roi"], 6)) for row in parts] == [
        ("A", "1,200.00", 0.2),
        ("B", "800.00", -0.1),
        ("C", "1,500.00", 0.5),
    ]
    whole = document.row(
        "select value_usd, invested_usd from portfolio_performance_daily"
        f" where user_id = 'alice' and date = '{MARCH_1}'"
    )
    assert (cents(whole["value_usd"]), cents(whole["invested_usd"])) == ("3,500.00", "2,888.89")


def test_an_investment_of_july_is_tracked_from_july_though_tracking_starts_in_august(document: Any) -> None:
    rows = document.rows("select date, value_usd from investment_performance_daily where user_id = 'bob' order by date")
    expected = [str(JULY_1 + timedelta(days=offset)) for offset in range((AUGUST_31 - JULY_1).days + 1)]
    assert [row["date"] for row in rows] == expected  # 31 days of July, none missing, and August
    assert {cents(row["value_usd"]) for row in rows} == {"1,000.00"}


def test_no_day_of_any_investment_is_missing(document: Any) -> None:
    found = document.rows(
        "select investment_id, min(date) as first, max(date) as last, count(*) as days, count(distinct date) as dates"
        " from investment_performance_daily group by all order by 1"
    )
    whole = (AUGUST_31 - JANUARY_1).days + 1
    assert [(row["investment_id"], row["first"], row["days"]) for row in found] == [
        ("A", str(JANUARY_1), whole),
        ("B", str(JANUARY_1), whole),
        ("C", str(JANUARY_1), whole),
        ("july", str(JULY_1), 62),
    ]
    assert all(row["last"] == str(AUGUST_31) and row["dates"] == row["days"] for row in found)


def test_the_assets_of_a_portfolio_show_balance_entry_and_gain(document: Any) -> None:
    rows = document.rows(
        "select token, balance, entry_price_usd, current_price_usd, value_usd, pnl_usd, price_status"
        " from portfolio_assets where user_id = 'alice' and token in ('BTC', 'ETH', 'SOL') order by token"
    )
    assert [tuple(Decimal(cell) for cell in list(row.values())[1:6]) for row in rows] == [
        (Decimal("0.01"), 50_000, 60_000, 600, 100),
        (Decimal("0.12"), 2_500, 3_000, 360, 60),
        (2, 100, 120, 240, 40),
    ]
    assert {row["price_status"] for row in rows} == {"ok"}


def test_a_snapshot_shows_the_total_and_the_holdings_behind_it(document: Any) -> None:
    row = document.row(
        "select total_value_usd, change_24h_pct, assets, coverage from portfolio_snapshots"
        " where user_id = 'alice' and snapshot_timestamp = '2024-03-02'"  # 24:00 of March 1st
    )
    assert cents(float(row["total_value_usd"])) == "3,500.00"
    assert float(row["change_24h_pct"]) == pytest.approx((3_500 / 2_888.888889 - 1) * 100, abs=1e-4)
    holdings = {entry["token"]: entry for entry in json.loads(row["assets"])}
    assert list(holdings) == ["ADA", "AVAX", "BTC", "ETH", "LINK", "SOL"]
    assert {name: holdings[name]["balance"] for name in ("BTC", "ETH", "SOL")} == pytest.approx(
        {"BTC": 0.01, "ETH": 0.12, "SOL": 2}
    )
    assert cents(sum(entry["value_usd"] for entry in holdings.values())) == "3,500.00"
