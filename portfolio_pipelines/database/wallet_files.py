"""Wallet files: addresses that users want watched, as CSV, JSON or Parquet, and everything that can be wrong in them.

Belongs here: from bytes to checked rows, pure. ENS names stay names; resolving them and storing is `wallet_import`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from portfolio_pipelines.chains.addresses import ZERO_ADDRESS, parse_address
from portfolio_pipelines.chains.base58 import decode_base58
from portfolio_pipelines.chains.bitcoin.addresses import parse_bitcoin_address
from portfolio_pipelines.chains.registry import Registry
from portfolio_pipelines.chains.solana.addresses import ADDRESS_BYTES, parse_solana_address
from portfolio_pipelines.database.chain_names import find_chains
from portfolio_pipelines.market.file_faults import Faults
from portfolio_pipelines.market.table_cells import find_bad_texts
from portfolio_pipelines.market.table_files import read_table

REQUIRED: Final = ("user_id", "address")
COLUMNS: Final = (*REQUIRED, "label", "chains")
LONGEST_ID: Final = 255
LONGEST_LABEL: Final = 100
LONGEST_CHAINS: Final = 10_000
"""Characters; several hundred chains."""
BARE_HEX: Final = re.compile(r"[0-9a-f]{40}")
FAMILIES: Final = {"evm": "an EVM chain", "solana": "Solana", "bitcoin": "Bitcoin"}

ROWS: Final = pl.Schema(
    {
        "row": pl.UInt32(),  # as a spreadsheet counts
        "user_id": pl.String(),
        "written": pl.String(),  # the address as the file writes it
        "address": pl.String(),  # as it is stored; null for a name that is to be resolved
        "family": pl.String(),  # evm, solana, bitcoin
        "label": pl.String(),
        "chains": pl.List(pl.String()),  # slugs, sorted; empty for all that are enabled
    }
)
READ: Final = pl.Schema({name: pl.String() for name in ("address", "family", "parsed", "problem")})
NAMED: Final = pl.Schema(
    {"chains": pl.String(), "family": pl.String(), "slugs": pl.List(pl.String()), "chain_problem": pl.String()}
)


@dataclass(frozen=True, slots=True)
class WalletFile:
    """What a wallet file says. `rows` (schema ROWS) may be used only when `faults` is empty."""

    name: str
    sha256: str
    rows: pl.DataFrame
    faults: Faults
    has_labels: bool  # whether the file has the column at all
    has_chains: bool
    notes: tuple[str, ...]  # what is no fault, but worth knowing


def read_wallet_file(source: Path | bytes, *, chains: Registry, name: str | None = None) -> WalletFile:
    """Read a wallet file with columns user_id, address, and where it has them label and chains.

    Args:
        source: The file, or its content.
        chains: The chains that may be named.
        name: Name for messages; the file's own when not given.

    Raises:
        FileRefusedError: If nothing can be read at all. Everything else is in `faults`.
    """
    table = read_table(source, COLUMNS, name=name, json_too=True, lists=("chains",))
    cells, faults = table.cells, table.faults
    has_labels, has_chains = ("label" in cells.columns, "chains" in cells.columns)
    if cells.is_empty() and not faults:
        faults.add("has no rows")
    absent = [column for column in REQUIRED if column not in cells.columns]
    for column in absent:
        faults.add(f"column {column} is missing; the file has {', '.join(table.columns)}")
    if absent or _look_swapped(cells, faults):
        return WalletFile(table.name, table.sha256, ROWS.to_frame(), faults, has_labels, has_chains, ())
    cells = cells.with_columns(pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in cells.columns)
    find_bad_texts(cells, ["user_id"], faults, longest=LONGEST_ID, required=True)
    find_bad_texts(cells, ["address"], faults, longest=LONGEST_ID, required=True)
    find_bad_texts(cells, ["label"], faults, longest=LONGEST_LABEL, required=False)
    find_bad_texts(cells, ["chains"], faults, longest=LONGEST_CHAINS, required=False)
    cells = cells.join(read_addresses(cells["address"]), on="address", how="left", maintain_order="left")
    faults.add_rows(cells.filter(pl.col("problem").is_not_null()), lambda row: str(row["problem"]))
    named = _name_chains(cells, chains, faults)
    notes = _notes(named, chains)
    rows = named.drop_nulls(["user_id", "family", "slugs"]).select(
        "row", "user_id", written="address", address="parsed", family="family", label="label", chains="slugs"
    )
    return WalletFile(table.name, table.sha256, rows.cast(ROWS), faults, has_labels, has_chains, notes)


def recognise(text: str) -> tuple[str, str | None]:
    """The family of an address by its form, and the address as it is stored; None for an ENS name.

    Raises:
        ValueError: If it is no address; says why, and for a wrong checksum of EIP-55 the right spelling.
    """
    lower = text.lower()
    if lower.startswith("0x") or BARE_HEX.fullmatch(lower):
        address = parse_address(text)
        if address == ZERO_ADDRESS:
            msg = f"{text!r} is the zero address, where burnt tokens go: it belongs to nobody"
            raise ValueError(msg)
        return "evm", address
    if "." in text:
        return "evm", None
    if lower.startswith(("bc1", "tb1", "bcrt1")):
        return "bitcoin", parse_bitcoin_address(text)
    try:
        length = len(decode_base58(text))
    except ValueError as error:
        msg = f"{text!r} is no address: neither 0x and 40 hex digits, nor one of Solana or Bitcoin ({error})"
        raise ValueError(msg) from error
    if length == ADDRESS_BYTES:
        return "solana", parse_solana_address(text)
    if text[0] in "13":
        return "bitcoin", parse_bitcoin_address(text)
    msg = (
        f"{text!r} is no address: neither 0x and 40 hex digits, nor one of Solana ({length} bytes instead of "
        f"{ADDRESS_BYTES}) or Bitcoin"
    )
    raise ValueError(msg)


def read_addresses(column: pl.Series) -> pl.DataFrame:
    """Each distinct text of `address` with its family and the address as stored (`parsed`), or with the `problem`."""
    texts = column.drop_nulls().unique()
    found: list[tuple[str, str | None, str | None, str | None]] = []
    for text in texts:
        try:
            found.append((text, *recognise(text), None))
        except ValueError as error:
            found.append((text, None, None, str(error)))
    return pl.DataFrame(found, schema=READ, orient="row")


def _look_swapped(cells: pl.DataFrame, faults: Faults) -> bool:
    """Whether no address is one while most user ids are: the columns are swapped, and one fault says it all."""
    sample = cells.head(1_000)
    users, addresses = (read_addresses(sample[column]) for column in ("user_id", "address"))
    known = pl.col("parsed").is_not_null()
    swapped = addresses.filter(known).is_empty() and users.filter(known).height * 2 > users.height
    if swapped:
        faults.add("columns user_id and address look swapped")
    return swapped


def _name_chains(cells: pl.DataFrame, chains: Registry, faults: Faults) -> pl.DataFrame:
    """The cells with `slugs`; a fault for each chain that is unknown or on which the address cannot live."""
    asked = cells.select("chains", "family").unique()
    known = []
    for text, family in asked.iter_rows():
        found, problems = find_chains(chains, text or "")
        problems += [
            f"an address of {FAMILIES[family]} cannot be on {chain.slug}"
            for chain in found
            if family is not None and chain.family != family
        ]
        slugs = None if problems else [chain.slug for chain in found]
        known.append((text, family, slugs, "; ".join(problems) or None))
    frame = pl.DataFrame(known, schema=NAMED, orient="row")
    named = cells.join(frame, on=["chains", "family"], how="left", nulls_equal=True, maintain_order="left")
    faults.add_rows(named.filter(pl.col("chain_problem").is_not_null()), lambda row: str(row["chain_problem"]))
    return named


def _notes(named: pl.DataFrame, chains: Registry) -> tuple[str, ...]:
    slugs = named["slugs"].explode().drop_nulls().unique().sort()
    return tuple(
        f"{slug} is not enabled: nothing is read there until it is" for slug in slugs if not chains.find(slug).enabled
    )
