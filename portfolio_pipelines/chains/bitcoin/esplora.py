"""Asking Esplora servers, the HTTP interface of Blockstream's and mempool.space's block explorers.

Belongs here: requests. Not here: pace and failover (`endpoint_pool`), the form of answers (`answers`), balances
(`source`).
"""

from collections.abc import Callable, Sequence
from typing import Final, Self, TypeVar

from portfolio_pipelines.chains.bitcoin import answers
from portfolio_pipelines.chains.bitcoin.answers import AddressStats, DatedBlock, Effect
from portfolio_pipelines.chains.bitcoin.transport import AiohttpGetTransport, GetTransport
from portfolio_pipelines.chains.endpoint_pool import EndpointPool, Where
from portfolio_pipelines.chains.rpc.endpoints import Address, EndpointSettings
from portfolio_pipelines.chains.rpc.pacing import PACERS_OF_THIS_PROCESS, Pacers
from portfolio_pipelines.chains.rpc.policy import SYSTEM_CLOCK, Clock
from portfolio_pipelines.chains.rpc.transport import Reply

T = TypeVar("T")

LARGEST_ANSWER_BYTES: Final = 32 << 20
ATTEMPT_SECONDS: Final = 30.0


class EsploraClient:
    """Bitcoin, read through Esplora servers. Every method may name the only server to ask."""

    def __init__(
        self,
        chain: str,
        endpoints: Sequence[EndpointSettings],
        *,
        transport: GetTransport | None = None,
        clock: Clock = SYSTEM_CLOCK,
        pacers: Pacers = PACERS_OF_THIS_PROCESS,
    ) -> None:
        """Take the servers; close with `aclose`, or use in `async with`.

        Args:
            chain: Slug of the chain; errors carry it.
            endpoints: At least one; the URL ends where the paths of the interface begin, such as https://host/api.
            transport: How paths are read; connections of its own when None.
            clock: Time.
            pacers: Paces towards addresses, shared with everybody else who talks to them.

        Raises:
            ValueError: If there is no endpoint, or one without a proper URL.
        """
        self.chain = chain
        self._pool = EndpointPool(chain, endpoints, clock=clock, pacers=pacers)
        self._transport = transport or AiohttpGetTransport()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back the connections."""
        await self._transport.aclose()

    def servers(self) -> list[str]:
        """Names of the servers, those that are well first."""
        return self._pool.names()

    async def newest_blocks(self) -> list[DatedBlock]:
        """The newest block and some before it, from the newest down.

        Raises:
            RpcError: If no server answered.
        """
        return await self._ask("/blocks", lambda reply, where: answers.blocks_of(answers.json_of(reply, where), where))

    async def blocks(self, height: int) -> list[DatedBlock]:
        """The block of a height and some before it, from the newest down.

        Raises:
            RpcError: If no server answered.
        """
        return await self._ask(
            f"/blocks/{height}", lambda reply, where: answers.blocks_of(answers.json_of(reply, where), where, height)
        )

    async def tip_hash(self, at: str) -> str:
        """Hash of the newest block that a server knows.

        Raises:
            RpcError: If it did not answer.
        """
        return await self._ask(
            "/blocks/tip/hash", lambda reply, where: answers.hash_of(answers.text_of(reply, where), where), at
        )

    async def hash_at(self, height: int, at: str | None = None) -> str:
        """Hash of the block of a height as a server knows it.

        Raises:
            StateUnavailable: If it has not got so far.
            RpcError: If it did not answer.
        """
        return await self._ask(
            f"/block-height/{height}", lambda reply, where: answers.hash_of(answers.text_of(reply, where), where), at
        )

    async def stats(self, address: str, at: str) -> AddressStats:
        """What passed through an address up to the newest block of a server, and what waits for the next.

        Raises:
            RpcError: If it did not answer, or what cannot be.
        """
        return await self._ask(
            f"/address/{address}",
            lambda reply, where: answers.stats_of(answers.json_of(reply, where), where, address),
            at,
        )

    async def unspent(self, address: str, at: str) -> tuple[int, int]:
        """Number and sum of the unspent outputs of an address, waiting ones included.

        Raises:
            TooMuch: If there are more than the server lists.
            RpcError: If it did not answer, or what cannot be.
        """
        return await self._ask(
            f"/address/{address}/utxo",
            lambda reply, where: answers.unspent_of(answers.json_of(reply, where), where),
            at,
        )

    async def effects(self, address: str, at: str, after: str | None = None) -> list[Effect]:
        """A page of what confirmed transactions did to an address, newest first.

        Args:
            address: The address.
            at: The server.
            after: The last transaction of the page before; None for the first page.

        Raises:
            RpcError: If it did not answer, or what cannot be.
        """
        path = f"/address/{address}/txs/chain" + (f"/{after}" if after else "")
        return await self._ask(
            path, lambda reply, where: answers.effects_of(answers.json_of(reply, where), where, address), at
        )

    async def _ask(self, path: str, read: Callable[[Reply, Where], T], at: str | None = None) -> T:
        async def send(address: Address) -> Reply:
            return await self._transport.get(address, path, seconds=ATTEMPT_SECONDS, largest=LARGEST_ANSWER_BYTES)

        return await self._pool.ask(send, read, at=at)
