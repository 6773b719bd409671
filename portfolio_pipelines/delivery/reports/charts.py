"""Charts as SVG of our own: lines over days, an area below zero, bars. Same input, same bytes.

Belongs here: how things are drawn. Which figures are drawn is decided by the reports. Every text is escaped: one bare
ampersand in a token's name would make the whole picture unreadable for typst. A day without a value leaves a gap: no
line is ever drawn through days that nobody knows.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

from portfolio_pipelines.delivery.reports.chart_ticks import day_ticks, nice_ticks
from portfolio_pipelines.delivery.reports.names import UNPRINTABLE
from portfolio_pipelines.delivery.reports.numbers import SPACE

DRAWABLE_UP_TO: Final = 1e300
"""Beyond it the ends of an axis overflow; such a value is as good as unknown."""
BLUE: Final = "#0072b2"
VERMILION: Final = "#d55e00"
GREEN: Final = "#009e73"
PURPLE: Final = "#cc79a7"
ORANGE: Final = "#e69f00"
SKY: Final = "#56b4e9"
"""The palette of Okabe and Ito: told apart with every kind of colour blindness; dashes tell lines apart in grey."""
INK: Final = "#1f2a37"
MUTED: Final = "#5f6b7a"
GRID: Final = "#dde3e9"
FAINT: Final = "#9aa7b4"
FONT: Final = "Libertinus Serif"
WIDTH: Final = 680
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 26
LETTER: Final = 5.6
"""Width of an average letter at TEXT_SIZE; names are cut by estimates, nothing is measured."""
TEXT_SIZE: Final = 12

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One series over the days of a chart; None is unknown."""

    name: str
    values: Values
    colour: str
    dash: str = ""
    width: float = 1.8
    is_step: bool = False  # holds until the next day instead of sloping towards it
    is_filled: bool = False  # the area between it and zero is tinted


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a bar chart."""

    label: str
    value: float
    text: str  # what stands beside it
    is_rest: bool = False  # all that has no bar of its own


def line_chart(
    days: Sequence[date],
    lines: Sequence[Line],
    label: Callable[[float], str],
    *,
    height: int = 230,
    width: int = WIDTH,
    has_legend: bool = True,
    include: Iterable[float] = (),
) -> str | None:
    """Lines over days.

    Args:
        days: Consecutive days.
        lines: What is drawn, each with as many values as there are days.
        label: Text of a value on the axis.
        height: Of the picture; the width is that of the page.
        width: Of the picture.
        has_legend: Whether the names of the lines stand above them.
        include: Values that the axis must contain.

    Returns:
        The picture, or None when no value is known at all.

    Raises:
        ValueError: If a line has another number of values than there are days.
    """
    for line in lines:
        if len(line.values) != len(days):
            msg = f"the line {line.name!r} has {len(line.values)} values for {len(days)} days"
            raise ValueError(msg)
    lines = [replace(line, values=[_drawable(value) for value in line.values]) for line in lines]
    known = [value for line in lines for value in line.values if value is not None]
    if not known:
        return None
    ticks = nice_ticks(min([*known, *include]), max([*known, *include]))
    top = TOP if has_legend else 12
    frame = _Frame(width, height, top, len(days), ticks[0], ticks[-1])
    parts = [*_value_axis(frame, ticks, label), *_day_axis(frame, days)]
    for line in lines:
        parts += _drawn(frame, line)
    if has_legend:
        parts += _legend(frame, lines)
    return _svg(width, height, parts)


def bar_chart(bars: Sequence[Bar], *, width: int = WIDTH // 2) -> str | None:
    """Horizontal bars from zero, negative ones to the left in another colour; None without bars."""
    if not bars:
        return None
    row, label_width, text_width = 21, width * 0.3, 118.0
    low, high = min(0.0, *(bar.value for bar in bars)), max(0.0, *(bar.value for bar in bars))
    span = (high - low) or 1.0
    scale = (width - label_width - text_width) / span
    zero = label_width - low * scale
    parts = []
    for number, bar in enumerate(bars):
        middle = 6 + row * number + row / 2
        left, long = (zero, bar.value * scale) if bar.value >= 0 else (zero + bar.value * scale, -bar.value * scale)
        fill = VERMILION if bar.value < 0 else FAINT if bar.is_rest else BLUE
        parts.append(
            f'<rect x="{left:.1f}" y="{middle - 7:.1f}" width="{max(long, 0.8):.1f}" height="14" rx="1.5" '
            f'fill="{fill}"/>'
        )
        parts.append(_text(label_width - 7, middle + 4, _cut(bar.label, label_width - 8), anchor="end", colour=INK))
        parts.append(_text(max(left + long, zero) + 6, middle + 4, bar.text))
    parts.append(f'<path d="M{zero:.1f} 4V{6 + row * len(bars) + 2}" stroke="{MUTED}" stroke-width="0.8"/>')
    return _svg(width, 12 + row * len(bars), parts)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where days and values lie in the picture."""

    width: int
    height: int
    top: int
    days: int
    low: float
    high: float

    def x(self, place: float) -> float:
        return LEFT + (self.width - LEFT - RIGHT) * (place / max(1, self.days - 1) if self.days > 1 else 0.5)

    def y(self, value: float) -> float:
        # In halves: the span of two huge ends would overflow.
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return self.height - BOTTOM - (self.height - self.top - BOTTOM) * share


