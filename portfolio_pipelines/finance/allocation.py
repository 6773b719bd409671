"""Target allocations: which share of a portfolio each asset should have, and how far it may stray.

Belongs here: what a strategy says and whether it makes sense, exactly, in decimals. What a portfolio looks like beside
it is measured in the mart `allocation_drift`; how to get back is in `rebalancing`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

WHOLE: Final = Decimal(100)
DECIMALS: Final = 6
"""Weights are stored with so many decimals: a millionth of a percent of a billion USD is ten dollars."""
MOST_ASSETS: Final = 500
MOST_STRATEGIES: Final = 20
"""Named strategies a user may have."""
LONGEST_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Target:
    """The share of one asset.

    Attributes:
        asset_id: Whose price counts, such as coingecko:bitcoin.
        weight_pct: Percent of the value of the portfolio, 0 to 100.
        band_pct: Percentage points that the share may stray to either side before anything is done.
        may_sell: Whether it may be sold.
        may_buy: Whether more of it may be bought.
    """

    asset_id: str
    weight_pct: Decimal
    band_pct: Decimal
    may_sell: bool = True
    may_buy: bool = True


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for a strategy as a whole.

    Attributes:
        sells_others: Whether assets that the strategy does not name have the target 0 and are sold. Else they are left
            out: neither counted nor traded.
        buy_only: Nothing is sold; only new money moves the shares.
        min_trade_usd: Smaller trades are not worth it, USD.
        max_cost_pct: A plan may cost at most so many percent of what it brings nearer to the target.
    """

    sells_others: bool = False
    buy_only: bool = False
    min_trade_usd: Decimal = Decimal(0)
    max_cost_pct: Decimal = Decimal(2)


def faults_of(name: str, targets: Sequence[Target], rules: Rules) -> list[str]:
    """Everything that is wrong with a strategy, as sentences; empty when it makes sense.

    Weights must sum to exactly 100 %: nothing is scaled, because nobody would see what was meant.
    """
    faults = []
    if not name.strip() or len(name) > LONGEST_NAME:
        faults.append(f"a strategy needs a name of 1 to {LONGEST_NAME} characters")
    if not 1 <= len(targets) <= MOST_ASSETS:
        faults.append(f"a strategy names 1 to {MOST_ASSETS} assets, not {len(targets)}")
    twice = sorted(asset for asset, n in Counter(target.asset_id for target in targets).items() if n > 1)
    faults += [f"{asset} is named twice" for asset in twice]
    for target in targets:
        faults += _faults_of_target(target)
    sums = [target.weight_pct for target in targets if target.weight_pct.is_finite()]
    if len(sums) == len(targets) and sum(sums) != WHOLE:
        faults.append(f"the weights sum to {_plain(sum(sums, Decimal(0)))} %, not to 100 %")
    for what, figure in (("the smallest trade", rules.min_trade_usd), ("the greatest cost", rules.max_cost_pct)):
        if not figure.is_finite() or figure < 0:
            faults.append(f"{what} must be a number from 0 on, not {figure}")
    return faults


def _faults_of_target(target: Target) -> list[str]:
    faults = []
    for what, figure in (("weight", target.weight_pct), ("band", target.band_pct)):
        if not figure.is_finite() or not 0 <= figure <= WHOLE:
            faults.append(f"the {what} of {target.asset_id} must be from 0 to 100 %, not {figure}")
        elif figure != round(figure, DECIMALS):
            faults.append(f"the {what} of {target.asset_id} has more than {DECIMALS} decimals: {figure}")
    return faults


def _plain(figure: Decimal) -> str:
    return format(figure.normalize(), "f")
