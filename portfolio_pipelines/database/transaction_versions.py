"""The SQL behind importing transactions: staging rows, deciding what each changes, writing new versions.

Belongs here: set-based statements over temporary tables that live until the end of the caller's transaction. What is
refused and why is decided in `transaction_import`; frames for the lake are read here, too.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.database.staging import copy_frame, read_copied
from portfolio_pipelines.finance.ledger_restatements import VERSIONS
from portfolio_pipelines.finance.transactions import QUANTITY, TRANSACTIONS, USD

FACTS: Final = (
    "at", "type", "venue", "to_venue", "in_asset", "in_quantity", "out_asset", "out_quantity", "fee_asset",
    "fee_quantity", "value_usd", "fee_value_usd", "tx_hash", "chain", "block_number", "transaction_index", "log_index",
)  # fmt: skip
STAGED: Final = """
    create temporary table staged_transactions (
        row_number int, user_id text, transaction_id text, leg smallint, at timestamptz, type text, venue text,
        to_venue text, in_asset text, in_quantity numeric(38, 18), out_asset text, out_quantity numeric(38, 18),
        fee_asset text, fee_quantity numeric(38, 18), value_usd numeric(38, 12), fee_value_usd numeric(38, 12),
        tx_hash text, chain text, block_number bigint, transaction_index int, log_index int
    ) on commit drop
"""
DECIDED: Final = f"""
    create temporary table decided_transactions on commit drop as
    select s.*, t.transaction_key, v.version as old_version, v.at as old_at,
           case when t.transaction_key is null or v.version is null then 'added'
                when ({", ".join(f"s.{name}" for name in FACTS)}) is not distinct from
                     ({", ".join(f"v.{name}" for name in FACTS)}) then 'unchanged' else 'changed' end as change
    from staged_transactions s
    left join app.users u on u.user_id = s.user_id
    left join app.transactions t
        on t.user_key = u.user_key and t.transaction_id = s.transaction_id and t.leg = s.leg
    left join app.transaction_versions v on v.transaction_key = t.transaction_key and v.superseded_at is null
"""  # noqa: S608 (fixed names)
APPLY: Final = (
    """
    insert into app.users (user_id)
    select user_id from decided_transactions d
    where not exists (select from app.users u where u.user_id = d.user_id)
    group by user_id order by min(row_number)
    """,
    """
    insert into app.transactions (user_key, transaction_id, leg)
    select u.user_key, d.transaction_id, d.leg from decided_transactions d join app.users u using (user_id)
    where d.transaction_key is null order by d.row_number
    """,
    """
    update app.transaction_versions v set superseded_at = :now
    from decided_transactions d
    where d.change = 'changed' and v.transaction_key = d.transaction_key and v.version = d.old_version
    """,
    f"""
    insert into app.transaction_versions (transaction_key, version, {", ".join(FACTS)}, known_at, import_id, row_number)
    select t.transaction_key,
           1 + coalesce(
               (select max(o.version) from app.transaction_versions o where o.transaction_key = t.transaction_key), 0
           ),
           {", ".join(f"d.{name}" for name in FACTS)}, :now, :import_id, d.row_number
    from decided_transactions d join app.users u using (user_id)
    join app.transactions t
        on t.user_key = u.user_key and t.transaction_id = d.transaction_id and t.leg = d.leg
    where d.change <> 'unchanged'
    """,  # noqa: S608 (fixed names)
)
LISTED: Final = pl.Schema({"user_id": pl.String(), **TRANSACTIONS, "known_at": pl.Datetime("us", "UTC")})
_NUMERIC: Final = {"in_quantity", "out_quantity", "fee_quantity", "value_usd", "fee_value_usd"}


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by what happens to them, and the first day whose figures change."""

    added: int
    changed: int
    unchanged: int
    first_affected_day: date | None


def stage(connection: sa.Connection, rows: pl.DataFrame) -> None:
    """Bring checked rows (schema `transaction_files.ROWS`) beside the current versions, and decide."""
    connection.execute(sa.text(STAGED))
    columns = ["row", "user_id", "transaction_id", "leg", *FACTS]
    copy_frame(connection, "staged_transactions", rows.select(columns))
    connection.execute(sa.text("analyze staged_transactions"))
    connection.execute(sa.text(DECIDED))


