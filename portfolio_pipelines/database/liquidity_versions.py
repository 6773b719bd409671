"""The SQL behind importing liquidity positions: staging rows, deciding what each changes, writing new versions.

Belongs here: set-based statements over temporary tables that live until the end of the caller's transaction. What is
refused and why is decided in `liquidity_import`.
"""

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.chains.protocols.pools import PoolFacts
from portfolio_pipelines.database.staging import copy_frame, read_rows
from portfolio_pipelines.database.wallet_models import POSITIONS_A_USER

KEPT: Final = frozenset({"label", "price_of", "amount0", "amount1"})
"""Columns that keep what is stored when a file does not have them."""

STAGED: Final = """
    create temporary table staged (
        row_number int, user_id text, chain text, pool text, wallet text, entry_date date, label text,
        entry_price numeric, price_of text, amount0 numeric(78, 18), amount1 numeric(78, 18)
    ) on commit drop
"""

CHECKED: Final = """
    create temporary table checked (
        chain text, pool text, protocol text, tokens text[], facts jsonb, is_verified boolean
    ) on commit drop
"""

VALUES: Final = ("label", "entry_price", "price_of", "amount0", "amount1")

COMPARED: Final = """
    create temporary table compared on commit drop as
    select s.row_number, s.user_id, s.chain, s.pool, s.wallet, s.entry_date, w.wallet_key, x.position_key,
           x.removed_at as old_removed_at, v.position_key is not null as is_current,
           coalesce((select max(version) from app.liquidity_position_versions where position_key = x.position_key), 0)
               as old_version,
           {values}
    from staged s
    left join app.users u on u.user_id = s.user_id
    left join app.wallets w on w.user_key = u.user_key and w.address = s.wallet and w.removed_at is null
    left join app.liquidity_pools p on p.chain = s.chain and p.address = s.pool
    left join app.liquidity_positions x on x.user_key = u.user_key and x.pool_key = p.pool_key
        and x.entry_date = s.entry_date and x.wallet_key is not distinct from w.wallet_key
    left join app.liquidity_position_versions v on v.position_key = x.position_key and v.superseded_at is null
"""

DECIDED: Final = """
    create temporary table decided on commit drop as
    select *, case when position_key is null then 'added' when not is_current then 'returned'
                   when (label, entry_price, price_of, amount0, amount1) is distinct from
                        (old_label, old_entry_price, old_price_of, old_amount0, old_amount1) then 'changed'
                   else 'unchanged' end as change
    from compared
"""

BEYOND: Final = """
    with wanted as (
        select row_number, user_id, row_number() over (partition by user_id order by row_number) as place,
               count(*) over (partition by user_id) as coming
        from decided where change in ('added', 'returned')
    ), there as (
        select u.user_id, count(*) as present from app.liquidity_positions x join app.users u using (user_key)
        where x.removed_at is null and u.user_id in (select user_id from wanted)
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
        cross join generate_series(1, {POSITIONS_A_USER}) as slot
        where not exists (
            select from app.liquidity_positions x where x.user_key = of_file.user_key and x.slot = slot.slot
        )
    ) free on free.user_key = u.user_key and free.place = d.place
"""  # noqa: S608 (fixed text)

REASON: Final = """
    case change when 'added' then 'imported' when 'returned' then format('imported, was removed %s', old_removed_at)
    else 'changed by the file: ' || concat_ws(', ',
        case when label is distinct from old_label
             then format('label %s -> %s', coalesce(quote_literal(old_label), 'none'),
                         coalesce(quote_literal(label), 'none')) end,
        case when entry_price <> old_entry_price
             then format('entry_price %s -> %s', trim_scale(old_entry_price), trim_scale(entry_price)) end,
        case when price_of <> old_price_of then format('price_of %s -> %s', old_price_of, price_of) end,
        case when amount0 is distinct from old_amount0
             then format('amount0 %s -> %s', coalesce(trim_scale(old_amount0)::text, 'unknown'),
                         coalesce(trim_scale(amount0)::text, 'unknown')) end,
        case when amount1 is distinct from old_amount1
             then format('amount1 %s -> %s', coalesce(trim_scale(old_amount1)::text, 'unknown'),
                         coalesce(trim_scale(amount1)::text, 'unknown')) end
    ) end
"""

