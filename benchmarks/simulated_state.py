"""What wallets hold on simulated chains, and what moves there: computed from addresses and time, never stored.

Belongs here: the rule alone, so that the node that answers (`node_simulator`) and whoever looks at what lies in the
lake (`many_chains`) go by the same. Serving and asking are theirs.

On each chain one wallet in eight is used, another one on every chain. A used wallet holds a part of the listed tokens,
always one token that nobody listed, and receives a transfer every eight days. What it holds becomes another amount now
and then; which tokens it holds never changes. All other addresses hold nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

USED: Final = 0.125  # of the wallets, on each chain
UNLISTED_TOKENS: Final = 200  # of a chain, among which each used wallet has one
BLOCK_SECONDS: Final = 12
CHANGE_SECONDS: Final = 200 * 3_600  # between two changes of a wallet's amounts
TRANSFER_BLOCKS: Final = 8 * 86_400 // BLOCK_SECONDS  # between two transfers to a wallet
OF_LISTED: Final = 3  # of 4 transfers are of a listed token, the others of the unlisted one
GENESIS: Final = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())

_PARTS: Final = np.uint64(10_000)
_WALLET, _LISTED, _UNLISTED = b"\xbe\x0c\x00\x01", b"\xbe\x0c\x00\x02", b"\xbe\x0c\x00\x03"

Addresses = NDArray[np.uint8]
Numbers = NDArray[np.uint64]
Bools = NDArray[np.bool_]


def wallet_addresses(count: int) -> Addresses:
    """The wallets, shape (count, 20)."""
    return _addresses(_WALLET, np.arange(count, dtype=np.uint64))


def listed_tokens(count: int) -> Addresses:
    """Contracts of the listed tokens, the same on every chain; shape (count, 20)."""
    return _addresses(_LISTED, np.arange(count, dtype=np.uint64))


def _addresses(mark: bytes, numbers: Numbers) -> Addresses:
    result = np.zeros((len(numbers), 20), np.uint8)
    result[:, :4] = np.frombuffer(mark, np.uint8)
    result[:, 12:] = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)
    return result


def _numbers(addresses: Addresses) -> Numbers:
    return np.ascontiguousarray(addresses[:, 12:]).view(">u8").ravel().astype(np.uint64)


def _are(mark: bytes, addresses: Addresses) -> Bools:
    return np.asarray((addresses[:, :4] == np.frombuffer(mark, np.uint8)).all(axis=1))


def _mixed(numbers: Numbers) -> Numbers:
    """Scattered evenly over 64 bits (the end of SplitMix64)."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


@dataclass(frozen=True, slots=True)
class SimulatedChain:
    """The state of one chain.

    Args:
        chain_id: Its number.
        share: Part of all balances in the coin and in listed tokens that is not zero.
    """

    chain_id: int
    share: float

    def used(self, wallets: Addresses) -> Bools:
        """Which of the addresses are wallets that are used here."""
        return np.asarray(_are(_WALLET, wallets) & (self._own(wallets) % _PARTS < np.uint64(10_000 * USED)))

    def holds(self, wallets: Addresses, tokens: Addresses | None) -> Bools:
        """Who holds what, shape (wallets, tokens); without `tokens` the coin, shape (wallets, 1)."""
        own, used = self._own(wallets), self.used(wallets)
        numbers = np.zeros(1, np.uint64) if tokens is None else _numbers(tokens) + np.uint64(1)
        chosen = _mixed(own[:, None] + numbers * np.uint64(0x9E3779B97F4A7C15)) % _PARTS
        held = chosen < np.uint64(10_000 * self.share / USED)
        if tokens is not None:
            unlisted = (own % np.uint64(UNLISTED_TOKENS))[:, None] == _numbers(tokens)
            held = np.where(_are(_UNLISTED, tokens), unlisted, held & _are(_LISTED, tokens))
        return np.asarray(held & used[:, None])

    def amounts(self, wallets: Addresses, tokens: Numbers, moments: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
        """What pairs hold at their moments: bits above the lowest 64, and these; never zero.

        Args:
            wallets: Of each pair, shape (pairs, 20).
            tokens: Of each pair, by `token_numbers`.
            moments: Of each pair, seconds since 1970.
        """
        own = self._own(wallets)
        since = (moments.astype(np.uint64) + own % np.uint64(CHANGE_SECONDS)) // np.uint64(CHANGE_SECONDS)
        low = _mixed(own + tokens * np.uint64(0xD1B54A32D192ED03) + since) | np.uint64(1)
        return _mixed(low) >> np.uint64(42), low

    def transfers(self, wallets: Addresses, first: int, last: int) -> list[tuple[int, int, Addresses]]:
        """Number of the block, place of the wallet and token of what came to the wallets in some blocks."""
        places = np.flatnonzero(self.used(wallets))
        own = self._own(wallets[places])
        period = np.uint64(TRANSFER_BLOCKS)
        blocks = first + ((own % period).astype(np.int64) - first) % TRANSFER_BLOCKS
        unlisted = _addresses(_UNLISTED, own % np.uint64(UNLISTED_TOKENS))
        listed = listed_tokens(1)[0]
        found = []
        while len(due := np.flatnonzero(blocks <= last)):
            for place in due.tolist():
                block = int(blocks[place])
                is_listed = block // TRANSFER_BLOCKS % (OF_LISTED + 1) < OF_LISTED
                found.append((block, int(places[place]), listed if is_listed else unlisted[place]))
            blocks = blocks + TRANSFER_BLOCKS
        return found

    def _own(self, wallets: Addresses) -> Numbers:
        return _mixed(_numbers(wallets) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(self.chain_id))


def token_numbers(tokens: Addresses) -> Numbers:
    """Numbers of contracts for `SimulatedChain.amounts`; the coin has 0."""
    return np.asarray(_numbers(tokens) + np.uint64(1) + np.uint64(1_000_000) * _are(_UNLISTED, tokens))


def block_at(moment: int) -> int:
    """Number of the last block at a moment, seconds since 1970."""
    return (moment - GENESIS) // BLOCK_SECONDS


def time_of(block: int) -> int:
    """Time of a block, seconds since 1970."""
    return GENESIS + block * BLOCK_SECONDS
