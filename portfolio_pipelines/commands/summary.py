"""What a person sees at the end of a run: the portfolios, where the data is, how to go on."""

from collections.abc import Sequence
from datetime import date

from rich.table import Table

from portfolio_pipelines.commands.console import OUT
from portfolio_pipelines.resources.platform import Platform

MOST_SHOWN = 15
PORTFOLIOS = """
    select user_id, date, value_usd, invested_usd, pnl_usd, roi, twr_index - 1 as twr, coverage, is_final
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


def print_summary(platform: Platform, until: date, users: Sequence[str] = ()) -> None:
    """Portfolios with value, return and coverage on the newest day up to `until`, and how to look further."""
    with platform.warehouse.connect() as warehouse:
        rows = warehouse.execute(PORTFOLIOS, [until, not users, list(users), MOST_SHOWN]).fetchall()
        count = warehouse.execute("select count(distinct user_id) from marts.portfolio_performance_daily").fetchone()
        sources = warehouse.execute(SOURCES).fetchall()
    if not rows:
        OUT.print("No portfolio is valued yet: `portfolio import investments FILE`, then `portfolio run`.")
        return
    table = Table(title=f"Portfolios at the close of {rows[0][1]} (UTC)")
    for name in ("user", "value USD", "invested USD", "P&L USD", "ROI", "TWR", "coverage"):
        table.add_column(name, justify="left" if name == "user" else "right", no_wrap=True)
    for user, _, value, invested, pnl, roi, twr, coverage, is_final in rows:
        table.add_row(
            user if is_final else f"{user} *",
            _money(value),
            _money(invested),
            _money(pnl),
            _percent(roi),
            _percent(twr),
            _percent(coverage, signed=False),
        )
    OUT.print(table)
    if count and count[0] > len(rows):
        OUT.print(f"… {count[0] - len(rows)} more users")
    if not all(row[-1] for row in rows):
        OUT.print("* provisional: some price of that day is missing or may still change")
    OUT.print("ROI is on money put in; TWR is time-weighted: deposits do not move it. '–' means: cannot be known.")
    OUT.print("Closes by source: " + ", ".join(f"{source} {closes:,}" for source, closes in sources))
    OUT.print(f"Marts: {platform.settings.warehouse} (DuckDB, schema marts)", soft_wrap=True)
    OUT.print('Ask:   portfolio query "select * from marts.portfolio_performance_daily limit 5"', soft_wrap=True)
    OUT.print("BI:    portfolio bi   (Metabase, Superset, DBeaver, psql)      Dagster: make ui")


def _money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _percent(value: float | None, *, signed: bool = True) -> str:
    if value is None:
        return "–"
    return f"{value:+.2%}" if signed else f"{value:.1%}"