APPLY: Final = (
    """
    insert into app.users (user_id)
    select user_id from decided d
    where not exists (select from app.users u where u.user_id = d.user_id)
    group by user_id order by min(row_number)
    """,
    """
    insert into app.liquidity_pools (chain, address, tokens, facts)
    select chain, pool, '{}', '{}' from decided d
    where not exists (select from app.liquidity_pools p where p.chain = d.chain and p.address = d.pool)
    group by chain, pool order by min(row_number)
    """,
    """
    update app.liquidity_pools p
    set protocol = c.protocol, tokens = c.tokens, facts = c.facts, is_verified = c.is_verified, checked_at = :now
    from checked c where p.chain = c.chain and p.address = c.pool
    """,
    PLACED,
    """
    insert into app.liquidity_positions (user_key, pool_key, wallet_key, entry_date, slot, added_at, added_by)
    select t.user_key, p.pool_key, d.wallet_key, d.entry_date, t.slot, :now, :who
    from decided d join placed t using (row_number)
    join app.liquidity_pools p on p.chain = d.chain and p.address = d.pool
    where d.change = 'added' order by d.row_number
    """,
    """
    update app.liquidity_positions x set removed_at = null, removed_by = null, slot = t.slot
    from decided d join placed t using (row_number)
    where d.change = 'returned' and x.position_key = d.position_key
    """,
    """
    update app.liquidity_position_versions v set superseded_at = :now
    from decided d
    where d.change = 'changed' and v.position_key = d.position_key and v.superseded_at is null
    """,
    f"""
    insert into app.liquidity_position_versions (
        position_key, version, label, entry_price, price_of, amount0, amount1, known_at, import_id, row_number, reason
    )
    select x.position_key, d.old_version + 1, d.label, d.entry_price, d.price_of, d.amount0, d.amount1, :now,
           :import_id, d.row_number, {REASON}
    from decided d join app.users u using (user_id)
    join app.liquidity_pools p on p.chain = d.chain and p.address = d.pool
    join app.liquidity_positions x on x.user_key = u.user_key and x.pool_key = p.pool_key
        and x.entry_date = d.entry_date and x.wallet_key is not distinct from d.wallet_key
    where d.change <> 'unchanged'
    """,  # noqa: S608 (fixed text)
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Positions by what happens to them."""

    added: int
    changed: int
    unchanged: int


def checked_pools(engine: sa.Engine) -> set[tuple[str, str]]:
    """Slug and address of the pools about which the chain was asked."""
    query = "select chain, address from app.liquidity_pools where checked_at is not null"
    with engine.connect() as connection:
        return {(row.chain, row.address) for row in connection.execute(sa.text(query))}


def stage(
    connection: sa.Connection,
    rows: pl.DataFrame,
    checked: Mapping[tuple[str, str], PoolFacts],
    *,
    kept: Set[str],
) -> None:
    """Bring checked rows beside the current versions and decide what each changes.

    Args:
        connection: Within the caller's transaction.
        rows: Schema `liquidity_files.ROWS`, each position once.
        checked: What the chain said about pools, by chain and address.
        kept: Columns of KEPT that the file does not have.
    """
    connection.execute(sa.text(STAGED))
    columns = ["row", "user_id", "chain", "pool", "wallet", "entry_date", *VALUES]
    copy_frame(connection, "staged", rows.select(columns))
    connection.execute(sa.text(CHECKED))
    facts = [
        (
            chain,
            pool,
            found.protocol,
            "{" + ",".join(found.tokens) + "}",
            json.dumps(dict(found.facts)),
            found.is_verified,
        )
        for (chain, pool), found in checked.items()
    ]
    names = ("chain", "pool", "protocol", "tokens", "facts", "is_verified")
    schema = {name: pl.Boolean() if name == "is_verified" else pl.String() for name in names}
    copy_frame(connection, "checked", pl.DataFrame(facts, schema=schema, orient="row"))
    values = ", ".join(_value(name, is_kept=name in kept) for name in VALUES)
    connection.execute(sa.text("analyze staged"))
    connection.execute(sa.text(COMPARED.format(values=values)))
    connection.execute(sa.text(DECIDED))
    connection.execute(sa.text("analyze decided"))


def _array(texts: Iterable[str]) -> str:
    """How Postgres reads an array of addresses."""
    return "{" + ",".join(texts) + "}"


def _value(name: str, *, is_kept: bool) -> str:
    """SQL of one value and what it was: the file's, or what is stored where the file has no such column."""
    new = f"case when v.position_key is not null then v.{name} else s.{name} end" if is_kept else f"s.{name}"
    return f"{new} as {name}, v.{name} as old_{name}"


def rows_without_wallet(connection: sa.Connection) -> pl.DataFrame:
    """Decided rows that name a wallet which their user does not watch: row, user_id, wallet."""
    query = "select row_number as row, user_id, wallet from decided where wallet is not null and wallet_key is null"
    return read_rows(connection, query)


def rows_beyond(connection: sa.Connection, limit: int) -> pl.DataFrame:
    """Decided rows for which the user has no room: row, user_id, present (positions now), total (with the file)."""
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
    """Write what was decided: users, pools, positions, new versions."""
    values = {"now": now, "import_id": import_id, "who": who}
    for statement in APPLY:
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(sa.text(statement), used)


def doubtful_pools(connection: sa.Connection) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Pools of the file that nobody asked the chain about, and those that no known factory confirms."""
    query = """
        select distinct p.chain, p.address, p.checked_at is null as is_unchecked
        from app.liquidity_pools p join decided d on d.chain = p.chain and d.pool = p.address
        where p.checked_at is null or not p.is_verified order by 1, 2
    """
    rows = connection.execute(sa.text(query)).all()
    unchecked = tuple((row.chain, row.address) for row in rows if row.is_unchecked)
    return unchecked, tuple((row.chain, row.address) for row in rows if not row.is_unchecked)
