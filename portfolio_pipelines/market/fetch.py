"""Asking every provider that knows an asset, once for each day, all providers at the same time.

Belongs here: who is asked for what, and progress. Not here: what is still missing (the caller knows its lake), choosing
between the answers (`consensus`), pace and retries (`limiter`, `conversation`).
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from portfolio_pipelines.market.answers import DAY, Answer, Wanted
from portfolio_pipelines.market.quotes import QUOTES, RETRYABLE, Outcome, PriceProvider, SeriesRequest

Progress = Callable[[int, int, str], None]
"""Called with (asset-days answered, asset-days in all, provider), from one thread at a time."""

WEEKDAYS_CALENDAR: Final = "weekdays"
SATURDAY: Final = 5
SAMPLE: Final = "sample"  # knows every asset by its own id
CHUNK_ASSETS: Final = 100  # asked together: what a provider answers in one call for one day
CHUNK_DAYS: Final = 1_500  # asset-days asked together: about what one call of a range answers, so that progress shows
STRIKES: Final = 2  # calls in a row without a single answer, after which a provider is left alone


@dataclass(frozen=True, slots=True)
class Listing:
    """Where an asset can be asked for."""

    asset_id: str
    kind: str  # crypto, index, file
    calendar: str  # daily, weekdays
    symbols: Mapping[str, str] = field(default_factory=dict)  # the provider's own name of the asset, by provider

    def symbol_at(self, provider: str) -> str | None:
        """The asset's name at this provider; None when it does not know the asset."""
        return self.symbols.get(provider) or (self.asset_id if provider == SAMPLE else None)


