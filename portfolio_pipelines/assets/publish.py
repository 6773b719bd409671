"""The marts in Postgres, as one Dagster asset. How they get there is `resources.served_marts`."""

from collections.abc import Sequence

import dagster as dg

from portfolio_pipelines.resources.served_marts import PublishError, ServedMarts


def build_published_asset(marts: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset `served/marts`, downstream of the given marts. It needs the resource `served_marts`."""

    @dg.asset(
        key=dg.AssetKey(["served", "marts"]),
        deps=list(marts),
        group_name="served",
        owners=["team:portfolio-data"],
        kinds={"postgres"},
    )
    def served(
        context: dg.AssetExecutionContext, served_marts: dg.ResourceParam[ServedMarts]
    ) -> dg.MaterializeResult[None]:
        """The marts in Postgres schema `marts`, indexed and commented, readable for the role portfolio_bi.

        Only days that changed are copied; everything appears in one transaction.
        """
        try:
            result = served_marts.publish()
        except PublishError as error:
            raise dg.Failure(str(error)) from error
        if result.bi_role is None:
            context.log.warning("no role for BI: this database user may not make one")
        return dg.MaterializeResult(
            metadata={
                "rows copied": dict(result.rows),
                "partitions replaced": dict(result.partitions),
                "seconds": round(result.seconds, 2),
            }
        )

    return served
