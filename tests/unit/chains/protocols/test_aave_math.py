"""The arithmetic of Aave v3, against figures that its contracts gave."""

import pytest

from portfolio_pipelines.chains.protocols import aave_math
from portfolio_pipelines.chains.protocols.aave_math import RAY, SECONDS_PER_YEAR, WAD

YEAR = SECONDS_PER_YEAR


def test_a_supply_grows_linearly_to_what_the_contract_gave_after_a_year() -> None:
    index = aave_math.normalized_income(RAY, 11_520_000_000_000_000_000_000, YEAR)
    assert aave_math.ray_mul(500_000_000_000, index) == 500_005_760_000


def test_a_variable_debt_compounds_to_what_the_contract_gave_after_a_year() -> None:
    index = aave_math.normalized_variable_debt(RAY, 800_000_000_000_000_000_000_000, YEAR)
    assert aave_math.ray_mul(8_000_000_000, index) == 8_006_402_560


def test_the_health_factor_is_what_the_contract_gave() -> None:
    debt = 8_006_402_560 * 10**8 // 10**6
    assert aave_math.health_factor(10 * 2_000 * 10**8, 8_250, debt) == 2_060_850_659_999_788_969


def test_an_account_without_debt_has_no_health_factor() -> None:
    assert aave_math.health_factor(10**12, 8_250, 0) is None


def test_collateral_that_counts_for_nothing_makes_the_health_factor_zero() -> None:
    assert aave_math.health_factor(10**12, 0, 1) == 0


@pytest.mark.parametrize("seconds", [0, 1, 2, 3])
def test_the_first_seconds_have_no_negative_terms(seconds: int) -> None:
    assert aave_math.compounded_interest(RAY, seconds) >= RAY + RAY * seconds // YEAR


def test_no_time_and_no_rate_leave_everything_as_it_is() -> None:
    assert aave_math.compounded_interest(RAY // 10, 0) == RAY
    assert aave_math.linear_interest(RAY // 10, 0) == RAY
    assert aave_math.compounded_interest(0, YEAR) == RAY
    assert aave_math.stable_debt(123_456, RAY // 20, 0) == 123_456


def test_products_and_quotients_round_half_up() -> None:
    assert aave_math.ray_mul(1, RAY // 2) == 1
    assert aave_math.ray_mul(1, RAY // 2 - 1) == 0
    assert aave_math.ray_div(1, 2 * RAY) == 1
    assert aave_math.ray_div(1, 2 * RAY + 2) == 0
    assert aave_math.wad_mul(1, WAD // 2) == 1
    assert aave_math.wad_mul(1, WAD // 2 - 1) == 0
    assert aave_math.wad_div(1, 3) == WAD // 3
    assert aave_math.wad_div(2, 3) == (2 * WAD + 1) // 3
    assert aave_math.percent_mul(1, 5_000) == 1
    assert aave_math.percent_mul(1, 4_999) == 0


def test_nothing_is_divided_by_zero() -> None:
    for divide in (aave_math.ray_div, aave_math.wad_div):
        with pytest.raises(ZeroDivisionError):
            divide(1, 0)
