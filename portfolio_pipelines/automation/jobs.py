"""Jobs: what is run together."""

from typing import Final

import dagster as dg

DAILY_JOB_NAME: Final = "daily"
SERVE_JOB_NAME: Final = "serve"
RANGE_START: Final = "dagster/asset_partition_range_start"
RANGE_END: Final = "dagster/asset_partition_range_end"

daily_job = dg.define_asset_job(
    DAILY_JOB_NAME,
    selection=dg.AssetSelection.all(),
    description="Quotes, prices, valuations, marts and their publication, for one day or a range of days in one run.",
    tags={"portfolio/writes": "lake"},
)

serve_job = dg.define_asset_job(
    SERVE_JOB_NAME,
    selection=dg.AssetSelection.groups("marts", "served"),
    description="Marts and their publication alone, from what the lake holds.",
    tags={"portfolio/writes": "lake"},
)
