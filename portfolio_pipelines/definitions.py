"""What Dagster loads. Parts are listed here and built elsewhere; policy is applied to selections, not single assets."""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg

from portfolio_pipelines.assets import (
    chain_core,
    diversification,
    impermanent_loss,
    leaderboard,
    ledger_restatements,
    metrics,
    onchain,
    operational,
    performance,
    pool_yields,
    prices,
    profit_and_loss,
    rebalancing,
    reconciliation,
    records,
    token_trust,
)
from portfolio_pipelines.assets.marts import build_marts_asset, mart_keys
from portfolio_pipelines.assets.publish import build_published_asset
from portfolio_pipelines.automation import delivery_sensors, export_sensors, schedules, sensors
from portfolio_pipelines.automation.jobs import daily_job, hourly_job, onchain_job, serve_job
from portfolio_pipelines.checks import chains as chain_checks
from portfolio_pipelines.checks import expectations
from portfolio_pipelines.checks import performance as performance_checks
from portfolio_pipelines.checks import prices as price_checks
from portfolio_pipelines.checks import profit_and_loss as ledger_checks
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26))
"""A day closes at 24:00 UTC and is computed at 00:20: after 26 hours the next one is late, after 36 it is missing."""


def build_defs(
    settings: Settings,
    platform: Platform | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """A fresh Definitions; tests pass the platform and the loggers that they replace."""
    connections = platform or Platform.of(settings)
    project = connections.warehouse.project
    return dg.Definitions(
        assets=[
            *dg.load_assets_from_modules(
                [
                    operational,
                    prices,
                    performance,
                    metrics,
                    diversification,
                    onchain,
                    token_trust,
                    chain_core,
                    reconciliation,
                    records,
                ]
            ),
            *dg.load_assets_from_modules([impermanent_loss, pool_yields, profit_and_loss]),
            *dg.load_assets_from_modules([rebalancing, leaderboard, ledger_restatements]),
            build_marts_asset(project),
            build_published_asset([*mart_keys(project), dg.AssetKey("rebalancing_plans")]),
        ],
        asset_checks=dg.load_asset_checks_from_modules(
            [expectations, price_checks, performance_checks, chain_checks, ledger_checks]
        ),
        jobs=[daily_job, hourly_job, onchain_job, serve_job, export_sensors.scheduled_export_job],
        schedules=[schedules.chains_hourly, schedules.closed_day, schedules.running_day],
        sensors=[
            delivery_sensors.outbox_dispatcher,
            export_sensors.scheduled_exports,
            sensors.alerts,
            sensors.freshness,
            sensors.run_failures,
        ],
        resources=dict(connections.resources()),
        executor=dg.in_process_executor,
        loggers=loggers,
    ).map_resolved_asset_specs(func=lambda spec: dg.apply_freshness_policy(spec, FRESH))


defs = build_defs(Settings())
