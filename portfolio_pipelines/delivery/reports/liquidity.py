"""The impermanent loss report: positions in pools against holding, over the days of a range.

Belongs here: what the template shows of the positions and totals that `liquidity_positions` reads. Nothing is computed.
"""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from portfolio_pipelines.delivery.reports.charts import BLUE, GREEN, INK, VERMILION, Line, line_chart
from portfolio_pipelines.delivery.reports.conventions import liquidity_conventions
from portfolio_pipelines.delivery.reports.coverage_notes import in_words, listed, period_notes, spans
from portfolio_pipelines.delivery.reports.liquidity_positions import (
    Position,
    known_period,
    read_positions,
    read_totals,
)
from portfolio_pipelines.delivery.reports.names import LONGEST_IN_TABLE, printable
from portfolio_pipelines.delivery.reports.numbers import (
    counted,
    day,
    percent,
    quantity,
    ratio,
    short,
    usd,
)
from portfolio_pipelines.delivery.reports.portfolio_days import Period

if TYPE_CHECKING:
    import duckdb

Payload = dict[str, Any]
MOST_PICTURES: Final = 12
"""Positions with a chart of their own, those with the largest loss."""
PROTOCOLS: Final = {
    "uniswap_v2": "Uniswap v2", "uniswap_v3": "Uniswap v3", "sushiswap": "Sushiswap", "curve": "Curve",
    "balancer_v2": "Balancer v2",
}  # fmt: skip
REASONS: Final = {
    "price_unknown": "no price", "range_unknown": "range was not read", "pool_unknown": "pool tells too little",
    "deposit_unknown": "deposit unknown", "usd_unknown": "no price in USD", "fees_unknown": "fees unknown",
    "fees_not_separable": "fees cannot be told from loss",
}  # fmt: skip
BASES: Final = {
    "entered": "entered", "entry_price": "entry price", "first_read": "first read", "percent_only": "percent only",
}  # fmt: skip


def liquidity_payload(
    marts: "duckdb.DuckDBPyConnection", user_id: str, first: date, last: date
) -> tuple[Payload, date]:
    """Everything the template of the impermanent loss report shows, and the day its data ends with.

    Raises:
        ReportUnavailableError: If the user has no position in a pool on any day of the range.
    """
    period = known_period(marts, user_id, first, last)
    totals = read_totals(marts, user_id, period)
    positions = read_positions(marts, user_id, period)
    now = totals[period.last]
    is_open = [one for one in positions if one.now["date"] == period.last]
    ended = [one for one in positions if one.now["date"] != period.last]
    payload: Payload = {
        "title": "Impermanent loss report",
        "user": printable(user_id),
        "period": in_words(period),
        "cards": _cards(now, period),
        "charts": {"percent": _percent_chart(totals, period), "usd": _usd_chart(totals, period)},
        "positions": [_position(one) for one in is_open],
        "totals": _total_row(now),
        "ended": [_position(one) for one in ended],
        "pictures": _pictures(positions, period) if period.first < period.last else [],
        "pictures_left_out": max(0, len(positions) - MOST_PICTURES),
        "notes": _notes(totals, positions, period),
        "conventions": liquidity_conventions(),
    }
    return payload, period.last


def _tone(value: float | None) -> str:
    return "plain" if not value else "good" if value > 0 else "bad"


def _percent_points(value: float | None) -> str:
    """A figure that is in percent already."""
    return percent(None if value is None else value / 100, signed=True)


def _cards(now: dict[str, Any], period: Period) -> list[Payload]:
    without, out = now["positions_without_usd"], now["positions_out_of_range"]
    known = now["positions"] - without
    covered = f"{known} of {counted(now['positions'], 'position')} in dollars"
    fees = "since each comparison began" if now["fees_usd"] is not None else "fees of a position are not known"
    figures = [
        ("Impermanent loss", usd(now["il_usd"], signed=True), covered, _tone(now["il_usd"])),
        ("In percent of holding", _percent_points(now["il_pct"]), "without fees", _tone(now["il_pct"])),
        ("Fees earned", usd(now["fees_usd"], signed=True), fees, "plain"),
        ("Net against holding", usd(now["net_usd"], signed=True), "impermanent loss + fees", _tone(now["net_usd"])),
        ("Worth if held", usd(now["hodl_value_usd"]), "what was put in, at today's prices", "plain"),
        ("Worth in the pools", usd(now["position_value_usd"]), "without fees", "plain"),
        ("Out of range", f"{out:,}", "positions that earn no fees", "plain"),
        ("As of", day(period.last), "read in part earlier" if now["is_stale"] else "24:00 UTC", "plain"),
    ]
    return [{"label": label, "value": value, "note": note, "tone": tone} for label, value, note, tone in figures]


def _values(totals: dict[date, dict[str, Any]], period: Period, name: str) -> list[float | None]:
    return [totals[one][name] if one in totals else None for one in period.days]


def _percent_chart(totals: dict[date, dict[str, Any]], period: Period) -> str | None:
    line = Line("Impermanent loss, % of holding", _values(totals, period, "il_pct"), VERMILION, is_filled=True)
    return line_chart(
        period.days, [line], lambda value: short(value, "%"), height=180, has_legend=False, include=(0.0,)
    )


