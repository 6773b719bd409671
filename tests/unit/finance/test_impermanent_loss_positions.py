"""Positions against holding: what was put in, followed from read to read, and what it is all worth in dollars."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.finance.impermanent_loss_bases import BASES, READ, advance_bases
from portfolio_pipelines.finance.impermanent_loss_positions import ENTERED, entered_losses, read_losses

D1 = date(2025, 1, 30)
NOTHING = BASES.to_frame()
ETH, USDC, THIRD = 1, 2, 3
NAME = {"chain": "ethereum", "wallet_key": 7, "position_id": "p"}


def read_of(protocol: str, coins: dict[int, tuple[float | None, float]], **position: Any) -> pl.DataFrame:
    """Rows of a position; coins as token: (held, fees)."""
    rows = [
        {
            **NAME, "protocol": protocol, "pool": "0x01", "place": place, "token_key": token, "held": held,
            "fees": fees, "growth": 1.0, "is_stale": False, "as_of": datetime(2025, 1, 30, 12, tzinfo=UTC),
            **position,
        }
        for place, (token, (held, fees)) in enumerate(coins.items())
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=READ)


def pair(price: float, shares: float, growth: float = 1.0) -> pl.DataFrame:
    """Shares of a pool of ETH and USDC of which one is sqrt(x y) = `growth`."""
    root = shares * growth
    held = {ETH: (root / math.sqrt(price), 0.0), USDC: (root * math.sqrt(price), 0.0)}
    return read_of("uniswap_v2", held, units=shares, growth=growth, price=price)


def followed(*reads: pl.DataFrame) -> pl.DataFrame:
    bases = NOTHING
    for offset, read in enumerate(reads):
        bases = advance_bases(bases, read, D1 + timedelta(days=offset))
    return bases


def losses(bases: pl.DataFrame, **usd: float | None) -> dict[str, Any]:
    keys = {"eth": ETH, "usdc": USDC, "third": THIRD}
    frame = pl.DataFrame([(keys[name], price) for name, price in usd.items()],
                         schema={"token_key": pl.Int32, "usd": pl.Float64}, orient="row")  # fmt: skip
    return read_losses(bases, frame).row(0, named=True)


def deposits(bases: pl.DataFrame) -> list[float]:
    return bases.sort("place")["deposited"].to_list()


def test_what_a_position_held_when_it_was_read_first_counts_as_put_in() -> None:
    bases = followed(pair(2000, 10))
    assert deposits(bases) == bases["held"].to_list()
    assert bases["since"].unique().to_list() == [D1]
    found = losses(bases, eth=2000.0, usdc=1.0)
    assert (found["il_pct"], found["fees_usd"], found["net_usd"], found["price_ratio"]) == (0, 0, 0, 1)
    assert (found["basis"], found["reason"]) == ("first_read", None)


def test_a_pair_loses_a_fifth_at_four_times_the_price_and_its_fees_stand_beside() -> None:
    found = losses(followed(pair(2000, 10), pair(8000, 10, growth=1.1)), eth=8000.0, usdc=1.0)
    deposit = 10 * math.sqrt(2000)
    assert found["il_pct"] == pytest.approx(-20)
    assert found["hodl_value_usd"] == pytest.approx(5 * deposit)
    assert found["position_value_usd"] == pytest.approx(4 * deposit)
    assert found["fees_usd"] == pytest.approx(0.4 * deposit)
    assert found["net_usd"] == pytest.approx(-0.6 * deposit)
    assert found["price_ratio"] == pytest.approx(4)


def test_more_shares_are_a_deposit_and_fewer_a_withdrawal() -> None:
    first, more, fewer = pair(2000, 10), pair(8000, 15), pair(8000, 6)
    bases = followed(first, more)
    assert deposits(bases) == pytest.approx(
        [10 / math.sqrt(2000) + 5 / math.sqrt(8000), 10 * math.sqrt(2000) + 5 * math.sqrt(8000)]
    )
    assert bases["entry_price"][0] == pytest.approx(math.exp((2 * math.log(2000) + math.log(8000)) / 3))
    assert deposits(followed(first, more, fewer)) == pytest.approx([0.4 * held for held in deposits(bases)])
    assert losses(followed(first, more), eth=8000.0, usdc=1.0)["il_usd"] == pytest.approx(
        losses(followed(first, pair(8000, 10)), eth=8000.0, usdc=1.0)["il_usd"]
    )


def test_nothing_happened_leaves_every_bit_as_it_was() -> None:
    once = followed(pair(2000, 7, 1.3), pair(3000, 9, 1.31))
    again = advance_bases(once, pair(3000, 9, 1.31), D1 + timedelta(days=2))
    assert again.equals(once)


def test_a_position_that_is_gone_leaves_and_begins_anew_when_it_comes_back() -> None:
    gone = followed(pair(2000, 10), READ.to_frame())
    assert gone.is_empty()
    back = advance_bases(gone, pair(3000, 10), D1 + timedelta(days=2))
    assert back["since"][0] == D1 + timedelta(days=2)
    assert followed(pair(2000, 10), pair(3000, 0)).is_empty()


def ranged(eth: float, usdc: float, fees: tuple[float, float] = (0, 0), units: float = 5, **more: Any) -> pl.DataFrame:
    bounds = {"lower_price": 1500.0, "upper_price": 2500.0, "in_range": True}
    held = {ETH: (eth, fees[0]), USDC: (usdc, fees[1])}
    return read_of("uniswap_v3", held, units=units, **{"price": 2000.0, **bounds, **more})


def test_fees_of_a_range_count_from_the_first_read_on_and_stay_counted_when_collected() -> None:
    reads = [
        ranged(1, 2000, (0.5, 10)),  # fees of the time before
        ranged(1, 2000, (0.6, 15)),
        ranged(1, 2000, (0.0, 0)),  # collected
        ranged(1, 2000, (0.1, 1)),
    ]
    earned = [losses(followed(*reads[: n + 1]), eth=2000.0, usdc=1.0)["fees_usd"] for n in range(4)]
    assert earned == pytest.approx([0, 205, 205, 406])


def test_what_was_withdrawn_and_not_collected_yet_is_no_fee() -> None:
    bases = followed(ranged(1, 2000), ranged(0.5, 1000, (0.5, 1000), units=2.5), ranged(0.5, 1000, units=2.5))
    found = losses(bases, eth=2000.0, usdc=1.0)
    assert (found["fees_usd"], found["il_pct"], found["hodl_value_usd"]) == (0, 0, 2000)


def test_a_range_that_was_left_says_so() -> None:
    found = losses(followed(ranged(1, 2000), ranged(0, 4200, price=2600.0, in_range=False)), eth=2600.0, usdc=1.0)
    assert (found["in_range"], found["lower_price"], found["upper_price"]) == (False, 1500, 2500)
    assert found["il_usd"] == pytest.approx(4200 - 4600)


def weighted(weights: dict[int, float], prices: dict[int, float], shares: float, growth: float = 1.0) -> pl.DataFrame:
    """Shares of a weighted pool of which one is prod x^w = `growth`, at prices in a common unit."""
    worth = shares * growth * math.prod((prices[coin] / weight) ** weight for coin, weight in weights.items())
    held = {coin: (worth * weight / prices[coin], 0.0) for coin, weight in weights.items()}
    price = prices[ETH] / prices[USDC] if len(weights) == 2 else None
    return read_of("balancer_v2", held, units=shares, growth=growth, price=price)


def test_a_weighted_pair_loses_by_its_weights_and_counts_at_the_price_of_its_pool() -> None:
    weights = {ETH: 0.8, USDC: 0.2}
    bases = followed(weighted(weights, {ETH: 2000, USDC: 1}, 10), weighted(weights, {ETH: 8000, USDC: 1}, 10, 1.1))
    for lagging in (8000.0, 7000.0, None):
        found = losses(bases, eth=lagging, usdc=1.0)
        assert found["il_pct"] == pytest.approx(-10.8402, abs=1e-4)
        assert found["price_ratio"] == pytest.approx(4)
        assert found["fees_usd"] == pytest.approx(0.1 * found["position_value_usd"])


def test_a_weighted_pool_of_three_counts_at_prices_in_usd_and_loses_a_seventh_of_two_one_and_a_half() -> None:
    weights = dict.fromkeys((ETH, USDC, THIRD), 1 / 3)
    bases = followed(
        weighted(weights, {ETH: 1000, USDC: 1, THIRD: 10}, 6),
        weighted(weights, {ETH: 2000, USDC: 1, THIRD: 5}, 6, 1.05),
    )
    found = losses(bases, eth=2000.0, usdc=1.0, third=5.0)
    assert found["il_pct"] == pytest.approx(-100 / 7)
    assert found["fees_usd"] == pytest.approx(0.05 * found["position_value_usd"])
    assert (found["price"], found["price_ratio"], found["reason"]) == (None, None, None)
    unpriced = losses(bases, eth=2000.0, usdc=1.0, third=None)
    assert (unpriced["il_pct"], unpriced["il_usd"], unpriced["reason"]) == (None, None, "usd_unknown")


def test_coins_of_a_pair_count_at_the_price_of_their_pool() -> None:
    late = losses(followed(pair(2000, 10), pair(2000, 10)), eth=1990.0, usdc=1.0)
    assert late["il_pct"] == 0
    without = losses(followed(pair(2000, 10), pair(8000, 10)), eth=8000.0, usdc=None)
    both = losses(followed(pair(2000, 10), pair(8000, 10)), eth=8000.0, usdc=1.0)
    assert without["il_usd"] == pytest.approx(both["il_usd"])


def test_without_any_price_in_dollars_the_percentage_still_stands() -> None:
    found = losses(followed(pair(2000, 10), pair(8000, 10)), eth=None)
    assert found["il_pct"] == pytest.approx(-20)
    assert [found[name] for name in ("il_usd", "fees_usd", "net_usd", "hodl_value_usd")] == [None] * 4
    assert found["reason"] == "usd_unknown"


def three(virtual_price: float | None, *held: float | None) -> pl.DataFrame:
    coins = {token: (amount, 0.0) for token, amount in zip((ETH, USDC, THIRD), held, strict=True)}
    return read_of("curve", coins, units=10.0, growth=virtual_price)


def test_shares_of_many_coins_count_at_market_prices_and_their_fees_by_the_virtual_price() -> None:
    found = losses(followed(three(1.0, 100, 100, 100), three(1.02, 153, 102, 51)), eth=0.9, usdc=1.0, third=1.0)
    assert found["hodl_value_usd"] == pytest.approx(290)
    assert found["position_value_usd"] == pytest.approx((153 * 0.9 + 153) / 1.02)
    assert found["fees_usd"] == pytest.approx(290.7 - 285)
    assert (found["price_ratio"], found["in_range"]) == (None, None)


def test_a_coin_that_a_pool_ran_out_of_still_was_put_in() -> None:
    emptied = three(1.0, 150, 150, 0).filter(pl.col("token_key") != THIRD)
    found = losses(followed(three(1.0, 100, 100, 100), emptied), eth=1.0, usdc=1.0, third=2.0)
    assert (found["hodl_value_usd"], found["position_value_usd"]) == (400, 300)


def test_fees_that_cannot_be_told_from_the_loss_are_unknown_and_so_is_the_loss() -> None:
    found = losses(followed(three(None, 1, 1, 1), three(1.0, 1, 1, 1)), eth=1.0, usdc=1.0, third=1.0)
    assert [found[name] for name in ("il_pct", "fees_usd", "net_usd")] == [None] * 3
    assert (found["hodl_value_usd"], found["reason"]) == (3, "fees_not_separable")


def test_a_coin_of_unknown_scale_leaves_figures_unknown_and_not_zero() -> None:
    bases = followed(three(1.0, None, 1, 1))
    found = losses(bases, eth=1.0, usdc=1.0, third=1.0)
    assert [found[name] for name in ("il_pct", "hodl_value_usd", "position_value_usd")] == [None] * 3


def entered(**values: Any) -> dict[str, Any]:
    row = {"protocol": "uniswap_v2", "entry_price": 2000.0, "price": 8000.0, "usd1": 1.0, "coins": 2, **values}
    return entered_losses(pl.DataFrame([row], schema=ENTERED)).row(0, named=True)


def test_an_entered_weighted_pair_loses_by_its_weights() -> None:
    pool = {"protocol": "balancer_v2", "weight0": 0.8}
    found = entered(**pool, amount0=2.0, amount1=1000.0, growth_since=0.05)
    assert found["il_pct"] == pytest.approx(-10.8402, abs=1e-4)
    assert found["hodl_value_usd"] == pytest.approx(17_000)
    assert found["fees_usd"] == pytest.approx(0.05 * found["position_value_usd"])
    assert (entered(**pool)["basis"], entered(**pool)["il_pct"]) == ("percent_only", pytest.approx(found["il_pct"]))
    liquidity = 2.0**0.8 * 1000.0**0.2
    read = entered(**pool, units=liquidity)
    assert (read["basis"], read["hodl_value_usd"]) == ("entry_price", pytest.approx(17_000))
    for unknown in ({"weight0": None}, {"coins": 3}):
        assert entered(**{**pool, **unknown})["reason"] == "pool_unknown"


@settings(max_examples=20)
@given(price=st.floats(1e-6, 1e6), now=st.floats(1e-6, 1e6))
def test_a_weighted_pair_of_halves_is_a_pair(price: float, now: float) -> None:
    same = {"entry_price": price, "price": now, "units": 3.0}
    half, pair = entered(protocol="balancer_v2", weight0=0.5, **same), entered(**same)
    for figure in ("il_pct", "hodl_value_usd", "position_value_usd"):
        assert half[figure] == pytest.approx(pair[figure], rel=1e-9, abs=1e-9)


def test_an_entered_pair_with_amounts_loses_a_fifth_in_dollars() -> None:
    found = entered(amount0=1.0, amount1=2000.0, growth_since=0.05)
    assert found["il_pct"] == -20
    assert [found[name] for name in ("hodl_value_usd", "position_value_usd", "il_usd")] == [10_000, 8_000, -2_000]
    assert (found["fees_usd"], found["net_usd"]) == (pytest.approx(400), pytest.approx(-1600))
    assert (found["basis"], found["reason"], found["price_ratio"]) == ("entered", None, 4)


def test_without_amounts_there_is_the_percentage_alone() -> None:
    found = entered()
    assert (found["il_pct"], found["basis"], found["reason"]) == (-20, "percent_only", "deposit_unknown")
    assert [found[name] for name in ("il_usd", "fees_usd", "net_usd", "hodl_value_usd", "position_value_usd")] == [
        None
    ] * 5


def test_fees_that_nobody_knows_are_not_zero() -> None:
    found = entered(amount0=1.0, amount1=2000.0)
    assert (found["il_usd"], found["fees_usd"], found["net_usd"]) == (-2000, None, None)
    assert found["reason"] == "fees_unknown"


def test_an_entered_range_needs_its_bounds() -> None:
    amounts = {"amount0": 1.0, "amount1": 2000.0}
    found = entered(protocol="uniswap_v3", price=2200.0, **amounts)
    assert (found["il_pct"], found["il_usd"], found["reason"]) == (None, None, "range_unknown")
    bounds = {"lower_price": 1500.0, "upper_price": 2500.0}
    assert entered(protocol="uniswap_v3", price=2200.0, **bounds)["il_pct"] == pytest.approx(-0.9525, abs=5e-5)
    assert entered(protocol="uniswap_v3", price=2500.0, **bounds)["in_range"] is False
    read = entered(protocol="uniswap_v3", price=2200.0, units=100.0, fees_usd=3.0, **bounds)
    x0, y0 = 100 * (1 / math.sqrt(2000) - 1 / math.sqrt(2500)), 100 * (math.sqrt(2000) - math.sqrt(1500))
    assert read["hodl_value_usd"] == pytest.approx(x0 * 2200 + y0)
    assert read["net_usd"] == pytest.approx(read["il_usd"] + 3)
    assert (read["basis"], read["in_range"], read["reason"]) == ("entry_price", True, None)


def test_an_entered_pool_of_pegged_coins_needs_its_amplification_and_two_coins() -> None:
    curve = {"protocol": "curve", "entry_price": 1.0, "price": 0.9}
    assert entered(**curve, amplification=100.0)["il_pct"] == pytest.approx(-3.3829, abs=5e-5)
    assert (entered(**curve)["il_pct"], entered(**curve)["reason"]) == (None, "pool_unknown")
    assert entered(**{**curve, "coins": 3}, amplification=100.0)["il_pct"] is None


def test_an_unknown_price_is_said_to_be_unknown() -> None:
    found = entered(price=None, amount0=1.0, amount1=2000.0)
    assert (found["il_pct"], found["hodl_value_usd"], found["reason"]) == (None, None, "price_unknown")


positive = st.floats(1e-3, 1e3)


@settings(max_examples=25)
@given(positive, positive, positive, st.floats(0, 0.5))
def test_figures_of_an_entered_position_add_up(entry: float, price: float, amount: float, growth: float) -> None:
    found = entered(entry_price=entry, price=price, amount0=amount, amount1=amount * entry, growth_since=growth)
    assert found["il_usd"] == pytest.approx(found["position_value_usd"] - found["hodl_value_usd"])
    assert found["net_usd"] == pytest.approx(found["il_usd"] + found["fees_usd"])
    assert found["il_usd"] <= 1e-9 * found["hodl_value_usd"]
    assert found["il_pct"] == pytest.approx(100 * found["il_usd"] / found["hodl_value_usd"], abs=1e-9)


@settings(max_examples=25)
@given(st.lists(st.tuples(positive, st.floats(0.1, 100)), min_size=2, max_size=6))
def test_a_pair_never_gains_from_its_price_whatever_is_added_and_taken_out(steps: list[tuple[float, float]]) -> None:
    bases = followed(*(pair(price, shares, 1 + 0.01 * n) for n, (price, shares) in enumerate(steps)))
    found = losses(bases, eth=steps[-1][0], usdc=1.0)
    assert found["il_usd"] <= 1e-9 * found["hodl_value_usd"]
    assert found["fees_usd"] >= -1e-9 * found["hodl_value_usd"]
