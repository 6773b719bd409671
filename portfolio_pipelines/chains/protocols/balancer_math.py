"""What a share of a weighted pool of Balancer v2 is worth in its coins: what leaving with it in all of them pays out.

Equal to the contract's own exit (EXACT_BPT_IN_FOR_TOKENS_OUT) to the smallest unit: the share is rounded down to 18
decimals first, the amounts after it. Before anybody leaves, the protocol takes its part of the fees earned since the
last change of liquidity: pools of 2021 in the coin of the largest weight, later ones as new shares, which their
`getActualSupply` counts already.

Source: WeightedPool.sol, WeightedMath.sol and BasePool.sol of Balancer v2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portfolio_pipelines.chains.protocols.fixed_point import ONE, over_down, over_up, power_up, times_down

LARGEST_GROWTH: Final = ONE * 7 // 10
"""Of the invariant since the last change of liquidity, as before / now: more growth than to 1 / 0.7 counts as that."""
MOST_DECIMALS: Final = 18  # a coin with more cannot be in a pool


@dataclass(frozen=True, slots=True)
class Due:
    """What the protocol takes of one coin before anybody leaves.

    Attributes:
        place: Of the coin in the pool.
        amount: Of the coin, in 18 decimals however many it has.
        scale: 10^(18 - its decimals).
    """

    place: int = 0
    amount: int = 0
    scale: int = 1


def exit_amounts(shares: int, supply: int, balances: Sequence[int], due: Due | None = None) -> tuple[int, ...]:
    """What leaving with so many shares pays out of each coin.

    Args:
        shares: Of the wallet, smallest units.
        supply: All shares, those included that the protocol is owed.
        balances: Of the pool in each coin, smallest units.
        due: What the protocol takes first.

    Raises:
        ValueError: If there are more shares than exist.
    """
    if not 0 <= shares <= supply:
        msg = f"{shares} shares of {supply}"
        raise ValueError(msg)
    if shares == 0:
        return (0,) * len(balances)
    part = over_down(shares, supply)
    amounts = [times_down(balance, part) for balance in balances]
    if due is not None:
        left = balances[due.place] * due.scale - due.amount
        amounts[due.place] = times_down(left, part) // due.scale
    return tuple(amounts)


def due_in_coins(
    balances: Sequence[int],
    weights: Sequence[int],
    decimals: int,
    *,
    invariant_before: int,
    invariant: int,
    protocol_share: int,
) -> Due | None:
    """What a pool of 2021 owes the protocol, in its coin of the largest weight (`heaviest`).

    Args:
        balances: Of the pool in each coin, smallest units.
        weights: Of the coins, 18 decimals, sum 1.
        decimals: Of that coin.
        invariant_before: After the last change of liquidity, 18 decimals.
        invariant: Now.
        protocol_share: The protocol's part of fees, 18 decimals.

    Returns:
        None when nothing is owed.

    Raises:
        ValueError: If the coin has more than 18 decimals, which no pool takes.
    """
    if protocol_share == 0 or invariant <= invariant_before:
        return None
    if not 0 <= decimals <= MOST_DECIMALS:
        msg = f"a coin of {decimals} decimals"
        raise ValueError(msg)
    place, scale = heaviest(weights), 10 ** (MOST_DECIMALS - decimals)
    base = max(over_up(invariant_before, invariant), LARGEST_GROWTH)
    kept = power_up(base, over_down(ONE, weights[place]))
    earned = times_down(balances[place] * scale, max(ONE - kept, 0))
    return Due(place, times_down(earned, protocol_share), scale)


def heaviest(weights: Sequence[int]) -> int:
    """Place of the first of the largest weights."""
    return weights.index(max(weights))
