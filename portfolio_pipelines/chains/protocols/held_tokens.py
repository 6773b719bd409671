"""Which wallets hold a protocol's own tokens (aTokens, debts, pool shares, NFTs), and how many.

Belongs here: the reader's balances as Python numbers, and its failures as faults. What the tokens stand for is each
protocol's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.chains.reader.balances import ReaderLimits, read_balances
from portfolio_pipelines.chains.rpc.node import Block, Node


@dataclass(frozen=True)
class Held:
    """What wallets hold of some tokens.

    Attributes:
        amounts: (wallet, token) to the amount in smallest units; zero is left out. In the order of the wallets.
        lying: Tokens that claim a balance for anybody.
        unreadable: Tokens whose balances no wallet could read.
        failed: Pairs (wallet, token) that could not be read, of the other tokens.
    """

    amounts: dict[tuple[str, str], int]
    lying: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    failed: list[tuple[str, str]] = field(default_factory=list)


async def held_tokens(
    node: Node,
    wallets: Sequence[str],
    tokens: Sequence[str],
    block: Block,
    *,
    multicall3: str | None = None,
    limits: ReaderLimits | None = None,
) -> Held:
    """Balances of wallets in tokens (anything with `balanceOf(address)`), at a block.

    Args:
        node: The chain.
        wallets: Addresses.
        tokens: Addresses.
        block: The block to read at.
        multicall3: Address of Multicall3, where the chain has it.
        limits: What is known about the node, see `read_balances`.

    Raises:
        RpcError: If the node cannot be read.
    """
    if not wallets or not tokens:
        return Held({})
    balances = await read_balances(
        node,
        address_array(wallets),
        address_array(tokens),
        block,
        multicall=multicall3,
        limits=limits,
        native=False,
    )
    words = balances.words.tobytes()
    pairs = zip(balances.wallet.tolist(), balances.column.tolist(), strict=True)
    amounts = {
        (wallets[wallet], tokens[column - 1]): int.from_bytes(words[32 * place : 32 * place + 32])
        for place, (wallet, column) in enumerate(pairs)
    }
    lying = {tokens[column - 1] for column in balances.lying_columns.tolist()}
    columns, counts = np.unique(balances.failed_column, return_counts=True)
    nobody = {tokens[column - 1] for column in columns[counts == len(wallets)].tolist()}
    failed = [
        (wallets[wallet], tokens[column - 1])
        for wallet, column in zip(balances.failed_wallet.tolist(), balances.failed_column.tolist(), strict=True)
        if tokens[column - 1] not in nobody
    ]
    return Held(amounts, lying, nobody - lying, failed)


def address_array(addresses: Sequence[str]) -> NDArray[np.uint8]:
    """Addresses as bytes, shape (n, 20).

    Raises:
        ValueError: If one is not 0x and 40 hex digits.
    """
    if any(len(address) != 42 or address[:2] != "0x" for address in addresses):
        wrong = next(address for address in addresses if len(address) != 42 or address[:2] != "0x")
        msg = f"not an address: {wrong!r}"
        raise ValueError(msg)
    joined = bytes.fromhex("".join([address[2:] for address in addresses]))
    return np.frombuffer(joined, np.uint8).reshape(len(addresses), 20)
