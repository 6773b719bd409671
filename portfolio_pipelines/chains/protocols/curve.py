"""What wallets have in Curve pools: their share of every coin in the pool.

Belongs here: reading wallets; pools are read by `curve_pools`. A wallet's share is
`shares * balances(i) // totalSupply`, which is what the pool pays out for them in all coins at once (pools of volatile
coins keep a unit for those who stay). The virtual price values a share only where all coins are pegged to
one another; it is therefore a fact of pegged pools and used for nothing here. No prices.

A coin of a pool may itself be a share of another pool; it is reported as that token. The chain's own coin is
0xeeee…eeee, as Curve writes it.
"""

from collections.abc import Sequence
from typing import Final

from portfolio_pipelines.chains.protocols.curve_pools import CurvePool, PoolState, read_pools
from portfolio_pipelines.chains.protocols.faults import Faults, PositionFault
from portfolio_pipelines.chains.protocols.held_tokens import held_tokens
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.reader.balances import ReaderLimits
from portfolio_pipelines.chains.rpc.node import Block, Node

__all__ = ["PROTOCOL", "CurvePool", "read_positions", "share_of"]

PROTOCOL: Final = "curve"


def share_of(shares: int, supply: int, balances: Sequence[int]) -> tuple[int, ...]:
    """What so many shares of a pool are of each coin.

    Args:
        shares: Of the wallet.
        supply: All shares.
        balances: Of the pool in each coin, smallest units.

    Raises:
        ValueError: If there are more shares than exist.
    """
    if not 0 <= shares <= supply:
        msg = f"{shares} shares of {supply}"
        raise ValueError(msg)
    return tuple(shares * balance // supply for balance in balances) if shares else (0,) * len(balances)


async def read_positions(
    node: Node,
    wallets: Sequence[str],
    block: Block,
    pools: Sequence[CurvePool],
    *,
    multicall3: str | None = None,
    limits: ReaderLimits | None = None,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    """Shares of wallets in the pools of a chain, at a block.

    Args:
        node: The chain.
        wallets: Addresses.
        block: The block to read at.
        pools: The pools.
        multicall3: Address of Multicall3, where the chain has it.
        limits: What is known about the node, see `read_balances`.
        faults: Takes what could not be read, so that the rest is returned. When None, the first fault is raised.

    Returns:
        One position for each wallet and token of shares (the pool's, or a gauge's) that is not zero; `position_id` is
        the pool's address, for staked shares "<pool>/<gauge>". All amounts are "principal": fees are part of the
        balances. Facts: `pool_name`, `total_shares`, and of pegged pools `virtual_price` (18 decimals; absent where the
        pool does not tell).

    Raises:
        PositionFault: If `faults` is None and something could not be read.
        RpcError: If the node cannot be read.
    """
    noted = Faults(node.name, PROTOCOL, faults)
    states = await read_pools(node, pools, block, noted, multicall3=multicall3)
    holders = {token: state for state in states for token in (state.share, *state.pool.gauges)}
    held = await held_tokens(node, wallets, list(holders), block, multicall3=multicall3, limits=limits)
    for token in sorted(held.lying | held.unreadable):
        message = f"balances of {token} " + ("are lies" if token in held.lying else "cannot be read")
        noted.add(holders[token].pool.pool, message, name=holders[token].pool.name)
    for wallet, token in held.failed:
        state = holders[token]
        noted.add(state.pool.pool, f"the balance of {token} cannot be read", name=state.pool.name, wallet=wallet)
    positions = []
    for (wallet, token), shares in held.amounts.items():
        state = holders[token]
        try:
            positions.append(_position(state, wallet, token, shares))
        except ValueError as error:
            noted.add(state.pool.pool, f"{token}: {error}", name=state.pool.name, wallet=wallet)
    return positions


def _position(state: PoolState, wallet: str, token: str, shares: int) -> Position:
    pool = state.pool
    facts: dict[str, int | str] = {"pool_name": pool.name, "total_shares": state.supply}
    if state.virtual_price is not None:
        facts["virtual_price"] = state.virtual_price
    owned = zip(state.coins, share_of(shares, state.supply, state.balances), strict=True)
    return Position(
        protocol=PROTOCOL,
        position_id=pool.pool if token == state.share else f"{pool.pool}/{token}",
        wallet=wallet,
        pool=pool.pool,
        amounts=tuple(Amount(coin, "principal", raw) for coin, raw in owned if raw),
        receipt_token=token,
        receipt_raw=shares,
        facts=facts,
    )
