"""Balances of wallets on Solana: the native coin and SPL tokens of both token programs.

Belongs here: which accounts hold a wallet's balances, and adding them up. Not here: requests (`client`), bytes
(`token_accounts`).

Nodes tell only the present. A reading is pinned from below: no answer is older than the slot asked for, and the newest
slot among the answers is reported. Staked coins are in accounts of their own and no part of a wallet's balance.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from functools import partial

from portfolio_pipelines.chains.endpoint_pool import in_parallel
from portfolio_pipelines.chains.families import NATIVE, AssetBalances, asset_balances
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.chains.solana.addresses import SYSTEM_PROGRAM, solana_address_bytes
from portfolio_pipelines.chains.solana.answers import Account
from portfolio_pipelines.chains.solana.associated import AssociatedAccounts
from portfolio_pipelines.chains.solana.client import ACCOUNTS_A_CALL, SolanaClient
from portfolio_pipelines.chains.solana.token_accounts import (
    TOKEN_PROGRAMS,
    Mint,
    decode_mint,
    decode_token_account,
)


class SolanaSource:
    """Where balances on Solana come from; a `BalanceSource`."""

    def __init__(
        self, client: SolanaClient, *, discover: bool = False, associated: AssociatedAccounts | None = None
    ) -> None:
        """Read through a client.

        Args:
            client: The cluster.
            discover: Ask for every token account of each wallet, two requests a wallet: finds tokens that were not
                asked for and counts accounts beside the associated one. Otherwise only the associated accounts of the
                tokens asked for are read, a hundred a request.
            associated: Remembers derivations from one reading to the next; a new memory when None.
        """
        self._client = client
        self._discover = discover
        self._associated = associated or AssociatedAccounts()

    @property
    def chain_slug(self) -> str:
        """See `BalanceSource.chain_slug`."""
        return self._client.chain

    async def newest(self) -> Block:
        """See `BalanceSource.newest`; the newest finalized slot."""
        return await self._client.newest()

    async def at_close(self, end: datetime) -> Block | None:
        """None: nodes of Solana do not keep past states. See `BalanceSource.at_close`."""
        if end.tzinfo is None:
            msg = f"{end} has no time zone"
            raise ValueError(msg)
        return None

    async def mints(self, tokens: Sequence[str], at_least: int) -> list[Mint | None]:
        """Program, decimals and supply of tokens; None where the address is no mint.

        Raises:
            RpcError: If no endpoint answered.
        """

        def decode(_: int, account: Account | None) -> Mint | None:
            if account is None or account.owner not in TOKEN_PROGRAMS:
                return None
            try:
                mint = decode_mint(account.data, account.owner)
            except ValueError:
                decode_token_account(account.data, account.owner)  # an account in place of a mint is not a bad answer
                return None
            return mint if mint.is_initialized else None

        found: list[Mint | None] = []
        for start in range(0, len(tokens), ACCOUNTS_A_CALL):
            found += (await self._client.accounts(tokens[start : start + ACCOUNTS_A_CALL], at_least, decode))[1]
        return found

    async def balances(self, wallets: Sequence[str], tokens: Sequence[str], block: Block) -> AssetBalances:
        """See `BalanceSource.balances`."""
        for address in (*wallets, *tokens):
            solana_address_bytes(address)
        reading = _Reading(self._client, self._associated, wallets, tokens, block)
        mints = await self.mints(tokens, block.number)
        await in_parallel(reading.by_owner(mints) if self._discover else reading.by_account(mints))
        return asset_balances(block, reading.newest, reading.balances, reading.failed, reading.discovered)


class _Reading:
    """One question and what has come in for it."""

    def __init__(
        self,
        client: SolanaClient,
        associated: AssociatedAccounts,
        wallets: Sequence[str],
        tokens: Sequence[str],
        block: Block,
    ) -> None:
        self._client, self._associated = client, associated
        self._wallets, self._tokens, self._at_least = wallets, tokens, block.number
        self._asked = frozenset(tokens)
        self.newest = block.number
        self.balances: list[tuple[int, int, int]] = []
        self.failed: list[tuple[int, int, str]] = []
        self.discovered: list[tuple[int, str, int]] = []

    def by_account(self, mints: Sequence[Mint | None]) -> Iterator[Callable[[], Awaitable[None]]]:
        """Jobs that read the native coin and the associated accounts, those of a wallet next to each other."""
        self._fail_lacking(mints)
        known = [(place, mint.program) for place, mint in enumerate(mints) if mint is not None]
        keys = [(self._tokens[place], program) for place, program in known]
        pairs: list[tuple[int, int]] = []
        addresses: list[str] = []
        for row, wallet in enumerate(self._wallets):
            pairs += [(row, NATIVE), *((row, 1 + place) for place, _ in known)]
            addresses += [wallet, *self._associated.derive(wallet, keys)]
            while len(addresses) >= ACCOUNTS_A_CALL:
                yield partial(self._read, pairs[:ACCOUNTS_A_CALL], addresses[:ACCOUNTS_A_CALL])
                del pairs[:ACCOUNTS_A_CALL], addresses[:ACCOUNTS_A_CALL]
        if addresses:
            yield partial(self._read, pairs, addresses)

    def by_owner(self, mints: Sequence[Mint | None]) -> Iterator[Callable[[], Awaitable[None]]]:
        """Jobs that read the native coin, and everything else that a wallet owns."""
        self._fail_lacking(mints)
        for start in range(0, len(self._wallets), ACCOUNTS_A_CALL):
            rows = range(start, min(start + ACCOUNTS_A_CALL, len(self._wallets)))
            yield partial(self._read, [(row, NATIVE) for row in rows], [self._wallets[row] for row in rows])
        for row in range(len(self._wallets)):
            yield partial(self._read_owner, row)

    def _fail_lacking(self, mints: Sequence[Mint | None]) -> None:
        """A token that does not exist is a fault of the question: nobody's balance of it is known to be zero."""
        for place, mint in enumerate(mints):
            if mint is None:
                why = f"{self._tokens[place]}: there is no such mint"
                self.failed += [(row, 1 + place, why) for row in range(len(self._wallets))]

    async def _read(self, pairs: Sequence[tuple[int, int]], addresses: Sequence[str]) -> None:
        def decode(place: int, account: Account | None) -> int:
            row, column = pairs[place]
            if account is None:
                return 0
            if column == NATIVE:
                return account.lamports
            return _amount(account, self._wallets[row], self._tokens[column - 1])

        slot, amounts = await self._client.accounts(addresses, self._at_least, decode)
        self.newest = max(self.newest, slot)
        self.balances += [(*pair, amount) for pair, amount in zip(pairs, amounts, strict=True) if amount]

    async def _read_owner(self, row: int) -> None:
        held: dict[str, int] = {}
        for program in TOKEN_PROGRAMS:
            slot, accounts = await self._client.token_accounts(self._wallets[row], program, self._at_least)
            self.newest = max(self.newest, slot)
            for account in accounts.values():
                held[account.mint] = held.get(account.mint, 0) + account.amount
        for place, token in enumerate(self._tokens):
            if amount := held.get(token):
                self.balances.append((row, 1 + place, amount))
        self.discovered += [(row, token, amount) for token, amount in held.items() if token not in self._asked]


def _amount(account: Account, wallet: str, mint: str) -> int:
    """What a wallet holds in the associated account of a mint.

    Raises:
        ValueError: If that account cannot look like this.
    """
    if account.owner == SYSTEM_PROGRAM and not account.data:
        return 0  # somebody sent coins to the address before the account was made
    token_account = decode_token_account(account.data, account.owner)
    if token_account.mint != mint:
        msg = f"holds mint {token_account.mint} in the place of {mint}"
        raise ValueError(msg)
    # An account can be given away: it keeps its address, and what is in it belongs to another wallet.
    return token_account.amount if token_account.owner == wallet else 0
