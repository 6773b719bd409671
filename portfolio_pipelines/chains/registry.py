"""The chains: the only place where a chain exists. Shipped in `data/chains.toml`, changed by a file of the user.

Belongs here: what a chain is, and finding one. Reading and checking the user's file is in `chain_file`, tokens are in
`tokens`, contracts of protocols in `deployments`, asking nodes in `rpc`.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from portfolio_pipelines.chains.asset_ids import BITCOIN, SOLANA, native_asset_id
from portfolio_pipelines.chains.endpoint_urls import shown_names

if TYPE_CHECKING:
    from portfolio_pipelines.chains.tokens import Token

SHIPPED: Final = Path(__file__).parent / "data/chains.toml"
FAMILIES: Final = ("evm", "solana", "bitcoin")
CATEGORIES: Final = ("layer1", "layer2", "layer3", "sidechain", "local")
CONFIRMATIONS: Final = 2
"""Blocks behind the newest that a run is pinned to: enough for endpoints that lag each other by a block or two to
know it. Deeper reorganisations are found afterwards, by the block's hash."""
REQUESTS_PER_SECOND: Final = 100.0


class UnknownChainError(LookupError):
    """No chain has that slug, id or name; the message names those that come close."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain. The endpoints are not shown when it is printed: keys may be in them."""

    chain_id: int  # EIP-155; Solana and Bitcoin have none and carry the numbers that cross-chain routers give them
    slug: str  # what people write: "ethereum", "arbitrum-nova"
    name: str
    native_symbol: str
    category: str  # one of CATEGORIES
    family: Literal["evm", "solana", "bitcoin"] = "evm"
    native_decimals: int = 18
    slip44: int = 60  # number of the coin in SLIP-0044
    endpoints: tuple[str, ...] = field(default=(), repr=False)  # URLs, the first is asked first
    multicall3: str | None = None
    multicall3_block: int | None = None  # where it was deployed; it cannot be called at older blocks
    block_time_seconds: float | None = None
    coingecko_platform: str | None = None
    coingecko_native: str | None = None  # CoinGecko's id of the coin
    defillama_slug: str | None = None  # DefiLlama prices tokens as <slug>:<address>
    explorer: str | None = None
    enabled: bool = False
    requests_per_second: float = REQUESTS_PER_SECOND  # at most, to each endpoint; it adapts downwards by itself
    confirmations: int = CONFIRMATIONS

    @property
    def caip2(self) -> str:
        """The chain in an asset id, before the slash."""
        return {"evm": f"eip155:{self.chain_id}", "solana": SOLANA, "bitcoin": BITCOIN}[self.family]

    @property
    def native_asset_id(self) -> str:
        """The asset id of its coin."""
        if self.family == "evm":
            return native_asset_id(self.chain_id, self.slip44)
        return f"{self.caip2}/slip44:{self.slip44}"

    @property
    def endpoint_names(self) -> tuple[str, ...]:
        """The endpoints as they may be shown, without keys."""
        return shown_names(self.endpoints)


class Registry:
    """All chains, by slug and by id, and what the user's file adds to tokens and deployments."""

    def __init__(
        self,
        chains: Iterable[Chain],
        added_tokens: Iterable["Token"] = (),
        added_deployments: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        self.by_slug: Final[Mapping[str, Chain]] = {chain.slug: chain for chain in chains}
        self.by_id: Final[Mapping[int, Chain]] = {chain.chain_id: chain for chain in self.by_slug.values()}
        self.added_tokens: Final = tuple(added_tokens)
        self.added_deployments: Final[Mapping[int, Mapping[str, Any]]] = dict(added_deployments or {})

    def __iter__(self) -> Iterator[Chain]:
        return iter(self.by_slug.values())

    def __len__(self) -> int:
        return len(self.by_slug)

    def enabled(self, family: str | None = None) -> tuple[Chain, ...]:
        """The chains that are read, in the order of the file; those of one family when it is given."""
        return tuple(chain for chain in self if chain.enabled and family in (None, chain.family))

    def find(self, text: str | int) -> Chain:
        """The chain that somebody means: by slug, id or name; case, blanks and hyphens do not matter.

        Raises:
            UnknownChainError: If no chain, or more than one of that name, is meant.
        """
        written = str(text).strip()
        if chain := self.by_slug.get(written):
            return chain
        if written.isascii() and written.isdecimal():
            number = int(written)
            if number in self.by_id:
                return self.by_id[number]
            msg = f"no chain has the id {number}; a chain of your own is a table in chains.toml"
            raise UnknownChainError(msg)
        found = self._by_name.get(_plain(written), ())
        if len(found) == 1:
            return found[0]
        if found:
            msg = f"{written!r} are several chains: {', '.join(chain.slug for chain in found)}"
            raise UnknownChainError(msg)
        close = get_close_matches(_plain(written), self._by_name, n=3, cutoff=0.6)
        slugs = list(dict.fromkeys(chain.slug for name in close for chain in self._by_name[name]))
        msg = f"there is no chain {written!r}" + (f"; did you mean {' or '.join(slugs)}?" if slugs else "")
        raise UnknownChainError(msg)

    @cached_property
    def _by_name(self) -> Mapping[str, tuple[Chain, ...]]:
        slugs = {_plain(chain.slug): (chain,) for chain in self}
        names: dict[str, tuple[Chain, ...]] = {}
        for chain in self:
            for name in {_plain(chain.name), _plain(chain.name).removesuffix("mainnet")} - slugs.keys():
                names[name] = (*names.get(name, ()), chain)
        return names | slugs


def load_registry(overrides: Path | None = None, environment: Mapping[str, str] | None = None) -> Registry:
    """The shipped chains, changed by the user's file.

    Args:
        overrides: The user's chains.toml; None for the shipped chains as they are.
        environment: Values of the ${NAME} in endpoints. Those of chains that are not enabled may be missing.

    Raises:
        RegistryRefusedError: If the file has faults; all of them are told.
    """
    shipped = shipped_rows()
    if overrides is None:
        return Registry(_chain(slug, row) for slug, row in shipped.items())
    from portfolio_pipelines.chains.chain_file import read_chain_file

    changes = read_chain_file(overrides, shipped, environment or {})
    return Registry((_chain(slug, row) for slug, row in changes.rows.items()), changes.tokens, changes.deployments)


@cache  # parsing is nearly all that loading costs
def shipped_rows() -> Mapping[str, Mapping[str, Any]]:
    """The tables of the shipped file, by slug. Shared by all callers: to be read, not changed."""
    with SHIPPED.open("rb") as file:
        rows: Mapping[str, Mapping[str, Any]] = tomllib.load(file)["chain"]
    return rows


def _chain(slug: str, row: Mapping[str, Any]) -> Chain:
    return Chain(slug=slug, **{**row, "endpoints": tuple(row.get("endpoints", ()))})


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
