"""The worked examples of the performance document, in its order and its words, to the cent."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from portfolio_pipelines.finance.returns import TrackRecord, chain_day
from portfolio_pipelines.finance.valuation import (
    EPOCH,
    Contributions,
    DayValues,
    Holdings,
    add_up,
    prices_by_day,
    value_day,
)

JANUARY_1, MARCH_1 = date(2024, 1, 1), date(2024, 3, 1)
NO_SUCCESSIONS = pl.DataFrame(
    schema={"asset_id": pl.String, "successor_id": pl.String, "effective_on": pl.Date, "ratio": pl.Float64}
)


def investment(key: int, invested_on: date, **legs: tuple[float, float]) -> pl.DataFrame:
    """Legs of one investment of user 1; each is (USD, price paid), and the quantity is what we store."""
    return pl.DataFrame(
        [
            {
                "user_key": 1,
                "investment_key": key,
                "invested_on": invested_on,
                "asset_id": coin,
                "amount_usd": float(usd),
                "quantity": usd / price,
            }
            for coin, (usd, price) in legs.items()
        ]
    )


def closes(*rows: tuple[date, str, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["date", "asset_id", "close_usd"], orient="row").with_columns(
        last_close_usd="close_usd", status=pl.lit("ok"), is_final=pl.lit(True)
    )


def valued(legs: pl.DataFrame, prices: pl.DataFrame, day: date) -> DayValues:
    holdings = Holdings.from_legs(legs)
    return value_day(holdings, prices_by_day(prices, NO_SUCCESSIONS, holdings.asset_ids, [day])[0], day)


def cents(amount: float) -> str:
    return f"{amount:,.2f}"


BUNDLE = investment(1, JANUARY_1, BTC=(500, 50_000), ETH=(300, 2_500), SOL=(200, 100))
"""$1,000 on January 1st: 50 % Bitcoin, 30 % Ethereum, 20 % Solana."""


def test_the_quantity_of_each_coin_is_fixed_at_the_purchase() -> None:
    assert dict(BUNDLE.select("asset_id", "quantity").iter_rows()) == pytest.approx(
        {"BTC": 0.01, "ETH": 0.12, "SOL": 2}
    )


def test_on_march_1st_the_1000_usd_are_worth_1200_usd_a_gain_of_20_percent() -> None:
    prices = closes((MARCH_1, "BTC", 60_000), (MARCH_1, "ETH", 3_000), (MARCH_1, "SOL", 120))
    value = valued(BUNDLE, prices, MARCH_1)
    assert cents(value.value_usd[0]) == "1,200.00"
    assert cents(value.invested_usd[0]) == "1,000.00"
    assert value.value_usd[0] / value.invested_usd[0] - 1 == pytest.approx(0.20)


@pytest.mark.parametrize(("coin", "worth"), [("BTC", "600.00"), ("ETH", "360.00"), ("SOL", "240.00")])
def test_each_coin_contributes_its_quantity_times_its_price(coin: str, worth: str) -> None:
    prices = closes((MARCH_1, "BTC", 60_000), (MARCH_1, "ETH", 3_000), (MARCH_1, "SOL", 120))
    assert cents(valued(BUNDLE.filter(pl.col("asset_id") == coin), prices, MARCH_1).value_usd[0]) == worth


def test_a_portfolio_is_the_sum_of_its_three_investments_3500_usd() -> None:
    legs = pl.concat(
        [
            BUNDLE,
            investment(2, JANUARY_1, ADA=(444.44, 0.50), MATIC=(444.45, 0.80)),  # 800 is 10 % less than 888.89
            investment(3, JANUARY_1, LTC=(600, 70), AVAX=(400, 40)),
        ]
    )
    prices = closes(
        (MARCH_1, "BTC", 60_000),
        (MARCH_1, "ETH", 3_000),
        (MARCH_1, "SOL", 120),
        (MARCH_1, "ADA", 0.45),
        (MARCH_1, "MATIC", 0.72),
        (MARCH_1, "LTC", 105),
        (MARCH_1, "AVAX", 60),
    )
    values = valued(legs, prices, MARCH_1)
    assert [cents(value) for value in values.value_usd] == ["1,200.00", "800.00", "1,500.00"]
    assert (values.value_usd / values.invested_usd - 1).round(4).tolist() == [0.20, -0.10, 0.50]
    assert cents(add_up(values).value_usd[0]) == "3,500.00"


def test_an_investment_of_july_1st_is_tracked_from_then_though_tracking_starts_in_august() -> None:
    july_1, august_31 = date(2024, 7, 1), date(2024, 8, 31)
    days = [july_1 - timedelta(days=1) + timedelta(days=n) for n in range(63)]
    legs = investment(1, july_1, BTC=(1_000, 62_000))
    prices = closes(*((day, "BTC", 62_000 + 100.0 * n) for n, day in enumerate(days)))
    holdings = Holdings.from_legs(legs)
    series = {
        day: value_day(holdings, today, day)
        for day, today in zip(days, prices_by_day(prices, NO_SUCCESSIONS, holdings.asset_ids, days), strict=True)
    }
    tracked = [day for day, values in series.items() if len(values.value_usd)]
    assert (tracked[0], tracked[-1], len(tracked)) == (july_1, august_31, 62)  # nothing before, no day missing
    assert all(not np.isnan(series[day].value_usd).any() for day in tracked)
    assert cents(series[date(2024, 7, 31)].value_usd[0]) == cents(1_000 / 62_000 * 65_100)


def test_a_second_investment_is_money_put_in_and_not_a_gain() -> None:
    february_29 = MARCH_1 - timedelta(days=1)
    first = BUNDLE.with_columns(invested_on=pl.lit(february_29))
    legs = pl.concat([first, investment(2, MARCH_1, BTC=(600, 60_000))])
    put_in, track = Contributions.from_legs(legs), TrackRecord.new(1)
    for day, bitcoin, ether, solana in [(february_29, 50e3, 2.5e3, 100.0), (MARCH_1, 60e3, 3e3, 120.0)]:
        prices = closes((day, "BTC", bitcoin), (day, "ETH", ether), (day, "SOL", solana))
        portfolio = add_up(valued(legs, prices, day))
        flows = put_in.on(day, portfolio.user_key)
        linked = chain_day(track, (day - EPOCH).days, portfolio.complete_value_usd, flows, np.zeros(1))
        track = linked.track
    assert cents(portfolio.value_usd[0]) == "1,800.00"
    assert linked.daily_return.tolist() == pytest.approx([1_800 / (1_000 + 600) - 1])  # not +80 %
