"""One day of liquidity out of the lake: the newest reads up to it, positions that are the same thing twice, hours.

Belongs here: which files count and which rows belong together. What a position lost is computed in `finance`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from portfolio_pipelines.assets.liquidity_frames import COLUMNS, TOKENS, pools
from portfolio_pipelines.assets.liquidity_weighted import first_weight
from portfolio_pipelines.chain_tables import (
    CHAIN_TOKENS,
    CHAIN_TOKENS_SCHEMA,
    CHAINS,
    CHAINS_SCHEMA,
    DEFI_POSITIONS,
    DEFI_POSITIONS_SCHEMA,
    POOL_STATES,
    POOL_STATES_SCHEMA,
    WALLETS,
    WALLETS_SCHEMA,
)
from portfolio_pipelines.finance.impermanent_loss_bases import POSITION
from portfolio_pipelines.finance.impermanent_loss_positions import ENTERED, entered_losses, fees_apart, read_losses
from portfolio_pipelines.liquidity_tables import (
    IMPERMANENT_LOSS,
    IMPERMANENT_LOSS_SCHEMA,
    LIQUIDITY_BASES,
    LIQUIDITY_BASES_SCHEMA,
)
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter, frame_fingerprint
from portfolio_pipelines.tables import PRICES, PRICES_SCHEMA, UTC_TIME

ChainDay = tuple[date, str]
_POOL: Final = ["chain", "pool"]


@dataclass(frozen=True, slots=True)
class LiquidityDays:
    """What days of liquidity are made from.

    Attributes:
        lake: The lake.
        tokens: TOKENS of all chains.
        wallets: Columns wallet_key, user_id, address, removed_on.
        days: The days that each chain has a file of the table for, ascending.
        tokens_fingerprint: Of `tokens`.
    """

    lake: Lake
    tokens: pl.DataFrame
    wallets: pl.DataFrame
    days: dict[str, list[date]]
    tokens_fingerprint: str

    @classmethod
    def of(cls, lake: Lake, table: str) -> "LiquidityDays":
        """The sources, with the days of one table that is cut by day and chain."""
        chains = lake.read_table(CHAINS, CHAINS_SCHEMA, ["chain_id", "chain"])
        names = ["token_key", "chain_id", "address", "decimals", "price_asset_id"]
        tokens = lake.read_table(CHAIN_TOKENS, CHAIN_TOKENS_SCHEMA, names).join(chains, on="chain_id")
        tokens = tokens.select(TOKENS.names()).cast(TOKENS).sort("token_key")
        wallets = lake.read_table(WALLETS, WALLETS_SCHEMA, ["wallet_key", "user_id", "address", "removed_on"])
        days: dict[str, list[date]] = {}
        for day, chain in sorted(lake.chain_days(table)):
            days.setdefault(chain, []).append(day)
        return cls(lake, tokens, wallets.sort("wallet_key"), days, frame_fingerprint(tokens))

    def newest(self, day: date) -> list[ChainDay]:
        """The newest file of each chain up to a day: a day without a read carries the state of an earlier one."""
        found = ((days[bisect_right(days, day) - 1], chain) for chain, days in self.days.items() if days[0] <= day)
        return sorted(found, key=lambda one: one[1])

    def watched(self, day: date) -> pl.DataFrame:
        """The wallets that are watched on a day: wallet_key, user_id, address."""
        stays = pl.col("removed_on").is_null() | (pl.col("removed_on") > day)
        return self.wallets.filter(stays).drop("removed_on")

    def contents(self, writer: PartitionWriter, table: str, states: Iterable[ChainDay]) -> Iterator[str]:
        """What the files of a table hold."""
        for day, chain in states:
            yield f"{day} {chain} {writer.content(table, day, chain)}"

    def positions(self, states: Sequence[ChainDay], day: date) -> pl.DataFrame:
        """Positions in protocols, COLUMNS and chain, of wallets that are watched on the day."""
        schema = DEFI_POSITIONS_SCHEMA
        read = self._read(DEFI_POSITIONS, states, schema, COLUMNS, day)
        return read.join(self.watched(day).select("wallet_key"), on="wallet_key", how="semi")

    def pools(self, states: Sequence[ChainDay], day: date, entered: pl.DataFrame) -> pl.DataFrame:
        """Pools as `liquidity_frames.POOLS`; `entered` (LIQUIDITY_POSITIONS_SCHEMA): positions that name them."""
        read = self._read(POOL_STATES, states, POOL_STATES_SCHEMA, POOL_STATES_SCHEMA.names(), day)
        return pools(read, self.tokens, entered)

    def usd(self, day: date) -> pl.DataFrame:
        """Prices of tokens: token_key, usd, known_at; without those that have none."""
        columns = ["asset_id", "date", "close_usd", "known_at"]
        prices = self.lake.read(PRICES, [day], PRICES_SCHEMA, columns).filter(pl.col("close_usd").is_not_null())
        named = prices.select(pl.col("asset_id").alias("price_asset_id"), pl.col("close_usd").alias("usd"), "known_at")
        return self.tokens.select("token_key", "price_asset_id").join(named, on="price_asset_id").drop("price_asset_id")

    def _read(
        self, table: str, states: Sequence[ChainDay], schema: pl.Schema, columns: Sequence[str], day: date
    ) -> pl.DataFrame:
        frames = [pl.DataFrame(schema=pl.Schema({name: schema[name] for name in columns})).with_columns(_chain(None))]
        for of, chain in states:
            rows = self.lake.read_chain(table, of, chain, schema, columns).with_columns(_chain(chain))
            frames.append(rows if of == day else rows.with_columns(is_stale=pl.lit(True)))
        return pl.concat(frames)


def day_losses(sources: LiquidityDays, day: date, entered: pl.DataFrame, at_entry: Sequence[ChainDay]) -> pl.DataFrame:
    """Rows of IMPERMANENT_LOSS_SCHEMA of a day, all of them its last.

    Liquidity that its owner entered and that was read too is the same: what was entered, which knows its first price,
    stands for both as soon as it can be told in dollars. Until then both are shown, and one of them has none.

    Args:
        sources: With the days of POOL_STATES.
        day: Which.
        entered: LIQUIDITY_POSITIONS_SCHEMA, those that count on the day.
        at_entry: Day and chain of their entries.
    """
    usd = sources.usd(day)
    schema = pl.Schema({**LIQUIDITY_BASES_SCHEMA, "date": pl.Date()})
    bases = sources.lake.read(LIQUIDITY_BASES, [day], schema).drop("date")
    read = read_losses(bases, usd).join(sources.watched(day), on="wallet_key", how="inner")
    read = read.join(fees_apart(bases, usd), on=POSITION, how="left").with_columns(
        position_id_read=pl.concat_str("chain", "protocol", "position_id", "address", separator="/")
    )
    pairs = _same_pool(entered, read)
    own = _entered(sources, day, entered, at_entry, usd, pairs)
    told = own.filter(pl.col("hodl_value_usd").is_not_null() & pl.col("il_pct").is_not_null())
    both = pairs.join(told, on="position_key", how="semi")["position_id_read"]
    is_told = pl.col("position_id_read").is_in(both.implode())
    shown = read.filter(~is_told).select(
        "user_id", pl.col("position_id_read").alias("position_id"), pl.lit("read").alias("source"), "basis", "since",
        "chain", "protocol", "pool", pl.lit(None, pl.String).alias("label"), "wallet_key",
        pl.col("position_id").alias("chain_position_id"), *_SAME,
    )  # fmt: skip
    rows = pl.concat([shown, own.select(shown.columns)]).with_columns(date=pl.lit(day), is_last_of_day=pl.lit(True))
    return rows.select(IMPERMANENT_LOSS_SCHEMA.names()).cast(IMPERMANENT_LOSS_SCHEMA).sort("user_id", "position_id")


def with_earlier_hours(lake: Lake, day: date, losses: pl.DataFrame) -> pl.DataFrame:
    """The rows of a day and, before them, those of its earlier reads that the lake already has.

    A row of the same or a later time than the new one of its position is replaced: its block or price was.
    """
    known = lake.read(IMPERMANENT_LOSS, [day], IMPERMANENT_LOSS_SCHEMA)
    newest = losses.select("position_id", pl.col("as_of").alias("_newest"))
    earlier = known.join(newest, on="position_id", how="left").filter(
        pl.col("_newest").is_null() | (pl.col("as_of") < pl.col("_newest"))
    )
    rows = pl.concat([earlier.drop("_newest").with_columns(is_last_of_day=pl.lit(False)), losses])
    return rows.sort("user_id", "position_id", "as_of")


_SAME: Final = [
    "entry_price", "price", "price_ratio", "lower_price", "upper_price", "in_range", "il_pct", "il_usd", "fees_usd",
    "net_usd", "hodl_value_usd", "position_value_usd", "reason", "is_stale", "as_of",
]  # fmt: skip


def _entered(
    sources: LiquidityDays,
    day: date,
    entered: pl.DataFrame,
    at_entry: Sequence[ChainDay],
    usd: pl.DataFrame,
    pairs: pl.DataFrame,
) -> pl.DataFrame:
    """Losses of the entered positions, as rows of IMPERMANENT_LOSS_SCHEMA and more."""
    now = sources.pools(sources.newest(day), day, entered)
    # Of a deposit the day is known and not the hour, so fees count from the close of that day.
    begun = pl.concat(
        [
            now.clear(),
            *(sources.pools([state], state[0], entered).with_columns(entry_date=state[0]) for state in at_entry),
        ],
        how="diagonal",
    ).with_columns(pl.col("entry_date").cast(pl.Date) if at_entry else pl.lit(None, pl.Date).alias("entry_date"))
    rows = (
        entered.join(now.drop("protocol", "coins"), on=_POOL, how="left")
        .join(begun.select(*_POOL, "entry_date", growth_0="growth"), on=[*_POOL, "entry_date"], how="left")
        .join(_same_position(pairs), on="position_key", how="left")
    )
    for place in (0, 1):
        named = sources.tokens.select("chain", pl.col("address").alias(f"token{place}"), _known=pl.col("token_key"))
        prices = usd.select(pl.col("token_key").alias(f"token_key{place}"), pl.col("usd").alias(f"usd{place}"),
                            pl.col("known_at").alias(f"known_at{place}"))  # fmt: skip
        rows = rows.join(named, on=["chain", f"token{place}"], how="left")
        rows = rows.with_columns(pl.coalesce(f"token_key{place}", "_known").alias(f"token_key{place}")).drop("_known")
        rows = rows.join(prices, on=f"token_key{place}", how="left")
    grown = pl.col("growth") / pl.col("growth_0")
    is_range = pl.col("protocol") == "uniswap_v3"
    end = pl.lit(day).cast(pl.Datetime("us")).dt.replace_time_zone("UTC") + pl.duration(days=1)
    rows = rows.with_columns(
        growth_since=grown - 1,
        price=pl.coalesce("price", pl.col("usd0") / pl.col("usd1")),
        units=pl.when(is_range).then("read_units").otherwise(pl.col("read_units") / grown),
        as_of=pl.coalesce("as_of", pl.min_horizontal("known_at0", "known_at1", end), end).cast(UTC_TIME),
        is_stale=pl.coalesce("is_stale", True),  # only market prices stand behind it
        amplification=pl.col("amplification").cast(pl.Float64),
        weight0=first_weight(),
    )
    losses = entered_losses(rows.cast({name: kind for name, kind in ENTERED.items() if name in rows.columns}))
    return losses.with_columns(
        position_id=pl.concat_str(pl.lit("entered/"), pl.col("position_key").cast(pl.String)),
        source=pl.lit("entered"),
        since=pl.col("entry_date"),
        wallet_key=pl.coalesce("wallet_key", "read_wallet_key"),
    )


def _same_pool(entered: pl.DataFrame, read: pl.DataFrame) -> pl.DataFrame:
    """Entered and read positions of one user in one pool, and in one wallet where the user said which."""
    own = entered.select("position_key", "user_id", "wallet_key", *_POOL)
    return own.join(read, on=["user_id", *_POOL], how="inner", suffix="_read").filter(
        pl.col("wallet_key").is_null() | (pl.col("wallet_key") == pl.col("wallet_key_read"))
    )


def _same_position(pairs: pl.DataFrame) -> pl.DataFrame:
    """Which read position each entered one is: where both are the only ones, nobody has to guess."""
    alone = (pl.len().over("position_key") == 1) & (pl.len().over("position_id_read") == 1)
    return pairs.filter(alone).select(
        "position_key", "lower_price", "upper_price", pl.col("position_id").alias("chain_position_id"),
        pl.col("wallet_key_read").alias("read_wallet_key"), pl.col("whole_units").alias("read_units"),
        pl.col("all_fees_usd").alias("fees_usd"),
    )  # fmt: skip


def _chain(name: str | None) -> pl.Expr:
    return pl.lit(name, pl.String).alias("chain")
