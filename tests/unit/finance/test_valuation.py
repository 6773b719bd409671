"""What holdings are worth, and what is said when a price is missing."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.finance.valuation import (
    Contributions,
    DayPrices,
    DayValues,
    Holdings,
    add_up,
    prices_by_day,
    value_day,
)

DAY = date(2024, 6, 1)
LEG = {
    "user_key": pl.Int32,
    "investment_key": pl.Int32,
    "invested_on": pl.Date,
    "asset_id": pl.String,
    "amount_usd": pl.Float64,
    "quantity": pl.Float64,
}
PRICE = {
    "asset_id": pl.String,
    "date": pl.Date,
    "close_usd": pl.Float64,
    "last_close_usd": pl.Float64,
    "status": pl.String,
    "is_final": pl.Boolean,
}
SUCCESSION = {"asset_id": pl.String, "successor_id": pl.String, "effective_on": pl.Date, "ratio": pl.Float64}


def legs(*rows: tuple[int, int, date, str, float, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=LEG, orient="row")


def prices(*rows: tuple[str, float | None, str], day: date = DAY, last: float | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        [(asset, day, close, close if close is not None else last, status, True) for asset, close, status in rows],
        schema=PRICE,
        orient="row",
    )


def successions(*rows: tuple[str, str, date, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SUCCESSION, orient="row")


def value(
    held: pl.DataFrame, quoted: pl.DataFrame, converted: pl.DataFrame | None = None, day: date = DAY
) -> DayValues:
    holdings = Holdings.from_legs(held)
    today = prices_by_day(quoted, successions() if converted is None else converted, holdings.asset_ids, [day])[0]
    return value_day(holdings, today, day)


TWO_COINS = legs((1, 1, DAY, "a", 100.0, 2.0), (1, 1, DAY, "b", 50.0, 10.0))


def test_a_missing_price_leaves_the_other_legs_standing_and_shows_what_is_missing() -> None:
    result = value(TWO_COINS, prices(("a", 70.0, "ok"), ("b", None, "no_source"), last=4.0))
    assert result.value_usd.tolist() == [140.0]
    assert result.missing_usd.tolist() == [40.0]  # 10 units at the last known 4 USD
    assert result.unpriced_legs.tolist() == [1]


def test_a_leg_that_never_had_a_price_counts_as_missing_at_its_cost() -> None:
    result = value(TWO_COINS, prices(("a", 70.0, "ok"), ("b", None, "no_source")))
    assert (result.value_usd[0], result.missing_usd[0]) == (140.0, 50.0)


def test_an_investment_without_any_price_has_no_value_and_not_the_value_zero() -> None:
    result = value(TWO_COINS, prices(("a", None, "no_source"), ("b", None, "rate_limited"), last=1.0))
    assert np.isnan(result.value_usd).all()
    assert result.missing_usd.tolist() == [12.0]
    assert result.unpriced_legs.tolist() == [2]


def test_an_asset_that_nobody_has_heard_of_has_no_value_either() -> None:
    result = value(TWO_COINS, prices())
    assert np.isnan(result.value_usd).all()
    assert (result.missing_usd[0], bool(result.final[0])) == (150.0, False)


@pytest.mark.parametrize("status", ["stale", "disagreement", "rate_limited"])
def test_a_price_that_is_not_fresh_counts_in_the_value_and_lowers_the_coverage(status: str) -> None:
    result = value(TWO_COINS, prices(("a", 70.0, "ok"), ("b", 3.0, status)))
    assert (result.value_usd[0], result.stale_usd[0], result.missing_usd[0]) == (170.0, 30.0, 0.0)


@pytest.mark.parametrize("status", ["ok", "manual"])
def test_a_fresh_price_lowers_nothing(status: str) -> None:
    result = value(TWO_COINS, prices(("a", 70.0, "ok"), ("b", 3.0, status)))
    assert (result.value_usd[0], result.stale_usd[0], result.unpriced_legs[0]) == (170.0, 0.0, 0)


def test_a_value_is_final_only_when_every_price_is() -> None:
    quoted = prices(("a", 70.0, "ok"), ("b", 3.0, "ok")).with_columns(is_final=pl.col("asset_id") == "a")
    assert value(TWO_COINS, quoted).final.tolist() == [False]
    assert value(TWO_COINS.filter(pl.col("asset_id") == "a"), quoted).final.tolist() == [True]


def test_an_investment_is_worth_nothing_to_say_before_its_purchase() -> None:
    later = legs((1, 1, DAY + timedelta(days=1), "a", 1.0, 1.0), (1, 2, DAY, "a", 1.0, 1.0))
    assert value(later, prices(("a", 5.0, "ok"))).investment_key.tolist() == [2]


def test_legs_of_different_days_in_one_investment_are_refused() -> None:
    with pytest.raises(ValueError, match="investment 7 has legs of different days"):
        Holdings.from_legs(legs((1, 7, DAY, "a", 1.0, 1.0), (1, 7, DAY + timedelta(days=1), "b", 1.0, 1.0)))


def test_prices_of_another_set_of_assets_are_refused() -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="2 assets are held but 1 prices were given"):
        value_day(Holdings.from_legs(TWO_COINS), DayPrices(one, one, one > 0, one > 0), DAY)


def test_nobody_holding_anything_is_no_failure() -> None:
    nothing = value(legs(), prices(("a", 5.0, "ok")))
    assert len(nothing.value_usd) == len(add_up(nothing).value_usd) == 0


def test_the_same_coin_twice_in_an_investment_adds_up() -> None:
    twice = legs((1, 1, DAY, "a", 10.0, 1.0), (1, 1, DAY, "a", 30.0, 2.0))
    assert value(twice, prices(("a", 5.0, "ok"))).value_usd.tolist() == [15.0]


# Conversions of one asset into another.
CONVERSION = date(2024, 9, 4)
MATIC_TO_POL = successions(("matic", "pol", CONVERSION, 1.0))


def test_matic_is_worth_matic_until_the_conversion_and_pol_from_that_day_on() -> None:
    held = legs((1, 1, DAY, "matic", 100.0, 100.0))
    before, after = CONVERSION - timedelta(days=1), CONVERSION
    quoted = pl.concat([prices(("matic", 0.40, "ok"), ("pol", 0.50, "ok"), day=day) for day in (before, after)])
    assert value(held, quoted, MATIC_TO_POL, before).value_usd.tolist() == [40.0]
    assert value(held, quoted, MATIC_TO_POL, after).value_usd.tolist() == [50.0]


def test_a_hundred_lend_became_one_aave() -> None:
    held = legs((1, 1, DAY, "lend", 50.0, 250.0))
    result = value(held, prices(("aave", 90.0, "ok")), successions(("lend", "aave", DAY, 0.01)))
    assert result.value_usd[0] == pytest.approx(225.0)


def test_conversions_follow_each_other() -> None:
    held = legs((1, 1, DAY, "old", 1.0, 1_000.0))
    chain = successions(("middle", "new", DAY, 0.5), ("old", "middle", DAY, 0.1))
    assert value(held, prices(("new", 3.0, "ok")), chain).value_usd[0] == pytest.approx(150.0)


def test_a_missing_price_of_the_successor_is_missing_in_units_of_the_successor() -> None:
    held = legs((1, 1, DAY, "lend", 50.0, 250.0))
    result = value(held, prices(("aave", None, "no_source"), last=90.0), successions(("lend", "aave", DAY, 0.01)))
    assert np.isnan(result.value_usd[0])
    assert result.missing_usd[0] == pytest.approx(225.0)


def test_conversions_in_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="form a circle"):
        value(
            legs((1, 1, DAY, "a", 1.0, 1.0)),
            prices(("a", 1.0, "ok")),
            successions(("a", "b", DAY, 1.0), ("b", "a", DAY, 1.0)),
        )


# Portfolios.
def test_a_portfolio_with_one_unvalued_investment_is_worth_the_others_and_is_not_complete() -> None:
    held = legs((1, 1, DAY, "a", 10.0, 1.0), (1, 2, DAY, "b", 20.0, 1.0), (2, 3, DAY, "b", 30.0, 1.0))
    total = add_up(value(held, prices(("a", 5.0, "ok"), ("b", None, "no_source"))))
    assert total.user_key.tolist() == [1, 2]
    np.testing.assert_array_equal(total.value_usd, [5.0, np.nan])
    np.testing.assert_array_equal(total.complete_value_usd, [np.nan, np.nan])
    assert total.missing_usd.tolist() == [20.0, 30.0]
    assert total.invested_usd.tolist() == [30.0, 30.0]


def test_money_put_in_is_known_by_day_and_user() -> None:
    held = legs((1, 1, DAY, "a", 10.0, 1.0), (1, 2, DAY, "b", 20.0, 1.0), (3, 3, DAY, "b", 30.0, 1.0))
    flows = Contributions.from_legs(held)
    assert flows.on(DAY, np.array([1, 2, 3], np.int32)).tolist() == [30.0, 0.0, 30.0]
    assert flows.on(DAY + timedelta(days=1), np.array([1, 2, 3], np.int32)).tolist() == [0.0, 0.0, 0.0]


def test_nothing_was_put_in_where_there_are_no_legs() -> None:
    assert Contributions.from_legs(legs()).by_day == {}


def test_sums_have_the_same_last_digit_every_time_and_are_those_of_the_rows_in_their_order() -> None:
    # A group-by of polars adds in the order of its threads: of 60,000 legs hundreds of sums differed between two calls.
    random, users = np.random.default_rng(5), 5_000
    count = 12 * users
    held = pl.DataFrame(
        {
            "user_key": np.repeat(np.arange(users, dtype=np.int32), 12),
            "investment_key": np.repeat(np.arange(3 * users, dtype=np.int32), 4),
            "invested_on": pl.Series([DAY]).new_from_index(0, count),
            "asset_id": ["a", "b", "c", "d"] * (count // 4),
            "amount_usd": random.uniform(20, 5_000, count),
            "quantity": random.uniform(0, 1, count),
        }
    )
    amount = held["amount_usd"].to_numpy()

    def in_order(each: int) -> list[float]:
        return [sum(part.tolist()[1:], part[0]) for part in amount.reshape(-1, each)]

    for _ in range(3):
        everybody, put_in = Contributions.from_legs(held).by_day[DAY]
        assert everybody.tolist() == list(range(users))
        assert put_in.tolist() == in_order(12)
        assert Holdings.from_legs(held.sample(fraction=1, shuffle=True, seed=3)).invested_usd.tolist() == in_order(4)


# Properties, over arbitrary holdings and prices.
ASSETS = ["a", "b", "c", "d"]
DAYS = [DAY + timedelta(days=n) for n in range(5)]
amounts = st.floats(0.001, 1e6)


@st.composite
def markets(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Legs of up to three users, and prices of five days with gaps."""
    rows: list[tuple[Any, ...]] = []
    for key in range(draw(st.integers(1, 6))):
        user, since = draw(st.integers(1, 3)), draw(st.sampled_from(DAYS))
        coins = draw(st.lists(st.sampled_from(ASSETS), min_size=1, max_size=4, unique=True))
        rows.extend((user, key, since, coin, draw(amounts), draw(amounts)) for coin in coins)
    quoted = [
        (
            asset,
            day,
            close,
            draw(st.one_of(st.none(), amounts)) if close is None else close,
            status,
            draw(st.booleans()),
        )
        for day in DAYS
        for asset in ASSETS
        if draw(st.booleans())
        for close, status in [
            draw(st.sampled_from([(draw(amounts), "ok"), (draw(amounts), "stale"), (None, "no_source")]))
        ]
    ]
    return legs(*rows), pl.DataFrame(quoted, schema=PRICE, orient="row")


