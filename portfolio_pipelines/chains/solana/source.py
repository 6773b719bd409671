"""Balances of wallets on Solana: the native coin and SPL tokens of both token programs.

Belongs here: which accounts hold a wallet's balances, and adding them up. Not here: requests (`client`), bytes
(`token_accounts`).

Nodes tell only the present. A reading is pinned from below: no answer is older than the slot asked for, and the newest
slot among the answers is reported. Staked coins are in accounts of their own and no part of a wallet's balance.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
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

    def __init__(self, client: SolanaClient, *, associated: AssociatedAccounts | None = None) -> None:
        """Read through a client.

        Args:
            client: The cluster.
            associated: Remembers derivations from one reading to the next; a new memory when None.
        """
        self._client = client
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

    async def balances(
        self,
        wallets: Sequence[str],
        tokens: Sequence[str],
        block: Block,
        *,
        more: Sequence[tuple[int, str]] = (),
        discover: Collection[int] = (),
    ) -> AssetBalances:
        """See `BalanceSource.balances`.

        Costs one request for every hundred mints that are asked for, and one for every hundred accounts: of each wallet
        its own and the associated ones of its tokens. A wallet in `discover` costs two requests (one for each token
        program), and every hundred of them one more: all their token accounts are listed, so that tokens that were not
        asked for are found, and accounts beside the associated one are added.
        """
        for address in (*wallets, *tokens, *(token for _, token in more)):
            solana_address_bytes(address)
        reading = _Reading(self._client, self._associated, wallets, tokens, more, block)
        mints = await self.mints(reading.tokens, block.number)
        await in_parallel(reading.jobs(mints, frozenset(discover)))
        return asset_balances(block, reading.newest, reading.balances, reading.failed, reading.discovered)


class _Reading:
    """One question and what has come in for it."""

    def __init__(
        self,
        client: SolanaClient,
        associated: AssociatedAccounts,
        wallets: Sequence[str],
        tokens: Sequence[str],
        more: Sequence[tuple[int, str]],
        block: Block,
    ) -> None:
        self._client, self._associated = client, associated
        self._wallets, self._at_least = wallets, block.number
        self.tokens = [*tokens, *sorted({token for _, token in more})]
        place = {token: column for column, token in enumerate(self.tokens)}
        self._of_all = range(len(tokens))
        self._own: dict[int, set[int]] = {}  # further tokens of a wallet
        for row, token in more:
            self._own.setdefault(row, set()).add(place[token])
        self.newest = block.number
        self.balances: list[tuple[int, int, int]] = []
        self.failed: list[tuple[int, int, str]] = []
        self.discovered: list[tuple[int, str, int]] = []

    def jobs(self, mints: Sequence[Mint | None], discover: frozenset[int]) -> Iterator[Callable[[], Awaitable[None]]]:
        """What is to be asked.

        Args:
            mints: Of the tokens, in their order.
            discover: Rows of the wallets of which everything is read.
        """
        for row in range(len(self._wallets)):
            # Whose accounts are all listed has, beyond the tokens of all, nothing of a mint that was closed.
            for column in self._of_all if row in discover else self._asked(row):
                if mints[column] is None:  # a fault of the question: nobody's balance of it is known to be zero
                    self.failed.append((row, 1 + column, f"{self.tokens[column]}: there is no such mint"))
        yield from self._by_account(mints, [row for row in range(len(self._wallets)) if row not in discover])
        yield from self._by_owner(sorted(discover))

    def _asked(self, row: int) -> list[int]:
        """Places of the tokens that are asked for of a wallet."""
        return [*self._of_all, *sorted(self._own.get(row, ()))]

    def _by_account(self, mints: Sequence[Mint | None], rows: Sequence[int]) -> Iterator[Callable[[], Awaitable[None]]]:
        """Jobs that read the native coin and the associated accounts, those of a wallet next to each other."""
        pairs: list[tuple[int, int]] = []
        addresses: list[str] = []
        for row in rows:
            known = [(place, mint.program) for place in self._asked(row) if (mint := mints[place]) is not None]
            keys = [(self.tokens[place], program) for place, program in known]
            pairs += [(row, NATIVE), *((row, 1 + place) for place, _ in known)]
            addresses += [self._wallets[row], *self._associated.derive(self._wallets[row], keys)]
            while len(addresses) >= ACCOUNTS_A_CALL:
                yield partial(self._read, pairs[:ACCOUNTS_A_CALL], addresses[:ACCOUNTS_A_CALL])
                del pairs[:ACCOUNTS_A_CALL], addresses[:ACCOUNTS_A_CALL]
        if addresses:
            yield partial(self._read, pairs, addresses)

    def _by_owner(self, rows: Sequence[int]) -> Iterator[Callable[[], Awaitable[None]]]:
        """Jobs that read the native coin, and everything else that a wallet owns."""
        for start in range(0, len(rows), ACCOUNTS_A_CALL):
            some = rows[start : start + ACCOUNTS_A_CALL]
            yield partial(self._read, [(row, NATIVE) for row in some], [self._wallets[row] for row in some])
        for row in rows:
            yield partial(self._read_owner, row)

    async def _read(self, pairs: Sequence[tuple[int, int]], addresses: Sequence[str]) -> None:
        def decode(place: int, account: Account | None) -> int:
            row, column = pairs[place]
            if account is None:
                return 0
            if column == NATIVE:
                return account.lamports
            return _amount(account, self._wallets[row], self.tokens[column - 1])

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
        for place in self._asked(row):
            if amount := held.pop(self.tokens[place], 0):
                self.balances.append((row, 1 + place, amount))
        self.discovered += [(row, token, amount) for token, amount in held.items()]


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