def _usd_chart(totals: dict[date, dict[str, Any]], period: Period) -> str | None:
    lines = [
        Line("Impermanent loss", _values(totals, period, "il_usd"), VERMILION, "7 3"),
        Line("Fees", _values(totals, period, "fees_usd"), GREEN, "2.5 2.5"),
        Line("Net", _values(totals, period, "net_usd"), BLUE, width=2.4),
    ]
    return line_chart(period.days, lines, lambda value: short(value, "$"), height=200, include=(0.0,))


def _pictures(positions: Sequence[Position], period: Period) -> list[Payload]:
    """Small charts of single positions, those with the largest loss in percent first."""

    def loss(one: Position) -> float:
        return min((value for value in one.il_pct.values() if value is not None), default=0.0)

    chosen = sorted(positions, key=lambda one: (loss(one), one.name, one.now["position_id"]))[:MOST_PICTURES]
    pictures = []
    for one in chosen:
        line = Line(one.name, [one.il_pct.get(d) for d in period.days], INK, width=1.6, is_filled=True)
        chart = line_chart(
            period.days, [line], lambda value: short(value, "%"), height=150, width=340, has_legend=False,
            include=(0.0,),
        )  # fmt: skip
        title = one.name if one.name == one.pool else f"{one.name} ({one.pool})"
        pictures.append({"title": title, "where": _where(one), "chart": chart})
    return pictures


def _where(one: Position) -> str:
    protocol = PROTOCOLS.get(one.now["protocol"], "pool unchecked")
    return f"{protocol} on {printable(one.now['chain'], LONGEST_IN_TABLE)}"


def _why(reason: str) -> str:
    return REASONS.get(reason) or printable(reason.replace("_", " "), LONGEST_IN_TABLE)


def _position(one: Position) -> Payload:
    now = one.now
    bounds = ""
    if now["lower_price"] is not None and now["upper_price"] is not None:
        inside = {True: "in range", False: "out of range", None: "unknown whether in range"}[now["in_range"]]
        bounds = f"{quantity(now['lower_price'])} – {quantity(now['upper_price'])}, {inside}"
    remarks = [_why(now["reason"])] if now["reason"] else []
    remarks += ["not read on the day"] if now["is_stale"] else []
    return {
        "name": one.name,
        "pool": one.pool if one.pool != one.name else "",
        "where": _where(one),
        "since": day(now["since"]),
        "day": day(now["date"]),
        "basis": BASES.get(now["basis"], printable(now["basis"])),
        "prices": [quantity(now["entry_price"]), quantity(now["price"]), ratio(now["price_ratio"], 4)],
        "range": bounds,
        "hold": usd(now["hodl_value_usd"]),
        "worth": usd(now["position_value_usd"]),
        "il_pct": _percent_points(now["il_pct"]),
        "il_usd": usd(now["il_usd"], signed=True),
        "fees": usd(now["fees_usd"], signed=True),
        "net": usd(now["net_usd"], signed=True),
        "remarks": "; ".join(remarks),
    }


def _total_row(now: dict[str, Any]) -> Payload:
    return {
        "hold": usd(now["hodl_value_usd"]),
        "worth": usd(now["position_value_usd"]),
        "il_pct": _percent_points(now["il_pct"]),
        "il_usd": usd(now["il_usd"], signed=True),
        "fees": usd(now["fees_usd"], signed=True),
        "net": usd(now["net_usd"], signed=True),
    }


def _notes(totals: dict[date, dict[str, Any]], positions: Sequence[Position], period: Period) -> list[str]:
    now = totals[period.last]
    notes = period_notes(period)
    missing = [one for one in period.days if one not in totals]
    stale = [one for one, row in totals.items() if row["is_stale"]]
    partly = [one for one, row in totals.items() if row["positions_without_usd"]]
    feeless = [one for one, row in totals.items() if row["il_usd"] is not None and row["fees_usd"] is None]
    if missing:
        notes.append(f"{counted(len(missing), 'day')} without any read: {spans(missing)}. Charts show them as gaps.")
    if stale:
        notes.append(f"{counted(len(stale), 'day')} on which a position was not read anew: {spans(stale)}.")
    if partly:
        notes.append(
            f"{counted(len(partly), 'day')} on which the dollars of a position are unknown: {spans(partly)}. "
            f"At the close of {day(period.last)} that are {now['positions_without_usd']} of {now['positions']}: "
            "they are in no sum."
        )
    if feeless:
        notes.append(
            f"{counted(len(feeless), 'day')} on which the fees of a position are unknown, and so fees and net of all: "
            f"{spans(feeless)}."
        )
    doubtful = [f"{one.name}: {_why(one.now['reason'])}" for one in positions if one.now["reason"]]
    if doubtful:
        notes.append(f"Figures that are unknown: {listed(doubtful)}.")
    ended = [one for one in positions if one.now["date"] != period.last]
    if ended:
        notes.append(
            f"{counted(len(ended), 'position')} of the range {'is' if len(ended) == 1 else 'are'} not there at its "
            f"last close: closed, or taken off the list."
        )
    if not (missing or stale or partly or feeless or doubtful):
        notes.insert(0, "Every position was read on every day, and all its figures are known.")
    return notes
