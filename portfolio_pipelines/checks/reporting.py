"""How a check says its verdict: to Dagster, and to the table that the quality scorecard is made from."""

from collections.abc import Mapping

import dagster as dg

from portfolio_pipelines.resources.database import Database

Details = Mapping[str, bool | int | float | str]


def verdict(
    context: dg.AssetCheckExecutionContext,
    database: Database,
    asset: str,
    check_name: str,
    passed: bool,
    details: Details,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Record a verdict and return it. Blocking checks stop what is downstream when they fail with severity ERROR."""
    database.record_check(check_name, asset, severity.value, passed, context.run.run_id, details)
    return dg.AssetCheckResult(
        asset_key=asset, check_name=check_name, passed=passed, severity=severity, metadata=dict(details)
    )
