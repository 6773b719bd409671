"""The SQL behind importing investments: staging rows, deciding what each changes, writing new versions.

Belongs here: set-based statements over temporary tables that live until the end of the caller's transaction, so that
1.5 million legs are a handful of statements. What is refused and why is decided in `investment_import`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.closes import Close
from portfolio_pipelines.database.staging import copy_frame, read_rows

BULK: Final = 100_000
"""From so many changed legs on, foreign keys are checked by one join each (seconds) instead of row by row (minutes)."""

STAGED: Final = """
    create temporary table staged (
        row_number int, user_id text, investment_id text, invested_at timestamptz, asset_id text,
        amount_usd numeric, quantity numeric(78, 18)
    ) on commit drop
"""

COMPARED: Final = """
    create temporary table compared on commit drop as
    select s.*, (s.invested_at at time zone 'UTC')::date as day, l.version as old_version, l.invested_at as old_at,
           l.amount_usd as old_amount, l.quantity as old_quantity, l.quantity_source as old_source,
           l.price_usd as old_price, l.price_source as old_price_source, i.investment_key,
           s.quantity is null and coalesce(
               l.quantity_source = 'derived' and l.amount_usd = s.amount_usd
               and (l.invested_at at time zone 'UTC')::date = (s.invested_at at time zone 'UTC')::date, false
           ) as keeps_quantity
    from staged s
    left join app.users u on u.user_id = s.user_id
    left join app.investments i on i.user_key = u.user_key and i.investment_id = s.investment_id
    left join app.investment_legs l
        on l.investment_key = i.investment_key and l.asset_id = s.asset_id and l.superseded_at is null
"""

# A leg that stands as it was is not judged anew: prices that came after it must not refuse the file that brought it.
GIVEN: Final = """
    c.quantity is not null
    and (c.old_version is null or c.day <> (c.old_at at time zone 'UTC')::date)
"""

# The factor gives the division 30 decimals, so that rounding to 18 is the only rounding.
DERIVED: Final = "round({amount} * 1.000000000000000000000000000000 / {close}, 18)"

DECIDED: Final = f"""
    create temporary table decided on commit drop as
    select *,
        case when old_version is null then 'inserted'
             when (invested_at, amount_usd, new_quantity, new_source) = (old_at, old_amount, old_quantity, old_source)
             then 'unchanged' else 'corrected' end as change
    from (
        select c.*,
            case when c.quantity is not null then c.quantity when c.keeps_quantity then c.old_quantity
                 else {DERIVED.format(amount="c.amount_usd", close="p.close_usd")} end as new_quantity,
            case when c.quantity is not null then 'given' else 'derived' end as new_source,
            case when c.quantity is not null then null when c.keeps_quantity then c.old_price else p.close_usd end
                as price_usd,
            case when c.quantity is not null then null when c.keeps_quantity then c.old_price_source else p.provider end
                as price_source
        from compared c left join closes p on p.asset_id = c.asset_id and p.day = c.day
    ) as priced
"""  # noqa: S608 (fixed text)

REASON: Final = """
    case change when 'inserted' then 'imported' else 'corrected by the file: ' || concat_ws(', ',
        case when invested_at <> old_at then format('invested_at %s -> %s', old_at, invested_at) end,
        case when amount_usd <> old_amount
             then format('amount_usd %s -> %s', trim_scale(old_amount), trim_scale(amount_usd)) end,
        case when new_quantity <> old_quantity
             then format('quantity %s -> %s', trim_scale(old_quantity), trim_scale(new_quantity)) end,
        case when new_source <> old_source then format('quantity is %s, was %s', new_source, old_source) end
    ) end
"""

# A leg that was taken back has versions but no current one: it goes on after them.
LAST_VERSION: Final = """
    case when d.old_version is not null then d.old_version
         when d.investment_key is null then 0
         else coalesce((
             select max(e.version) from app.investment_legs e
             where e.investment_key = d.investment_key and e.asset_id = d.asset_id
         ), 0) end
