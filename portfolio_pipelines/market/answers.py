"""From what a provider said to rows of QUOTES: what was wanted, what counts as a price, one row for each day.

Belongs here: rules that hold for every provider. How one provider's replies look is in its own module.
"""

import bisect
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

import polars as pl

from portfolio_pipelines.market.quotes import QUOTES, UTC_TIME, Outcome, SeriesRequest

DAY: Final = timedelta(days=1)
DAY_SECONDS: Final = 86_400
MOST_SECONDS: Final = 1e15  # no timestamp, in seconds or milliseconds, is larger


class Answer(NamedTuple):
    """What one provider said about one symbol on one day."""

    source: str  # endpoint
    outcome: Outcome
    close_usd: float | None = None
    detail: str | None = None
    quoted_at: datetime | None = None


class UnreadableReplyError(ValueError):
    """A reply came, and its shape is not the one that the provider documents."""


class Wanted:
    """The (asset, day) pairs of one call to a provider, checked once."""

    def __init__(self, requests: Sequence[SeriesRequest], now: datetime) -> None:
        """Check the requests.

        Raises:
            ValueError: If `now` has no time zone, a range is empty or begins after today, or one asset is wanted
                under two symbols.
        """
        if now.tzinfo is None:
            msg = "the request time needs a time zone (UTC)"
            raise ValueError(msg)
        self.now = now.astimezone(UTC)
        self.today: date = self.now.date()
        self._symbols: dict[str, str] = {}
        pairs: set[tuple[str, date]] = set()
        for request in requests:
            self._check(request)
            days = (request.end - request.start).days
            pairs.update((request.asset_id, request.start + timedelta(days=offset)) for offset in range(days))
        self.pairs = sorted(pairs)
        days_of: dict[str, set[date]] = {}
        for asset_id, day in self.pairs:
            days_of.setdefault(self._symbols[asset_id], set()).add(day)
        self.closed: dict[str, list[date]] = {}
        """Days that are over, ascending, by symbol."""
        self.running: list[str] = []
        """Symbols wanted for the day that is still running."""
        for symbol, days_wanted in days_of.items():
            if over := sorted(day for day in days_wanted if day < self.today):
                self.closed[symbol] = over
            if self.today in days_wanted:
                self.running.append(symbol)

    def _check(self, request: SeriesRequest) -> None:
        if request.end <= request.start:
            msg = f"{request.asset_id}: the range {request.start} to {request.end} has no days"
            raise ValueError(msg)
        if request.end > self.today + DAY:
            msg = f"{request.asset_id}: {request.end - DAY} has not begun yet at {self.now:%Y-%m-%d %H:%M} UTC"
            raise ValueError(msg)
        if not request.symbol.strip():
            msg = f"{request.asset_id}: the symbol is empty"
            raise ValueError(msg)
        if self._symbols.setdefault(request.asset_id, request.symbol) != request.symbol:
            known = self._symbols[request.asset_id]
            msg = f"{request.asset_id} is wanted as {known} and as {request.symbol}; one asset has one symbol"
            raise ValueError(msg)

    def symbol_of(self, asset_id: str) -> str:
        """The provider's name of the asset."""
        return self._symbols[asset_id]

    def frame(self, provider: str, answers: Mapping[tuple[str, date], Answer]) -> pl.DataFrame:
        """Rows of QUOTES, one for each wanted (asset, day), sorted by asset and day.

        Raises:
            KeyError: If the provider left a (symbol, day) without an answer: an error of ours, never the provider's.
        """
        given = [answers[self._symbols[asset_id], day] for asset_id, day in self.pairs]
        return pl.DataFrame(
            {
                "asset_id": [asset_id for asset_id, _ in self.pairs],
                "date": [day for _, day in self.pairs],
                "provider": [provider] * len(given),
                "source": [answer.source for answer in given],
                "close_usd": [answer.close_usd for answer in given],
                "outcome": [answer.outcome.value for answer in given],
                "detail": [answer.detail for answer in given],
                "quoted_at": [answer.quoted_at for answer in given],
            },
            schema={column: kind for column, kind in QUOTES.items() if column not in {"requested_at", "known_at"}},
        ).with_columns(
            requested_at=pl.lit(self.now, dtype=UTC_TIME),
            known_at=pl.lit(self.now, dtype=UTC_TIME),
        )


def mapping_in(reply: object, what: str) -> Mapping[str, object]:
    """The reply itself when it is a JSON object.

    Raises:
        UnreadableReplyError: If it is not; `what` names it.
    """
    if not isinstance(reply, dict):
        msg = f"{what} is not a JSON object: {reply!r:.60}"
        raise UnreadableReplyError(msg)
    return reply


def number_in(value: object, what: str) -> float:
    """A finite JSON number, such as a timestamp.

    Raises:
        UnreadableReplyError: If it is anything else; `what` names it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST_SECONDS:
        msg = f"{what} is not a time: {value!r:.60}"
        raise UnreadableReplyError(msg)
    return float(value)


def batches(symbols: Sequence[str], size: int) -> list[list[str]]:
    """The symbols in their order, at most `size` together."""
    return [list(symbols[start : start + size]) for start in range(0, len(symbols), size)]


def close_time(day: date) -> float:
    """The end of a UTC day, 24:00, in seconds since the epoch."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + DAY_SECONDS


def utc_time(seconds: object) -> datetime | None:
    """Seconds since the epoch as a UTC time; None for anything that is not a time."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None


def price_answer(value: object, source: str, quoted_at: datetime | None = None) -> Answer:
    """Judge one price as it stood in a reply: only a positive finite number is `ok`; null means no data."""
    if value is None:
        return Answer(source, Outcome.NO_DATA, detail="the reply has no price for this day", quoted_at=quoted_at)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Answer(source, Outcome.INVALID, detail=f"price is not a number: {value!r:.60}", quoted_at=quoted_at)
    try:
        price = float(value)
    except OverflowError:
        price = math.inf
    if not (math.isfinite(price) and price > 0):
        return Answer(source, Outcome.INVALID, detail=f"price is not positive and finite: {price}", quoted_at=quoted_at)
    return Answer(source, Outcome.OK, close_usd=price, quoted_at=quoted_at)


def answers_from_points(
    points: Sequence[tuple[float, object]], days: Sequence[date], source: str, tolerance_seconds: float
) -> dict[date, Answer]:
    """Take for each day the point nearest to its 24:00 UTC.

    Args:
        points: (seconds since the epoch, price) in any order.
        days: Wanted days.
        source: Endpoint, for the rows.
        tolerance_seconds: A point further away than this is not the close of the day: no data.

    Returns:
        One answer for each wanted day.
    """
    ordered = sorted(points, key=lambda point: point[0])
    times = [time for time, _ in ordered]
    answers: dict[date, Answer] = {}
    for day in days:
        target = close_time(day)
        index = bisect.bisect_left(times, target)
        near = min(ordered[max(index - 1, 0) : index + 1], key=lambda point: abs(point[0] - target), default=None)
        if near is None or abs(near[0] - target) > tolerance_seconds:
            away = "none at all" if near is None else f"the nearest is {abs(near[0] - target) / 3600:.1f} h away"
            answers[day] = Answer(source, Outcome.NO_DATA, detail=f"no price near 24:00 UTC: {away}")
        else:
            answers[day] = price_answer(near[1], source, utc_time(near[0]))
    return answers