def same(one: DayValues, other: DayValues) -> None:
    for name in DayValues.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@given(markets(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_input_rows_changes_nothing(market: tuple[pl.DataFrame, pl.DataFrame], random: Any) -> None:
    held, quoted = market
    seed = random.randint(0, 2**31)
    for day in DAYS:
        shuffled = value(
            held.sample(fraction=1, shuffle=True, seed=seed),
            quoted.sample(fraction=1, shuffle=True, seed=seed),
            day=day,
        )
        same(value(held, quoted, day=day), shuffled)


@given(markets())
@settings(max_examples=40, deadline=None)
def test_one_day_alone_is_worth_the_same_as_within_a_range(market: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    held, quoted = market
    holdings = Holdings.from_legs(held)
    for day, today in zip(DAYS, prices_by_day(quoted, successions(), holdings.asset_ids, DAYS), strict=True):
        same(value_day(holdings, today, day), value(held, quoted.filter(pl.col("date") == day), day=day))


@given(markets(), st.sampled_from([0.5, 2.0, 1024.0]))
@settings(max_examples=40, deadline=None)
def test_the_value_is_linear_in_the_quantities(market: tuple[pl.DataFrame, pl.DataFrame], factor: float) -> None:
    held, quoted = market
    more = held.with_columns(pl.col("quantity") * factor)
    for day in DAYS:
        np.testing.assert_allclose(
            value(more, quoted, day=day).value_usd, value(held, quoted, day=day).value_usd * factor, rtol=1e-12
        )


@given(markets())
@settings(max_examples=40, deadline=None)
def test_portfolios_are_the_sums_of_their_investments(market: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    held, quoted = market
    for day in DAYS:
        values = value(held, quoted, day=day)
        total = add_up(values)
        for at, user in enumerate(total.user_key):
            own = values.user_key == user
            parts = values.value_usd[own]
            worth = np.nan if np.isnan(parts).all() else np.nansum(parts)
            assert total.value_usd[at] == pytest.approx(worth, nan_ok=True)
            for name in ("invested_usd", "stale_usd", "missing_usd", "unpriced_legs"):
                assert getattr(total, name)[at] == pytest.approx(getattr(values, name)[own].sum())
            assert total.final[at] == values.final[own].all()


@given(markets())
@settings(max_examples=40, deadline=None)
def test_no_value_is_ever_zero_or_negative(market: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    held, quoted = market
    for day in DAYS:
        values = value(held, quoted, day=day)
        assert (np.isnan(values.value_usd) | (values.value_usd > 0)).all()
        assert ((values.unpriced_legs == 0) == (values.missing_usd == 0)).all()
