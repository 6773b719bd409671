"""Whether the balances of a closed day follow from those of the day before and what moved in between.

Belongs here: joining the lake's balances, transfers and reads for the sum that `chains.reconciliation` makes, and
leaving out the millions of pairs of which there is nothing to say. Reasons are decided there.

A balance that nobody had read the day before is not zero: where the lake cannot tell the two apart, the opening is
unknown, and the row says `stale` without a difference.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.chain_tables import (
    BALANCE_RECONCILIATION,
    BALANCE_RECONCILIATION_SCHEMA,
    CHAIN_READS,
    CHAIN_READS_SCHEMA,
    TOKEN_TRANSFERS,
    TOKEN_TRANSFERS_SCHEMA,
    WALLET_ACTIVITY,
    WALLET_ACTIVITY_SCHEMA,
    WALLET_BALANCES,
    WALLET_BALANCES_SCHEMA,
)
from portfolio_pipelines.chains.reconciliation import NATIVE, reconcile
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.database.chain_tokens import chain_tokens_frame
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter, fingerprint, frame_fingerprint

RECONCILIATION_VERSION: Final = "1"
TOKEN_COLUMNS: Final = pl.Schema(
    {
        "token_key": pl.Int32(),
        "chain_id": pl.Int64(),
        "address": pl.String(),
        "source": pl.String(),
        "is_rebasing": pl.Boolean(),
    }
)
"""What is needed of tokens: columns of `database.chain_tokens`."""
_KEYS: Final = ["wallet_key", "token_key"]
_BALANCE: Final = [*_KEYS, "raw", "raw_hex", "is_stale"]
_DAY: Final = timedelta(days=1)


def reconcile_day(lake: Lake, day: date, chain: Chain, tokens: pl.DataFrame) -> pl.DataFrame:
    """Compare what the balances of a chain should be at the close of a day with what they are.

    Args:
        lake: Holds the balances of the day and the day before, and the reads and transfers of the day.
        day: Of which the sum is made.
        chain: Its coin leaves no logs (`not_traceable`); of families other than EVM no token does.
        tokens: TOKEN_COLUMNS of the chain's tokens.

    Returns:
        BALANCE_RECONCILIATION_SCHEMA, sorted by wallet and token: the pairs that moved or became another balance, and
        nothing of those that stayed as they were. No rows as long as the close of the day, or of the day before, was
        not read: there is nothing to compare.
    """
    close, before = close_of(lake, day, chain.slug), close_of(lake, day - _DAY, chain.slug)
    if close is None or before is None:
        return pl.DataFrame(schema=BALANCE_RECONCILIATION_SCHEMA)
    known = lake.read_chain(WALLET_ACTIVITY, day - _DAY, chain.slug, WALLET_ACTIVITY_SCHEMA)
    known = known.filter(pl.col("last_read").is_not_null()).select(pl.col("wallet_key").cast(pl.Int32))
    opening, observed = (
        lake.read_chain(WALLET_BALANCES, of, chain.slug, WALLET_BALANCES_SCHEMA, _BALANCE).join(
            known, on="wallet_key", how="semi"
        )
        for of in (day - _DAY, day)
    )
    moved = _movements(lake, day, chain.slug).join(known, on="wallet_key", how="semi")
    wanted, compared = _worth_comparing(opening, observed, moved)
    native = tokens.filter(pl.col("address") == NATIVE)["token_key"].to_list()
    constants = [pl.lit(day).alias("day"), pl.lit(chain.chain_id, pl.Int64).alias("chain_id")]

    def keyed(frame: pl.DataFrame) -> pl.DataFrame:
        return _as_text(frame.join(compared, on=_KEYS, how="semi"), native).with_columns(constants)

    rebasing = tokens.filter("is_rebasing").select("chain_id", pl.col("token_key").cast(pl.String).alias("token"))
    found = reconcile(
        keyed(opening),
        keyed(observed),
        keyed(moved),
        rebasing=rebasing,
        unscanned=None if close["is_scanned"] else pl.DataFrame({"day": [day], "chain_id": [chain.chain_id]}),
    )
    rows = _as_keys(found, native).join(wanted, on=_KEYS, how="semi")
    rows = _without_guesses(
        rows,
        opening,
        observed,
        unlisted=tokens.filter(pl.col("source") == "discovered")["token_key"],
        same_list=before["tokens"] == close["tokens"],
        some_unread=bool(close["failed_balances"]),
    )
    if chain.family != "evm":
        silent = ~pl.col("reason").is_in(["ok", "stale"])
        rows = rows.with_columns(reason=pl.when(silent).then(pl.lit("not_traceable")).otherwise("reason"))
    return rows.select(BALANCE_RECONCILIATION_SCHEMA.names()).cast(BALANCE_RECONCILIATION_SCHEMA).sort(_KEYS)


def close_of(lake: Lake, day: date, chain: str) -> dict[str, object] | None:
    """The newest read at the close of a day, columns of CHAIN_READS_SCHEMA; None when there was none."""
    reads = lake.read_chain(CHAIN_READS, day, chain, CHAIN_READS_SCHEMA).filter("is_close")
    return reads.row(-1, named=True) if reads.height else None


def listed_tokens(tokens: pl.DataFrame) -> str:
    """A fingerprint of the tokens (TOKEN_COLUMNS) but those that were only met: they change nothing of earlier days."""
    listed = tokens.filter((pl.col("source") != "discovered") | pl.col("is_rebasing")).sort("token_key")
    return frame_fingerprint(listed.select(TOKEN_COLUMNS.names()))


def reconciliation_inputs(writer: PartitionWriter, day: date, chain: Chain, listed: str) -> str:
    """What the reconciliation of a day and chain rests on; `listed` is the fingerprint that `listed_tokens` gives."""
    before = [writer.content(table, day - _DAY, chain.slug) for table in (WALLET_BALANCES, CHAIN_READS)]
    own = [writer.content(table, day, chain.slug) for table in (WALLET_BALANCES, TOKEN_TRANSFERS, CHAIN_READS)]
    return fingerprint(*before, *own, chain.family, listed)


@dg.asset(
    deps=["wallet_balances", "token_transfers"],
    group_name="core",
    owners=OWNERS,
    kinds={"parquet"},
    code_version=RECONCILIATION_VERSION,
    metadata=column_schema(BALANCE_RECONCILIATION_SCHEMA),
)
def balance_reconciliation(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    chains: dg.ResourceParam[ChainConnections],
) -> dg.MaterializeResult[None]:
    """Opening + received − sent = observed, for what moved or changed; the difference with its reason.

    Every day of every chain in the lake is looked at, and computed where an input changed. So nothing is left out
    when the run that read the chains failed because of one of them.
    """
    tokens = chain_tokens_frame(database.engine).select(TOKEN_COLUMNS.names())
    by_chain = {number: frame for (number,), frame in tokens.partition_by("chain_id", as_dict=True).items()}
    listed = {number: listed_tokens(frame) for number, frame in by_chain.items()}
    reasons: Counter[str] = Counter()
    computed, last = 0, pl.DataFrame(schema=BALANCE_RECONCILIATION_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        for day, slug in sorted(lake.chain_days(WALLET_BALANCES)):
            chain = chains.registry.by_slug.get(slug)
            if chain is None:  # the user took it out of chains.toml
                continue
            inputs = reconciliation_inputs(writer, day, chain, listed.get(chain.chain_id, ""))
            if not writer.is_current(BALANCE_RECONCILIATION, day, inputs, RECONCILIATION_VERSION, slug):
                last = reconcile_day(lake, day, chain, by_chain.get(chain.chain_id, tokens.clear()))
                writer.write(BALANCE_RECONCILIATION, day, last, inputs, RECONCILIATION_VERSION, slug)
                reasons.update(last["reason"].to_list())
                computed += 1
    found = dict(sorted(reasons.items()))
    return dg.MaterializeResult(metadata=written(last, reasons.total(), reasons=found, partitions_computed=computed))


def _movements(lake: Lake, day: date, chain: str) -> pl.DataFrame:
    """wallet_key, token_key, part, raw, raw_hex of what came and went."""
    columns = [*_KEYS, "direction", "raw", "raw_hex", "kind"]
    transfers = lake.read_chain(TOKEN_TRANSFERS, day, chain, TOKEN_TRANSFERS_SCHEMA, columns)
    part = pl.when(pl.col("direction") == "in").then(pl.lit("received")).otherwise(pl.lit("sent"))
    return transfers.filter(pl.col("kind") == "erc20").select(*_KEYS, part.alias("part"), "raw", "raw_hex")


def _worth_comparing(
    opening: pl.DataFrame, observed: pl.DataFrame, moved: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The pairs that get a row, and those that are looked at.

    The latter are the former and, of each token whose balances changed without a transfer, one that stayed as it was:
    it shows that the token did not rebase.
    """
    sides = opening.join(observed, on=_KEYS, how="full", coalesce=True, suffix="_now")
    is_same = pl.col("raw").eq_missing(pl.col("raw_now")) & pl.col("raw_hex").eq_missing(pl.col("raw_hex_now"))
    pairs = moved.select(_KEYS).unique()
    changed = sides.filter(~is_same).select(_KEYS)
    wanted = pl.concat([pairs, changed]).unique()
    suspects = changed.join(pairs, on=_KEYS, how="anti").select("token_key").unique()
    quiet = sides.filter(is_same & ~pl.col("is_stale") & ~pl.col("is_stale_now"))
    quiet = quiet.join(suspects, on="token_key", how="semi").join(pairs, on=_KEYS, how="anti")
    witnesses = quiet.sort("wallet_key").unique("token_key", keep="first", maintain_order=True)
    return wanted, pl.concat([wanted, witnesses.select(_KEYS)])


