"""What can be alerted on: each metric with its meaning, its unit, who may watch it and the query that gives it.

The queries are in `figures`; when a figure fires is `transitions`. Nothing here knows of rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from portfolio_pipelines.delivery.alerts import figures
from portfolio_pipelines.delivery.alerts.figures import PORTFOLIO, TOTAL_SPANS
from portfolio_pipelines.finance.metrics_conventions import WINDOWS

EVERYTHING: Final = "*"
ANY_SPAN: Final = range(1, 3651)
"""Days of a change that are looked up in a daily history."""


class Unit(StrEnum):
    """What a figure is counted in."""

    USD = "USD"
    PERCENT = "%"
    POINTS = "percentage points"
    RATIO = "ratio"
    HOURS = "hours"
    UNITS = "units"
    COUNT = "count"


class Owner(StrEnum):
    """Who may have rules on a metric."""

    USERS = "users"  # a user's own figures: rules of that user
    ANYBODY = "anybody"  # prices, pools, ages: a user's rule names its subject, operators may watch all
    OPERATORS = "operators"


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that rules compare with thresholds.

    Attributes:
        name: As rules name it.
        meaning: One line for people.
        unit: Of the level; a change over a span is in percent of the level before.
        owner: Who may have rules on it.
        subject: What its subjects are, for people.
        query: Gives the columns that `figures` names.
        tables: Marts that it reads; when none of them changed, nothing else did.
        spans: Days that a rule may ask for; empty when there is nothing but the level.
        needs_span: Whether a rule has to ask for one.
        is_window: Whether the span is the window of a figure, not the distance of a change.
        follows_clock: Whether it changes while nothing is published.
        look_at: What a person should look at when it fires.
    """

    name: str
    meaning: str
    unit: Unit
    owner: Owner
    subject: str
    query: str
    tables: tuple[str, ...] = ()
    spans: range | tuple[int, ...] = ()
    needs_span: bool = False
    is_window: bool = False
    follows_clock: bool = False
    look_at: str = ""

    @property
    def has_one_subject(self) -> bool:
        """Whether every user has exactly one figure of it."""
        return self.subject == PORTFOLIO

    def unit_of(self, span_days: int | None) -> Unit:
        """The unit of a figure over some days."""
        return self.unit if span_days is None or self.is_window else Unit.PERCENT


_RETURNS: Final = "drawdown, best and worst day in portfolio_metrics; the days in portfolio_performance_daily"
_POOLS: Final = "the history of the pool in pool_states, your positions in impermanent_loss"
_PERFORMANCE: Final = (
    ("roi", "Gain on the money put in", 100, Unit.PERCENT),
    ("twr", "Return that deposits and withdrawals do not move", 100, Unit.PERCENT),
    ("xirr", "Money-weighted return a year", 100, Unit.PERCENT),
    ("volatility", "Standard deviation of daily returns, a year", 100, Unit.PERCENT),
    ("max_drawdown", "Deepest fall from a peak, below 0", 100, Unit.PERCENT),
    ("sharpe", "Excess return over its deviation, a year", 1, Unit.RATIO),
    ("sortino", "Excess return over its downside deviation, a year", 1, Unit.RATIO),
)
_POOL_FIGURES: Final = (
    ("pool_tvl", "Worth of the coins in a pool", "coalesce(p.tvl_usd, p.provider_tvl_usd)", Unit.USD),
    ("pool_volume", "Traded in a pool in 24 hours", "p.volume_usd_1d", Unit.USD),
    ("pool_apr", "What fees of a pool earn a year", "100 * p.fee_apr", Unit.PERCENT),
    ("pool_reward_apr", "What rewards of a pool earn a year", "100 * p.reward_apr", Unit.PERCENT),
    ("pool_price", "Coins 1 for a coin 0 in a pool", "p.price", Unit.UNITS),
    ("pool_reserve0", "Coins 0 in a pool", "p.reserve0", Unit.UNITS),
    ("pool_reserve1", "Coins 1 in a pool", "p.reserve1", Unit.UNITS),
)

