"""The arithmetic of Compound v3, against figures that the real contract gave."""

from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols.compound_math import (
    FACTOR_SCALE,
    INDEX_SCALE,
    Collateral,
    accrued_index,
    counted_collateral,
    health_factor,
    present_value,
)

SECONDS = 8_640_000
SUPPLY_INDEX = accrued_index(1_000_000_000_000_000, 126_839_167, SECONDS)
BORROW_INDEX = accrued_index(1_000_000_000_317_097, 443_937_086, SECONDS)


def test_a_supply_after_a_hundred_days_is_what_the_real_contract_gave() -> None:
    assert present_value(100_000_000_000, SUPPLY_INDEX, BORROW_INDEX) == 100_109_589_040


def test_a_debt_after_a_hundred_days_is_what_the_real_contract_gave() -> None:
    assert present_value(-9_999_999_997, SUPPLY_INDEX, BORROW_INDEX) == -10_038_356_164


def test_nothing_is_worth_nothing_and_no_time_changes_no_index() -> None:
    assert present_value(0, SUPPLY_INDEX, BORROW_INDEX) == 0
    assert accrued_index(SUPPLY_INDEX, 443_937_086, 0) == SUPPLY_INDEX
    assert accrued_index(SUPPLY_INDEX, 0, SECONDS) == SUPPLY_INDEX


@given(st.integers(0, 2**103 - 1), st.integers(INDEX_SCALE, 2**64 - 1))
def test_a_debt_rounds_like_a_supply_of_the_same_size_towards_zero(principal: int, index: int) -> None:
    assert present_value(-principal, index, index) == -present_value(principal, index, index)


def test_health_is_the_counted_collateral_over_the_debt() -> None:
    ether = Collateral(raw=10 * 10**18, price=2_000 * 10**8, scale=10**18, factor=895 * 10**15)
    bitcoin = Collateral(raw=10**8, price=40_000 * 10**8, scale=10**8, factor=70 * 10**16)
    assert counted_collateral([ether, bitcoin]) == (17_900 + 28_000) * 10**8
    debt = 22_950 * 10**6
    assert health_factor([ether, bitcoin], debt, price=10**8, scale=10**6) == 2 * FACTOR_SCALE
    assert health_factor([], debt, price=10**8, scale=10**6) == 0


def test_a_debt_worth_nothing_has_no_health() -> None:
    assert health_factor([], 0, price=10**8, scale=10**6) is None
