"""The marts as Dagster assets: one step builds and tests all of them, each model and test is seen on its own.

Belongs here: translating dbt's models into specs and dbt's results into events. dagster-dbt would do it for 2.4 s of
import in every process; this file needs the manifest alone, and dbt only when it builds.
"""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from portfolio_pipelines.resources.dbt_build import DbtProject, NodeResult
from portfolio_pipelines.resources.dbt_manifest import Model, ModelTest, read_models
from portfolio_pipelines.resources.warehouse import BuildResult, TestFailure, Warehouse, WarehouseBuildError

MartEvent = dg.MaterializeResult[None] | dg.AssetCheckResult


def build_marts_asset(project: DbtProject) -> dg.AssetsDefinition:
    """One multi-asset of every model, with every dbt test as a blocking check.

    It needs the resource `warehouse` (a `Warehouse`). Parses the project when this version of it never was (seconds).
    """
    models = read_models(project.manifest())

    @dg.multi_asset(
        name="marts",
        specs=[_spec(model) for model in models],
        check_specs=[_check_spec(model, test) for model in models for test in model.tests],
    )
    def marts(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[MartEvent]:
        """Build the marts into a new file; it replaces the warehouse when everything passed."""
        try:
            build = warehouse.build()
        except WarehouseBuildError as error:
            yield from _checks(models, error.results, error.failures)
            shown = "\n".join(map(str, error.failures))
            raise dg.Failure(
                str(error), metadata={"failures": dg.MetadataValue.text(shown)}, allow_retries=False
            ) from error
        context.log.info("marts: %s in %.1f s", build.reason, build.seconds)
        for model in models:
            yield dg.MaterializeResult(asset_key=_key(model), metadata=_metadata(model, build))
        yield from _checks(models, build.results, build.warnings)

    return marts


def mart_keys(project: DbtProject) -> list[dg.AssetKey]:
    """Keys of the marts that people query (schema `marts`), for what comes after them."""
    return [_key(model) for model in read_models(project.manifest()) if model.schema == "marts"]


def _key(model: Model) -> dg.AssetKey:
    return dg.AssetKey([model.schema, model.name])


def _spec(model: Model) -> dg.AssetSpec:
    columns = [dg.TableColumn(c.name, c.data_type, description=c.description) for c in model.columns]
    return dg.AssetSpec(
        key=_key(model),
        deps=[dg.AssetKey(list(key)) for key in model.upstream],
        description=model.description,
        group_name="marts",
        owners=[model.owner],
        kinds={"dbt", "duckdb"},
        code_version=model.code_version,
        metadata={
            "dagster/column_schema": dg.TableSchema(columns),
            "dagster/table_name": f"{model.schema}.{model.name}",
        },
    )


def _check_spec(model: Model, test: ModelTest) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(test.name, asset=_key(model), blocking=test.blocking, description=test.description or None)


def _metadata(model: Model, build: BuildResult) -> Mapping[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {"build": dg.MetadataValue.text(build.reason)}
    rows = build.row_counts.get(model.meta.get("rows_of", f"{model.schema}.{model.name}"))
    if rows is not None:
        metadata["dagster/row_count"] = dg.MetadataValue.int(rows)
    seconds = next((r.seconds for r in build.made if r.unique_id == model.unique_id), None)
    if seconds is not None:
        metadata["seconds"] = dg.MetadataValue.float(round(seconds, 3))
    return metadata


def _checks(
    models: Sequence[Model], results: Sequence[NodeResult], failures: Sequence[TestFailure]
) -> Iterator[dg.AssetCheckResult]:
    by_id = {result.unique_id: result for result in results}
    shown = {failure.result.unique_id: str(failure) for failure in failures}
    for model in models:
        for test in model.tests:
            result = by_id.get(test.unique_id)
            if result is None or result.status == "skipped":
                continue
            yield dg.AssetCheckResult(
                asset_key=_key(model),
                check_name=test.name,
                passed=result.passed,
                severity=dg.AssetCheckSeverity.ERROR if test.blocking else dg.AssetCheckSeverity.WARN,
                description=shown.get(test.unique_id),
                metadata={
                    "failures": result.failures or 0,
                    "sql": dg.MetadataValue.md(f"```sql\n{result.sql or ''}\n```"),
                },
            )
