"""What others may see of a ranked portfolio: a name that leads nowhere, its worth among others', rounded figures.

Belongs here: pseudonyms, buckets and rounding. Who is ranked is in `leaderboard`. No I/O, no clock, no Dagster: the key
is handed in, and whoever has it can tell which user a pseudonym is.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BITS: Final = 60
"""Of a pseudonym: the chance that two of 125,000 are equal is 7 in a thousand million."""
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that is read as another sign."""
GROUP: Final = 4
FIGURE_DIGITS: Final = 4
"""Decimals of published figures, 0.01 %: more would be a fingerprint."""
EDGES_USD: Final = (1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0)
"""Where buckets of worth part; they are merged where too few portfolios are in one."""
NO_BUCKET: Final = -1


def period_of(day: date) -> str:
    """The period whose pseudonyms hold on a day: its calendar month, YYYY-MM."""
    return f"{day:%Y-%m}"


def pseudonym_numbers(key: bytes, period: str, window_days: int, user_ids: Sequence[str]) -> NDArray[np.int64]:
    """One number a user, of BITS bits: HMAC-SHA-256 of period, window and user under the key.

    Without the key a number cannot be told from chance: neither can one be worked out for a user that is known, nor
    can those of two periods or windows be brought together.

    Args:
        key: The secret of the installation, 32 bytes.
        period: As `period_of` says.
        window_days: Of the board.
        user_ids: The ids that people use.
    """
    start = hmac.new(key, f"{period}\x1f{window_days}\x1f".encode(), hashlib.sha256)
    numbers = np.empty(len(user_ids), np.int64)
    for at, user_id in enumerate(user_ids):
        mac = start.copy()
        mac.update(user_id.encode())
        numbers[at] = int.from_bytes(mac.digest()[:8], "big") >> (64 - BITS)
    return numbers


def pseudonyms(numbers: NDArray[np.int64]) -> list[str]:
    """Numbers as people read them, such as 7K3Q-F2XM-9A0D; the order of the texts is that of the numbers."""
    signs = np.array(list(ALPHABET))
    columns = [signs[(numbers >> shift) & 31] for shift in range(BITS - 5, -1, -5)]
    for at in range(len(columns) - GROUP, 0, -GROUP):
        columns.insert(at, np.full(len(numbers), "-"))
    if not len(numbers):
        return []
    joined = np.stack(columns, axis=1)
    return ["".join(row) for row in joined]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Ranges of worth, richest first, and which of them each portfolio is in."""

    labels: list[str]
    place: NDArray[np.int64]  # shape (portfolios,); NO_BUCKET where none may be told

    def texts(self) -> list[str | None]:
        """The label of each portfolio."""
        return [None if at == NO_BUCKET else self.labels[at] for at in self.place]


def buckets(values: Floats, ranked: NDArray[np.bool_], least: int) -> Buckets:
    """Put the ranked portfolios into buckets of at least `least` of them.

    Neighbours are merged from the richest down until each has enough; what is left at the poor end joins the bucket
    above it. Fewer ranked portfolios than `least` have no bucket at all.

    Args:
        values: Worth in USD, shape (portfolios,).
        ranked: Which portfolios are on the board or behind it; only they count, and only they get a bucket.
        least: So many portfolios share each bucket.

    Raises:
        ValueError: If `least` is below 1.
    """
    if least < 1:
        msg = f"a bucket must hold at least one portfolio, not {least}"
        raise ValueError(msg)
    place = np.full(len(values), NO_BUCKET)
    steps = np.searchsorted(EDGES_USD, values[ranked], side="right")
    counts = np.bincount(steps, minlength=len(EDGES_USD) + 1)
    if counts.sum() < least:
        return Buckets([], place)
    cuts, waiting = [len(counts)], 0  # each bucket is the steps from one cut down to the next
    for step in range(len(counts) - 1, -1, -1):
        waiting += int(counts[step])
        if waiting >= least:
            cuts.append(step)
            waiting = 0
    cuts[-1] = 0
    of_step = np.empty(len(counts), np.int64)
    labels = []
    for at, (upper, lower) in enumerate(pairwise(cuts)):
        of_step[lower:upper] = at
        labels.append(_label(lower, upper))
    place[ranked] = of_step[steps]
    return Buckets(labels, place)


def _label(lower: int, upper: int) -> str:
    """Of the steps from `lower` up to `upper` (half-open)."""
    highest = len(EDGES_USD) + 1
    if lower == 0 and upper == highest:
        return "any worth"
    if lower == 0:
        return f"below {EDGES_USD[upper - 1]:,.0f} USD"
    if upper == highest:
        return f"{EDGES_USD[lower - 1]:,.0f} USD and more"
    return f"{EDGES_USD[lower - 1]:,.0f} to {EDGES_USD[upper - 1]:,.0f} USD"


def shown(figures: Floats) -> Floats:
    """Figures as they are published."""
    return np.round(figures, FIGURE_DIGITS) + 0.0  # and no -0.0
