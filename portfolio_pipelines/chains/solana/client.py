"""Asking nodes of Solana: accounts in bulk, the token accounts of an owner, the newest finished slot.

Belongs here: requests. Not here: pace and failover (`endpoint_pool`), the form of answers (`answers`), balances
(`source`). Everything is read at the commitment "finalized", which no fork takes back.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Self, TypeVar

from portfolio_pipelines.chains.endpoint_pool import EndpointPool, Where
from portfolio_pipelines.chains.rpc.endpoints import Address, EndpointSettings
from portfolio_pipelines.chains.rpc.errors import InvalidRequest, StateUnavailable, TooMuch, Unsupported
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.chains.rpc.pacing import PACERS_OF_THIS_PROCESS, Pacers
from portfolio_pipelines.chains.rpc.policy import SYSTEM_CLOCK, Clock
from portfolio_pipelines.chains.rpc.transport import Reply, SharedTransport, Transport
from portfolio_pipelines.chains.solana import answers
from portfolio_pipelines.chains.solana.answers import Account
from portfolio_pipelines.chains.solana.token_accounts import TokenAccount, decode_token_account

T = TypeVar("T")

ACCOUNTS_A_CALL: Final = 100  # what nodes take in getMultipleAccounts
LARGEST_ANSWER_BYTES: Final = 64 << 20
ATTEMPT_SECONDS: Final = 30.0
CLOCK: Final = "SysvarC1ock11111111111111111111111111111111"
_CLOCK_BYTES: Final = 40  # slot, epoch start, epoch, leader schedule epoch, unix timestamp: 8 bytes each


class SolanaClient:
    """One cluster of Solana, read through its endpoints."""

    def __init__(
        self,
        chain: str,
        endpoints: Sequence[EndpointSettings],
        *,
        transport: Transport | None = None,
        clock: Clock = SYSTEM_CLOCK,
        pacers: Pacers = PACERS_OF_THIS_PROCESS,
    ) -> None:
        """Take the endpoints of a cluster; close with `aclose`, or use in `async with`.

        Args:
            chain: Slug of the chain; errors carry it.
            endpoints: At least one.
            transport: How requests reach them; connections shared by all nodes of the event loop when None.
            clock: Time.
            pacers: Paces towards addresses, shared with everybody else who talks to them.

        Raises:
            ValueError: If there is no endpoint, or one without a proper URL.
        """
        self.chain = chain
        self._pool = EndpointPool(chain, endpoints, clock=clock, pacers=pacers)
        self._transport = transport or SharedTransport()
        self._last_id = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back the connections."""
        await self._transport.aclose()

    async def newest(self) -> Block:
        """The newest finalized slot: its number, blockhash (base 58) and time.

        Raises:
            RpcError: If no endpoint gave one.
        """

        def latest(result: Any, where: Where) -> tuple[int, str]:
            slot, value = answers.in_context(result, where, 1)
            return slot, answers.address_of(answers.member(value, "blockhash", where), where)

        def seconds(result: Any, where: Where) -> int:
            return answers.integer(result, where, "block time", 2**40)

        slot, blockhash = await self._ask("getLatestBlockhash", [{"commitment": "finalized"}], latest)
        try:
            timestamp = await self._ask("getBlockTime", [slot], seconds)
        except (StateUnavailable, Unsupported):  # nodes may keep no ledger; the chain's own clock is state
            timestamp = await self._clock(slot)
        return Block(slot, blockhash, timestamp)

    async def accounts(
        self, addresses: Sequence[str], at_least: int, decode: Callable[[int, Account | None], T]
    ) -> tuple[int, list[T]]:
        """Accounts by address, all of one slot unless the endpoint takes fewer in a call.

        Args:
            addresses: At most ACCOUNTS_A_CALL.
            at_least: The slot that the answer must have reached.
            decode: Makes something of the place of an address and its account, which is None where there is none (the
                address then holds nothing). A ValueError means that no honest node says so: another one is asked.

        Returns:
            The newest slot among the answers, and what was decoded, in the order of the addresses.

        Raises:
            RpcError: If no endpoint answered.
        """
        if not addresses:
            return at_least, []

        def read(result: Any, where: Where) -> tuple[int, list[T]]:
            slot, value = answers.in_context(result, where, at_least)
            decoded = []
            for place, account in enumerate(answers.accounts_of(value, where, len(addresses))):
                try:
                    decoded.append(decode(place, account))
                except ValueError as error:
                    raise answers.bad_answer(where, f"account {addresses[place]}: {error}") from error
            return slot, decoded

        try:
            return await self._ask("getMultipleAccounts", [list(addresses), _pinned(at_least)], read)
        except (InvalidRequest, TooMuch):
            # Our addresses are valid, so it is their number that this endpoint does not take.
            if len(addresses) == 1:
                raise
        half = len(addresses) // 2
        first_slot, first = await self.accounts(addresses[:half], at_least, decode)
        second_slot, second = await self.accounts(
            addresses[half:], at_least, lambda place, account: decode(half + place, account)
        )
        return max(first_slot, second_slot), first + second

    async def token_accounts(self, owner: str, program: str, at_least: int) -> tuple[int, dict[str, TokenAccount]]:
        """Every account of one token program that belongs to an owner, wherever it stands.

        Returns:
            The slot of the answer, and the accounts by address.

        Raises:
            RpcError: If no endpoint answered.
        """

        def read(result: Any, where: Where) -> tuple[int, dict[str, TokenAccount]]:
            slot, value = answers.in_context(result, where, at_least)
            found: dict[str, TokenAccount] = {}
            for row in answers.rows_of(value, where):
                address = answers.address_of(answers.member(row, "pubkey", where), where)
                account = answers.account_of(answers.member(row, "account", where), where)
                try:
                    token_account = decode_token_account(account.data, account.owner)
                except ValueError as error:
                    raise answers.bad_answer(where, f"account {address}: {error}") from error
                if (account.owner, token_account.owner) != (program, owner):
                    raise answers.bad_answer(
                        where,
                        f"{address} is of {token_account.owner} and {account.owner}, not of {owner} and {program}",
                    )
                if address in found:
                    raise answers.bad_answer(where, f"account {address} is there twice")
                found[address] = token_account
            return slot, found

        return await self._ask("getTokenAccountsByOwner", [owner, {"programId": program}, _pinned(at_least)], read)

    async def _clock(self, at_least: int) -> int:
        """Seconds since 1970 by the clock of the chain, of a slot not older than `at_least`."""

        def read(result: Any, where: Where) -> int:
            _, value = answers.in_context(result, where, at_least)
            (account,) = answers.accounts_of(value, where, 1)
            if account is None or len(account.data) != _CLOCK_BYTES:
                raise answers.bad_answer(where, "the account of the clock is not there or no clock")
            return answers.integer(int.from_bytes(account.data[32:], "little"), where, "the clock", 2**40)

        return await self._ask("getMultipleAccounts", [[CLOCK], _pinned(at_least)], read)

    async def _ask(self, method: str, params: Sequence[Any], read: Callable[[Any, Where], T]) -> T:
        import orjson

        self._last_id += 1
        number = self._last_id
        body = orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

        async def send(address: Address) -> Reply:
            return await self._transport.post(address, body, seconds=ATTEMPT_SECONDS, largest=LARGEST_ANSWER_BYTES)

        def checked(reply: Reply, where: Where) -> T:
            return read(answers.result_of(reply, where, number), where)

        return await self._pool.ask(send, checked)


def _pinned(at_least: int) -> dict[str, Any]:
    return {"encoding": "base64", "commitment": "finalized", "minContextSlot": at_least}