def fetch_quotes(
    needs: pl.DataFrame | Sequence[tuple[str, date, date]],
    providers: Sequence[PriceProvider],
    listings: Mapping[str, Listing] | Iterable[Listing],
    now: datetime,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Ask for daily closes.

    Each provider is asked once for each (asset, day) that it can know, so that the consensus has several quotes.
    Assets with the calendar `weekdays` are not asked for on Saturdays and Sundays.

    Args:
        needs: (asset_id, start, end) of half-open ranges of days, or a frame with these columns; they may overlap.
        providers: Who is asked; they run at the same time, each at its own pace.
        listings: Every needed asset, by id or in any order.
        now: The request time, UTC.
        progress: Told how far each provider is.

    Returns:
        Frame of schema QUOTES with one row for each (asset, day, provider), failures included, sorted by these. Empty
        for assets that no provider knows.

    Raises:
        ValueError: If an asset has no listing, two providers have the same name, or a range makes no sense.
    """
    known = listings if isinstance(listings, Mapping) else {listing.asset_id: listing for listing in listings}
    days = _days_of(needs, known)
    names = [provider.name for provider in providers]
    if len(set(names)) != len(names):
        msg = f"each provider can be asked once, not {', '.join(names)}"
        raise ValueError(msg)
    stopped = threading.Event()
    report = _Report(progress)
    parts: list[pl.DataFrame] = []
    with ThreadPoolExecutor(max_workers=max(len(providers), 1), thread_name_prefix="prices") as pool:
        asked = []
        for provider in providers:
            requests = _requests_for(provider.name, days, known)
            chunks = [chunk for part in _running_first(requests, now) for chunk in _chunks(part)]
            if chunks:
                asked.append(pool.submit(_ask, provider, chunks, now, report, stopped))
        try:
            parts.extend(itertools.chain.from_iterable(future.result() for future in as_completed(asked)))
        finally:
            stopped.set()  # after an error or Ctrl-C the others finish the call that they are in, and no more
    quotes = pl.concat(parts) if parts else QUOTES.to_frame()
    return quotes.sort("asset_id", "date", "provider")


class _Report:
    """Serialises progress from several threads."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._lock = progress, threading.Lock()

    def tell(self, done: int, total: int, provider: str) -> None:
        if self._progress is not None:
            with self._lock:
                self._progress(done, total, provider)


def _ask(
    provider: PriceProvider,
    chunks: Sequence[Sequence[SeriesRequest]],
    now: datetime,
    report: _Report,
    stopped: threading.Event,
) -> list[pl.DataFrame]:
    total = sum(_length(request) for chunk in chunks for request in chunk)
    done = strikes = 0
    parts: list[pl.DataFrame] = []
    report.tell(0, total, provider.name)
    for chunk in chunks:
        if stopped.is_set():
            break
        if strikes < STRIKES:
            answers = provider.fetch(chunk, now)
            strikes = _strikes(strikes, set(answers["outcome"]))
        else:
            answers = _left_alone(provider.name, chunk, now, parts[-1])
        parts.append(answers)
        done += sum(_length(request) for request in chunk)
        report.tell(done, total, provider.name)
    return parts


def _strikes(before: int, outcomes: set[str]) -> int:
    if outcomes == {Outcome.RATE_LIMITED}:
        return STRIKES  # it was waited for long enough already
    return before + 1 if outcomes <= RETRYABLE else 0


def _left_alone(provider: str, chunk: Sequence[SeriesRequest], now: datetime, before: pl.DataFrame) -> pl.DataFrame:
    """Rows of what is not asked any more: the outcome of the last call, and why."""
    wanted = Wanted(chunk, now)
    last = before.row(-1, named=True)
    why = str(last["detail"]).removeprefix("not asked after: ")
    answer = Answer(last["source"], Outcome(last["outcome"]), detail=f"not asked after: {why}")
    return wanted.frame(provider, {(wanted.symbol_of(asset_id), day): answer for asset_id, day in wanted.pairs})


def _running_first(
    requests: Mapping[str, list[SeriesRequest]], now: datetime
) -> tuple[dict[str, list[SeriesRequest]], dict[str, list[SeriesRequest]]]:
    """Part the running day, of which providers answer a hundred assets in one call, from the closed ones."""
    today = now.astimezone(UTC).date()
    running: dict[str, list[SeriesRequest]] = {}
    closed: dict[str, list[SeriesRequest]] = {}
    for asset_id, of_asset in requests.items():
        for request in of_asset:
            if request.start < today < request.end:
                closed.setdefault(asset_id, []).append(replace(request, end=today))
                running.setdefault(asset_id, []).append(replace(request, start=today))
            else:
                (closed if request.end <= today else running).setdefault(asset_id, []).append(request)
    return running, closed


def _chunks(requests: Mapping[str, list[SeriesRequest]]) -> Iterator[list[SeriesRequest]]:
    chunk: list[SeriesRequest] = []
    assets = days = 0
    for of_asset in requests.values():
        length = sum(_length(request) for request in of_asset)
        if chunk and (assets >= CHUNK_ASSETS or days + length > CHUNK_DAYS):
            yield chunk
            chunk, assets, days = [], 0, 0
        chunk = [*chunk, *of_asset]
        assets, days = assets + 1, days + length
    if chunk:
        yield chunk


def _requests_for(
    provider: str, days: Mapping[str, list[date]], listings: Mapping[str, Listing]
) -> dict[str, list[SeriesRequest]]:
    """Ranges by asset, for the assets that the provider knows."""
    requests: dict[str, list[SeriesRequest]] = {}
    for asset_id, wanted in days.items():
        symbol = listings[asset_id].symbol_at(provider)
        if symbol is not None and wanted:
            requests[asset_id] = [SeriesRequest(asset_id, symbol, start, end) for start, end in _ranges(wanted)]
    return requests


def _days_of(
    needs: pl.DataFrame | Sequence[tuple[str, date, date]], listings: Mapping[str, Listing]
) -> dict[str, list[date]]:
    rows = needs.select("asset_id", "start", "end").rows() if isinstance(needs, pl.DataFrame) else needs
    days: dict[str, set[date]] = {}
    for asset_id, start, end in rows:
        if asset_id not in listings:
            msg = f"{asset_id} has no listing: add it to the asset map"
            raise ValueError(msg)
        if end <= start:
            msg = f"{asset_id}: the range {start} to {end} has no days"
            raise ValueError(msg)
        weekdays_only = listings[asset_id].calendar == WEEKDAYS_CALENDAR
        every_day = (start + timedelta(days=offset) for offset in range((end - start).days))
        days.setdefault(asset_id, set()).update(
            day for day in every_day if not (weekdays_only and day.weekday() >= SATURDAY)
        )
    return {asset_id: sorted(days[asset_id]) for asset_id in sorted(days)}


def _ranges(days: Sequence[date]) -> Iterator[tuple[date, date]]:
    """Half-open ranges that cover ascending days and nothing else."""
    start = last = days[0]
    for day in days[1:]:
        if day != last + DAY:
            yield start, last + DAY
            start = day
        last = day
    yield start, last + DAY


def _length(request: SeriesRequest) -> int:
    return (request.end - request.start).days
