"""CoinGecko: daily closes from `coins/{id}/market_chart/range`, the running day from batched `simple/price`.

Belongs here: what CoinGecko's replies mean and what its plans allow. pycoingecko speaks the HTTP.

Two facts shape it. A daily point stamped D 00:00 UTC is the close of D-1 (and ranges up to 90 days come hourly), so
each day takes the point nearest to its own 24:00. And the public and demo plans answer 401 with error code
10012 for days older than 365 days: those are not asked for, so that one old purchase cannot cost the recent year.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import quote

import polars as pl
from pydantic import SecretStr

from portfolio_pipelines.market.answers import (
    DAY_SECONDS,
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
from portfolio_pipelines.market.transport import checked_url, connect_timeout, requests_failures

PUBLIC_URL: Final = "https://api.coingecko.com/api/v3/"
PRO_URL: Final = "https://pro-api.coingecko.com/api/v3/"
HISTORY: Final = "coins/market_chart/range"
CURRENT: Final = "simple/price"
PLAN_DAYS: Final = {"demo": 365, "pro": None}
"""Days of history that a plan gives out; None = all of it."""
TOO_OLD: Final = 10012  # "your request exceeds the allowed time range"
TOLERANCE_SECONDS: Final = 2 * 3600.0  # hourly points: the next one may be missing, the one after it is no close
PLAN_MARGIN_SECONDS: Final = 2 * 3600.0  # a request may wait for its turn while the plan's window moves on
CURRENT_AGE_SECONDS: Final = 6 * 3600.0  # an older "current" price belongs to a coin that nobody trades any more
BATCH: Final = 200  # ids in one simple/price call: the address stays below 8 kB


class CoinGecko:
    """Quotes of CoinGecko. Safe to share between threads; each `fetch` opens its own connection."""

    name: Final = "coingecko"

    def __init__(
        self,
        limiter: Limiter,
        *,
        url: str = "",
        api_key: SecretStr | None = None,
        plan: str = "demo",
        timeout_seconds: float = 15.0,
    ) -> None:
        """Talk to CoinGecko.

        Args:
            limiter: The pace; the demo plan allows about 30 requests a minute.
            url: Other base URL; empty for the plan's own.
            api_key: Key of the plan; the public service is used without one.
            plan: demo (also without a key) or pro.
            timeout_seconds: Longest wait for a reply.

        Raises:
            ValueError: If the plan is unknown or the URL is not http(s).
        """
        if plan not in PLAN_DAYS:
            msg = f"unknown CoinGecko plan {plan!r}; choose from {', '.join(PLAN_DAYS)}"
            raise ValueError(msg)
        pro = plan == "pro" and api_key is not None
        self._limiter, self._key, self._timeout = limiter, api_key, timeout_seconds
        self._url = checked_url(url or (PRO_URL if pro else PUBLIC_URL), self.name) + "/"
        self._header = "x-cg-pro-api-key" if pro else "x-cg-demo-api-key"
        self._plan_days = PLAN_DAYS["pro" if pro else "demo"]

    def fetch(self, requests: Sequence[SeriesRequest], now: datetime) -> pl.DataFrame:
        """See `PriceProvider.fetch`. One request a coin for closed days, one for 200 coins of the running day."""
        wanted = Wanted(requests, now)
        answers: dict[tuple[str, date], Answer] = {}
        conversation = Conversation(self._limiter, self._key.get_secret_value() if self._key else None, _asked_too_far)
        with self._client() as client:
            for ids in batches(wanted.running, BATCH):
                for symbol, answer in _current(client, conversation, ids, wanted).items():
                    answers[symbol, wanted.today] = answer
            history = _History(client, conversation, wanted.now.timestamp(), self._plan_days)
            for symbol, days in wanted.closed.items():
                for day, answer in history.closes(symbol, days).items():
                    answers[symbol, day] = answer
            self._plan_days = history.plan_days  # what was learnt once need not be refused again
        return wanted.frame(self.name, answers)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        from pycoingecko import CoinGeckoAPI
        from requests.adapters import HTTPAdapter

        client = CoinGeckoAPI(retries=0)
        client.api_base_url = self._url
        client.request_timeout = (connect_timeout(self._timeout), self._timeout)
        # Repeating is the conversation's business: urllib3 would sleep through Retry-After outside our pace.
        client.session.mount("https://", HTTPAdapter(max_retries=0))
        # pycoingecko turns a refusal into a ValueError without status and headers: catch it before that.
        client.session.hooks["response"].append(_raise_for_status)
        if self._key is not None:  # as a header: in the address it would end up in logs
            client.session.headers[self._header] = self._key.get_secret_value()
        try:
            yield client
        finally:
            client.session.close()


class _History:
    """Closed days of one coin after another, within what the plan has turned out to allow."""

    def __init__(self, client: Any, conversation: Conversation, now: float, plan_days: int | None) -> None:
        self._client, self._conversation, self._now = client, conversation, now
        self.plan_days = plan_days

    def closes(self, symbol: str, days: Sequence[date]) -> dict[date, Answer]:
        """An answer for each of the (ascending, closed) days."""
        while True:
            earliest = self._earliest()
            allowed = [day for day in days if close_time(day) >= earliest]
            answers = {day: self._too_old() for day in days if close_time(day) < earliest}
            if not allowed:
                return answers
            reply = self._ask(symbol, allowed, earliest)
            if not (isinstance(reply, Failure) and _asked_too_far(reply) and self._learn()):
                return answers | _history_answers(reply, allowed)

    def _ask(self, symbol: str, days: Sequence[date], earliest: float) -> object | Failure:
        start = max(close_time(days[0]) - TOLERANCE_SECONDS, earliest - PLAN_MARGIN_SECONDS / 2)
        end = close_time(days[-1]) + TOLERANCE_SECONDS

        def send() -> object:
            with requests_failures():
                return self._client.get_coin_market_chart_range_by_id(
                    quote(symbol, safe=""), "usd", int(start), int(end), precision="full"
                )

        return self._conversation.ask(send)

    def _earliest(self) -> float:
        if self.plan_days is None:
            return float("-inf")
        return self._now - self.plan_days * DAY_SECONDS + PLAN_MARGIN_SECONDS

    def _learn(self) -> bool:
        """The plan allows less than we thought: take the free plans' window, then one day less, then accept it."""
        free = PLAN_DAYS["demo"]
        if free is not None and (self.plan_days is None or self.plan_days == free):
            self.plan_days = free if self.plan_days is None else free - 1
            return True
        return False

    def _too_old(self) -> Answer:
        detail = f"older than the {self.plan_days} days of history of this plan: not asked"
        return Answer(HISTORY, Outcome.UNAUTHORISED, detail=detail)