def _drawable(value: float | None) -> float | None:
    return None if value is None or not abs(value) <= DRAWABLE_UP_TO else value


def _value_axis(frame: _Frame, ticks: Sequence[float], label: Callable[[float], str]) -> list[str]:
    parts = []
    for tick in ticks:
        y = frame.y(tick)
        is_zero = abs(tick) < (ticks[-1] - ticks[0]) * 1e-9
        stroke, thick = (MUTED, 0.9) if is_zero and ticks[0] < 0 else (GRID, 0.8)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{frame.width - RIGHT}" stroke="{stroke}" stroke-width="{thick}"/>')
        parts.append(_text(LEFT - 7, y + 4, label(0.0 if is_zero else tick), anchor="end"))
    return parts


def _day_axis(frame: _Frame, days: Sequence[date]) -> list[str]:
    bottom = frame.height - BOTTOM
    parts = [f'<path d="M{LEFT} {bottom}H{frame.width - RIGHT}" stroke="{MUTED}" stroke-width="0.9"/>']
    room = int((frame.width - LEFT - RIGHT) / 68)
    ticks = day_ticks(days)
    for at, label in ticks[:: max(1, math.ceil(len(ticks) / max(1, room)))]:
        x = frame.x(at)
        parts.append(f'<path d="M{x:.1f} {bottom}v4" stroke="{MUTED}" stroke-width="0.9"/>')
        half = _length(label) / 2
        anchor = "start" if x - half < LEFT - 20 else "end" if x + half > frame.width - 2 else "middle"
        parts.append(_text(frame.width - 2 if anchor == "end" else x, bottom + 17, label, anchor=anchor))
    return parts


def _drawn(frame: _Frame, line: Line) -> list[str]:
    """A line in pieces, one for each run of known days; a single known day is a dot."""
    parts: list[str] = []
    zero = frame.y(min(max(0.0, frame.low), frame.high))
    for first, piece in _runs(line.values):
        points = [(frame.x(first + at), frame.y(value)) for at, value in enumerate(piece)]
        if len(points) == 1:
            parts.append(f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2.2" fill="{line.colour}"/>')
            continue
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        path += "".join(f"H{x:.1f}V{y:.1f}" if line.is_step else f"L{x:.1f} {y:.1f}" for x, y in points[1:])
        if line.is_filled:
            area = f"{path}V{zero:.1f}H{points[0][0]:.1f}Z"
            parts.append(f'<path d="{area}" fill="{line.colour}" fill-opacity="0.16"/>')
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        parts.append(
            f'<path d="{path}" fill="none" stroke="{line.colour}" stroke-width="{line.width}" '
            f'stroke-linejoin="round"{dash}/>'
        )
    return parts


def _runs(values: Values) -> list[tuple[int, list[float]]]:
    """Stretches of known values, each with its first place."""
    runs: list[tuple[int, list[float]]] = []
    is_open = False
    for at, value in enumerate(values):
        if value is None:
            is_open = False
        elif is_open:
            runs[-1][1].append(value)
        else:
            runs.append((at, [value]))
            is_open = True
    return runs


def _legend(frame: _Frame, lines: Sequence[Line]) -> list[str]:
    parts, x = [], float(LEFT)
    room = frame.width - LEFT - RIGHT - 52 * len(lines)
    wanted = sum(_length(line.name) for line in lines)
    for line in lines:
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        parts.append(f'<path d="M{x:.1f} 13h22" stroke="{line.colour}" stroke-width="{max(2.2, line.width)}"{dash}/>')
        name = line.name if wanted <= room else _cut(line.name, room / len(lines))
        parts.append(_text(x + 28, 17, name, colour=INK))
        x += 28 + _length(name) + 24
    return parts


def _cut(name: str, room: float) -> str:
    """As much of a name as fits; an ellipsis where it does not."""
    if _length(name) <= room:
        return name
    kept = name
    while len(kept) > 1 and _length(kept) > room - 2 * LETTER:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def _length(text: str) -> float:
    """About how wide a text is, rather too wide than too narrow."""
    return sum(
        13.0 if east_asian_width(letter) in "WF" else LETTER * 2 if letter in "MW@%…" or ord(letter) > 0x2FFF
        else LETTER * 1.4 if letter.isupper() else LETTER
        for letter in text
    )  # fmt: skip


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = MUTED) -> str:
    shown = "".join(letter if letter.isprintable() or letter == SPACE else UNPRINTABLE for letter in text)
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-family="{FONT}" font-size="{TEXT_SIZE}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(shown)}</text>'
    )


def _svg(width: int, height: int, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        + "".join(parts)
        + "</svg>"
    )
