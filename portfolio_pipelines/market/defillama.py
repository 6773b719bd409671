"""DefiLlama's coin prices: closed days from `prices/historical` or `chart`, the running day from `prices/current`.

Belongs here: what DefiLlama's replies mean and which of its calls is cheapest. Ids are `coingecko:bitcoin` or
`<chain>:<address>`. `prices/historical/{time}/{ids}` answers 100 ids at one time, `chart/{ids}` at most 500 points (ids
times days) in one call: a single day goes the first way, a range the second.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import quote

import httpx
import polars as pl
from pydantic import SecretStr

from portfolio_pipelines.market.answers import (
    Answer,
    UnreadableReplyError,
    Wanted,
    answers_from_points,
    batches,
    close_time,
    mapping_in,
    number_in,
    price_answer,
    utc_time,
)
from portfolio_pipelines.market.conversation import Conversation, Failure, StatusError
from portfolio_pipelines.market.limiter import Limiter
from portfolio_pipelines.market.quotes import Outcome, SeriesRequest
from portfolio_pipelines.market.transport import checked_url, connect_timeout, httpx_failures

FREE_URL: Final = "https://coins.llama.fi"
PRO_URL: Final = "https://pro-api.llama.fi"
HISTORICAL: Final = "prices/historical"
CHART: Final = "chart"
CURRENT: Final = "prices/current"
BATCH: Final = 100  # ids in one call
CHART_POINTS: Final = 500  # ids times days in one chart call; more is refused
SEARCH_WIDTH: Final = "4h"
TOLERANCE_SECONDS: Final = 4 * 3600.0  # a price further from the asked time is not that time's price
LEAST_CONFIDENCE: Final = 0.2  # below, DefiLlama itself does not believe the price (a pool that nobody trades)

Answers = dict[tuple[str, date], Answer]


class DefiLlama:
    """Quotes of DefiLlama. Safe to share between threads; each `fetch` opens its own connection."""

    name: Final = "defillama"

    def __init__(
        self, limiter: Limiter, *, url: str = "", api_key: SecretStr | None = None, timeout_seconds: float = 15.0
    ) -> None:
        """Talk to DefiLlama.

        Args:
            limiter: The pace.
            url: Other base URL; empty for the real one.
            api_key: Key of the paid service; the free service needs none.
            timeout_seconds: Longest wait for a reply.

        Raises:
            ValueError: If the URL is not http(s).
        """
        self._limiter, self._key, self._timeout = limiter, api_key, timeout_seconds
        self._url = checked_url(url or (PRO_URL if api_key else FREE_URL), self.name)

    def fetch(self, requests: Sequence[SeriesRequest], now: datetime) -> pl.DataFrame:
        """See `PriceProvider.fetch`."""
        wanted = Wanted(requests, now)
        answers: Answers = {}
        conversation = Conversation(self._limiter, self._key.get_secret_value() if self._key else None)
        with self._client() as client:
            talk = _Talk(conversation, client)
            for ids in batches(wanted.running, BATCH):
                answers |= talk.current(ids, wanted.now)
            charts, single_days = plan_calls(wanted.closed)
            for call in charts:
                answers |= talk.chart(call, wanted.closed)
            for day, ids in single_days:
                answers |= talk.historical(ids, day)
        return wanted.frame(self.name, answers)

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        timeout = httpx.Timeout(self._timeout, connect=connect_timeout(self._timeout))
        transport = _KeyInPath(self._key) if self._key else None
        with httpx.Client(base_url=self._url, timeout=timeout, transport=transport) as client:
            yield client


class ChartCall(NamedTuple):
    """One call of `chart`: these ids, this many days from the first one on."""

    ids: list[str]
    first_day: date
    days: int


def plan_calls(closed: Mapping[str, Sequence[date]]) -> tuple[list[ChartCall], list[tuple[date, list[str]]]]:
    """Choose for each range the way that takes fewer calls.

    Args:
        closed: Wanted days, ascending, by id.

    Returns:
        Chart calls, and for what is left the ids of each single day (at most 100 together).
    """
    ranges: dict[tuple[date, int], list[str]] = {}
    for symbol, days in closed.items():
        ranges.setdefault((days[0], (days[-1] - days[0]).days + 1), []).append(symbol)
    charts: list[ChartCall] = []
    by_day: dict[date, list[str]] = {}
    for (first, length), symbols in ranges.items():
        tiles = [
            ChartCall(ids, first + timedelta(days=offset), min(CHART_POINTS, length - offset))
            for offset in range(0, length, CHART_POINTS)
            for ids in batches(symbols, max(1, min(BATCH, CHART_POINTS // min(CHART_POINTS, length - offset))))
        ]
        wanted_days = {day for symbol in symbols for day in closed[symbol]}
        if len(tiles) < len(wanted_days) * len(batches(symbols, BATCH)):
            charts += tiles
            continue
        for symbol in symbols:
            for day in closed[symbol]:
                by_day.setdefault(day, []).append(symbol)
    return charts, [(day, ids) for day in sorted(by_day) for ids in batches(by_day[day], BATCH)]


def parse_prices(
    reply: object, symbols: Sequence[str], source: str, asked_for: float, tolerance_seconds: float
) -> dict[str, Answer]:
    """Read a `prices/historical` or `prices/current` reply.

    Args:
        reply: `{"coins": {"coingecko:dai": {"price": 0.99972, "timestamp": 1741276617, "confidence": 0.99}, …}}`.
        symbols: The ids that were asked for.
        source: Endpoint, for the rows.
        asked_for: Seconds since the epoch of the wanted price.
        tolerance_seconds: A price further away in time is not the wanted one.

    Returns:
        One answer for each id; an id that is not in the reply has no data.

    Raises:
        UnreadableReplyError: If it has another shape.
    """
    coins = mapping_in(mapping_in(reply, "the reply").get("coins"), "the list of coins")
    answers: dict[str, Answer] = {}
    for symbol in symbols:
        if symbol not in coins:
            answers[symbol] = _unknown(symbol, source)
            continue
        coin = mapping_in(coins[symbol], f"the price of {symbol}")
        quoted = number_in(coin.get("timestamp"), f"the time of {symbol}")
        if (doubt := _doubt(coin, source)) is not None:
            answers[symbol] = doubt
        elif abs(quoted - asked_for) > tolerance_seconds:
            detail = f"the nearest price is {abs(quoted - asked_for) / 3600:.1f} h away"
            answers[symbol] = Answer(source, Outcome.NO_DATA, detail=detail, quoted_at=utc_time(quoted))
        else:
            answers[symbol] = price_answer(coin.get("price"), source, utc_time(quoted))
    return answers


def parse_chart(reply: object, days: Mapping[str, Sequence[date]]) -> Answers:
    """Read a `chart` reply: `{"coins": {id: {"confidence": 0.99, "prices": [{"timestamp": …, "price": …}, …]}}}`.

    Args:
        reply: The decoded reply.
        days: Wanted days by id.

    Returns:
        One answer for each id and day.

    Raises:
        UnreadableReplyError: If it has another shape.
    """
    coins = mapping_in(mapping_in(reply, "the chart").get("coins"), "the list of coins")
    answers: Answers = {}
    for symbol, wanted in days.items():
        coin = mapping_in(coins[symbol], f"the chart of {symbol}") if symbol in coins else None
        doubt = _unknown(symbol, CHART) if coin is None else _doubt(coin, CHART)
        if coin is None or doubt is not None:
            answers |= {(symbol, day): doubt for day in wanted if doubt is not None}
            continue
        prices = coin.get("prices")
        if not isinstance(prices, list):
            msg = f"the chart of {symbol} has no list of prices: {prices!r:.60}"
            raise UnreadableReplyError(msg)
        points = []
        for item in prices:
            point = mapping_in(item, f"a point in the chart of {symbol}")
            points.append((number_in(point.get("timestamp"), f"the time of {symbol}"), point.get("price")))
        found = answers_from_points(points, wanted, CHART, TOLERANCE_SECONDS)
        answers |= {(symbol, day): answer for day, answer in found.items()}
    return answers


class _Talk:
    """The three calls, each turned into one answer for each (id, day)."""

    def __init__(self, conversation: Conversation, client: httpx.Client) -> None:
        self._conversation, self._client = conversation, client

    def current(self, ids: list[str], now: datetime) -> Answers:
        seconds, today = now.timestamp(), now.date()

        def read(reply: object, symbols: list[str]) -> Answers:
            prices = parse_prices(reply, symbols, CURRENT, seconds, TOLERANCE_SECONDS)
            return {(symbol, today): answer for symbol, answer in prices.items()}

        return self._ask(
            CURRENT, CURRENT, ids, {"searchWidth": SEARCH_WIDTH}, read, {symbol: [today] for symbol in ids}
        )

    def historical(self, ids: list[str], day: date) -> Answers:
        target = close_time(day)

        def read(reply: object, symbols: list[str]) -> Answers:
            prices = parse_prices(reply, symbols, HISTORICAL, target, TOLERANCE_SECONDS)
            return {(symbol, day): answer for symbol, answer in prices.items()}

        path = f"{HISTORICAL}/{int(target)}"
        return self._ask(HISTORICAL, path, ids, {"searchWidth": SEARCH_WIDTH}, read, {symbol: [day] for symbol in ids})

    def chart(self, call: ChartCall, closed: Mapping[str, Sequence[date]]) -> Answers:
        after = call.first_day + timedelta(days=call.days)
        days = {symbol: [day for day in closed[symbol] if call.first_day <= day < after] for symbol in call.ids}
        start = int(close_time(call.first_day))
        options: dict[str, str | int] = {"start": start, "span": call.days, "period": "1d", "searchWidth": SEARCH_WIDTH}

        def read(reply: object, symbols: list[str]) -> Answers:
            return parse_chart(reply, {symbol: days[symbol] for symbol in symbols})

        return self._ask(CHART, CHART, call.ids, options, read, days)

    def _ask(
        self,
        source: str,
        path: str,
        ids: list[str],
        options: Mapping[str, str | int],
        read: Callable[[object, list[str]], Answers],
        days: Mapping[str, Sequence[date]],
    ) -> Answers:
        reply = self._conversation.ask(lambda: self._get(f"/{path}/{quote(','.join(ids), safe=',:')}", options))
        if isinstance(reply, Failure):
            if reply.status in {400, 414} and len(ids) > 1:  # one id that it cannot read spoils the whole batch
                half = len(ids) // 2
                first = self._ask(source, path, ids[:half], options, read, days)
                return first | self._ask(source, path, ids[half:], options, read, days)
            return {(symbol, day): reply.answer(source) for symbol in ids for day in days[symbol]}
        try:
            return read(reply, ids)
        except UnreadableReplyError as error:
            invalid = Answer(source, Outcome.INVALID, detail=str(error))
            return {(symbol, day): invalid for symbol in ids for day in days[symbol]}

    def _get(self, path: str, options: Mapping[str, str | int]) -> object:
        with httpx_failures():
            response = self._client.get(path, params=options)
        if response.status_code != 200:
            raise StatusError(response.status_code, response.content, response.headers.get("Retry-After"))
        return response.json()


class _KeyInPath(httpx.HTTPTransport):
    """Puts the key of the paid service into the path below the client, whose log lines then do not contain it."""

    def __init__(self, key: SecretStr) -> None:
        super().__init__()
        self._key = key

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = b"/" + self._key.get_secret_value().encode() + b"/coins" + request.url.raw_path
        url = request.url.copy_with(raw_path=path)
        keyed = httpx.Request(request.method, url, headers=request.headers, extensions=request.extensions)
        return super().handle_request(keyed)


def _unknown(symbol: str, source: str) -> Answer:
    return Answer(source, Outcome.NO_DATA, detail=f"DefiLlama has no price of {symbol!r} there")


def _doubt(coin: Mapping[str, object], source: str) -> Answer | None:
    """Replies without a confidence (older days) are believed; recorded ones are 0.85 to 1."""
    confidence = coin.get("confidence")
    if confidence is None:
        return None
    trusted = (
        not isinstance(confidence, bool) and isinstance(confidence, int | float) and confidence >= LEAST_CONFIDENCE
    )
    detail = f"DefiLlama's confidence {confidence!r:.20} is below {LEAST_CONFIDENCE}"
    return None if trusted else Answer(source, Outcome.INVALID, detail=detail)