def count(connection: sa.Connection) -> Counts:
    """Count the decisions."""
    query = """
        select count(*) filter (where change = 'added') as added, count(*) filter (where change = 'changed') as changed,
               count(*) filter (where change = 'unchanged') as unchanged,
               min((least(at, old_at) at time zone 'UTC')::date) filter (where change <> 'unchanged') as first_day
        from decided_transactions
    """
    row = connection.execute(sa.text(query)).one()
    return Counts(row.added, row.changed, row.unchanged, row.first_day)


def rows_of_changed(connection: sa.Connection, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of the staged rows whose users have a row that is new or changed."""
    query = "select distinct user_id from decided_transactions where change <> 'unchanged'"
    users = read_copied(connection, query, pl.Schema({"user_id": pl.String()}))
    return rows.join(users, on="user_id", how="semi")


def apply(connection: sa.Connection, import_id: int, now: datetime) -> None:
    """Write what was decided."""
    values = {"now": now, "import_id": import_id}
    for statement in APPLY:
        bound = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(sa.text(statement), bound)


def load_transactions(engine: sa.Engine) -> pl.DataFrame:
    """The current version of every transaction, schema `finance.transactions.TRANSACTIONS`."""
    return _read(engine, TRANSACTIONS)


def list_transactions(engine: sa.Engine, user_id: str | None) -> pl.DataFrame:
    """Current transactions of one user or of all, schema LISTED, in order of time."""
    frame = _read(engine, LISTED)
    if user_id is not None:
        frame = frame.filter(pl.col("user_id") == user_id)
    return frame.sort("user_id", "at", "transaction_id", "leg")


def learned_days(engine: sa.Engine) -> pl.DataFrame:
    """UTC days on which versions began or ended, with a fingerprint of them: columns day, fingerprint; ascending."""
    query = """
        select (moment at time zone 'UTC')::date as day,
               md5(string_agg(transaction_key || ' ' || version || ' ' || extract(epoch from moment) || what, '|'
                              order by transaction_key, version, what)) as fingerprint
        from app.transaction_versions
        cross join lateral (values (known_at, 'begins'), (superseded_at, 'ends')) as events (moment, what)
        where moment is not null group by 1
    """
    return read_frame(engine, query, pl.Schema({"day": pl.Date(), "fingerprint": pl.String()})).sort("day")


def load_versions(engine: sa.Engine, day: date) -> pl.DataFrame:
    """All versions by the end of a UTC day of the users of whom any began or ended on it, schema VERSIONS."""
    begins = f"timestamptz '{day:%Y-%m-%d} 00:00Z'"
    ends = f"({begins} + interval '1 day')"
    touched = f"""
        v.known_at < {ends} and t.user_key in (
            select o.user_key from app.transactions o join app.transaction_versions e using (transaction_key)
            where (e.known_at >= {begins} and e.known_at < {ends})
               or (e.superseded_at >= {begins} and e.superseded_at < {ends})
        )
    """  # noqa: S608 (a date)
    return _read(engine, VERSIONS, touched)


def _read(engine: sa.Engine, schema: pl.Schema, which: str = "v.superseded_at is null") -> pl.DataFrame:
    """Exact numbers travel as text: a driver may make doubles of them."""
    sent = pl.Schema({name: pl.String() if name in _NUMERIC else kind for name, kind in schema.items()})
    owners = {"user_key": "t", "transaction_key": "t", "transaction_id": "t", "leg": "t", "user_id": "u"}
    columns = ", ".join(
        f"v.{name}::text as {name}" if name in _NUMERIC else f"{owners.get(name, 'v')}.{name}" for name in schema
    )
    query = f"""
        select {columns}
        from app.transaction_versions v
        join app.transactions t using (transaction_key) join app.users u using (user_key)
        where {which}
    """  # noqa: S608 (names of our own)
    frame = read_frame(engine, query, sent)
    exact = [pl.col(name).cast(USD if name.endswith("usd") else QUANTITY) for name in schema if name in _NUMERIC]
    return (
        frame.with_columns(exact)
        .select(schema.names())
        .cast(schema)
        .sort("user_key", "transaction_key", *(["version"] if "version" in schema else []))
    )


def remove(connection: sa.Connection, user_id: str, transaction_id: str, now: datetime, who: str) -> int:
    """End all legs of a transaction; how many there were."""
    query = """
        update app.transaction_versions v set superseded_at = :now, ended_by = :who
        from app.transactions t join app.users u using (user_key)
        where t.transaction_key = v.transaction_key and v.superseded_at is null and u.user_id = :user
          and t.transaction_id = :id
    """
    ended = connection.execute(sa.text(query), {"now": now, "who": who, "user": user_id, "id": transaction_id})
    return int(ended.rowcount)