def parse_market_chart(reply: object) -> list[tuple[float, object]]:
    """Read a `market_chart` reply: `{"prices": [[milliseconds, price], …], …}`.

    Returns:
        (seconds since the epoch, price as it stood) in the order of the reply.

    Raises:
        UnreadableReplyError: If it has another shape.
    """
    prices = mapping_in(reply, "the market chart").get("prices")
    if not isinstance(prices, list):
        msg = f"the market chart has no list of prices: {prices!r:.60}"
        raise UnreadableReplyError(msg)
    points: list[tuple[float, object]] = []
    for point in prices:
        if not (isinstance(point, list) and len(point) == 2):
            msg = f"a point of the market chart is not [time, price]: {point!r:.60}"
            raise UnreadableReplyError(msg)
        points.append((number_in(point[0], "the time of a price") / 1000, point[1]))
    return points


def parse_simple_price(reply: object, symbols: Sequence[str], now: float) -> dict[str, Answer]:
    """Read a `simple/price` reply: `{"bitcoin": {"usd": 76975, "last_updated_at": 1779092258}, …}`.

    Args:
        reply: The decoded reply.
        symbols: The coins that were asked for.
        now: Seconds since the epoch; a price six hours older is no current price.

    Returns:
        One answer for each coin; a coin that is not in the reply has no data.

    Raises:
        UnreadableReplyError: If it has another shape.
    """
    coins = mapping_in(reply, "the price list")
    answers = {}
    for symbol in symbols:
        if symbol not in coins:
            answers[symbol] = Answer(CURRENT, Outcome.NO_DATA, detail=f"CoinGecko does not know {symbol!r}")
            continue
        coin = mapping_in(coins[symbol], f"the price of {symbol}")
        updated = utc_time(coin.get("last_updated_at"))
        if updated is not None and now - updated.timestamp() > CURRENT_AGE_SECONDS:
            detail = f"the newest price is of {updated:%Y-%m-%d %H:%M} UTC"
            answers[symbol] = Answer(CURRENT, Outcome.NO_DATA, detail=detail, quoted_at=updated)
        else:
            answers[symbol] = price_answer(coin.get("usd"), CURRENT, updated)
    return answers


def error_code(body: bytes) -> int | None:
    """CoinGecko's own code in the body of a refusal: `{"error": {"status": {"error_code": 10012, …}}}`, or flat."""
    try:
        found: object = json.loads(body)
    except ValueError:
        return None
    for key in ("error", "status", "error_code"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _asked_too_far(failure: Failure) -> bool:
    return error_code(failure.body) == TOO_OLD


def _history_answers(reply: object | Failure, days: Sequence[date]) -> dict[date, Answer]:
    if isinstance(reply, Failure):
        return dict.fromkeys(days, reply.answer(HISTORY))
    try:
        return answers_from_points(parse_market_chart(reply), days, HISTORY, TOLERANCE_SECONDS)
    except UnreadableReplyError as error:
        return dict.fromkeys(days, Answer(HISTORY, Outcome.INVALID, detail=str(error)))


def _current(client: Any, conversation: Conversation, ids: list[str], wanted: Wanted) -> dict[str, Answer]:
    def send() -> object:
        with requests_failures():
            return client.get_price(",".join(ids), "usd", include_last_updated_at=True, precision="full")

    reply = conversation.ask(send)
    if isinstance(reply, Failure):
        return dict.fromkeys(ids, reply.answer(CURRENT))
    try:
        return parse_simple_price(reply, ids, wanted.now.timestamp())
    except UnreadableReplyError as error:
        return dict.fromkeys(ids, Answer(CURRENT, Outcome.INVALID, detail=str(error)))


def _raise_for_status(response: Any, *_args: object, **_options: object) -> None:
    if response.status_code != 200:
        raise StatusError(response.status_code, response.content, response.headers.get("Retry-After"))
