"""The user's chains.toml: what it changes and adds, checked as a whole; all its faults are told at once.

    enabled = ["ethereum", "base"]       # exactly these chains are read; without it the shipped choice holds

    [chain.base]                         # a shipped chain: only what is to be otherwise
    extra_endpoints = ["https://base-mainnet.example/${BASE_KEY}"]   # asked before the shipped ones
    requests_per_second = 25

    [chain.mine]                         # a chain of one's own
    chain_id = 31337
    name = "Mine"
    native_symbol = "ETH"
    category = "local"
    endpoints = ["http://127.0.0.1:8545"]
    enabled = true

    [[token]]
    chain = "base"
    address = "0x…"
    symbol = "ABC"
    decimals = 18

Instead of `[chain.<slug>]` one may write rows `[[chain]]` with `slug` or `chain_id` in them.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from portfolio_pipelines.chains import file_values as values
from portfolio_pipelines.chains.endpoint_urls import EndpointUrlError, check_unresolved_url, resolve_url
from portfolio_pipelines.chains.registry import CATEGORIES, FAMILIES
from portfolio_pipelines.chains.tokens import CATEGORIES as TOKEN_CATEGORIES
from portfolio_pipelines.chains.tokens import COIN, DEBT, Token

Row = dict[str, Any]

CHAIN_FIELDS: Final[Mapping[str, values.Check]] = {
    "chain_id": values.whole(1, 2**63 - 1),
    "slug": values.slug,
    "name": values.text,
    "family": values.one_of(FAMILIES),
    "native_symbol": values.text,
    "native_decimals": values.whole(0, 36),
    "slip44": values.whole(0, 2**31 - 1),
    "category": values.one_of(CATEGORIES),
    "enabled": values.flag,
    "endpoints": values.many(values.text),
    "extra_endpoints": values.many(values.text),
    "multicall3": values.contract,
    "multicall3_block": values.whole(0, 2**63 - 1),
    "block_time_seconds": values.positive,
    "coingecko_platform": values.text,
    "coingecko_native": values.text,
    "defillama_slug": values.text,
    "explorer": values.web_page,
    "requests_per_second": values.positive,
    "confirmations": values.whole(0, 10_000),
}
PROTOCOL_FIELDS: Final[Mapping[str, values.Check]] = {
    "uniswap_v3": values.table(
        {"factory": values.contract, "position_manager": values.contract}, ("factory", "position_manager")
    ),
    "uniswap_v2": values.many(values.contract),
    "sushiswap": values.many(values.contract),
    "aave_v3": values.many(
        values.table(
            {"market": values.text}
            | dict.fromkeys(("pool", "data_provider", "oracle", "addresses_provider"), values.contract),
            ("market", "pool", "data_provider", "oracle"),
        )
    ),
    "compound_v3": values.many(
        values.table(
            {"market": values.text} | dict.fromkeys(("comet", "rewards", "base_token"), values.contract),
            ("market", "comet"),
        )
    ),
    "curve_address_provider": values.contract,
    "balancer_v2": values.table(
        {"vault": values.contract, "factories": values.many(values.contract)}, ("vault", "factories")
    ),
}
TOKEN_FIELDS: Final[Mapping[str, values.Check]] = {
    "chain": values.text,
    "address": values.contract,
    "symbol": values.text,
    "name": values.text,
    "decimals": values.whole(0, 255),
    "coingecko_id": values.text,
    "priced_as": values.text,
    "is_rebasing": values.flag,
    "category": values.one_of([category for category in TOKEN_CATEGORIES if category not in (COIN, DEBT)]),
}
NEEDED_OF_A_CHAIN: Final = ("chain_id", "name", "native_symbol", "category")
NEEDED_OF_A_TOKEN: Final = ("chain", "address", "symbol", "decimals")
TOP: Final = ("chain", "enabled", "token")


class RegistryRefusedError(ValueError):
    """A chains.toml has faults and nothing of it is used. `faults` are all of them."""

    def __init__(self, path: Path, faults: list[str]) -> None:
        self.path, self.faults = path, tuple(faults)
        count = f"{len(faults)} fault{'s' if len(faults) != 1 else ''}"
        super().__init__("\n".join([f"{path} was refused: {count}", *(f"  {fault}" for fault in faults)]))


@dataclass(frozen=True, slots=True)
class ChainChanges:
    """What a file makes of the shipped registry."""

    rows: Mapping[str, Row]  # all chains by slug, in the words of the file
    tokens: tuple[Token, ...]
    deployments: Mapping[int, Mapping[str, Any]]  # by chain, see `deployments.deployments_from`


def read_chain_file(
    path: Path, shipped: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]
) -> ChainChanges:
    """Read the user's file on top of the shipped rows.

    Args:
        path: The file.
        shipped: Rows of the shipped chains by slug.
        environment: Values of the ${NAME} in endpoints.

    Raises:
        RegistryRefusedError: If the file cannot be read or has any fault.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RegistryRefusedError(path, [f"it cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise RegistryRefusedError(path, ["it is not in UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise RegistryRefusedError(path, [f"it is no TOML: {error}"]) from error
    file = _ChainFile(shipped, environment)
    changes = file.apply(content)
    if file.faults:
        raise RegistryRefusedError(path, file.faults)
    return changes


class _ChainFile:
    """One file being checked; goes on after each fault, so that all are found."""

    def __init__(self, shipped: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]) -> None:
        self.rows: dict[str, Row] = {slug: {**row} for slug, row in shipped.items()}
        self.shipped_urls = {url for row in shipped.values() for url in row.get("endpoints", ())}
        self.environment = environment
        self.faults: list[str] = []
        self.deployments: dict[int, Mapping[str, Any]] = {}

    def apply(self, content: Row) -> ChainChanges:
        for name in content:
            if name not in TOP:
                self.faults.append(f"there is no {name!r} at the top{values.suggestion(name, TOP)}")
        seen: set[str] = set()
        chosen: dict[str, bool] = {}
        for slug, place, row in self._chain_rows(content.get("chain", {})):
            if slug in seen:
                self.faults.append(f"{place}: {slug} is there twice")
            seen.add(slug)
            checked = self._fields(place, row, {**CHAIN_FIELDS, **PROTOCOL_FIELDS})
            if "enabled" in checked:
                chosen[slug] = checked["enabled"]
            self._merge(slug, place, checked, row)
        self._choose(content.get("enabled"), chosen)
        self._resolve()
        return ChainChanges(self.rows, tuple(self._tokens(content.get("token", []))), self.deployments)

    def _chain_rows(self, written: object) -> Iterator[tuple[str, str, Row]]:
        if isinstance(written, dict):
            for slug, row in written.items():
                place = f"[chain.{slug}]"
                if not isinstance(row, dict):
                    self.faults.append(f"{place} is no table")
                elif row.get("slug", slug) != slug:
                    self.faults.append(f"{place} slug: the table is called {slug}, leave slug out")
                else:
                    yield slug, place, row
        elif isinstance(written, list):
            by_id = {row["chain_id"]: slug for slug, row in self.rows.items()}
            for number, row in enumerate(written, 1):
                place = f"[[chain]] {number}"
                slug = row.get("slug") or by_id.get(row.get("chain_id")) if isinstance(row, dict) else None
                if slug:
                    yield str(slug), place, row
                else:
                    self.faults.append(f"{place}: slug or the chain_id of a known chain is missing")
        else:
            self.faults.append("chain is neither tables [chain.<slug>] nor rows [[chain]]")

    def _fields(self, place: str, row: Row, fields: Mapping[str, values.Check]) -> Row:
        checked: Row = {}
        for name, value in row.items():
            if name not in fields:
                self.faults.append(f"{place}: there is no field {name!r}{values.suggestion(name, fields)}")
                continue
            try:
                checked[name] = fields[name](value)
            except ValueError as error:
                hidden = "it is no list of URLs" if name.endswith("endpoints") else str(error)
                self.faults.append(f"{place} {name}: {hidden}")
        return checked

    def _merge(self, slug: str, place: str, checked: Row, written: Row) -> None:
        known = self.rows.get(slug)
        if known is None and not self._may_be_new(slug, place, checked, written):
            return
        row = dict(known or {})
        contracts = {name: checked.pop(name) for name in PROTOCOL_FIELDS if name in checked}
        extra = checked.pop("extra_endpoints", [])
        checked.pop("slug", None)
        if known and checked.get("chain_id", known["chain_id"]) != known["chain_id"]:
            self.faults.append(f"{place} chain_id: {slug} is {known['chain_id']}; another chain needs another slug")
            return
        row |= checked
        row["endpoints"] = [*extra, *row.get("endpoints", [])]
        self.rows[slug] = row
        if contracts:
            self.deployments[row["chain_id"]] = contracts

    def _may_be_new(self, slug: str, place: str, checked: Row, written: Row) -> bool:
        try:
            values.slug(slug)
        except ValueError as error:
            self.faults.append(f"{place}: {error}")
            return False
        if missing := [name for name in NEEDED_OF_A_CHAIN if name not in written]:
            meant = values.suggestion(slug, self.rows)
            self.faults.append(f"{place}: {slug} is no known chain{meant}; a new one needs {', '.join(missing)}")
            return False
        taken = [known for known, row in self.rows.items() if row["chain_id"] == checked.get("chain_id")]
        if taken:
            self.faults.append(
                f"{place} chain_id: {checked['chain_id']} is {taken[0]} already; change [chain.{taken[0]}]"
            )
        return not taken and all(name in checked for name in NEEDED_OF_A_CHAIN)

    def _choose(self, enabled: object, chosen: Mapping[str, bool]) -> None:
        if enabled is not None:
            if not isinstance(enabled, list) or not all(isinstance(slug, str) for slug in enabled):
                self.faults.append("enabled: it is no list of slugs")
                return
            for slug in enabled:
                if slug not in self.rows:
                    self.faults.append(f"enabled: {slug!r} is no known chain{values.suggestion(slug, self.rows)}")
            for slug, row in self.rows.items():
                row["enabled"] = chosen.get(slug, slug in enabled)

    def _resolve(self) -> None:
        """Endpoints of enabled chains are made ready; those of the others only have to be possible."""
        for slug, row in self.rows.items():
            if row.get("enabled") and not row.get("endpoints"):
                self.faults.append(f"[chain.{slug}]: it is enabled but has no endpoint")
            row["endpoints"] = [
                self._ready(f"[chain.{slug}] endpoint {number}", url, enabled=row.get("enabled", False))
                for number, url in enumerate(row.get("endpoints", ()), 1)
            ]

    def _ready(self, place: str, url: str, *, enabled: bool) -> str:
        if url in self.shipped_urls:  # known to be good; checking hundreds anew would cost most of the load
            return url
        try:
            if enabled:
                return resolve_url(url, self.environment)
            check_unresolved_url(url)
        except EndpointUrlError as error:
            self.faults.append(f"{place}: {error}")
        return url

    def _tokens(self, written: object) -> Iterator[Token]:
        if not isinstance(written, list):
            self.faults.append("token is no list of rows [[token]]")
            return
        seen: set[tuple[int, str]] = set()
        for number, row in enumerate(written, 1):
            place = f"[[token]] {number}"
            checked = self._fields(place, row, TOKEN_FIELDS) if isinstance(row, dict) else {}
            missing = [name for name in NEEDED_OF_A_TOKEN if not isinstance(row, dict) or name not in row]
            if missing:
                self.faults.append(f"{place}: {', '.join(missing)} missing")
            slug = checked.pop("chain", None)
            if slug is not None and slug not in self.rows:
                self.faults.append(f"{place} chain: {slug!r} is no known chain{values.suggestion(slug, self.rows)}")
            elif slug and not missing and {"address", "symbol", "decimals"} <= checked.keys():
                token = Token(chain_id=self.rows[slug]["chain_id"], **{"name": checked["symbol"], **checked})
                if (token.chain_id, token.address) in seen:
                    self.faults.append(f"{place}: {token.address} on {slug} is there twice")
                seen.add((token.chain_id, token.address))
                yield token
