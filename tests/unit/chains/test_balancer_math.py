"""Shares of weighted pools as integers: hand-checked figures, and powers against arithmetic of 60 digits."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols.balancer_math import Due, due_in_coins, exit_amounts, heaviest
from portfolio_pipelines.chains.protocols.fixed_point import ONE, exp, over_down, over_up, power, power_up, times_down

TENTH = ONE // 10


def exact(base: int, exponent: int) -> Decimal:
    with localcontext(prec=60):
        return (Decimal(base) / ONE) ** (Decimal(exponent) / ONE) * ONE


@given(base=st.integers(1, 10**20), exponent=st.integers(0, 8 * ONE))
def test_a_power_is_right_to_its_stated_error_and_rounded_up_where_that_is_said(base: int, exponent: int) -> None:
    try:
        found = power(base, exponent)
    except ValueError:
        assert exact(base, exponent) < ONE * Decimal("1e-17")
        return
    true = exact(base, exponent)
    assert abs(found - true) <= true * Decimal("1e-14") + 1
    assert power_up(base, exponent) >= true - Decimal("1e-30")


def test_powers_at_their_edges() -> None:
    assert power(0, 0) == power(5 * ONE, 0) == ONE
    assert power(0, ONE) == 0
    assert power(ONE, 7 * ONE) == exp(0) == ONE
    assert exp(-ONE) == ONE * ONE // exp(ONE)
    assert exp(ONE) == 2_718_281_828_459_045_235
    for impossible in (131 * ONE, -42 * ONE):
        with pytest.raises(ValueError, match="cannot be written with 18 decimals"):
            exp(impossible)


@given(first=st.integers(0, 2**112), second=st.integers(1, 2**112))
def test_quotients_are_rounded_the_way_they_are_called(first: int, second: int) -> None:
    assert over_down(first, second) * second <= first * ONE <= over_up(first, second) * second
    assert 0 <= over_up(first, second) - over_down(first, second) <= 1
    assert times_down(first, second) * ONE <= first * second < (times_down(first, second) + 1) * ONE


@given(
    supply=st.integers(1, 2**112),
    part=st.integers(0, 2**112),
    balances=st.lists(st.integers(0, 2**112), min_size=2, max_size=8),
)
def test_no_share_exceeds_its_part_and_all_shares_are_everything(supply: int, part: int, balances: list[int]) -> None:
    shares = part % (supply + 1)
    rest = exit_amounts(supply - shares, supply, balances)
    for mine, others, balance in zip(exit_amounts(shares, supply, balances), rest, balances, strict=True):
        assert mine * supply <= shares * balance
        assert mine + others <= balance
    assert exit_amounts(supply, supply, balances) == tuple(balances)


def test_the_protocols_part_is_taken_of_the_heaviest_coin_first() -> None:
    """A tenth more by fees, a half of it the protocol's: 1 - (1 / 1.1)^(1 / 0.8) is 0.11231, half of it 0.05616."""
    weights = [ONE * 8 // 10, ONE * 2 // 10]
    due = due_in_coins(
        [1_000 * 10**6, 5 * ONE], weights, 6, invariant_before=10 * ONE, invariant=11 * ONE, protocol_share=ONE // 2
    )
    assert due is not None
    assert (due.place, due.scale) == (0, 10**12)
    assert due.amount / ONE == pytest.approx(1_000 * (1 - (1 / 1.1) ** 1.25) / 2, rel=1e-12)
    assert exit_amounts(TENTH, ONE, [1_000 * 10**6, 5 * ONE], due) == (94_384_276, ONE // 2)


def test_nothing_is_owed_without_growth_or_without_a_protocol_that_takes_some() -> None:
    some = {"invariant_before": 10, "invariant": 11, "protocol_share": 1}
    for change in ({"invariant": 10}, {"invariant": 9}, {"protocol_share": 0}):
        assert due_in_coins([1, 1], [ONE // 2] * 2, 18, **{**some, **change}) is None
    with pytest.raises(ValueError, match="a coin of 19 decimals"):
        due_in_coins([1, 1], [ONE // 2] * 2, 19, **some)


def test_growth_counts_up_to_a_limit_only() -> None:
    balances, weights = [ONE, ONE], [ONE // 2, ONE // 2]
    grown = [
        due_in_coins(balances, weights, 18, invariant_before=7 * ONE, invariant=now * ONE, protocol_share=ONE // 2)
        for now in (10, 20, 1_000)
    ]
    assert grown[0] == grown[1] == grown[2] == Due(0, pytest.approx(ONE * 0.51 / 2, rel=1e-12), 1)


def test_of_equal_weights_the_first_is_the_heaviest() -> None:
    assert heaviest([1, 3, 3, 2]) == 1


def test_more_shares_than_exist_are_refused_and_none_are_nothing() -> None:
    assert exit_amounts(0, 0, [5, 6]) == (0, 0)
    for shares, supply in ((1, 0), (11, 10), (-1, 10)):
        with pytest.raises(ValueError, match=f"{shares} shares of {supply}"):
            exit_amounts(shares, supply, [1, 2])
