"""Which run wrote which partition last, and the verdicts of checks. What a partition holds is the lake's business."""

import json
from collections.abc import Iterable

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.tables import CHECK_RESULTS_SCHEMA, PARTITION_LOG_SCHEMA


def record_partitions(engine: sa.Engine, rows: pl.DataFrame) -> None:
    """Remember who wrote these partitions; the newest row of a partition replaces the one before.

    Args:
        engine: Engine of the operational database.
        rows: Schema PARTITION_LOG_SCHEMA, any number, at most one row a (table, partition).
    """
    if rows.is_empty():
        return
    statement = """
        insert into app.partition_log
            (table_name, partition, run_id, code_version, input_hash, content_hash, written_at)
        select * from unnest(cast(:table as text[]), cast(:partition as text[]), cast(:run_id as text[]),
                             cast(:code_version as text[]), cast(:input_hash as text[]),
                             cast(:content_hash as text[]), cast(:written_at as timestamptz[]))
        order by 1, 2
        on conflict (table_name, partition) do update set
            run_id = excluded.run_id, code_version = excluded.code_version, input_hash = excluded.input_hash,
            content_hash = excluded.content_hash, written_at = excluded.written_at
    """  # in order of the key: two writers lock the same rows in the same order
    with engine.begin() as connection:
        connection.execute(sa.text(statement), {name: rows[name].to_list() for name in PARTITION_LOG_SCHEMA.names()})


def forget_partitions(engine: sa.Engine, partitions: Iterable[tuple[str, str]]) -> int:
    """Forget who wrote some partitions, so that they are due again. Their files stay until they are written anew.

    Args:
        engine: Engine of the operational database.
        partitions: Pairs of table and partition; what is not known is left out.

    Returns:
        How many were forgotten.
    """
    pairs = sorted(set(partitions))
    statement = """
        delete from app.partition_log where (table_name, partition) in (
            select table_name, partition from app.partition_log
            join unnest(cast(:tables as text[]), cast(:partitions as text[])) as gone(table_name, partition)
                using (table_name, partition)
            order by table_name, partition for update
        )
    """  # locked in order of the key, as who records them does
    values = {"tables": [table for table, _ in pairs], "partitions": [partition for _, partition in pairs]}
    with engine.begin() as connection:
        return connection.execute(sa.text(statement), values).rowcount


def load_partition_log(engine: sa.Engine, table: str | None = None) -> pl.DataFrame:
    """Schema PARTITION_LOG_SCHEMA, sorted by table and partition; of one table when `table` is given."""
    query = """
        select table_name as "table", partition, run_id, code_version, input_hash, content_hash, written_at
        from app.partition_log
    """
    if table is None:
        frame = read_frame(engine, query, PARTITION_LOG_SCHEMA)
    else:
        frame = read_frame(engine, f"{query} where table_name = :table", PARTITION_LOG_SCHEMA, {"table": table})
    return frame.sort("table", "partition")


def record_check_results(engine: sa.Engine, rows: pl.DataFrame) -> None:
    """Append verdicts, schema CHECK_RESULTS_SCHEMA; `details` is JSON text or null."""
    if rows.is_empty():
        return
    statement = """
        insert into app.check_results (check_name, asset, severity, passed, run_id, checked_at, details)
        select * from unnest(cast(:check_name as text[]), cast(:asset as text[]), cast(:severity as text[]),
                             cast(:passed as boolean[]), cast(:run_id as text[]),
                             cast(:checked_at as timestamptz[]), cast(:details as jsonb[]))
    """
    columns = {name: rows[name].to_list() for name in CHECK_RESULTS_SCHEMA.names()}
    columns["details"] = [text or "{}" for text in columns["details"]]
    with engine.begin() as connection:
        connection.execute(sa.text(statement), columns)


def load_check_results(engine: sa.Engine, *, newest_of: tuple[str, str] | None = None) -> pl.DataFrame:
    """Verdicts, oldest first, schema CHECK_RESULTS_SCHEMA; `details` is JSON with sorted keys.

    Args:
        engine: Engine of the operational database.
        newest_of: A check and its asset: the newest verdict of these alone. All verdicts without it.
    """
    columns = "select check_name, asset, severity, passed, run_id, checked_at, details::text as details"
    if newest_of is None:
        frame = read_frame(engine, f"{columns} from app.check_results order by checked_at, id", CHECK_RESULTS_SCHEMA)
    else:
        query = f"""
            {columns} from app.check_results where check_name = :check_name and asset = :asset
            order by checked_at desc, id desc limit 1
        """
        named = dict(zip(("check_name", "asset"), newest_of, strict=True))
        frame = read_frame(engine, query, CHECK_RESULTS_SCHEMA, named)
    tidy = [json.dumps(json.loads(text), sort_keys=True) for text in frame["details"]]
    return frame.with_columns(details=pl.Series(tidy, dtype=pl.String))
