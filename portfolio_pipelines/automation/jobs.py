"""Jobs: what is run together."""

from typing import Final

import dagster as dg

DAILY_JOB_NAME: Final = "daily"
RANGE_START: Final = "dagster/asset_partition_range_start"
RANGE_END: Final = "dagster/asset_partition_range_end"

daily_job = dg.define_asset_job(
    DAILY_JOB_NAME,
    selection=dg.AssetSelection.all(),
    description="Quotes, prices, valuations, marts and their publication, for one day or a range of days in one run.",
    tags={"portfolio/writes": "lake"},
)
