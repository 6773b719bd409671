"""Where the rows of the served marts lie in Postgres, and the books of what is published.

Belongs here: the schema of the partitions, which people need not see, and the tables that publishing keeps for itself.
What is copied when is `served_marts`; what a mart looks like is `served_tables`.
"""

from typing import Any, Final

import psycopg

from portfolio_pipelines.resources.served_tables import SCHEMA, STORAGE, quoted

BOOKS: Final = ("published_tables", "published_partitions")
"""Tables beside the marts that are none: publishing compares with them, and alerts see in them that data is new."""
MOST_MOVED: Final = 1000
"""Partitions that one transaction moves: each is a lock, and Postgres has room for 6,400 as it comes."""

_BOOKS: Final = f"""
create schema if not exists {SCHEMA};
comment on schema {SCHEMA} is 'The marts: what people and BI tools ask; written by the publish step.';
create schema if not exists {STORAGE};
comment on schema {STORAGE} is
    'Partitions of the tables in {SCHEMA}: they come and go with every publish, so ask the tables in {SCHEMA}.';
create table if not exists {SCHEMA}.published_tables (
    table_name text primary key,
    definition_hash text not null
);
comment on table {SCHEMA}.published_tables is 'Which form of each mart is published; written by the publish step.';
comment on column {SCHEMA}.published_tables.table_name is 'Name of the mart';
comment on column {SCHEMA}.published_tables.definition_hash is
    'Hash of its columns, keys and indexes: another one makes the table anew';
create table if not exists {SCHEMA}.published_partitions (
    table_name text not null,
    partition text not null,
    fingerprint text not null,
    published_at timestamptz not null default now(),
    primary key (table_name, partition)
);
comment on table {SCHEMA}.published_partitions is
    'Which content each published day (or table, as all) rests on, and when it came; written by the publish step.';
comment on column {SCHEMA}.published_partitions.table_name is 'Name of the mart';
comment on column {SCHEMA}.published_partitions.partition is
    'Day (YYYY-MM-DD), or all for a table that is replaced whole';
comment on column {SCHEMA}.published_partitions.fingerprint is 'Hash of everything the rows are made from';
comment on column {SCHEMA}.published_partitions.published_at is 'When these rows came';
"""


def open_books(database: psycopg.Connection[Any]) -> None:
    """Make the schemas and the books where they are missing; in the caller's transaction."""
    database.execute(_BOOKS)


def partition_of(database: psycopg.Connection[Any], table: str, prefix: str) -> str | None:
    """Schema and name, quoted, of the partition of a table whose name begins so; None without one.

    Args:
        database: An open transaction.
        table: Schema and name of the partitioned table, quoted.
        prefix: How the partition's name begins.
    """
    found = database.execute(
        "select format('%%I.%%I', child.relnamespace::regnamespace::text, child.relname) "
        "from pg_inherits join pg_class as child on child.oid = inhrelid "
        "where inhparent = %s::regclass and starts_with(child.relname, %s)",
        (table, prefix),
    ).fetchone()
    return str(found[0]) if found else None


def put_away_partitions(database: psycopg.Connection[Any]) -> dict[str, str]:
    """Move partitions that lie beside their tables, as earlier versions left them, into their own schema.

    Only their place in the catalogue changes. The table is locked before them, as a reader does it, until the end of
    the transaction: this comes last. Of more than MOST_MOVED, the others follow with the next publishes.

    Returns:
        Their new names by the old ones, as `partition_of` gives them.
    """
    beside = database.execute(
        "select parent.relname, format('%%I.%%I', %(schema)s::text, child.relname), "
        "format('%%I.%%I', %(storage)s::text, child.relname) "
        "from pg_inherits join pg_class as child on child.oid = inhrelid "
        "join pg_class as parent on parent.oid = inhparent where child.relkind = 'r' "
        "and child.relnamespace = to_regnamespace(%(schema)s) and parent.relnamespace = to_regnamespace(%(schema)s) "
        "order by 1, 2 limit %(most)s",
        {"schema": SCHEMA, "storage": STORAGE, "most": MOST_MOVED},
    ).fetchall()
    for table in dict.fromkeys(str(parent) for parent, _, _ in beside):
        database.execute(f"lock table {SCHEMA}.{quoted(table)} in access exclusive mode")
    for _, partition, _ in beside:
        database.execute(f"alter table {partition} set schema {STORAGE}")
    return {str(old): str(new) for _, old, new in beside}
