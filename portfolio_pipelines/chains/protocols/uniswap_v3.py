"""Positions in Uniswap v3 and its unchanged copies: principal and uncollected fees, equal to the contracts to the wei.

What a position gives now is what `decreaseLiquidity` of all its liquidity and then `collect` would give: the first is
the principal, what `collect` alone would give is the fees. A part that was withdrawn but not collected is counted with
the fees, since the contract keeps one number for both.
"""

from collections.abc import Sequence
from typing import Final

from portfolio_pipelines.chains.deployments import UniswapV3 as UniswapV3  # what `read_positions` takes
from portfolio_pipelines.chains.protocols.concentrated_liquidity import amounts_of_liquidity, growth_inside, owed
from portfolio_pipelines.chains.protocols.faults import Faults, PositionFault
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.protocols.tick_math import sqrt_price_at_tick
from portfolio_pipelines.chains.protocols.uniswap_v3_reading import read_records
from portfolio_pipelines.chains.protocols.uniswap_v3_records import Record
from portfolio_pipelines.chains.rpc.node import Block, Node

PROTOCOL: Final = "uniswap_v3"


async def read_positions(
    node: Node,
    wallets: Sequence[str],
    block: Block,
    deployment: UniswapV3,
    *,
    protocol: str = PROTOCOL,
    multicall3: str | None = None,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    """The positions of wallets at a block: one call for 4,000 wallets or 200 positions.

    Args:
        node: The chain.
        wallets: Addresses of owners; one that comes twice is read once.
        block: The block to read at.
        deployment: Uniswap v3, or an unchanged copy of it.
        protocol: Name that the positions carry.
        multicall3: Address of Multicall3, where the chain has it; asked when its nodes cannot run our program.
        faults: Takes what could not be read, so that the rest is returned. When None, the first fault is raised.

    Returns:
        By wallet, in the order of the manager. An emptied position has no amounts; a burnt one is gone. Facts:
        `token_id`, `liquidity` and `sqrt_price_x96` are decimal text (they exceed 64 bits), `fee` is in millionths,
        `tick_lower`, `tick_upper` and the pool's `tick` are numbers.

    Raises:
        PositionFault: If `faults` is None and something could not be read.
        RpcError: If the node cannot be read, or says what cannot be true.
    """
    owners = list(dict.fromkeys(wallets))
    noted = Faults(node.name, protocol, faults)
    records = await read_records(node, owners, block, deployment, noted, multicall3=multicall3)
    return [position_of(record, owners[record.wallet], deployment.position_manager, protocol) for record in records]


def position_of(record: Record, wallet: str, manager: str, protocol: str = PROTOCOL) -> Position:
    """A position from its record."""
    token0, token1 = _address(record.token0), _address(record.token1)
    principal0, principal1 = principal(record)
    fee0, fee1 = fees(record)
    amounts = (
        Amount(token0, "principal", principal0),
        Amount(token1, "principal", principal1),
        Amount(token0, "fee", fee0),
        Amount(token1, "fee", fee1),
    )
    return Position(
        protocol=protocol,
        position_id=f"{manager}/{record.token_id}",
        wallet=wallet,
        pool=_address(record.pool),
        amounts=tuple(amount for amount in amounts if amount.raw),
        facts={
            "token_id": str(record.token_id),
            "token0": token0,
            "token1": token1,
            "fee": record.fee,
            "tick_lower": record.lower,
            "tick_upper": record.upper,
            "tick": record.tick,
            "liquidity": str(record.liquidity),
            "sqrt_price_x96": str(record.sqrt_price),
        },
    )


def principal(record: Record) -> tuple[int, int]:
    """Tokens 0 and 1 that withdrawing all liquidity gives."""
    lower, upper = sqrt_price_at_tick(record.lower), sqrt_price_at_tick(record.upper)
    return amounts_of_liquidity(record.sqrt_price, lower, upper, record.liquidity)


def fees(record: Record) -> tuple[int, int]:
    """Tokens 0 and 1 that `collect` gives: what this position is owed, if the pool owes the manager that much.

    The pool keeps one record for all of the manager's positions in a range and rounds down whenever one of them is
    touched, the manager only when this one is. So the pool can owe a few units less, and then pays what it owes.
    """
    if record.liquidity == 0:
        return min(record.own_owed0, record.shared_owed0), min(record.own_owed1, record.shared_owed1)
    bounds = record.tick, record.lower, record.upper
    inside0 = growth_inside(*bounds, record.lower_outside0, record.upper_outside0, record.growth0)
    inside1 = growth_inside(*bounds, record.lower_outside1, record.upper_outside1, record.growth1)
    own0 = owed(record.own_owed0, record.liquidity, inside0, record.own_inside0)
    own1 = owed(record.own_owed1, record.liquidity, inside1, record.own_inside1)
    shared0 = owed(record.shared_owed0, record.shared_liquidity, inside0, record.shared_inside0)
    shared1 = owed(record.shared_owed1, record.shared_liquidity, inside1, record.shared_inside1)
    return min(own0, shared0), min(own1, shared1)


def _address(number: int) -> str:
    return f"0x{number:040x}"