def _as_text(frame: pl.DataFrame, native: Sequence[int]) -> pl.DataFrame:
    token = pl.col("token_key")
    is_native = token.is_in(pl.Series(native, dtype=pl.Int32).implode())
    return frame.with_columns(
        pl.col("wallet_key").cast(pl.String).alias("wallet"),
        pl.when(is_native).then(pl.lit(NATIVE)).otherwise(token.cast(pl.String)).alias("token"),
    )


def _as_keys(frame: pl.DataFrame, native: Sequence[int]) -> pl.DataFrame:
    coin = pl.lit(native[0] if native else None, pl.Int32)
    is_native = pl.col("token") == NATIVE
    return frame.with_columns(
        pl.col("wallet").cast(pl.Int32).alias("wallet_key"),
        pl.when(is_native).then(coin).otherwise(pl.col("token").cast(pl.Int32, strict=False)).alias("token_key"),
    )


def _without_guesses(
    rows: pl.DataFrame,
    opening: pl.DataFrame,
    observed: pl.DataFrame,
    *,
    unlisted: pl.Series,
    same_list: bool,
    some_unread: bool,
) -> pl.DataFrame:
    """Take back differences that rest on a balance that may not have been read.

    A token that is not listed is read only where a transfer showed it, so that a first transfer brings to light what
    the wallet had before. A listed one that nobody had the day before may have been listed since. A balance that
    could not be read and was not known before has no row at all.
    """
    rows = rows.join(opening.select(*_KEYS, _opened=pl.lit(True)), on=_KEYS, how="left", maintain_order="left")
    rows = rows.join(observed.select(*_KEYS, _seen=pl.lit(True)), on=_KEYS, how="left", maintain_order="left")
    had = opening["token_key"].unique().implode()
    newly_listed = pl.lit(not same_list) & ~pl.col("token_key").is_in(had)
    no_opening = pl.col("_opened").is_null() & (pl.col("token_key").is_in(unlisted.implode()) | newly_listed)
    no_answer = pl.col("_opened").is_null() & pl.col("_seen").is_null() & pl.lit(some_unread)
    guessed = (no_opening | no_answer) & ~pl.col("reason").is_in(["ok", "not_traceable"])
    hidden = [
        *((name, guessed) for name in ("difference", "difference_hex")),
        *((name, guessed & no_opening) for name in ("opening", "opening_hex")),
        *((name, guessed & no_answer) for name in ("observed", "observed_hex")),
    ]
    return rows.with_columns(
        *(pl.when(~when).then(pl.col(name)).alias(name) for name, when in hidden),
        reason=pl.when(guessed).then(pl.lit("stale")).otherwise("reason"),
    )