"""

APPLY: Final = (
    """
    insert into app.users (user_id)
    select user_id from decided d
    where not exists (select from app.users u where u.user_id = d.user_id)
    group by user_id order by min(row_number)
    """,
    """
    insert into app.investments (user_key, investment_id)
    select u.user_key, d.investment_id from decided d join app.users u using (user_id)
    where not exists (
        select from app.investments i where i.user_key = u.user_key and i.investment_id = d.investment_id
    )
    group by u.user_key, d.investment_id order by min(d.row_number)
    """,
    """
    update app.investment_legs l set superseded_at = :now
    from decided d
    where d.change = 'corrected' and l.investment_key = d.investment_key and l.asset_id = d.asset_id
      and l.version = d.old_version
    """,
    f"""
    insert into app.investment_legs (
        investment_key, asset_id, version, invested_at, amount_usd, quantity, quantity_source, price_usd, price_source,
        known_at, import_id, row_number, reason
    )
    select i.investment_key, d.asset_id, {LAST_VERSION} + 1, d.invested_at, d.amount_usd, d.new_quantity,
           d.new_source, d.price_usd, d.price_source, :now, :import_id, d.row_number, {REASON}
    from decided d join app.users u using (user_id)
    join app.investments i on i.user_key = u.user_key and i.investment_id = d.investment_id
    where d.change <> 'unchanged'
    """,  # noqa: S608 (fixed text)
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Legs by what happens to them, and the first day whose figures change."""

    inserted: int
    corrected: int
    unchanged: int
    first_affected_day: date | None


def stage(connection: sa.Connection, rows: pl.DataFrame) -> None:
    """Bring checked rows (schema `investment_files.ROWS` with asset_id) beside the current versions."""
    connection.execute(sa.text(STAGED))
    columns = ["row", "user_id", "investment_id", "invested_at", "asset_id", "amount_usd", "quantity"]
    copy_frame(connection, "staged", rows.select(columns))
    connection.execute(sa.text("analyze staged"))
    connection.execute(sa.text(COMPARED))
    connection.execute(sa.text("analyze compared"))


def needs(connection: sa.Connection) -> list[tuple[str, date]]:
    """The (asset_id, day) whose close an empty quantity needs, sorted."""
    query = "select distinct asset_id, day from compared where quantity is null and not keeps_quantity order by 1, 2"
    return [(row.asset_id, row.day) for row in connection.execute(sa.text(query))]


def stage_closes(connection: sa.Connection, closes: Mapping[tuple[str, date], Close]) -> None:
    """Put usable closes beside the staged rows."""
    connection.execute(
        sa.text(
            "create temporary table closes (asset_id text, day date, close_usd numeric, provider text) on commit drop"
        )
    )
    rows = [(asset_id, day, repr(close.close_usd), close.provider) for (asset_id, day), close in closes.items()]
    schema = {"asset_id": pl.String, "day": pl.Date, "close_usd": pl.String, "provider": pl.String}
    copy_frame(connection, "closes", pl.DataFrame(rows, schema=schema, orient="row"))
    connection.execute(sa.text("analyze closes"))


def rows_without_close(connection: sa.Connection) -> pl.DataFrame:
    """Staged rows that need a close which is not there: row, asset_id, day."""
    return read_rows(
        connection,
        """
        select row_number as row, asset_id, day from compared c
        where quantity is null and not keeps_quantity
          and not exists (select from closes p where p.asset_id = c.asset_id and p.day = c.day)
        """,
    )


def given(connection: sa.Connection) -> pl.DataFrame:
    """The (asset_id, day) of legs that bring their quantity along and are new or moved to another day, sorted."""
    query = f"select distinct asset_id, day from compared c where {GIVEN} order by 1, 2"  # noqa: S608 (fixed text)
    rows = [tuple(row) for row in connection.execute(sa.text(query))]
    return pl.DataFrame(rows, schema={"asset_id": pl.String, "day": pl.Date}, orient="row")


def rows_given(connection: sa.Connection, needs: pl.DataFrame) -> pl.DataFrame:
    """The staged rows of some (asset_id, day) of `given`: row, asset_id, day."""
    return read_rows(
        connection,
        f"""
        select row_number as row, asset_id, day from compared c
        join unnest(cast(:assets as text[]), cast(:days as date[])) as n (asset_id, day) using (asset_id, day)
        where {GIVEN}
        """,  # noqa: S608 (fixed text)
        {"assets": needs["asset_id"].to_list(), "days": needs["day"].to_list()},
    )


def decide(connection: sa.Connection) -> None:
    """Give each staged row its quantity, and say whether it is inserted, corrected or unchanged."""
    connection.execute(sa.text(DECIDED))
    connection.execute(sa.text("analyze decided"))


