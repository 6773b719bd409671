"""Interest of Aave v3 in its own integers: what a balance becomes between two events of the market.

Source: WadRayMath, PercentageMath, MathUtils and GenericLogic of @aave/core-v3 1.19.3 (v3.0). A wad has 18 decimals, a
ray 27, a percentage is in basis points; all three operations round half up, divisions elsewhere round down. Later
versions round a debt up and a supply down instead: what a wallet has *now* is therefore read from its tokens, and
these functions serve for projection. No I/O.
"""

from typing import Final

WAD: Final = 10**18
RAY: Final = 10**27
PERCENT: Final = 10_000
SECONDS_PER_YEAR: Final = 365 * 24 * 3600


def ray_mul(a: int, b: int) -> int:
    """Product of two rays, or of an amount and a ray."""
    return (a * b + RAY // 2) // RAY


def ray_div(a: int, b: int) -> int:
    """Quotient of two rays, or of an amount and a ray.

    Raises:
        ZeroDivisionError: If b is zero.
    """
    return (a * RAY + b // 2) // b


def wad_mul(a: int, b: int) -> int:
    """Product of two wads."""
    return (a * b + WAD // 2) // WAD


def wad_div(a: int, b: int) -> int:
    """Quotient of two wads.

    Raises:
        ZeroDivisionError: If b is zero.
    """
    return (a * WAD + b // 2) // b


def percent_mul(value: int, percentage: int) -> int:
    """So many basis points of a value."""
    return (value * percentage + PERCENT // 2) // PERCENT


def linear_interest(rate: int, seconds: int) -> int:
    """Growth of a supply, in ray.

    Args:
        rate: Yearly rate in ray.
        seconds: Since the market was last touched.
    """
    return RAY + rate * seconds // SECONDS_PER_YEAR


def compounded_interest(rate: int, seconds: int) -> int:
    """Growth of a debt, in ray: three terms of the binomial series, as the contract computes it.

    Args:
        rate: Yearly rate in ray.
        seconds: Since the market was last touched.
    """
    if seconds == 0:
        return RAY
    power_two = ray_mul(rate, rate) // SECONDS_PER_YEAR**2
    power_three = ray_mul(power_two, rate) // SECONDS_PER_YEAR
    second = seconds * (seconds - 1) * power_two // 2
    third = seconds * (seconds - 1) * max(seconds - 2, 0) * power_three // 6
    return RAY + rate * seconds // SECONDS_PER_YEAR + second + third


def normalized_income(liquidity_index: int, liquidity_rate: int, seconds: int) -> int:
    """Index of a supply so many seconds after the market was last touched, in ray."""
    return ray_mul(linear_interest(liquidity_rate, seconds), liquidity_index)


def normalized_variable_debt(variable_borrow_index: int, variable_borrow_rate: int, seconds: int) -> int:
    """Index of a variable debt so many seconds after the market was last touched, in ray."""
    return ray_mul(compounded_interest(variable_borrow_rate, seconds), variable_borrow_index)


def stable_debt(principal: int, stable_rate: int, seconds: int) -> int:
    """A stable debt so many seconds after the borrower last changed it.

    Args:
        principal: `principalBalanceOf` of the stable debt token.
        stable_rate: The borrower's own yearly rate in ray, `getUserStableRate`.
        seconds: Since `getUserLastUpdated`.
    """
    return ray_mul(principal, compounded_interest(stable_rate, seconds))


def health_factor(collateral: int, liquidation_threshold: int, debt: int) -> int | None:
    """Health factor in wad: below 10^18 the account can be liquidated.

    Args:
        collateral: All collateral in the market's base currency.
        liquidation_threshold: Its weighted average, basis points.
        debt: All debt in the market's base currency.

    Returns:
        None where there is no debt (the contract answers 2^256 - 1).
    """
    return wad_div(percent_mul(collateral, liquidation_threshold), debt) if debt else None
