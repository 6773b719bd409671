"""The last good balances of wallets: what they are, and where they are asked for.

Belongs here: the interface, and its plain form without a cache. Redis in front of it is `balance_cache`; how to read
the lake is passed in.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from portfolio_pipelines.chains.rpc.node import Block


@dataclass(frozen=True, slots=True)
class WalletBalances:
    """What a wallet held on a chain when it was last read well.

    Args:
        block: What it was read at.
        as_of: When it was read, with time zone.
        raw: Raw balance by asset id; what is not there was zero.
    """

    block: Block
    as_of: datetime
    raw: Mapping[str, int]


class LastGoodBalances(Protocol):
    """Where the last good balances of wallets are found."""

    async def of(self, chain: str, wallets: Sequence[str]) -> dict[str, WalletBalances]:
        """Balances of wallets on a chain; a wallet that was never read well is not there.

        Args:
            chain: Slug of the chain.
            wallets: Addresses.
        """
        ...

    async def keep(self, chain: str, balances: Mapping[str, WalletBalances]) -> int:
        """Remember newly read balances by wallet, unless newer ones are known.

        Returns:
            How many were remembered.
        """
        ...


FromLake = Callable[[str, Sequence[str]], Awaitable[Mapping[str, WalletBalances]]]
"""The truth: chain and wallets to what is known of them."""


class LakeBalances:
    """The last good balances of the lake alone: what is used where no Redis is configured."""

    def __init__(self, from_lake: FromLake) -> None:
        """Take the way to read the lake."""
        self._from_lake = from_lake

    async def of(self, chain: str, wallets: Sequence[str]) -> dict[str, WalletBalances]:
        """See `LastGoodBalances.of`."""
        return dict(await self._from_lake(chain, list(dict.fromkeys(wallets))))

    async def keep(self, chain: str, balances: Mapping[str, WalletBalances]) -> int:  # noqa: ARG002 (see `Protocol`)
        """Nothing to do: the lake was written before."""
        return 0