def rows_without_quantity(connection: sa.Connection) -> pl.DataFrame:
    """Decided rows whose derived quantity rounds to nothing: row, asset_id, amount_usd, price_usd."""
    return read_rows(
        connection,
        """
        select row_number as row, asset_id, amount_usd::text as amount_usd, price_usd::text as price_usd
        from decided where new_quantity = 0
        """,
    )


def count(connection: sa.Connection) -> Counts:
    """Count the decisions."""
    query = """
        select count(*) filter (where change = 'inserted') as inserted,
               count(*) filter (where change = 'corrected') as corrected,
               count(*) filter (where change = 'unchanged') as unchanged,
               min(least(day, (old_at at time zone 'UTC')::date)) filter (where change <> 'unchanged') as first_day
        from decided
    """
    row = connection.execute(sa.text(query)).one()
    return Counts(row.inserted, row.corrected, row.unchanged, row.first_day)


def apply(connection: sa.Connection, import_id: int | None, now: datetime, n_changed: int) -> None:
    """Write what was decided: users, investments, new versions. Readers wait for the end of a bulk (from BULK on)."""
    keys = _drop_foreign_keys(connection) if n_changed >= BULK else {}
    for statement in APPLY:
        values = {"now": now, "import_id": import_id}
        connection.execute(
            sa.text(statement), {name: value for name, value in values.items() if f":{name}" in statement}
        )
    for name, definition in keys.items():
        connection.execute(sa.text(f'alter table app.investment_legs add constraint "{name}" {definition}'))
    if keys:
        connection.execute(sa.text("analyze app.users, app.investments, app.investment_legs"))


def _drop_foreign_keys(connection: sa.Connection) -> dict[str, str]:
    """Take the foreign keys off until the end of the bulk, in the same transaction; their definitions by name."""
    query = """
        select conname, pg_get_constraintdef(oid) as definition from pg_constraint
        where conrelid = 'app.investment_legs'::regclass and contype = 'f' order by conname
    """
    keys = {row.conname: row.definition for row in connection.execute(sa.text(query))}
    for name in keys:
        connection.execute(sa.text(f'alter table app.investment_legs drop constraint "{name}"'))
    return keys


def rows_parted(connection: sa.Connection) -> pl.DataFrame:
    """Decided rows whose investment now has another leg of another moment: row, ids, other_asset, other_at."""
    return read_rows(
        connection,
        """
        select d.row_number as row, d.user_id, d.investment_id, min(l.asset_id) as other_asset,
               min(l.invested_at) as other_at
        from decided d
        join app.investment_legs l on l.investment_key = d.investment_key and l.superseded_at is null
        where d.change <> 'unchanged' and d.investment_key is not null and l.invested_at <> d.invested_at
        group by d.row_number, d.user_id, d.investment_id
        """,
    )


def sample_needs(connection: sa.Connection) -> list[tuple[str, date]]:
    """The (asset_id, day) of current legs whose quantity rests on a sample price, sorted."""
    query = """
        select distinct asset_id, (invested_at at time zone 'UTC')::date as day from app.investment_legs
        where superseded_at is null and price_source = 'sample' order by 1, 2
    """
    return [(row.asset_id, row.day) for row in connection.execute(sa.text(query))]


def replace_sample(connection: sa.Connection, now: datetime) -> Counts:
    """New versions of legs that rest on sample prices, for which `closes` has a real one."""
    query = f"""
        with old as (
            update app.investment_legs l set superseded_at = :now
            from closes p
            where l.superseded_at is null and l.price_source = 'sample' and p.asset_id = l.asset_id
              and p.day = (l.invested_at at time zone 'UTC')::date
              and {DERIVED.format(amount="l.amount_usd", close="p.close_usd")} > 0
            returning l.*, p.close_usd, p.provider
        ), new as (
            insert into app.investment_legs (
                investment_key, asset_id, version, invested_at, amount_usd, quantity, quantity_source, price_usd,
                price_source, known_at, reason
            )
            select investment_key, asset_id, version + 1, invested_at, amount_usd,
                   {DERIVED.format(amount="amount_usd", close="close_usd")}, 'derived', close_usd, provider, :now,
                   format('sample price %s replaced by the close %s of %s', trim_scale(price_usd),
                          trim_scale(close_usd), provider)
            from old returning invested_at
        )
        select count(*) as corrected, min((invested_at at time zone 'UTC')::date) as first_day from new
    """  # noqa: S608 (fixed text)
    row = connection.execute(sa.text(query), {"now": now}).one()
    return Counts(0, row.corrected, 0, row.first_day)
