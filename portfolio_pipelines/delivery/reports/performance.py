"""The performance report: what stands on it, as the texts, rows and pictures that its template sets.

Belongs here: from figures to what is shown. The figures come from the marts (`portfolio_days`, `holdings`) and, for
exactly the days of the report, from the kernel of the marts (`range_metrics`).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from portfolio_pipelines.delivery.reports.conventions import performance_conventions
from portfolio_pipelines.delivery.reports.coverage_notes import (
    coverage_notes,
    in_words,
    listed,
    period_notes,
    unpriced_assets,
)
from portfolio_pipelines.delivery.reports.holdings import (
    Holding,
    LedgerGain,
    Slice,
    newest_day,
    read_allocation,
    read_holdings,
    read_ledger_gain,
)
from portfolio_pipelines.delivery.reports.names import printable
from portfolio_pipelines.delivery.reports.numbers import counted, day
from portfolio_pipelines.delivery.reports.performance_cards import performance_cards
from portfolio_pipelines.delivery.reports.performance_charts import (
    allocation_chart,
    compared_chart,
    drawdown_chart,
    value_chart,
)
from portfolio_pipelines.delivery.reports.performance_tables import (
    benchmark_groups,
    holding_table,
    ledger_table,
    metric_table,
    month_rows,
)
from portfolio_pipelines.delivery.reports.portfolio_days import read_days
from portfolio_pipelines.delivery.reports.range_metrics import (
    COMPARED,
    DRAWDOWN_DAYS,
    FIGURES,
    Comparison,
    Metrics,
    benchmark_closes,
    range_figures,
)
from portfolio_pipelines.resources.figure_rules import FigureRules

if TYPE_CHECKING:
    import duckdb

Payload = dict[str, Any]
WINDOW_NAMES: Final = {30: "30 days", 90: "90 days", 365: "365 days", 0: "Since start"}


def performance_payload(
    marts: "duckdb.DuckDBPyConnection", user_id: str, first: date, last: date, rules: FigureRules
) -> tuple[Payload, date]:
    """Everything the template of the performance report shows, and the day its data ends with.

    Raises:
        ReportUnavailableError: If the marts do not know the user or no day of the range.
    """
    days = read_days(marts, user_id, first, last)
    period, newest = days.period, newest_day(marts)
    series = benchmark_closes(marts, period.base, period.last)
    own, compared = range_figures(days, series, rules)
    windows, as_of = _windows(marts, user_id, period.first, period.last)
    holdings = read_holdings(marts, user_id, period.last, newest)
    allocation = read_allocation(marts, user_id, holdings, is_newest=period.last == newest)
    gain = read_ledger_gain(marts, user_id, period.base, period.last)
    has_returns = bool(days.has_investments[1:].any())
    notes = [
        *period_notes(period),
        *coverage_notes(days),
        *unpriced_assets(marts, days),
        *_notes(holdings, allocation, gain, as_of, period.last, has_returns=has_returns),
    ]
    payload: Payload = {
        "title": "Performance report",
        "user": printable(user_id),
        "period": in_words(period),
        "has_returns": has_returns,
        "cards": performance_cards(days, own),
        "charts": {
            "value": value_chart(days),
            "compared": compared_chart(days, series),
            "drawdown": drawdown_chart(days),
            "by_asset": allocation_chart(allocation.get("asset", [])),
            "by_chain": allocation_chart(allocation.get("chain", [])),
            "by_category": allocation_chart(allocation.get("category", [])),
        },
        "benchmarks": benchmark_groups([*compared, *_window_comparisons(marts, user_id, as_of)]),
        "metrics": metric_table([own, *windows]),
        "months": month_rows(days),
        "holdings": holding_table(holdings, period.last, is_newest=period.last == newest),
        "ledger": ledger_table(gain),
        "notes": notes,
        "conventions": performance_conventions(rules.risk_free_rate),
    }
    return payload, period.last


def _windows(
    marts: "duckdb.DuckDBPyConnection", user_id: str, first: date, last: date
) -> tuple[list[Metrics], date | None]:
    """The marts' windows at the newest day of the range that has metrics."""
    rows = marts.execute(
        f"select window_days, as_of, n_obs, reason, {', '.join(DRAWDOWN_DAYS)}, {', '.join(FIGURES)} "  # noqa: S608 ours
        "from marts.portfolio_metrics where user_id = ? and as_of = (select max(as_of) from marts.portfolio_metrics "
        "where user_id = ? and as_of between ? and ?) order by nullif(window_days, 0) nulls last",
        [user_id, user_id, first, last],
    ).fetchall()
    found = []
    for window, as_of, n_obs, reason, *values in rows:
        drawdown, figures = values[: len(DRAWDOWN_DAYS)], values[len(DRAWDOWN_DAYS) :]
        label = WINDOW_NAMES.get(window, f"{window} days")
        found.append(
            Metrics(
                label, as_of, dict(zip(FIGURES, figures, strict=True)),
                dict(zip(DRAWDOWN_DAYS, drawdown, strict=True)), n_obs or 0, reason,
            )
        )  # fmt: skip
    return found, rows[0][1] if rows else None


def _window_comparisons(marts: "duckdb.DuckDBPyConnection", user_id: str, as_of: date | None) -> list[Comparison]:
    if as_of is None:
        return []
    rows = marts.execute(
        f"select window_days, benchmark, n_obs, {', '.join(COMPARED)} from marts.benchmark_comparison "  # noqa: S608 ours
        "where user_id = ? and as_of = ? order by nullif(window_days, 0) nulls last, benchmark",
        [user_id, as_of],
    ).fetchall()
    return [
        Comparison(
            WINDOW_NAMES.get(window, f"{window} days"), name, dict(zip(COMPARED, figures, strict=True)), n_obs or 0
        )
        for window, name, n_obs, *figures in rows
    ]


def _notes(
    holdings: Sequence[Holding],
    allocation: Mapping[str, Sequence[Slice]],
    gain: LedgerGain | None,
    as_of: date | None,
    last: date,
    *,
    has_returns: bool,
) -> list[str]:
    notes = []
    doubtful = [f"{one.token} on {one.chain} ({one.remark})" for one in holdings if one.remark]
    if doubtful:
        notes.append(f"Holdings at the close of {day(last)} with a remark: {listed(doubtful)}.")
    unread = [one.label for one in allocation.get("chain", []) if one.value_usd is None]
    if unread:
        notes.append(f"Chains of which nothing is known or priced: {listed(unread)}. What is there is in no total.")
    if not has_returns:
        notes.append("There are no investments in the range: figures of return and risk rest on them alone.")
    elif as_of is None:
        notes.append("The marts have no metrics of a day of the range, so the tables show the report's own days alone.")
    elif as_of != last:
        notes.append(
            f"The windows of 30, 90 and 365 days and since start are of {day(as_of)}, the newest day of the range "
            "whose metrics were computed."
        )
    if gain is not None and gain.incomplete_uses:
        notes.append(
            f"{counted(gain.incomplete_uses, 'disposal')} of the ledger in the range rest on something missing, "
            "unpriced or of unknown source (marked * in the table): these gains are not to be trusted."
        )
    if gain is not None and gain.unpriced_assets:
        notes.append(
            f"{counted(gain.unpriced_assets, 'open asset')} of the ledger without a close: no unrealised gain is known."
        )
    return notes
