"""What a person sees of a table in Dagster: its columns, its row count and a small preview."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

PREVIEW_ROWS = 5
OWNERS = ["team:portfolio-data"]


def column_schema(schema: pl.Schema) -> dict[str, Any]:
    """Definition metadata that tells Dagster the columns of a table."""
    columns = [dg.TableColumn(name, str(kind)) for name, kind in schema.items()]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}


def written(frame: pl.DataFrame, rows: int | None = None, **figures: Any) -> Mapping[str, Any]:
    """Materialisation metadata: row count, preview of the last rows of `frame`, and further figures."""
    with pl.Config(tbl_formatting="MARKDOWN", tbl_hide_dataframe_shape=True, tbl_cols=-1, tbl_width_chars=400):
        preview = str(frame.tail(PREVIEW_ROWS))
    return {
        "dagster/row_count": frame.height if rows is None else rows,
        "preview": dg.MetadataValue.md(preview),
        **figures,
    }
