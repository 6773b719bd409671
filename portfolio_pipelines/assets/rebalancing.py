"""Target allocations in the lake, and plans back to them. The arithmetic is in `finance`, drift is measured by dbt.

Plans come after the marts, because what a user holds is only known there. What they add to the marts is built once more
in the same step; without strategies nothing is.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import dagster as dg
import polars as pl

from portfolio_pipelines.allocation_tables import (
    ALLOCATION_TARGETS,
    ALLOCATION_TARGETS_SCHEMA,
    CHAIN_FEES,
    CHAIN_FEES_SCHEMA,
    REBALANCING_PLANS,
    REBALANCING_PLANS_SCHEMA,
)
from portfolio_pipelines.assets.days import RETRY
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.database.target_plans import (
    PLANS_STATE,
    PROPOSALS,
    VALID_FOR,
    plans_frame,
    save_proposals,
)
from portfolio_pipelines.database.target_versions import TARGETS_STATE, targets_frame
from portfolio_pipelines.finance.rebalancing_books import BOOK_ROWS, plans_of
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter, fingerprint, frame_fingerprint
from portfolio_pipelines.resources.warehouse import Warehouse

TARGETS_VERSION: Final = "1"
FEES_VERSION: Final = "1"
PLANS_VERSION: Final = "1"
MARKET: Final = "market"
"""What marts call the place of investments: an exchange, where nobody pays gas."""
SWAP_GAS: Final = 200_000
"""Gas of one swap of two tokens through a router, approval included: 130,000 to 180,000 and 46,000."""
FRESH_FOR: Final = timedelta(hours=6)
"""Fees are not asked again sooner: a second run of a day gives the same plans."""
DRIFT: Final = "marts.allocation_drift"


@dg.asset(
    group_name="core",
    owners=OWNERS,
    kinds={"postgres", "parquet"},
    code_version=TARGETS_VERSION,
    metadata=column_schema(ALLOCATION_TARGETS_SCHEMA),
    retry_policy=RETRY,
)
def allocation_targets(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.MaterializeResult[None]:
    """Current targets of every strategy."""
    with database.writer(lake, context.run.run_id) as writer:
        state = _state(database, TARGETS_STATE)
        frame = targets_frame(database.engine)
        is_used = frame.height or lake.path(ALLOCATION_TARGETS).is_file()
        if is_used and not writer.is_current(ALLOCATION_TARGETS, None, state, TARGETS_VERSION):
            writer.write(ALLOCATION_TARGETS, None, frame, state, TARGETS_VERSION)
    return dg.MaterializeResult(metadata=written(frame))


@dg.asset(
    deps=[dg.AssetKey(["marts", "allocation_drift"])],
    group_name="core",
    owners=OWNERS,
    kinds={"parquet"},
    code_version=FEES_VERSION,
    metadata=column_schema(CHAIN_FEES_SCHEMA),
)
def chain_fees(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    warehouse: dg.ResourceParam[Warehouse],
    chains: dg.ResourceParam[ChainConnections],
) -> dg.MaterializeResult[None]:
    """What gas costs on the chains of those who have a strategy. A chain that does not answer keeps what is known."""
    known = lake.read_table(CHAIN_FEES, CHAIN_FEES_SCHEMA)
    now = datetime.now(UTC)
    wanted = set(_drift(warehouse, "select distinct chain from {drift}")["chain"])
    fresh = set(known.filter(~pl.col("is_stale") & (pl.col("as_of") > now - FRESH_FOR))["chain"])
    due = [chain for chain in chains.readable if chain.slug in wanted - fresh and chain.family == "evm"]
    if not due:
        return dg.MaterializeResult(metadata=written(known, asked=0))
    asked = asyncio.run(_ask(chains, [chain.slug for chain in due], now))
    before = dict(zip(known["chain"], known.rows(named=True), strict=True))
    failed = [
        row | before.get(row["chain"], {}) | {"is_stale": True, "reason": row["reason"]}
        for row in asked
        if row["is_stale"]
    ]
    good = [row for row in asked if not row["is_stale"]]
    rows = {row["chain"]: row for row in [*before.values(), *failed, *good]}
    frame = pl.DataFrame(list(rows.values()), schema=CHAIN_FEES_SCHEMA).sort("chain")
    with database.writer(lake, context.run.run_id) as writer:
        writer.write(CHAIN_FEES, None, frame, frame_fingerprint(frame), FEES_VERSION)
    for row in failed:
        context.log.warning("fees of %s: %s", row["chain"], row["reason"])
    return dg.MaterializeResult(metadata=written(frame, asked=len(asked), failed=len(failed)))


@dg.asset(
    deps=[dg.AssetKey(["marts", "allocation_drift"]), "chain_fees"],
    group_name="core",
    owners=OWNERS,
    kinds={"postgres", "parquet", "numpy"},
    code_version=PLANS_VERSION,
    metadata=column_schema(REBALANCING_PLANS_SCHEMA),
)
def rebalancing_plans(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    warehouse: dg.ResourceParam[Warehouse],
    chains: dg.ResourceParam[ChainConnections],
) -> dg.MaterializeResult[None]:
    """Plans for all strategies with something outside its band, saved as proposals and added to the marts."""
    fees = lake.read_table(CHAIN_FEES, CHAIN_FEES_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        drift = _value(warehouse, f"select coalesce(bit_xor(hash(d)), 0)::varchar || count(*) from {DRIFT} d")  # noqa: S608
        measured = fingerprint(drift, frame_fingerprint(fees.select("chain", "gas_price_wei")))
        added = 0
        if not writer.is_current(REBALANCING_PLANS, None, _inputs(database, measured), PLANS_VERSION) and (
            day := drift_day(warehouse)
        ):
            plans = plans_of(book_of(warehouse, chains, fees), day.isoformat())
            added = save_proposals(database.engine, proposals_of(plans, day), day)
        frame = plans_frame(database.engine)
        inputs = _inputs(database, measured)
        is_new = not writer.is_current(REBALANCING_PLANS, None, inputs, PLANS_VERSION)
        if is_new and (frame.height or lake.path(REBALANCING_PLANS).is_file()):
            writer.write(REBALANCING_PLANS, None, frame, inputs, PLANS_VERSION)
    built = None if warehouse.is_current() else warehouse.build()
    return dg.MaterializeResult(
        metadata=written(frame, added=added, marts="as they were" if built is None else built.reason)
    )


def targets_changed(lake: Lake, database: Database) -> bool:
    """Whether the lake's copies of strategies and of decisions about plans are not what the database says now."""
    writer = PartitionWriter(lake, "", database.partition_log, lambda _rows: None)
    targets, plans = _state(database, TARGETS_STATE), plans_frame(database.engine)
    known = lake.read_table(REBALANCING_PLANS, REBALANCING_PLANS_SCHEMA)
    has_targets = not targets_frame(database.engine).is_empty() or lake.path(ALLOCATION_TARGETS).is_file()
    return not plans.equals(known) or (
        has_targets and not writer.is_current(ALLOCATION_TARGETS, None, targets, TARGETS_VERSION)
    )


