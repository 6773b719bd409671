"""Exports as Parquet: types as the marts have them, exact decimals included, for programs that compute."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portfolio_pipelines.delivery.exports.reading import BATCH_ROWS, Kind, Table

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES: Final = {
    Kind.TEXT: "string", Kind.AMOUNT: "string", Kind.NUMBER: "double", Kind.INTEGER: "int64", Kind.FLAG: "bool",
    Kind.DAY: "date32",
}  # fmt: skip


def write_parquet(tables: Sequence[Table], folder: Path) -> None:
    """One file a table. Times are UTC; amounts that 38 digits may not hold are text of all their digits."""
    import pyarrow.parquet as pq

    for table in tables:
        writer, schema = None, None
        try:
            for batch in table.batches:
                rows = batch.to_arrow()
                schema = schema or _schema(table, rows.schema)
                if writer is None:
                    path = folder / f"{table.dataset.name}.parquet"
                    writer = pq.ParquetWriter(path, schema, compression="zstd")
                writer.write_table(rows.cast(schema), row_group_size=BATCH_ROWS)
        finally:
            if writer is not None:
                writer.close()


def _schema(table: Table, found: "pa.Schema") -> "pa.Schema":
    """What a file says of its columns: the same whatever the rows are, meanings included."""
    import pyarrow as pa

    fields = []
    for column in table.columns:
        kind = (
            found.field(column.name).type
            if column.kind is Kind.DECIMAL
            else pa.timestamp("us", "UTC")
            if column.kind is Kind.MOMENT
            else pa.type_for_alias(_TYPES[column.kind])
        )
        fields.append(pa.field(column.name, kind, metadata={"meaning": column.meaning}))
    return pa.schema(fields, metadata={"table": table.dataset.name, "meaning": table.dataset.meaning})
