"""The conventions page: what every figure of a report means, one sentence each.

Belongs here: the words of `finance.metrics_conventions` and of the columns of the marts for a reader on paper.
"""

from collections.abc import Sequence
from typing import Final

from portfolio_pipelines.delivery.reports.numbers import percent
from portfolio_pipelines.finance import metrics_conventions as rules

Conventions = Sequence[tuple[str, str]]

TIME: Final = ("Days", "A day is a UTC day; its values are those at 24:00. Both ends of the range are included.")
MISSING: Final = (
    "What is missing",
    "An unknown figure is a dash, never a zero. A total counts what has a usable price; its coverage is the share of "
    "the expected worth that rests on fresh prices and balances.",
)


def performance_conventions(risk_free_rate: float) -> Conventions:
    """What the figures of the performance report mean."""
    rate = f"at a risk-free rate of {percent(risk_free_rate)} a year"
    return (
        TIME,
        ("Value", "Investments and wallets at the close, debts taken off, in USD."),
        (
            "Put in, gain, return on money put in",
            "Put in is what investments cost. Gain is value less what was put in. The return on money put in is (value "
            "+ taken out − put in) / put in, where the worth at the start of the range counts as put in; a total.",
        ),
        (
            "Time-weighted return (TWR)",
            "Product of 1 + daily return, minus 1, a total. The return of a day is (value + taken out) / (value the "
            "day before + put in) − 1, so deposits and withdrawals do not move it. It speaks of investments, not of "
            "wallets.",
        ),
        (
            "Money-weighted return (XIRR)",
            f"The one rate a year (Act/{rules.DAYS_A_YEAR}) that explains all flows and the value at the end; not "
            f"below {rules.LEAST_MONEY_WEIGHTED_DAYS} days, where it would be an extrapolation.",
        ),
        (
            "Volatility",
            f"Sample standard deviation (n − 1) of daily returns × √{rules.DAYS_A_YEAR}: crypto does not close.",
        ),
        (
            "Sharpe ratio",
            f"(Mean daily return − daily risk-free rate) / standard deviation × √{rules.DAYS_A_YEAR}, {rate}. Its "
            f"standard error is √({rules.DAYS_A_YEAR} / number of returns): over 30 days ±3.5.",
        ),
        (
            "Sortino ratio",
            "The same excess / root of the mean, over all days, of the squared shortfall below that rate.",
        ),
        (
            "Drawdown",
            "Time-weighted index / its highest value so far in the range − 1; a withdrawal is no drawdown.",
        ),
        ("Calmar ratio", f"Return / largest drawdown, over {rules.CALMAR_WINDOW} days only."),
        (
            "VaR and CVaR 95",
            "Historical, of one day: the 5 % quantile of daily returns, and the mean of those up to it; not below "
            f"{rules.LEAST_FOR_TAIL} returns.",
        ),
        (
            "Windows",
            "30, 90 and 365 days are the last so many daily returns; since start begins with the track record. What is "
            "not long enough has no figure: nothing is extrapolated, and only volatility, Sharpe, Sortino and tracking "
            "error are a year's.",
        ),
        (
            "Benchmarks",
            "Closes of BTC, ETH and the S&P 500 (points). The index is compared on its own trading days, the "
            "portfolio's weekend compounded onto Monday. Excess is TWR − return of the benchmark. Beta is covariance / "
            f"variance of the benchmark, from {rules.LEAST_PAIRS} pairs of returns on. Captures are ratios of "
            "geometric mean returns over the periods in which the benchmark rose or fell.",
        ),
        (
            "Months",
            "From the last close of the month before to the last close of the month. A dagger marks months and years "
            "that the report covers in part.",
        ),
        (
            "Profit and loss",
            "From the ledger of transactions, by the method named above the table. Realised is proceeds less cost of "
            "what was disposed of in the range; fees of purchases belong to the cost.",
        ),
        MISSING,
    )


def liquidity_conventions() -> Conventions:
    """What the figures of the impermanent loss report mean."""
    return (
        TIME,
        (
            "Hold value",
            "What was put into the pool, at the prices of the day: what it would be worth if it had been kept.",
        ),
        ("Pool value", "What the pool made of it, without fees."),
        (
            "Impermanent loss (IL)",
            "Pool value less hold value, in USD and in percent of the hold value, without fees. Never above 0 but by "
            "deposits that did not fit the pool.",
        ),
        (
            "Fees",
            "Earned since the comparison began. Of pairs, Curve and weighted pools, what stays in the pool, by the "
            "growth of a share; of Uniswap v3, what waits and what was seen waiting before it was collected, so at "
            "least this much.",
        ),
        ("Net", "IL + fees: the gain against holding."),
        (
            "Prices",
            "Coins of a pair count at the price of their pool, and one of them at its price in USD; coins of Curve, "
            "and of weighted pools of more than two, at their prices in USD. The price ratio is the price now / the "
            "price on entry, in units of the second coin for one of the first.",
        ),
        (
            "Basis",
            "What the position is compared with. Entered: the amounts that were entered. Entry price: what its "
            "liquidity took at the price that was entered. First read: what it held when it was first read, deposits "
            "and withdrawals since then followed. Percent only: prices alone, no dollars.",
        ),
        (
            "Formulas",
            "r is the price ratio. Pairs: −(√r − 1)² / (1 + r). Weighted pools: ∏ rᵢ^wᵢ / Σ wᵢrᵢ − 1. Ranges of "
            "Uniswap v3: of the amounts between the bounds at both prices. Curve: of the StableSwap invariant, solved "
            "for the price. A position that was read needs no formula: the chain says its amounts.",
        ),
        (
            "Totals",
            "Sums of the positions whose dollars are known; the others are counted beside them and are in no sum.",
        ),
        MISSING,
    )
