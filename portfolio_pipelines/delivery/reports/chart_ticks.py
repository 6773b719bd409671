"""Where the axes of a chart have marks, and what stands at them. How axes are drawn is in `charts`."""

import math
from collections.abc import Sequence
from datetime import date
from typing import Final

from portfolio_pipelines.delivery.reports.numbers import MONTHS

MOST_DAY_TICKS: Final = 8


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values that enclose a range: steps of 1, 2, 2.5 or 5 times a power of ten.

    Args:
        low: Smallest value, finite.
        high: Largest value, finite, at least `low`.
        wanted: About how many steps.

    Raises:
        ValueError: If an end is not finite, or they are the wrong way round.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high < low:
        msg = f"no axis from {low} to {high}"
        raise ValueError(msg)
    least = max(abs(low), abs(high), 1e-9) * 1e-6  # a flat line gets an axis around it, not one of rounding errors
    if high - low < least:
        room = max(abs(high) * 0.05, 1e-9)
        low, high = low - room, high + room
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * number for number in range(first, last + 1)]


def day_ticks(days: Sequence[date]) -> list[tuple[int, str]]:
    """Places and labels on the axis of days: years, months or days, whichever are few enough."""
    span = (days[-1] - days[0]).days
    if span <= 62:
        every = max(1, math.ceil((span + 1) / MOST_DAY_TICKS))
        return [(at, f"{days[at].day} {MONTHS[days[at].month - 1]}") for at in range(0, len(days), every)]
    starts = [at for at, day in enumerate(days) if day.day == 1]
    if span > 366 * 6:
        starts = [at for at in starts if days[at].month == 1]
        every = math.ceil(len(starts) / MOST_DAY_TICKS)
        return [(at, str(days[at].year)) for at in starts[::every]]
    every = next(step for step in (1, 2, 3, 6, 12) if len(starts) / step <= MOST_DAY_TICKS or step == 12)
    chosen = [at for at in starts if (days[at].month - 1) % every == 0]
    return [(at, f"{MONTHS[days[at].month - 1]} {days[at].year}") for at in chosen]
