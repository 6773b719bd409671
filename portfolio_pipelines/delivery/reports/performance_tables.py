"""The tables of the performance report: figures as rows of text. What they are is decided where they are read."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from portfolio_pipelines.delivery.reports import numbers
from portfolio_pipelines.delivery.reports.holdings import (
    Holding,
    LedgerGain,
)
from portfolio_pipelines.delivery.reports.numbers import counted, day, percent, ratio, usd
from portfolio_pipelines.delivery.reports.performance_charts import (
    benchmark_name,
)
from portfolio_pipelines.delivery.reports.portfolio_days import PortfolioDays
from portfolio_pipelines.delivery.reports.range_metrics import (
    Comparison,
    Metrics,
)
from portfolio_pipelines.finance.calendar_returns import calendar_returns

Payload = dict[str, Any]
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
NARROW_FROM: Final = 10.0
"""A return of 1,000 % and more is rounded in the table of months."""
MOST_HOLDINGS: Final = 300
"""Rows of the table; what is more is counted and summed below it."""
MOST_GAINS: Final = 200


def shown(name: str, value: float | None) -> str:
    """A figure of `SHOWN` as text: a ratio or a percentage."""
    return ratio(value) if name in RATIOS else percent(value, signed=name in SIGNED)


def metric_table(windows: Sequence[Metrics]) -> Payload:
    """Figures by window, and of each window what is not known and why."""
    labels = [one.label for one in windows]
    rows = [[name, *(shown(figure, one.figures[figure]) for one in windows)] for figure, name in SHOWN.items()]
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


def benchmark_groups(compared: Sequence[Comparison]) -> list[Payload]:
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


def month_rows(days: PortfolioDays) -> list[Payload]:
    """One row a year: a cell for every month, and the year."""
    if days.begun is None:
        return []
    start = max(0, (days.begun - days.period.base).days - 1)
    found = calendar_returns(days.calendar[start:], days.index[start:], days.starts_anew[start:])
    years: dict[int, Payload] = {}
    for one in found:
        row = years.setdefault(one.year, {"year": str(one.year), "cells": [None] * 13})
        mark = "" if one.is_whole or one.value is None else "†"
        text = _of_month(one.value) + mark
        row["cells"][12 if one.month is None else one.month - 1] = {"text": text, "value": one.value}
    return list(years.values())


def _of_month(value: float | None) -> str:
    """A return as short as its narrow column: +12.3 %, +1.3k %."""
    if value is None or abs(value) < NARROW_FROM:
        return percent(value, signed=True, digits=1)
    return f"{'+' if value > 0 else ''}{numbers.short(float(f'{100 * value:.3g}'), '%')}"


def holding_table(holdings: Sequence[Holding], last: date, *, is_newest: bool) -> Payload:
    """Holdings with their share of what is priced; cost and gain where the marts know them."""
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


def ledger_table(gain: LedgerGain | None) -> Payload | None:
    """Totals of a ledger over the report, and its gain by asset."""
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
