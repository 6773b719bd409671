"""What a unit of gas costs on a chain now, from the chain's own history of fees.

Belongs here: asking and reading `eth_feeHistory`. What a swap costs in USD is computed by whoever knows prices. The fee
that a rollup adds for its data on the parent chain is not part of that history and not in the answer.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from portfolio_pipelines.chains.rpc.errors import BadAnswer
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY, Node

BLOCKS: Final = 100
"""Twenty minutes of Ethereum: enough that one full block does not decide."""
MIDDLE_TIP: Final = 50
"""Percentile of the tips that were paid in each block, weighted by gas."""
_LARGEST_WEI: Final = 10**18
"""A whole coin for one unit of gas is not a price but a broken node."""


@dataclass(frozen=True, slots=True)
class GasPrice:
    """What gas cost lately.

    Attributes:
        block_number: Newest block of the history.
        wei: Median over the blocks of base fee and middle tip, wei for one unit of gas.
        blocks: How many blocks it rests on.
    """

    block_number: int
    wei: int
    blocks: int


async def gas_price(node: Node, blocks: int = BLOCKS) -> GasPrice:
    """Ask a chain of the EVM family what gas cost in its newest blocks.

    Chains without base fees answer 0 for it: what their users pay is then the tip.

    Args:
        node: The chain.
        blocks: How far to look back; a node may give fewer.

    Raises:
        BadAnswer: If the history makes no sense.
        RpcError: If nobody answers; chains that have no such method raise `Unsupported` or `InvalidRequest`.
    """
    history = await node.request("eth_feeHistory", [hex(blocks), "latest", [MIDDLE_TIP]])
    try:
        return _read(history)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"a history of fees that makes no sense ({error})"
        raise BadAnswer(node.name, ANSWERED_BY.get(), msg) from error


def _read(history: dict[str, Any]) -> GasPrice:
    oldest, shares = int(history["oldestBlock"], 16), history["gasUsedRatio"]
    base = [int(fee, 16) for fee in history["baseFeePerGas"]][: len(shares)]
    tips = [int(block[0], 16) for block in history.get("reward") or [["0x0"]] * len(shares)]
    paid = [fee + tip for fee, tip in zip(base, tips, strict=True)]
    if not paid or min(paid) < 0 or max(paid) > _LARGEST_WEI:
        msg = "no blocks, or impossible fees"
        raise ValueError(msg)
    return GasPrice(oldest + len(paid) - 1, int(median(paid)), len(paid))
