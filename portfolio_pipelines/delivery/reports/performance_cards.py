"""The cards on the first page of the performance report: one figure each, and why it is unknown where it is."""

import numpy as np

from portfolio_pipelines.delivery.reports import numbers
from portfolio_pipelines.delivery.reports.coverage_notes import (
    FULL,
)
from portfolio_pipelines.delivery.reports.numbers import counted, day, percent, usd
from portfolio_pipelines.delivery.reports.performance_tables import SHOWN, Payload, shown
from portfolio_pipelines.delivery.reports.portfolio_days import PortfolioDays
from portfolio_pipelines.delivery.reports.range_metrics import (
    DRAWDOWN_DAYS,
    Metrics,
)


def _tone(value: float | None) -> str:
    if value is None or value == 0 or np.isnan(value):
        return "plain"
    return "good" if value > 0 else "bad"


def _card(label: str, value: str, note: str = "", tone: str = "plain") -> Payload:
    is_something = any(digit in value for digit in "123456789")  # what is rounded to nothing has no colour
    return {"label": label, "value": value, "note": note, "tone": tone if is_something else "plain"}


def performance_cards(days: PortfolioDays, own: Metrics) -> list[Payload]:
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
        cards.append(_card(SHOWN[name], shown(name, value), note or own.why_unknown(name), tone))
    for name in ("best_day", "worst_day"):
        value = own.figures[name]
        note = own.why_unknown(name) if value is None else _day_of_return(days, value)
        cards.append(_card(SHOWN[name], shown(name, value), note, _tone(value)))
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
    # Also a coverage of 0 has its colour.
    tone = "plain" if coverage[lowest] >= FULL else "bad"
    return _card("Lowest coverage", percent(coverage[lowest]), note) | {"tone": tone}


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