def drift_day(warehouse: Warehouse) -> date | None:
    """The day at whose close drift is measured; None while nobody has a strategy."""
    day = _value(warehouse, f"select max(date) from {DRIFT}")  # noqa: S608 (a name of ours)
    return day if isinstance(day, date) else None


def book_of(
    warehouse: Warehouse, chains: ChainConnections, fees: pl.DataFrame, strategy_key: int | None = None
) -> pl.DataFrame:
    """Strategies beside what is held, with gas in USD: `BOOK_ROWS`; of all, or of one.

    Args:
        warehouse: Where drift is measured.
        chains: Say in which coin gas is paid.
        fees: Schema CHAIN_FEES_SCHEMA.
        strategy_key: The only strategy wanted.
    """
    rows = _drift(warehouse, "select *, chain as place from {drift}")
    if strategy_key is not None:
        rows = rows.filter(pl.col("strategy_key") == strategy_key)
    places = list(dict.fromkeys(rows["place"]))
    gas = gas_of_places(places, chains, fees, _coin_prices(warehouse, chains, places))
    return rows.join(gas, on="place", how="left").select(BOOK_ROWS.names()).cast(BOOK_ROWS)


def gas_of_places(
    places: Iterable[str], chains: ChainConnections, fees: pl.DataFrame, prices: Mapping[str, float]
) -> pl.DataFrame:
    """USD of one swap in each place: columns place, gas_usd; null where fee or price of the coin is not known.

    Args:
        places: Slugs of chains, or market.
        chains: Say in which coin gas is paid.
        fees: Schema CHAIN_FEES_SCHEMA.
        prices: USD of each coin, by its asset.
    """
    wei = dict(zip(fees["chain"], fees["gas_price_wei"], strict=True))
    by_slug = {chain.slug: chain for chain in chains.registry}

    def gas(place: str) -> float | None:
        if place == MARKET:
            return 0.0
        chain = by_slug.get(place)
        price = prices.get(f"coingecko:{chain.coingecko_native}") if chain else None
        if chain is None or price is None or wei.get(place) is None:
            return None
        return float(SWAP_GAS * wei[place] * price / 10**chain.native_decimals)

    rows = [(place, gas(place)) for place in places]
    return pl.DataFrame(rows, schema={"place": pl.String, "gas_usd": pl.Float64}, orient="row")


