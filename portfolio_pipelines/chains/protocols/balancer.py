"""What wallets have in weighted pools of Balancer v2: what leaving with their shares pays out, to the smallest unit.

Belongs here: reading wallets; pools are read by `balancer_pools`. Fees of swaps stay in the pool and so in the shares;
a pool keeps no separate account of them. Shares that are staked in a gauge are tokens of the gauge: they are not
looked through.
"""

from collections.abc import Collection, Sequence
from typing import Final

from portfolio_pipelines.chains.deployments import BalancerV2
from portfolio_pipelines.chains.protocols.balancer_pools import WeightedPool, read_pools
from portfolio_pipelines.chains.protocols.faults import Faults, PositionFault
from portfolio_pipelines.chains.protocols.held_tokens import held_tokens
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.reader.balances import ReaderLimits
from portfolio_pipelines.chains.rpc.node import Block, Node

PROTOCOL: Final = "balancer_v2"


async def read_positions(
    node: Node,
    wallets: Sequence[str],
    block: Block,
    known: BalancerV2 | None,
    shares: Sequence[str],
    *,
    named: Collection[str] = (),
    multicall3: str | None = None,
    limits: ReaderLimits | None = None,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    """Shares of wallets in weighted pools, at a block.

    Args:
        node: The chain.
        wallets: Addresses of owners; one that comes twice is read once.
        block: The block to read at.
        known: Vault and factories of the chain.
        shares: Tokens that may be shares; those that no factory made are left out, and stay ordinary tokens.
        named: Pools whose shares are looked for whatever the factories say.
        multicall3: Address of Multicall3, where the chain has it.
        limits: What is known about the node, see `read_balances`.
        faults: Takes what could not be read, so that the rest is returned. When None, the first fault is raised.

    Returns:
        One position for each wallet and pool that is not zero. Facts, the numbers as decimal text: `pool_id`, `supply`
        (all shares, with those that the protocol is owed), and for each place n of a coin `token<n>`, `weight<n>`
        (18 decimals) and `held<n>` (what all shares stand for).

    Raises:
        PositionFault: If `faults` is None and something could not be read.
        RpcError: If the node cannot be read.
    """
    noted = Faults(node.name, PROTOCOL, faults)
    pools = await read_pools(node, shares, block, known, noted, named=named, multicall3=multicall3)
    owners = list(dict.fromkeys(wallets))
    held = await held_tokens(node, owners, list(pools), block, multicall3=multicall3, limits=limits)
    for pool in sorted(held.lying | held.unreadable):
        noted.add(pool, "balances of its shares " + ("are lies" if pool in held.lying else "cannot be read"))
    for wallet, pool in held.failed:
        noted.add(pool, "the balance of its shares cannot be read", wallet=wallet)
    positions = []
    for (wallet, pool), raw in held.amounts.items():
        try:
            positions.append(_position(pools[pool], wallet, raw))
        except ValueError as error:
            noted.add(pool, str(error), wallet=wallet)
    return positions


def _position(pool: WeightedPool, wallet: str, shares: int) -> Position:
    facts: dict[str, int | str] = {"pool_id": f"0x{pool.pool_id:064x}", "supply": str(pool.supply)}
    for place, (token, weight, held) in enumerate(zip(pool.tokens, pool.weights, pool.held, strict=True)):
        facts |= {f"token{place}": token, f"weight{place}": str(weight), f"held{place}": str(held)}
    owned = zip(pool.tokens, pool.share(shares), strict=True)
    return Position(
        protocol=PROTOCOL,
        position_id=pool.pool,
        wallet=wallet,
        pool=pool.pool,
        amounts=tuple(Amount(token, "principal", raw) for token, raw in owned if raw),
        receipt_token=pool.pool,
        receipt_raw=shares,
        facts=facts,
    )
