"""Which of the tokens that wallets hold are spam: evidence out of the lake, and the verdict into the quarantine.

Belongs here: collecting what is known of tokens that nobody listed. Counting is `chains.evidence`, judging is
`chains.spam`, and keeping verdicts is `database.token_trust`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import RETRY
from portfolio_pipelines.assets.metadata import OWNERS, column_schema
from portfolio_pipelines.chain_tables import (
    DEFI_POSITIONS,
    RECEIPT_RATIOS,
    RECEIPT_RATIOS_SCHEMA,
    TOKEN_TRANSFERS,
    WALLET_BALANCES,
)
from portfolio_pipelines.chains.evidence import how_it_came, largest_holdings, worth_by_ratio
from portfolio_pipelines.chains.price_assets import price_asset
from portfolio_pipelines.chains.registry import Registry
from portfolio_pipelines.chains.spam import EVIDENCE, score_tokens
from portfolio_pipelines.chains.tokens import TokenList
from portfolio_pipelines.database.chain_models import NATIVE
from portfolio_pipelines.database.chain_tokens import chain_tokens_frame
from portfolio_pipelines.database.token_trust import (
    QUARANTINE_SCHEMA,
    VERDICTS,
    quarantine_frame,
    set_quarantine,
    whitelist_frame,
)
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import PRICES, PRICES_SCHEMA

TRUST_VERSION: Final = "1"
RATIO_KEYS: Final = ("token_key", "underlying_token_key")
TRANSFER_DAYS: Final = 30
"""How far back transfers are looked at. A token is judged within hours of coming; a month bridges outages, and what
was seen of a quarantined token before stays known."""
MANY_WALLETS: Final = 1_000
"""Stands for a number that is no longer known, but was enough for a mass airdrop."""
OUTAGES: Final = ("rate_limited",)
"""Price statuses that say nothing about the asset: its providers did not answer."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a look at the tokens.

    Attributes:
        judged: How many tokens were looked at.
        quarantined: How many of them count in no total now.
        added: How many of these did before.
        released: How many count again.
        reasons: How often each doubt was the strongest one against a quarantined token.
        worst: symbol, name, chain_id, token, score, reasons of those that are worth most, then the most suspicious.
    """

    judged: int
    quarantined: int
    added: int
    released: int
    reasons: Mapping[str, int]
    worst: pl.DataFrame


def judge_tokens(database: Database, lake: Lake, registry: Registry, listed: TokenList) -> Judgement:
    """Judge every token that wallets hold and nobody listed, and bring the quarantine to the verdicts.

    Listed tokens and those that a person added are never judged; one that became so is released. What a user vouches
    for is judged all the same: the entry counts for that user alone.

    Args:
        database: Tokens, whitelist and quarantine.
        lake: Balances, positions, transfers and prices.
        registry: The chains.
        listed: The tokens that are what they say.
    """
    tokens = chain_tokens_frame(database.engine)
    is_trusted = (pl.col("source") != "discovered") | (pl.col("address") == NATIVE) | _is_listed(tokens, listed)
    tokens = tokens.with_columns(is_trusted.alias("is_trusted"))
    before = quarantine_frame(database.engine)
    balances = _newest(lake, WALLET_BALANCES)
    held = _held(balances, _newest(lake, DEFI_POSITIONS))
    doubtful = tokens.filter(~pl.col("is_trusted")).join(held, on="token_key", how="semi")
    ratios = _ratios(lake)
    asked = pl.concat([held, *(ratios.select(pl.col(name).alias("token_key")) for name in RATIO_KEYS)]).unique()
    prices = _prices(lake, tokens.join(asked, on="token_key", how="semi"), registry, listed)
    prices = _with_derived(prices, worth_by_ratio(prices, ratios))
    came = _transfers_tell(lake, doubtful["token_key"], tokens.filter("is_trusted")["token_key"])
    evidence = _evidence(doubtful, prices, _remembered(came, before, doubtful["token_key"]), balances)
    vouched_for = whitelist_frame(database.engine).filter(pl.col("user_key").is_null())
    scored = score_tokens(
        evidence.select("token_key", *EVIDENCE),
        _originals(registry, listed),
        vouched_for.select("chain_id", pl.col("address").alias("token")),
    )
    guilty = scored.filter("quarantined")
    acquitted = before.join(tokens.filter("is_trusted"), on="token_key", how="semi")["token_key"]
    added, released = set_quarantine(
        database.engine, guilty.select(VERDICTS.names()), pl.concat([scored["token_key"], acquitted])
    )
    strongest = Counter(reasons[0] for reasons in guilty["reasons"].to_list())
    worst = guilty.sort("value_usd", "score", "token_key", descending=[True, True, False], nulls_last=True)
    shown = worst.select("symbol", "name", "chain_id", "token", "score", pl.col("reasons").list.join(", "))
    return Judgement(scored.height, guilty.height, added, released, dict(strongest.most_common()), shown)


@dg.asset(
    deps=["wallet_balances", "prices_daily"],
    group_name="core",
    owners=OWNERS,
    kinds={"postgres"},
    code_version=TRUST_VERSION,
    metadata=column_schema(QUARANTINE_SCHEMA),
    retry_policy=RETRY,
)
def token_quarantine(
    lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database], chains: dg.ResourceParam[ChainConnections]
) -> dg.MaterializeResult[None]:
    """Tokens that look like spam and count in no total until somebody vouches for them."""
    found = judge_tokens(database, lake, chains.registry, chains.tokens)
    with pl.Config(tbl_formatting="MARKDOWN", tbl_hide_dataframe_shape=True, tbl_cols=-1, fmt_str_lengths=60):
        worst = str(found.worst.head(10))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": found.quarantined,
            "judged": found.judged,
            "newly_quarantined": found.added,
            "released": found.released,
            "strongest_reasons": dict(found.reasons),
            "worst": dg.MetadataValue.md(worst),
        }
    )


def newest_files(lake: Lake, table: str) -> dict[str, Path]:
    """The newest file of each chain, by slug."""
    return {chain: lake.path(table, day, chain) for day, chain in sorted(lake.chain_days(table))}


def _newest(lake: Lake, table: str) -> pl.LazyFrame | None:
    return _scan(newest_files(lake, table).values())


def _scan(paths: Iterable[Path]) -> pl.LazyFrame | None:
    files = sorted(paths)
    return pl.scan_parquet(files, hive_partitioning=False) if files else None


def _held(balances: pl.LazyFrame | None, positions: pl.LazyFrame | None) -> pl.DataFrame:
    """Keys of the tokens in wallets and in positions."""
    parts = [frame.select("token_key") for frame in (balances, positions) if frame is not None]
    if not parts:
        return pl.DataFrame(schema={"token_key": pl.Int32})
    return pl.concat(parts).drop_nulls().unique().collect(engine="streaming")


def _is_listed(tokens: pl.DataFrame, listed: TokenList) -> pl.Series:
    keys = tokens.select("chain_id", "address").iter_rows()
    return pl.Series([listed.get(chain_id, address) is not None for chain_id, address in keys], dtype=pl.Boolean)


def _originals(registry: Registry, listed: TokenList) -> pl.DataFrame:
    """What may be imitated: listed tokens and the coins of the chains."""
    rows = [(token.chain_id, token.address, token.symbol, token.name) for token in listed]
    coins = [(chain.chain_id, None, chain.native_symbol, None) for chain in registry]
    schema = {"chain_id": pl.Int64, "token": pl.String, "symbol": pl.String, "name": pl.String}
    return pl.DataFrame([*rows, *coins], schema=schema, orient="row")


def _evidence(
    doubtful: pl.DataFrame, prices: pl.DataFrame, came: pl.DataFrame, balances: pl.LazyFrame | None
) -> pl.DataFrame:
    """token_key and the columns of EVIDENCE, of the doubtful tokens."""
    rows = doubtful.select("token_key", "chain_id", pl.col("address").alias("token"), "symbol", "name")
    parts = [prices.select("token_key", "price_sources", "worth_by_ratio"), came]
    if balances is not None and rows.height:
        units = prices.filter(pl.col("unit_usd") > 0).select("token_key", "unit_usd")
        amounts = balances.select("wallet_key", "token_key", "raw", "raw_hex")
        parts.append(largest_holdings(amounts, units, rows["token_key"]))
    for part in parts:
        rows = rows.join(part, on="token_key", how="left", maintain_order="left")
    absent = [pl.lit(None, kind).alias(name) for name, kind in EVIDENCE.items() if name not in rows.columns]
    return rows.with_columns(absent)


def _prices(lake: Lake, tokens: pl.DataFrame, registry: Registry, listed: TokenList) -> pl.DataFrame:
    """token_key, price_sources, unit_usd (one smallest unit) of the tokens that have prices on the newest day.

    The number of sources is unknown where they could not be asked, or a person set the price; and one source is no
    doubt where none of the assets has two: then there is no second provider that could know it.
    """
    days = lake.days(PRICES)
    rows = lake.read(
        PRICES, [max(days)] if days else [], PRICES_SCHEMA, ["asset_id", "close_usd", "status", "n_quotes"]
    )
    most = rows["n_quotes"].max()
    told = ~pl.col("status").is_in([*OUTAGES, "manual"]) & ((pl.col("n_quotes") != 1) | pl.lit(most != 1))
    quoted = rows.select(
        pl.col("asset_id").alias("price_asset_id"),
        "close_usd",
        pl.when(told).then(pl.col("n_quotes").cast(pl.Int64)).alias("price_sources"),
    )
    assets = [
        asset.asset_id if asset else None
        for asset_id, coingecko_id in tokens.select("asset_id", "coingecko_id").iter_rows()
        for asset in [price_asset(registry, listed, asset_id, coingecko_id)]
    ]
    named = tokens.select("token_key", "decimals", pl.Series("price_asset_id", assets, dtype=pl.String))
    unit = pl.col("close_usd") / pl.lit(10.0).pow(pl.col("decimals").cast(pl.Float64))
    return named.join(quoted, on="price_asset_id").select("token_key", "price_sources", unit.alias("unit_usd"))


def _ratios(lake: Lake) -> pl.DataFrame:
    """What receipts say that they stand for, at the newest read of each chain."""
    newest = _newest(lake, RECEIPT_RATIOS)
    columns = [*RATIO_KEYS, "numerator", "denominator"]
    if newest is None:
        return pl.DataFrame(schema={name: RECEIPT_RATIOS_SCHEMA[name] for name in columns})
    return newest.select(columns).collect()


def _with_derived(prices: pl.DataFrame, derived: pl.DataFrame) -> pl.DataFrame:
    """The prices, with those that follow from ratios where there is no other; `worth_by_ratio` says which."""
    own = derived.select("token_key", pl.col("unit_usd").alias("_derived"))
    return prices.join(own, on="token_key", how="full", coalesce=True).select(
        "token_key",
        "price_sources",
        pl.col("_derived").is_not_null().alias("worth_by_ratio"),
        pl.coalesce("_derived", "unit_usd").alias("unit_usd"),
    )


def _transfers_tell(lake: Lake, judged: pl.Series, trusted: pl.Series) -> pl.DataFrame:
    there = lake.chain_days(TOKEN_TRANSFERS)
    days = set(sorted({day for day, _ in there}, reverse=True)[:TRANSFER_DAYS])
    transfers = _scan(lake.path(TOKEN_TRANSFERS, day, chain) for day, chain in there if day in days)
    if transfers is None or judged.is_empty():
        return pl.DataFrame(schema={"token_key": pl.Int32, "solicited": pl.Boolean, "most_receivers": pl.Int64})
    return how_it_came(transfers, judged, trusted)


def _remembered(seen: pl.DataFrame, before: pl.DataFrame, judged: pl.Series) -> pl.DataFrame:
    """How tokens came, with what was found against those that are quarantined already.

    Their transfers may be older than those that are looked at: without them, a token would count again by and by.
    """
    found = pl.col("reasons").list.contains
    known = before.filter(pl.col("token_key").is_in(judged.implode())).select(
        "token_key",
        pl.when(found("unsolicited")).then(pl.lit(False)).alias("_solicited"),
        pl.when(found("mass_airdrop")).then(pl.lit(MANY_WALLETS, pl.Int64)).alias("_receivers"),
    )
    both = seen.join(known, on="token_key", how="full", coalesce=True)
    return both.select(
        "token_key",
        pl.coalesce("solicited", "_solicited").alias("solicited"),
        pl.max_horizontal("most_receivers", "_receivers").alias("most_receivers"),
    )
