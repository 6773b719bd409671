"""A loopback server that answers like CoinGecko, DefiLlama and Yahoo, with their limits, on the clock of the test."""

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

DAY = 86_400
LEVELS = {"bitcoin": 60_000.0, "ethereum": 3_000.0, "solana": 150.0, "aave": 200.0, "^GSPC": 6_000.0, "dust": 1e-9}
PAIRS = {"BTC-USD": "bitcoin", "ETH-USD": "ethereum", "SOL-USD": "solana", "^GSPC": "^GSPC"}
TOO_OLD = {
    "error": {
        "status": {
            "timestamp": "2024-04-20T22:00:05.123+00:00",
            "error_code": 10012,
            "error_message": "Your request exceeds the allowed time range. Public API users are limited to querying "
            "historical data within the past 365 days.",
        }
    }
}


class VirtualClock:
    """Seconds since the epoch; sleeping moves them on at once."""

    def __init__(self, start: datetime) -> None:
        self._now, self._lock = start.timestamp(), threading.Lock()
        self.slept = 0.0

    def __call__(self) -> float:
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds
            self.slept += seconds

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self(), tz=UTC)


def price_at(coin: str, seconds: float) -> float:
    """The true price: every day ends with another one, so that a shift by a day shows."""
    return LEVELS.get(coin, 7.0) * (1 + (seconds // 3600) / 1e6)


def close_of(coin: str, day: date) -> float:
    return price_at(coin, datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + DAY)


class Market:
    """What the server does; tests change it while it runs."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.url = ""
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.headers: list[dict[str, str]] = []
        self.addresses: list[str] = []
        self.missing: set[str] = set()
        self.prices: dict[str, object] = {}  # instead of the true ones, by coin
        self.per_minute = 30
        self.plan_days = 365
        self.retry_after = True
        self.fault: Callable[[str], tuple[int, bytes] | None] = lambda _path: None
        self.let_go = threading.Event()  # a reply that hangs waits for this
        self.hangs = False
        self._window: deque[float] = deque()
        self._lock = threading.Lock()

    def answer(self, address: str, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        parts = urlsplit(address)
        path, query = unquote(parts.path), {key: values[0] for key, values in parse_qs(parts.query).items()}
        service = next((name for name in ("coingecko", "defillama", "yahoo") if path.startswith(f"/{name}/")), "?")
        with self._lock:
            self.requests[service] += 1
            self.headers.append(headers)
            self.addresses.append(address)
            status, body, more = self._answer(service, path.removeprefix(f"/{service}"), query)
            self.statuses[service, status] += 1
        return status, body if isinstance(body, bytes) else json.dumps(body).encode(), more

    def _answer(self, service: str, path: str, query: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        if (fault := self.fault(f"/{service}{path}")) is not None:
            return (*fault, {})
        if service == "coingecko":
            return self._coingecko(path, query)
        if service == "defillama":
            return 200, self._defillama(path, query), {}
        return (*self._yahoo(path, query), {})

    def _coingecko(self, path: str, query: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        now = self.clock()
        while self._window and self._window[0] <= now - 60:
            self._window.popleft()
        if len(self._window) >= self.per_minute:
            wait = {"Retry-After": str(int(self._window[0] + 60 - now) + 1)} if self.retry_after else {}
            return 429, {"status": {"error_code": 429, "error_message": "You've exceeded the Rate Limit."}}, wait
        self._window.append(now)
        if path.endswith("/simple/price"):
            coins = [coin for coin in query["ids"].split(",") if self._knows(coin)]
            return 200, {coin: {"usd": self._price(coin, now), "last_updated_at": int(now) - 40} for coin in coins}, {}
        coin = path.split("/")[-3]
        if not self._knows(coin):
            return 404, {"error": "coin not found"}, {}
        start, end = int(query["from"]), min(int(query["to"]), now)
        if start < now - self.plan_days * DAY:
            return 401, TOO_OLD, {}
        step = DAY if end - start > 90 * DAY else 3600
        late = 0 if step == DAY else 200  # hourly points come some minutes late
        first = -(-start // step) * step
        times = [*(time + late for time in range(first, int(end), step)), *([int(now)] if end >= now else [])]
        points = [[time * 1000, self._price(coin, time - late)] for time in times]
        return 200, {"prices": points, "market_caps": [], "total_volumes": []}, {}

    def _defillama(self, path: str, query: dict[str, str]) -> Any:
        parts = path.strip("/").split("/")
        ids = [name for name in parts[-1].split(",") if self._knows(name.removeprefix("coingecko:"))]
        if parts[-2] == "chart" or parts[0] == "chart":
            times = [int(query["start"]) + index * DAY for index in range(int(query["span"]))]
            assert len(times) * len(parts[-1].split(",")) <= 500
            return {
                "coins": {
                    name: {"symbol": "X", "confidence": 0.99, "prices": [self._point(name, time) for time in times]}
                    for name in ids
                }
            }
        time = int(self.clock()) if parts[1] == "current" else int(parts[2])
        return {"coins": {name: {"symbol": "X", "confidence": 0.99} | self._point(name, time) for name in ids}}

    def _point(self, name: str, time: int) -> dict[str, object]:
        return {"timestamp": time - 30, "price": self._price(name.removeprefix("coingecko:"), time)}

    def _yahoo(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        symbol = path.split("/")[-1]
        coin = PAIRS.get(symbol)
        if coin is None or not self._knows(coin):
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return 404, {"chart": {"result": None, "error": error}}
        index, now = symbol.startswith("^"), self.clock()
        day = datetime.fromtimestamp(int(query["period1"]), tz=UTC).date()
        times, closes = [], []
        while (start := datetime(day.year, day.month, day.day, 14 if index else 0, tzinfo=UTC).timestamp()) < min(
            int(query["period2"]), now
        ):
            if not (index and day.weekday() >= 5):
                times.append(int(start))
                closes.append(self._price(coin, datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + DAY))
            day += timedelta(days=1)
        meta = {
            "currency": "USD",
            "symbol": symbol,
            "instrumentType": "INDEX" if index else "CRYPTOCURRENCY",
            "exchangeTimezoneName": "America/New_York" if index else "UTC",
            "gmtoffset": -18000 if index else 0,
            "regularMarketTime": int(now),
        }
        result = {"meta": meta, "timestamp": times, "indicators": {"quote": [{"close": closes}]}}
        return 200, {"chart": {"result": [result], "error": None}}

    def _knows(self, coin: str) -> bool:
        return coin not in self.missing

    def _price(self, coin: str, seconds: float) -> object:
        return self.prices.get(coin, price_at(coin, seconds))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 3, 3, 12, tzinfo=UTC))


@contextmanager
def serve(behaviour: Market) -> Iterator[Market]:
    """Answer on the loopback address, `behaviour.url`, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each reply waits 40 ms for an acknowledgement

        def do_GET(self) -> None:
            if behaviour.hangs:
                behaviour.let_go.wait()
                self.close_connection = True
                return
            status, body, headers = behaviour.answer(self.path, dict(self.headers))
            self.send_response(status)
            for name, value in (
                {"Content-Type": "application/json", "Content-Length": str(len(body))} | headers
            ).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_message: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    behaviour.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield behaviour
    finally:
        behaviour.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def market(clock: VirtualClock) -> Iterator[Market]:
    """The server's behaviour; `market.url` is where it listens."""
    with serve(Market(clock)) as behaviour:
        yield behaviour
