"""Returns of months and years out of a chained index. No I/O, no clock, no Dagster.

Belongs here: cutting a time-weighted index at the ends of months. How the index is chained is in `returns`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CalendarReturn:
    """What one month, or the days of one year, made of the index."""

    year: int
    month: int | None  # 1 to 12; None for the year
    value: float | None  # 0.01 = 1 %; None where an end is unknown or the record was interrupted
    is_whole: bool  # whether the days cover the month or year in full


def calendar_returns(days: Sequence[date], index: Floats, starts_anew: NDArray[np.bool_]) -> list[CalendarReturn]:
    """Returns of each month and year that the days touch.

    A month goes from the last close before it to its last close. Where one of the two is unknown it has no return:
    a return over other days would be shown as one of the month.

    Args:
        days: Consecutive days; the first is the close that the first month starts from.
        index: Chained index at the closes, same length; NaN where unknown.
        starts_anew: Where a new record begins at 1.0, same length: nothing is compared across it.

    Returns:
        Months in order, after the last one of each year the year.

    Raises:
        ValueError: If the lengths differ or the days are not consecutive.
    """
    if not len(days) == len(index) == len(starts_anew):
        msg = f"lengths differ: {len(days)}, {len(index)}, {len(starts_anew)}"
        raise ValueError(msg)
    if any(later - earlier != timedelta(days=1) for earlier, later in pairwise(days)):
        msg = f"the days from {days[0]} to {days[-1]} are not consecutive"
        raise ValueError(msg)
    anew = np.concatenate([[0], np.cumsum(starts_anew)])

    def grown(first: int, last: int) -> float | None:
        """From the close before place `first` to the close of place `last`."""
        base, end = index[first - 1], index[last]
        if anew[last + 1] != anew[first] or not (np.isfinite(base) and np.isfinite(end)) or base <= 0:
            return None
        return float(end / base - 1)

    found: list[CalendarReturn] = []
    month_start = year_start = 1
    for place in range(1, len(days)):
        day, is_last = days[place], place == len(days) - 1
        tomorrow = day + timedelta(days=1)
        if tomorrow.day == 1 or is_last:
            whole = days[month_start].day == 1 and tomorrow.day == 1
            found.append(CalendarReturn(day.year, day.month, grown(month_start, place), whole))
            month_start = place + 1
        if tomorrow.year != day.year or is_last:
            whole = (days[year_start].month, days[year_start].day) == (1, 1) and tomorrow.year != day.year
            found.append(CalendarReturn(day.year, None, grown(year_start, place), whole))
            year_start = place + 1
    return found
