"""The tokens that are known, by (chain, contract); a symbol names many tokens and identifies none.

Belongs here: the shipped list and the user's additions. What wallets hold beyond it is found by `discovery`, what a
receipt is worth by `receipt_tokens`.

The list is Aave's (MIT) with the debt tokens and Comets behind it and the wrapped coins; `docs/registry` builds it.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from portfolio_pipelines.chains.asset_ids import token_asset_id

SHIPPED: Final = Path(__file__).parent / "data/tokens.csv"

COIN: Final = "coin"
DEBT: Final = "debt"
CATEGORIES: Final = (
    COIN,  # the chain's own coin in the form of a token: its balance is the native balance, never counted beside it
    DEBT,  # what is owed to a lending protocol: its balance is no asset
    "receipt",  # a claim on something deposited: aTokens, Comets, vault shares
    "wrapped_coin",
    "stablecoin",
    "staked",
    "bitcoin",
    "fund",
    "pool_share",
    "fixed_yield",
    "token",
)


@dataclass(frozen=True, slots=True)
class Token:
    """One ERC-20 token."""

    chain_id: int
    address: str  # lower case
    symbol: str
    name: str
    decimals: int
    coingecko_id: str | None = None  # of this very contract; bridged forms are other coins there
    priced_as: str | None = None  # asset id whose price is its price, because a contract redeems it one for one
    is_rebasing: bool = False  # balances change without a Transfer: it has to be read anew every time
    category: str = "token"  # one of CATEGORIES
    receipt_of: str | None = None  # contract of what was deposited or borrowed, one for one

    @property
    def asset_id(self) -> str:
        """Its id in tables."""
        return token_asset_id(self.chain_id, self.address)


class TokenList:
    """Tokens by chain and contract. Of two with the same key the later one counts."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = {(token.chain_id, token.address): token for token in tokens}

    def __iter__(self) -> Iterator[Token]:
        return iter(self._tokens.values())

    def __len__(self) -> int:
        return len(self._tokens)

    def get(self, chain_id: int, address: str) -> Token | None:
        """The token of a contract, if it is known."""
        return self._tokens.get((chain_id, address))

    def of(self, chain_id: int) -> tuple[Token, ...]:
        """What wallets can hold on a chain, by contract: without debts, and without the coin in the form of a token."""
        return tuple(token for token in self._by_chain.get(chain_id, ()) if token.category not in (COIN, DEBT))

    def debts_of(self, chain_id: int) -> tuple[Token, ...]:
        """The debt tokens of a chain, by contract."""
        return tuple(token for token in self._by_chain.get(chain_id, ()) if token.category == DEBT)

    def coins_of(self, chain_id: int) -> frozenset[str]:
        """Contracts that only show the chain's own coin, see `is_coin`."""
        return frozenset(token.address for token in self._by_chain.get(chain_id, ()) if token.category == COIN)

    def is_coin(self, chain_id: int, address: str) -> bool:
        """Whether a contract only shows the chain's own coin: CELO, POL or ether of ZKsync as a token."""
        token = self.get(chain_id, address)
        return token is not None and token.category == COIN

    @cached_property
    def _by_chain(self) -> dict[int, list[Token]]:
        found: dict[int, list[Token]] = {}
        for token in sorted(self, key=lambda token: token.address):
            found.setdefault(token.chain_id, []).append(token)
        return found


def load_tokens(additions: Iterable[Token] = ()) -> TokenList:
    """The shipped tokens and `additions`, which replace shipped ones of the same contract."""
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)  # the header
        return TokenList([*(_token(*row) for row in reader), *additions])


def _token(
    chain_id: str,
    address: str,
    symbol: str,
    name: str,
    decimals: str,
    category: str,
    rebasing: str,
    coingecko_id: str,
    priced_as: str,
    receipt_of: str,
) -> Token:
    number = int(chain_id)
    return Token(
        chain_id=number,
        address=address,
        symbol=symbol,
        name=name,
        decimals=int(decimals),
        coingecko_id=coingecko_id or None,
        priced_as=token_asset_id(number, receipt_of) if receipt_of else priced_as or None,
        is_rebasing=rebasing == "1",
        category=category,
        receipt_of=receipt_of or None,
    )
