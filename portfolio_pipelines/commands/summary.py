"""What a person sees at the end of a run: the portfolios, where the data is, how to go on."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from rich.table import Table

from portfolio_pipelines.commands.console import OUT, today
from portfolio_pipelines.resources.platform import Platform

MOST_SHOWN = 15
MOST_CHAINS = 3
PORTFOLIOS = """
    select user_id, date, value_usd, invested_usd, pnl_usd, roi, twr_index, daily_return is not null as is_linked,
        coverage, is_final
    from marts.portfolio_performance_daily
    where date = (select max(date) from marts.portfolio_performance_daily where date <= ?)
      and (? or user_id in (select unnest(?)))
    order by value_usd desc nulls last, user_id limit ?
"""
SOURCES = """
    select coalesce(case provider when 'file' then split_part(source, ' ', 1) else provider end, 'no price'),
        count(*)
    from marts.prices_daily group by 1 order by 2 desc limit 8
"""
RECORDS = """
    select user_id, coalesce(max(date) filter (where daily_return is null and twr_index = 1), min(date))
    from marts.portfolio_performance_daily
    where date <= ? and user_id in (select unnest(?))
    group by user_id
"""
"""Since when a time-weighted return is counted: the first purchase, or the day whose close began the record anew."""
ON_CHAIN = """
    with read as (
        select distinct chain from intermediate.fct_chain_days
        where was_read and date <= (select max(date) from intermediate.days where is_newest)
    )
    select user_id, any_value(as_of)::date - 1, sum(value_usd), count(*),
        list(key order by key) filter (where value_usd is null and read.chain is null),
        list(key order by key) filter (where value_usd is null and read.chain is not null),
        list(key order by key) filter (where value_usd is not null and coverage < 1)
    from marts.portfolio_breakdown left join read on read.chain = key
    where dimension = 'chain' and key <> 'market'
      and (? or user_id in (select unnest(?)))
    group by user_id order by 3 desc nulls last, user_id limit ?
"""


def print_summary(platform: Platform, until: date, users: Sequence[str] = ()) -> None:
    """Portfolios with value, return and coverage on the newest day up to `until`, and how to look further."""
    with platform.warehouse.connect() as warehouse:
        rows = warehouse.execute(PORTFOLIOS, [until, not users, list(users), MOST_SHOWN]).fetchall()
        count = warehouse.execute("select count(distinct user_id) from marts.portfolio_performance_daily").fetchone()
        records = warehouse.execute(RECORDS, [until, [row[0] for row in rows]]).fetchall()
        on_chain = warehouse.execute(ON_CHAIN, [not users, list(users), MOST_SHOWN]).fetchall()
        sources = warehouse.execute(SOURCES).fetchall()
    if not rows and not on_chain:
        OUT.print("No portfolio is valued yet: `portfolio import investments FILE`, then `portfolio run`.")
        return
    if rows:
        _print_investments(rows, dict(records), count[0] if count else 0)
    if on_chain:
        _print_wallets(on_chain)
    OUT.print("Closes by source: " + ", ".join(f"{source} {closes:,}" for source, closes in sources))
    OUT.print(f"Marts: {platform.settings.warehouse} (DuckDB, schema marts)", soft_wrap=True)
    OUT.print('Ask:   portfolio query "select * from marts.portfolio_performance_daily limit 5"', soft_wrap=True)
    OUT.print("BI:    portfolio bi   (Metabase, Superset, DBeaver, psql)      Dagster: make ui")


def _print_investments(rows: Sequence[tuple[Any, ...]], records: Mapping[str, date], users: int) -> None:
    day = rows[0][1]
    when = f"so far on {day}" if day >= today() else f"at the close of {day}"  # the running day has no close yet
    table = Table(title=f"Portfolios {when} (UTC)")
    for name in ("user", "value USD", "invested USD", "P&L USD", "ROI", "TWR", "TWR since", "coverage"):
        table.add_column(name, justify="left" if name == "user" else "right", no_wrap=True)
    for user, _, value, invested, pnl, roi, index, linked, coverage, is_final in rows:
        # A record that begins with this very close has measured nothing yet: 0 % would be a claim.
        begun = records[user] if index is not None and (records[user] < day or linked) else None
        table.add_row(
            user if is_final else f"{user} *",
            _money(value),
            _money(invested),
            _money(pnl),
            _percent(roi),
            _percent(None if begun is None else index - 1),
            "–" if begun is None else str(begun),
            _percent(coverage, signed=False),
        )
    OUT.print(table)
    if users > len(rows):
        OUT.print(f"… {users - len(rows)} more users")
    if not all(row[-1] for row in rows):
        OUT.print("* provisional: some price of that day is missing or may still change")
    OUT.print(
        "ROI is on money put in, since the first purchase. TWR is time-weighted: deposits do not move it, and it "
        "counts since the day beside it. '–' means: cannot be known."
    )


def _print_wallets(rows: Sequence[tuple[Any, ...]]) -> None:
    table = Table(title=f"Wallets at the prices of {rows[0][1]} (UTC)")
    for name in ("user", "value USD", "chains", "never read", "without a price", "not all fresh"):
        table.add_column(name, justify="right" if name in {"value USD", "chains"} else "left", no_wrap=True)
    for user, _, value, chains, *names in rows:
        table.add_row(user, _money(value), str(chains), *map(_some, names))
    OUT.print(table)


def _some(names: Sequence[str] | None) -> str:
    """A few names, and how many more."""
    shown = ", ".join((names or [])[:MOST_CHAINS])
    return f"{shown} and {len(names) - MOST_CHAINS} more" if names and len(names) > MOST_CHAINS else shown


def _money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _percent(value: float | None, *, signed: bool = True) -> str:
    if value is None:
        return "–"
    return f"{value:+.2%}" if signed else f"{value:.1%}"
