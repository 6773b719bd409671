"""Jobs: what is run together."""

from typing import Final

import dagster as dg

from portfolio_pipelines.assets import chain_core, diversification, leaderboard, metrics, onchain

DAILY_JOB_NAME: Final = "daily"
SERVE_JOB_NAME: Final = "serve"
ONCHAIN_JOB_NAME: Final = "onchain"
HOURLY_JOB_NAME: Final = "hourly"
RANGE_START: Final = "dagster/asset_partition_range_start"
RANGE_END: Final = "dagster/asset_partition_range_end"

_ONCHAIN: Final = dg.AssetSelection.groups(onchain.GROUP)
_JUDGED: Final = dg.AssetSelection.checks_for_assets(*onchain.TABLES)
"""A run that reads chains fails where one of them does; what it left behind is judged by the next run over the rest."""

_OF_CLOSES: Final = dg.AssetSelection.assets(
    *metrics.TABLES, *diversification.TABLES, "holding_versions", "counted_returns", *leaderboard.TABLES
)
"""Figures of whole days over all the past: they wait for the close, and cost more than everything else of a day."""

onchain_job = dg.define_asset_job(
    ONCHAIN_JOB_NAME,
    selection=_ONCHAIN.without_checks(),
    description="Balances, transfers and positions of all wallets, for some days of some chains in one run.",
    tags={"portfolio/writes": "chains"},
)

daily_job = dg.define_asset_job(
    DAILY_JOB_NAME,
    selection=(dg.AssetSelection.all() - _ONCHAIN) | _JUDGED,
    description="Quotes, prices, valuations, marts and their publication, for one day or a range of days in one run.",
    tags={"portfolio/writes": "lake"},
)

hourly_job = dg.define_asset_job(
    HOURLY_JOB_NAME,
    selection=((dg.AssetSelection.all() - _ONCHAIN) | _JUDGED) - _OF_CLOSES,
    description="The daily job without what only a close has: metrics, comparisons, correlations and the leaderboard.",
    tags={"portfolio/writes": "lake"},
)

serve_job = dg.define_asset_job(
    SERVE_JOB_NAME,
    selection=dg.AssetSelection.groups("marts", "served")
    | dg.AssetSelection.assets("token_quarantine", "balance_reconciliation", *chain_core.TABLES)
    | dg.AssetSelection.assets("allocation_targets", "chain_fees", "rebalancing_plans")
    | _JUDGED,
    description="Marts and their publication alone, from what the lake holds.",
    tags={"portfolio/writes": "lake"},
)
