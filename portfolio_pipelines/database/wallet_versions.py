"""The SQL behind importing wallets: staging rows, deciding what each changes, writing new versions.

Belongs here: set-based statements over temporary tables that live until the end of the caller's transaction. What is
refused and why is decided in `wallet_import`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.staging import copy_frame, read_rows
from portfolio_pipelines.database.wallet_models import WALLETS_A_USER

STAGED: Final = """
    create temporary table staged (
        row_number int, user_id text, address text, family text, label text, chains text[]
    ) on commit drop
"""

DECIDED: Final = """
    create temporary table decided on commit drop as
    select s.row_number, s.user_id, s.address, s.family, w.wallet_key, v.label as old_label, v.chains as old_chains,
           w.removed_at as old_removed_at,
           coalesce((select max(version) from app.wallet_versions where wallet_key = w.wallet_key), 0) as old_version,
           case when {keep_label} and v.wallet_key is not null then v.label else s.label end as label,
           case when {keep_chains} and v.wallet_key is not null then v.chains else s.chains end as chains,
           case when w.wallet_key is null then 'added'
                when w.removed_at is not null then 'returned'
                when (not {keep_label} and v.label is distinct from s.label)
                     or (not {keep_chains} and v.chains <> s.chains) then 'changed'
                else 'unchanged' end as change
    from staged s
    left join app.users u on u.user_id = s.user_id
    left join app.wallets w on w.user_key = u.user_key and w.address = s.address
    left join app.wallet_versions v on v.wallet_key = w.wallet_key and v.superseded_at is null
"""

BEYOND: Final = """
    with wanted as (
        select row_number, user_id, row_number() over (partition by user_id order by row_number) as place,
               count(*) over (partition by user_id) as coming
        from decided where change in ('added', 'returned')
    ), there as (
        select u.user_id, count(*) as present from app.wallets w join app.users u using (user_key)
        where w.removed_at is null and u.user_id in (select user_id from wanted)
        group by u.user_id
    )
    select row_number as row, user_id, coalesce(present, 0) as present, coming + coalesce(present, 0) as total
    from wanted left join there using (user_id)
    where place + coalesce(present, 0) > :limit
"""

PLACED: Final = f"""
    create temporary table placed on commit drop as
    select d.row_number, u.user_key, free.slot
    from (
        select row_number, user_id, row_number() over (partition by user_id order by row_number) as place
        from decided where change in ('added', 'returned')
    ) d
    join app.users u using (user_id)
    join (
        select user_key, slot, row_number() over (partition by user_key order by slot) as place
        from (select user_key from app.users where user_id in (select user_id from decided)) of_file
        cross join generate_series(1, {WALLETS_A_USER}) as slot
        where not exists (select from app.wallets w where w.user_key = of_file.user_key and w.slot = slot.slot)
    ) free on free.user_key = u.user_key and free.place = d.place
"""  # noqa: S608 (fixed text)

REASON: Final = """
    case change when 'added' then 'imported' when 'returned' then format('imported, was removed %s', old_removed_at)
    else 'changed by the file: ' || concat_ws(', ',
        case when label is distinct from old_label
             then format('label %s -> %s', coalesce(quote_literal(old_label), 'none'),
                         coalesce(quote_literal(label), 'none')) end,
        case when chains <> old_chains
             then format('chains %s -> %s', coalesce(nullif(array_to_string(old_chains, ' '), ''), 'all'),
                         coalesce(nullif(array_to_string(chains, ' '), ''), 'all')) end
    ) end
"""

APPLY: Final = (
    """
    insert into app.users (user_id)
    select user_id from decided d
    where not exists (select from app.users u where u.user_id = d.user_id)
    group by user_id order by min(row_number)
    """,
    PLACED,
    """
    insert into app.wallets (user_key, address, family, slot, added_at, added_by)
    select p.user_key, d.address, d.family, p.slot, :now, :who
    from decided d join placed p using (row_number)
    where d.change = 'added' order by d.row_number
    """,
    """
    update app.wallets w set removed_at = null, removed_by = null, slot = p.slot
    from decided d join placed p using (row_number)
    where d.change = 'returned' and w.wallet_key = d.wallet_key
    """,
    """
    update app.wallet_versions v set superseded_at = :now
    from decided d
    where d.change = 'changed' and v.wallet_key = d.wallet_key and v.superseded_at is null
    """,
    f"""
    insert into app.wallet_versions (wallet_key, version, label, chains, known_at, import_id, row_number, reason)
    select w.wallet_key, d.old_version + 1, d.label, d.chains, :now, :import_id, d.row_number, {REASON}
    from decided d join app.users u using (user_id)
    join app.wallets w on w.user_key = u.user_key and w.address = d.address
    where d.change <> 'unchanged'
    """,  # noqa: S608 (fixed text)
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Wallets by what happens to them."""

    added: int
    changed: int
    unchanged: int


def stage(connection: sa.Connection, rows: pl.DataFrame, *, keep_label: bool, keep_chains: bool) -> None:
    """Bring checked rows beside the current versions and decide what each changes.

    Args:
        connection: Within the caller's transaction.
        rows: Schema `wallet_files.ROWS`, every address resolved, each wallet once.
        keep_label: Keep the label of a known wallet: the file has no such column.
        keep_chains: Likewise its chains.
    """
    connection.execute(sa.text(STAGED))
    chains = pl.concat_str(pl.lit("{"), pl.col("chains").list.join(","), pl.lit("}"))
    copied = rows.select("row", "user_id", "address", "family", "label", chains.alias("chains"))
    copy_frame(connection, "staged", copied)
    connection.execute(sa.text("analyze staged"))
    kept = {"keep_label": str(keep_label).lower(), "keep_chains": str(keep_chains).lower()}
    connection.execute(sa.text(DECIDED.format(**kept)))  # a table is not made with parameters
    connection.execute(sa.text("analyze decided"))


def rows_beyond(connection: sa.Connection, limit: int) -> pl.DataFrame:
    """Decided rows for which the user has no room: row, user_id, present (wallets now), total (with the file)."""
    return read_rows(connection, BEYOND, {"limit": limit})


def count(connection: sa.Connection) -> Counts:
    """Count the decisions."""
    query = """
        select count(*) filter (where change in ('added', 'returned')) as added,
               count(*) filter (where change = 'changed') as changed,
               count(*) filter (where change = 'unchanged') as unchanged
        from decided
    """
    row = connection.execute(sa.text(query)).one()
    return Counts(row.added, row.changed, row.unchanged)


def apply(connection: sa.Connection, import_id: int, who: str, now: datetime) -> None:
    """Write what was decided: users, wallets, new versions."""
    values = {"now": now, "import_id": import_id, "who": who}
    for statement in APPLY:
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(sa.text(statement), used)
