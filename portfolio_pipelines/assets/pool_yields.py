"""What a provider says of the pools that users follow: worth, volume and yields, as far as its list has them."""

from datetime import UTC, date, datetime

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import DAILY, ONE_RUN, days_of
from portfolio_pipelines.assets.liquidity_losses import LiquidityDays
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.chain_tables import CHAINS, CHAINS_SCHEMA, POOL_STATES, POOL_STATES_SCHEMA
from portfolio_pipelines.database.reservations import DatabaseReservations
from portfolio_pipelines.liquidity_tables import POOL_YIELDS, POOL_YIELDS_SCHEMA
from portfolio_pipelines.market.conversation import Failure
from portfolio_pipelines.market.defillama_yields import FOLLOWED, NAME, NATIVE, DefiLlamaYields, match_pools
from portfolio_pipelines.market.limiter import Limiter
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.market_data import MarketData
from portfolio_pipelines.resources.partitions import frame_fingerprint

YIELDS_VERSION = "1"


@dg.asset(
    deps=[dg.AssetDep("pool_states", partition_mapping=dg.AllPartitionMapping()), "chain_tokens", "chains"],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="raw",
    owners=OWNERS,
    kinds={"parquet"},
    code_version=YIELDS_VERSION,
    metadata=column_schema(POOL_YIELDS_SCHEMA),
)
def pool_yields(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    market: dg.ResourceParam[MarketData],
) -> dg.MaterializeResult[None]:
    """Worth, volume and yields of followed pools on the running day; the list has no past, so days before it stay.

    Without an answer the day keeps what an earlier hour brought, or has no rows: nothing depends on this list but its
    own columns.
    """
    now = datetime.now(UTC)
    wanted = followed_pools(lake, now.date())
    found = pl.DataFrame(schema=POOL_YIELDS_SCHEMA)
    if now.date() not in days_of(context) or wanted.is_empty() or "defillama" not in market.settings.price_providers:
        return dg.MaterializeResult(metadata=written(found, asked=False))
    settings = market.settings
    limiter = Limiter(NAME, settings.defillama_per_minute, DatabaseReservations(database.engine))
    listed = DefiLlamaYields(limiter, url=settings.defillama_yields_url).fetch()
    if isinstance(listed, Failure):
        context.log.warning("pools of DefiLlama: %s: %s", listed.outcome.value, listed.detail)
        return dg.MaterializeResult(metadata=written(found, asked=True, failed=listed.outcome.value))
    found = match_pools(wanted, listed).with_columns(date=pl.lit(now.date()), known_at=pl.lit(now))
    found = found.select(POOL_YIELDS_SCHEMA.names()).cast(POOL_YIELDS_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        writer.write(POOL_YIELDS, now.date(), found, frame_fingerprint(found), YIELDS_VERSION)
    return dg.MaterializeResult(metadata=written(found, asked=True, unlisted=wanted.height - found.height))


def followed_pools(lake: Lake, day: date) -> pl.DataFrame:
    """The pools that are read, as `defillama_yields.FOLLOWED`; those with a coin that nobody knows are left out."""
    sources = LiquidityDays.of(lake, POOL_STATES)
    names = lake.read_table(CHAINS, CHAINS_SCHEMA, ["chain", "name"]).rename({"name": "chain_name"})
    columns = ["protocol", "pool", "position", "token_key", "fee_pips"]
    frames = [
        lake.read_chain(POOL_STATES, of, chain, POOL_STATES_SCHEMA, columns).with_columns(chain=pl.lit(chain))
        for of, chain in sources.newest(day)
    ]
    if not frames:
        return pl.DataFrame(schema=FOLLOWED)
    coins = pl.concat(frames).join(sources.tokens.select("token_key", "address"), on="token_key", how="left")
    address = pl.when(pl.col("address") == "native").then(pl.lit(NATIVE)).otherwise("address")
    pools = coins.group_by("chain", "pool", "protocol").agg(
        address.sort().alias("coins"), pl.col("fee_pips").first(), pl.col("address").null_count().alias("_unknown")
    )
    known = pools.filter(pl.col("_unknown") == 0).join(names, on="chain", how="inner")
    return known.select(FOLLOWED.names()).cast(FOLLOWED).sort("chain", "pool")
