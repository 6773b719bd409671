"""The performance report: what stands on it, as the texts, rows and pictures that its template sets.

Belongs here: from figures to what is shown. The figures come from the marts (`portfolio_days`, `holdings`) and, for
exactly the days of the report, from the kernel of the marts (`range_metrics`).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from portfolio_pipelines.delivery.reports import numbers
from portfolio_pipelines.delivery.reports.conventions import performance_conventions
from portfolio_pipelines.delivery.reports.coverage_notes import (
    FULL,
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
from portfolio_pipelines.delivery.reports.numbers import counted, day, percent, ratio, usd
from portfolio_pipelines.delivery.reports.performance_charts import (
    allocation_chart,
    benchmark_name,
    compared_chart,
    drawdown_chart,
    value_chart,
)
from portfolio_pipelines.delivery.reports.portfolio_days import PortfolioDays, read_days
from portfolio_pipelines.delivery.reports.range_metrics import (
    COMPARED,
    DRAWDOWN_DAYS,
    FIGURES,
    Comparison,
    Metrics,
    benchmark_closes,
    range_comparisons,
    range_metrics,
)
from portfolio_pipelines.finance.calendar_returns import calendar_returns
from portfolio_pipelines.resources.figure_rules import FigureRules

if TYPE_CHECKING:
    import duckdb

Payload = dict[str, Any]
WINDOW_NAMES: Final = {30: "30 days", 90: "90 days", 365: "365 days", 0: "Since start"}
SHOWN: Final[Mapping[str, str]] = {
    "twr": "Time-weighted return", "roi": "Return on money put in", "xirr": "XIRR, a year",
    "volatility": "Volatility, a year", "sharpe": "Sharpe ratio", "sortino": "Sortino ratio",
    "max_drawdown": "Largest drawdown", "calmar": "Calmar ratio", "var_95": "VaR 95, one day",
    "cvar_95": "CVaR 95, one day", "best_day": "Best day", "worst_day": "Worst day",
}  # fmt: skip
"""Figures in the order of the table, with their names on paper."""
SIGNED: Final = frozenset(("twr", "roi", "xirr", "best_day", "worst_day", "var_95", "cvar_95", "max_drawdown"))
RATIOS: Final = frozenset(("sharpe", "sortino", "calmar"))
METHODS: Final = {"fifo": "first in, first out", "lifo": "last in, first out", "hifo": "highest cost first"}
SCOPES: Final = {"universal": "all venues sharing their lots", "per_venue": "each venue with lots of its own"}
MOST_HOLDINGS: Final = 300
"""Rows of the table; what is more is counted and summed below it."""
MOST_GAINS: Final = 200


def performance_payload(
    marts: "duckdb.DuckDBPyConnection", user_id: str, first: date, last: date, rules: FigureRules
) -> tuple[Payload, date]:
    """Everything the template of the performance report shows, and the day its data ends with.

    Raises:
        ReportUnavailableError: If the marts do not know the user or no day of the range.
    """
    days = read_days(marts, user_id, first, last)
    period, newest = days.period, newest_day(marts)
    own = range_metrics(days, rules)
    series = benchmark_closes(marts, period.base, period.last)
    windows, as_of = _windows(marts, user_id, period.first, period.last)
    compared = range_comparisons(days, series, own.figures["twr"])
    holdings = read_holdings(marts, user_id, period.last, newest)
    allocation = read_allocation(marts, user_id, holdings, is_newest=period.last == newest)
    gain = read_ledger_gain(marts, user_id, period.base, period.last)
    notes = [
        *period_notes(period),
        *coverage_notes(days),
        *unpriced_assets(marts, days),
        *_notes(holdings, allocation, gain, as_of, period.last),
    ]
    payload: Payload = {
        "title": "Performance report",
        "user": printable(user_id),
        "period": in_words(period),
        "has_returns": bool(days.has_investments.any()),
        "cards": _cards(days, own),
        "charts": {
            "value": value_chart(days),
            "compared": compared_chart(days, series),
            "drawdown": drawdown_chart(days),
            "by_asset": allocation_chart(allocation.get("asset", [])),
            "by_chain": allocation_chart(allocation.get("chain", [])),
            "by_category": allocation_chart(allocation.get("category", [])),
        },
        "benchmarks": _benchmark_groups([*compared, *_window_comparisons(marts, user_id, as_of)]),
        "metrics": _metric_table([own, *windows]),
        "months": _months(days),
        "holdings": _holding_table(holdings, period.last, is_newest=period.last == newest),
        "ledger": _ledger_table(gain),
        "notes": notes,
        "conventions": performance_conventions(rules.risk_free_rate),
    }
    return payload, period.last


def _shown(name: str, value: float | None) -> str:
    return ratio(value) if name in RATIOS else percent(value, signed=name in SIGNED)


def _tone(value: float | None) -> str:
    if value is None or value == 0 or np.isnan(value):
        return "plain"
    return "good" if value > 0 else "bad"


def _card(label: str, value: str, note: str = "", tone: str = "plain") -> Payload:
    return {"label": label, "value": value, "note": note, "tone": tone}


def _cards(days: PortfolioDays, own: Metrics) -> list[Payload]:
    """Figures of exactly the days of the report; where one is unknown, why."""
    period, total, pnl = days.period, days.total_usd, days.pnl_usd
    covered = f"coverage {percent(days.coverage[-1])}" if np.isfinite(days.coverage[-1]) else "coverage unknown"
    start = next((at for at in range(len(total)) if np.isfinite(total[at])), len(total) - 1)
    change = float(total[-1] - total[start])
    began = f"since the close of {day(days.calendar[start])}"
    if not days.is_valued[0] and days.begun is not None and days.begun >= period.first and start == 1:
        began = f"{usd(total[start])} on {day(days.calendar[start])}, the first day"
    # Before the first investment nothing was gained, which is known; a row without a figure is not.
    gained = pnl[-1] - (0.0 if days.begun is not None and days.begun > period.base else pnl[0])
    moved_in, moved_out = np.nansum(days.flow_in_usd[1:]), np.nansum(days.flow_out_usd[1:])
    cards = [
        _card("Value at the close", usd(total[-1]), f"{day(period.last)}, {covered}"),
        _card("Change of value", usd(change, signed=True), began, _tone(change)),
        _card(
            "Gain of investments", usd(gained, signed=True),
            f"put in {usd(moved_in)}, taken out {usd(moved_out)}" if own.n_obs or np.isfinite(pnl[-1])
            else "no gain is known", _tone(float(gained)),
        ),
    ]  # fmt: skip
    for name in (
        "twr",
        "roi",
        "xirr",
        "volatility",
        "sharpe",
        "sortino",
        "max_drawdown",
        "calmar",
        "var_95",
        "cvar_95",
    ):
        value = own.figures[name]
        note = "" if value is None else _note_of(name, own)
        tone = _tone(value) if name in {"twr", "roi", "xirr"} else "plain"
        cards.append(_card(SHOWN[name], _shown(name, value), note or own.why_unknown(name), tone))
    for name in ("best_day", "worst_day"):
        value = own.figures[name]
        note = own.why_unknown(name) if value is None else _day_of_return(days, value)
        cards.append(_card(SHOWN[name], _shown(name, value), note, _tone(value)))
    cards.append(_coverage_card(days))
    return cards


def _coverage_card(days: PortfolioDays) -> Payload:
    """The lowest coverage of the range: how far its figures can be trusted."""
    calendar, coverage = days.period.days, days.coverage[1:]
    unknown = int((~np.isfinite(coverage)).sum())
    if unknown == len(calendar):
        return _card("Lowest coverage", numbers.UNKNOWN, "nothing is expected on any day")
    lowest = int(np.nanargmin(coverage))
    note = f"{day(calendar[lowest])}" if coverage[lowest] < FULL else "every day rests on fresh prices"
    if unknown:
        note = f"{day(calendar[lowest])}; unknown on {counted(unknown, 'day')}"
    return _card("Lowest coverage", percent(coverage[lowest]), note)


def _note_of(name: str, own: Metrics) -> str:
    if name == "max_drawdown":
        peak, trough, recovered = (own.drawdown[one] for one in DRAWDOWN_DAYS)
        if peak is None:
            return "no drawdown"
        back = f"recovered {day(recovered)}" if recovered else "not recovered"
        return f"{day(peak)} – {day(trough)}, {back}"
    return {
        "twr": f"{counted(own.n_obs, 'daily return')}",
        "roi": "a total, deposits count",
        "xirr": "explains all flows",
        "volatility": "of daily returns",
        "sharpe": "a year",
        "sortino": "a year",
        "calmar": "over 365 days",
        "var_95": "5 of 100 days are worse",
        "cvar_95": "mean of those days",
    }.get(name, "")


def _day_of_return(days: PortfolioDays, value: float) -> str:
    found = np.flatnonzero(days.daily_return[1:] == value)
    return day(days.period.days[int(found[0])]) if len(found) else ""


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


def _metric_table(windows: Sequence[Metrics]) -> Payload:
    labels = [one.label for one in windows]
    rows = [[name, *(_shown(figure, one.figures[figure]) for one in windows)] for figure, name in SHOWN.items()]
    rows.append(["Daily returns", *(f"{one.n_obs:,}" for one in windows)])
    unknown = [
        f"{label}: {_said(one.reason)}" for label, one in zip(labels, windows, strict=True) if one.reason is not None
    ]
    return {"columns": labels, "rows": rows, "unknown": unknown}


def _said(reason: str) -> str:
    """A reason of the marts with the names of figures as they are on paper."""
    names = {**{key: key.upper() for key in ("roi", "twr", "xirr")}, "var_95": "VaR 95", "cvar_95": "CVaR 95"}
    parts = []
    for part in reason.split("; "):
        figures, colon, text = part.partition(": ")
        if colon:
            figures = ", ".join(names.get(one, one[:1].upper() + one[1:]) for one in figures.split(", "))
        parts.append(f"{figures}{colon}{text}")
    return "; ".join(parts)


def _benchmark_groups(compared: Sequence[Comparison]) -> list[Payload]:
    """Rows by window, one for each benchmark."""
    groups: dict[str, list[list[str]]] = {}
    for one in compared:
        row = [
            benchmark_name(one.benchmark),
            *(percent(one.figures[name], signed=True) for name in ("portfolio_roi", "benchmark_roi", "excess")),
            *(ratio(one.figures[name]) for name in ("beta", "correlation")),
            *(percent(one.figures[name]) for name in ("tracking_error", "up_capture", "down_capture")),
            f"{one.n_obs:,}",
        ]
        groups.setdefault(one.label, []).append(row)
    return [{"window": window, "rows": rows} for window, rows in groups.items()]


def _months(days: PortfolioDays) -> list[Payload]:
    """One row a year: a cell for every month, and the year."""
    if days.begun is None:
        return []
    start = max(0, (days.begun - days.period.base).days - 1)
    found = calendar_returns(days.calendar[start:], days.index[start:], days.starts_anew[start:])
    years: dict[int, Payload] = {}
    for one in found:
        row = years.setdefault(one.year, {"year": str(one.year), "cells": [None] * 13})
        mark = "" if one.is_whole or one.value is None else "†"
        text = percent(one.value, signed=True, digits=1) + mark
        row["cells"][12 if one.month is None else one.month - 1] = {"text": text, "value": one.value}
    return list(years.values())


def _holding_table(holdings: Sequence[Holding], last: date, *, is_newest: bool) -> Payload:
    total = sum(one.value_usd for one in holdings if one.value_usd is not None)
    rows = [
        [
            one.token,
            one.chain,
            numbers.quantity(one.balance),
            numbers.price(one.entry_price_usd),
            numbers.price(one.price_usd),
            usd(one.value_usd),
            percent(one.value_usd / total, digits=1) if one.value_usd is not None and total > 0 else numbers.UNKNOWN,
            usd(one.pnl_usd, signed=True),
            one.remark,
        ]
        for one in holdings[:MOST_HOLDINGS]
    ]
    left = holdings[MOST_HOLDINGS:]
    rest = ""
    if left:
        unpriced = sum(one.value_usd is None for one in left)
        worth = usd(sum(one.value_usd or 0.0 for one in left))
        rest = f"{counted(len(left), 'further holding')}, together {worth}; {unpriced:,} of them without a value."
    return {
        "rows": rows,
        "total": usd(total) if any(one.value_usd is not None for one in holdings) else numbers.UNKNOWN,
        "day": day(last),
        "rest": rest,
        "has_cost": is_newest and any(one.entry_price_usd is not None for one in holdings),
        "has_remarks": any(one.remark for one in holdings),
    }


def _ledger_table(gain: LedgerGain | None) -> Payload | None:
    if gain is None:
        return None
    return {
        "method": f"{METHODS.get(gain.method, gain.method)}, {SCOPES.get(gain.scope, gain.scope)}",
        "totals": [[label, usd(value, signed=True)] for label, value in gain.totals],
        "has_open": gain.has_open,
        "rows": [
            [
                one.asset,
                usd(one.proceeds_usd),
                usd(one.cost_usd),
                usd(one.realised_usd, signed=True) + ("*" if one.incomplete_uses else ""),
                usd(one.open_cost_usd),
                usd(one.open_value_usd),
                usd(one.unrealised_usd, signed=True),
            ]
            for one in gain.assets[:MOST_GAINS]
        ],
        "rest": f"{counted(len(gain.assets) - MOST_GAINS, 'further asset')} with smaller gains are not listed."
        if len(gain.assets) > MOST_GAINS
        else "",
    }


def _notes(
    holdings: Sequence[Holding],
    allocation: Mapping[str, Sequence[Slice]],
    gain: LedgerGain | None,
    as_of: date | None,
    last: date,
) -> list[str]:
    notes = []
    doubtful = [f"{one.token} on {one.chain} ({one.remark})" for one in holdings if one.remark]
    if doubtful:
        notes.append(f"Holdings at the close of {day(last)} with a remark: {listed(doubtful)}.")
    unread = [one.label for one in allocation.get("chain", []) if one.value_usd is None]
    if unread:
        notes.append(f"Chains of which nothing is known or priced: {listed(unread)}. What is there is in no total.")
    if as_of is None:
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