def proposals_of(plans: pl.DataFrame, day: date, now: datetime | None = None) -> pl.DataFrame:
    """Plans as they are saved: `PROPOSALS`. They can be accepted until two days after the close they rest on."""
    close = datetime.combine(day, time(), UTC) + timedelta(days=1)
    return plans.with_columns(
        as_of=pl.lit(day), proposed_at=pl.lit(now or datetime.now(UTC)), expires_at=pl.lit(close + VALID_FOR)
    ).select(PROPOSALS.names()).cast(PROPOSALS)  # fmt: skip


def _inputs(database: Database, measured: str) -> str:
    return fingerprint(measured, _state(database, TARGETS_STATE), _state(database, PLANS_STATE))


def _state(database: Database, query: str) -> str:
    frame = read_frame(database.engine, f"select ({query}) as state", pl.Schema({"state": pl.String()}))
    return fingerprint(frame["state"][0])


async def _ask(connections: ChainConnections, slugs: list[str], now: datetime) -> list[dict[str, object]]:
    from portfolio_pipelines.chains.evm_reading import EvmReader
    from portfolio_pipelines.chains.fee_history import gas_price
    from portfolio_pipelines.chains.rpc.errors import RpcError

    async def one(slug: str, reader: object) -> dict[str, object]:
        row: dict[str, object] = dict.fromkeys(CHAIN_FEES_SCHEMA.names())
        row |= {"chain": slug, "as_of": now, "is_stale": False}
        try:
            if not isinstance(reader, EvmReader):
                msg = f"{slug} has no fees of this kind"
                raise TypeError(msg)
            price = await gas_price(reader.node)
        except RpcError as error:
            return row | {"is_stale": True, "reason": str(error)}
        return row | {"block_number": price.block_number, "gas_price_wei": price.wei, "blocks": price.blocks}

    wanted = [chain for chain in connections.readable if chain.slug in slugs]
    async with connections.readers(wanted) as readers:
        return await asyncio.gather(*(one(slug, reader) for slug, reader in readers.items()))


def _drift(warehouse: Warehouse, query: str) -> pl.DataFrame:
    with warehouse.connect() as connection:
        return pl.DataFrame(connection.sql(query.format(drift=DRIFT)).to_arrow_table())


def _value(warehouse: Warehouse, query: str) -> object:
    with warehouse.connect() as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def _coin_prices(warehouse: Warehouse, chains: ChainConnections, places: Iterable[str]) -> dict[str, float]:
    """USD of the coins that gas is paid in, on the newest valued day."""
    wanted = set(places)
    coins = [f"coingecko:{chain.coingecko_native}" for chain in chains.registry if chain.slug in wanted]
    with warehouse.connect() as connection:
        rows = connection.execute(
            "select asset_id, close_usd from marts.prices_daily join intermediate.days using (date) "
            "where is_newest and close_usd is not null and asset_id in (select unnest(?))",
            [coins],
        ).fetchall()
    return dict(rows)