_ALL: Final = (
    Metric(
        "value", "Total worth of the portfolio; with a span its change, deposits and withdrawals counted", Unit.USD,
        Owner.USERS, PORTFOLIO, figures.TOTALS, ("portfolio_totals",), TOTAL_SPANS,
        look_at="what moved it in portfolio_assets and portfolio_breakdown",
    ),
    Metric(
        "day_return", "Return of the newest closed day; deposits and withdrawals do not count", Unit.PERCENT,
        Owner.USERS, PORTFOLIO, figures.RETURN, ("portfolio_snapshots",),
        look_at="what moved it in portfolio_assets; prices in current_prices",
    ),
    Metric(
        "price", "Price of an asset; with a span its change", Unit.USD, Owner.ANYBODY, "asset, such as BTC",
        figures.PRICE, ("prices_daily", "current_prices"), ANY_SPAN, look_at="its closes and sources in prices_daily",
    ),
    Metric(
        "allocation_drift", "Share of an asset minus its target", Unit.POINTS, Owner.USERS,
        "STRATEGY or STRATEGY/ASSET-ID", figures.DRIFT, ("allocation_drift", "portfolio_totals"),
        look_at="`portfolio plans list`: how to get back into the bands",
    ),
    *(
        Metric(
            name, f"{meaning}, over a window", unit, Owner.USERS, PORTFOLIO, figures.performance(name, factor),
            ("portfolio_metrics",), tuple(sorted(WINDOWS)), needs_span=True, is_window=True, look_at=_RETURNS,
        )
        for name, meaning, factor, unit in _PERFORMANCE
    ),
    Metric(
        "impermanent_loss", "Loss of a position against holding, below 0", Unit.PERCENT, Owner.USERS,
        "POSITION, as in the mart impermanent_loss, or a chain", figures.position_loss("il_pct"), ("impermanent_loss",),
        look_at="fees and range of the position in impermanent_loss",
    ),
    Metric(
        "impermanent_loss_usd", "The same in dollars", Unit.USD, Owner.USERS, "POSITION or a chain",
        figures.position_loss("il_usd"), ("impermanent_loss",),
        look_at="fees and range of the position in impermanent_loss",
    ),
    Metric(
        "total_impermanent_loss", "Loss of all positions against holding, below 0", Unit.PERCENT, Owner.USERS,
        PORTFOLIO, figures.total_loss("il_pct"), ("impermanent_loss_totals", "impermanent_loss"),
        look_at="each position in impermanent_loss",
    ),
    Metric(
        "total_impermanent_loss_usd", "The same in dollars", Unit.USD, Owner.USERS, PORTFOLIO,
        figures.total_loss("il_usd"), ("impermanent_loss_totals", "impermanent_loss"),
        look_at="each position in impermanent_loss",
    ),
    *(
        Metric(
            name, f"{meaning}; with a span its change", unit, Owner.ANYBODY, "CHAIN/POOL or a chain",
            figures.pool(column), ("pool_states",), ANY_SPAN, look_at=_POOLS,
        )
        for name, meaning, column, unit in _POOL_FIGURES
    ),
    Metric(
        "health_factor", "Collateral over debt of a loan: liquidated below 1", Unit.RATIO, Owner.USERS,
        "CHAIN/PROTOCOL/MARKET/WALLET or a chain", figures.HEALTH, ("defi_positions",),
        look_at="collateral and debt in defi_positions: repay, or add collateral",
    ),
    Metric(
        "data_age", "How old the newest data is", Unit.HOURS, Owner.ANYBODY,
        "closed-day, prices, chains/CHAIN or chains", figures.AGE,
        ("portfolio_snapshots", "prices_daily", "wallet_balances"), follows_clock=True,
        look_at="`portfolio doctor` and `portfolio chains --check`",
    ),
    Metric(
        "data_quality", "A figure of the data quality scorecard on its newest day", Unit.COUNT, Owner.OPERATORS,
        "METRIC of the scorecard", figures.QUALITY, ("data_quality_scorecard",), look_at="data_quality_scorecard",
    ),
    Metric(
        "failed_runs", "Runs that failed within the last days", Unit.COUNT, Owner.OPERATORS, "JOB or any",
        figures.FAILED, (), (1, 7, 30), needs_span=True, is_window=True, follows_clock=True,
        look_at="the runs in `portfolio ui`",
    ),
)  # fmt: skip
METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _ALL}
