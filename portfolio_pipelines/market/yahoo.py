"""Yahoo Finance's daily bars: the S&P 500 (`^GSPC`), and crypto pairs such as `BTC-USD` as a cross-check.

Belongs here: what a chart reply means. yfinance makes the session that Yahoo lets in; its `Ticker.history` is not used,
for three reasons found in its source: it asks fixed hosts that no setting replaces, it keeps failed replies of a range
in a cache of the process and returns them again, and it turns refusals into empty tables. The chart service needs no
cookie or crumb, so that one request a symbol is enough, for any number of days.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from portfolio_pipelines.market.answers import (
    DAY_SECONDS,
    Answer,
    UnreadableReplyError,
    Wanted,
    close_time,
    mapping_in,
    number_in,
    price_answer,
    utc_time,
)
from portfolio_pipelines.market.conversation import Conversation, Failure, StatusError
from portfolio_pipelines.market.limiter import Limiter
from portfolio_pipelines.market.quotes import Outcome, SeriesRequest
from portfolio_pipelines.market.transport import checked_url, connect_timeout, yahoo_failures

CHART_URL: Final = "https://query2.finance.yahoo.com"
CHART: Final = "v8/finance/chart"


class Yahoo:
    """Quotes of Yahoo Finance. Safe to share between threads; each `fetch` opens its own session."""

    name: Final = "yahoo"

    def __init__(self, limiter: Limiter, *, url: str = "", timeout_seconds: float = 15.0) -> None:
        """Talk to Yahoo's chart service, which has no keys.

        Args:
            limiter: The pace.
            url: Other base URL; empty for the real one.
            timeout_seconds: Longest wait for a reply.

        Raises:
            ValueError: If the URL is not http(s).
        """
        self._limiter, self._timeout = limiter, timeout_seconds
        self._url = checked_url(url or CHART_URL, self.name)

    def fetch(self, requests: Sequence[SeriesRequest], now: datetime) -> pl.DataFrame:
        """See `PriceProvider.fetch`. One request a symbol."""
        wanted = Wanted(requests, now)
        answers: dict[tuple[str, date], Answer] = {}
        conversation = Conversation(self._limiter)
        with self._session() as session:
            for symbol in dict.fromkeys([*wanted.running, *wanted.closed]):
                days = [*wanted.closed.get(symbol, []), *([wanted.today] if symbol in wanted.running else [])]
                for day, answer in self._closes(session, conversation, symbol, days).items():
                    answers[symbol, day] = answer
        return wanted.frame(self.name, answers)

    def _closes(
        self, session: Any, conversation: Conversation, symbol: str, days: Sequence[date]
    ) -> dict[date, Answer]:
        options: dict[str, int | str] = {
            "period1": int(close_time(days[0])) - DAY_SECONDS,
            "period2": int(close_time(days[-1])),
            "interval": "1d",
            "includePrePost": "false",
        }
        url = f"{self._url}/{CHART}/{quote(symbol, safe='')}"
        reply = conversation.ask(lambda: self._get(session, url, options))
        if isinstance(reply, Failure):
            return dict.fromkeys(days, reply.answer(CHART))
        try:
            return parse_chart(reply, days)
        except UnreadableReplyError as error:
            return dict.fromkeys(days, Answer(CHART, Outcome.INVALID, detail=str(error)))

    def _get(self, session: Any, url: str, options: dict[str, int | str]) -> object:
        with yahoo_failures():
            timeout = (connect_timeout(self._timeout), self._timeout)
            response = session.get(url, params=options, timeout=timeout, allow_redirects=False)
        if response.status_code != 200:
            raise StatusError(response.status_code, response.content, response.headers.get("Retry-After"))
        decoded: object = json.loads(response.content)
        return decoded

    @contextmanager
    def _session(self) -> Iterator[Any]:
        from yfinance._http import new_session

        session = new_session()
        try:
            yield session
        finally:
            session.close()


def parse_chart(reply: object, days: Sequence[date]) -> dict[date, Answer]:
    """Read a `v8/finance/chart` reply with daily bars.

    A bar belongs to the UTC day for crypto, to the date at the exchange for anything else. Its close is taken as
    traded, not adjusted for dividends. The last bar of a running day carries the newest price.

    Args:
        reply: The decoded reply.
        days: Wanted days.

    Returns:
        One answer for each day; a day without a bar (weekend, holiday, before the listing) has no data.

    Raises:
        UnreadableReplyError: If it has another shape, or times and closes are not equally many: then no bar can be
            told from another.
    """
    chart = mapping_in(mapping_in(reply, "the reply").get("chart"), "the chart")
    if chart.get("error") is not None:
        said = mapping_in(chart["error"], "the error of the chart").get("description")
        return dict.fromkeys(days, Answer(CHART, Outcome.NO_DATA, detail=f"Yahoo: {said}"[:200]))
    results = chart.get("result")
    if not isinstance(results, list):
        msg = f"the chart has no result: {results!r:.60}"
        raise UnreadableReplyError(msg)
    if not results:
        return dict.fromkeys(days, Answer(CHART, Outcome.NO_DATA, detail="the chart is empty"))
    result = mapping_in(results[0], "the result of the chart")
    meta = mapping_in(result.get("meta"), "the description of the chart")
    if meta.get("currency") != "USD":
        detail = f"quoted in {meta.get('currency')!r:.20}, not in USD"
        return dict.fromkeys(days, Answer(CHART, Outcome.INVALID, detail=detail))
    times, closes = _bars(result)
    zone = _zone(meta)
    newest = utc_time(meta.get("regularMarketTime"))
    bars: dict[date, Answer] = {}
    for opened, close in sorted(zip(times, closes, strict=True), key=lambda bar: bar[0]):
        day = opened.astimezone(zone).date()
        is_newest = newest is not None and newest.astimezone(zone).date() == day
        bars[day] = price_answer(close, CHART, newest if is_newest else None)
    nothing = Answer(CHART, Outcome.NO_DATA, detail="no bar on this day")
    return {day: bars.get(day, nothing) for day in days}


def _bars(result: object) -> tuple[list[datetime], list[object]]:
    result = mapping_in(result, "the result of the chart")
    times = result.get("timestamp")
    if times is None:  # how Yahoo says that the range has no bar
        return [], []
    indicators = mapping_in(result.get("indicators"), "the indicators of the chart")
    quotes = indicators.get("quote")
    if not isinstance(times, list) or not isinstance(quotes, list) or not quotes:
        msg = "the chart has no list of times and quotes"
        raise UnreadableReplyError(msg)
    closes = mapping_in(quotes[0], "the quotes of the chart").get("close")
    if not isinstance(closes, list) or len(closes) != len(times):
        found = len(closes) if isinstance(closes, list) else "no"
        msg = f"the chart has {len(times)} times and {found} closes"
        raise UnreadableReplyError(msg)
    opened = [utc_time(seconds) for seconds in times]
    known = [time for time in opened if time is not None]
    if len(known) != len(opened):
        msg = "the chart has a bar without a readable time"
        raise UnreadableReplyError(msg)
    return known, closes


def _zone(meta: object) -> tzinfo:
    meta = mapping_in(meta, "the description of the chart")
    if meta.get("instrumentType") == "CRYPTOCURRENCY":
        return UTC
    try:
        return ZoneInfo(str(meta.get("exchangeTimezoneName")))
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a machine without time zone data
        seconds = number_in(meta.get("gmtoffset"), "the offset of the exchange")
        return timezone(timedelta(seconds=max(-DAY_SECONDS + 1, min(seconds, DAY_SECONDS - 1))))
