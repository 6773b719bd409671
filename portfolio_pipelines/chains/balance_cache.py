"""The last good balances of wallets, with Redis in front of the lake.

Belongs here: that older balances never replace newer ones, and that everything goes on without Redis. Not here: the
lake; how to read it is passed in.

Redis is only a faster way to what the lake says: it may lose anything at any time, and a fault of it costs speed alone.
Each wallet has one key on each chain: a hash of the block's number, when it was read, and the balances as JSON.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from portfolio_pipelines.chains.last_good_balances import FromLake, WalletBalances
from portfolio_pipelines.chains.rpc.node import Block

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

_LOG: Final = logging.getLogger(__name__)

KEEP_SECONDS: Final = 26 * 3_600  # a day, and two hours for a late run: then the lake is asked again
ANSWER_SECONDS: Final = 0.5  # Redis answers in less than a thousandth of that, or is not worth waiting for
REST_SECONDS: Final = 10.0  # without asking Redis after a fault, so that each request does not pay for it
KEYS_AT_ONCE: Final = 500
FORMAT: Final = "1"  # of what is kept; another format uses other keys

# Numbers are compared here and not by the client: several services write, and none may undo what another just wrote.
_KEEP: Final = """
local kept = 0
for place, key in ipairs(KEYS) do
  local base = (place - 1) * 3
  local number, moment = tonumber(ARGV[base + 2]), tonumber(ARGV[base + 3])
  local old = redis.pcall('HMGET', key, 'number', 'moment')
  if old.err then
    redis.call('DEL', key)
    old = {}
  end
  local old_number, old_moment = tonumber(old[1] or nil), tonumber(old[2] or nil)
  local newer = not old_number or not old_moment or number > old_number
    or (number == old_number and moment >= old_moment)
  if newer then
    redis.call('HSET', key, 'number', ARGV[base + 2], 'moment', ARGV[base + 3], 'content', ARGV[base + 4])
    redis.call('PEXPIRE', key, ARGV[1])
    kept = kept + 1
  end
end
return kept
"""


@dataclass
class CacheCounts:
    """What happened since the start."""

    hits: int = 0
    misses: int = 0
    kept: int = 0
    outdated: int = 0  # not kept, because newer balances were there
    faults: int = 0  # of Redis: no answer, or an error
    avoided: int = 0  # calls that did not ask Redis because it had failed shortly before
    unreadable: int = 0  # entries that were not written by us, or are damaged


class RedisBalances:
    """The last good balances with Redis in front of the lake. Belongs to the event loop that it is first used in."""

    def __init__(
        self,
        url: str,
        from_lake: FromLake,
        *,
        keep_seconds: float = KEEP_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        prefix: str = "portfolio",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to use a Redis; nothing is asked yet.

        Args:
            url: redis://, rediss:// or unix://, secrets included; they are never shown. One server, no cluster.
            from_lake: Reads the lake, for what Redis does not have.
            keep_seconds: How long Redis keeps an entry that is not renewed.
            answer_seconds: How long an answer is waited for.
            prefix: Of all keys.
            now: Seconds of a clock that never goes back.

        Raises:
            ValueError: If it is no such URL; the message shows nothing of it.
        """
        self._name, self._redis = _open(url, answer_seconds)
        self._from_lake = from_lake
        self._keep_milliseconds = max(1, int(keep_seconds * 1_000))
        self._prefix = prefix
        self._now = now
        self._rests_until = float("-inf")
        self._is_down = False
        self._script: AsyncScript = self._redis.register_script(_KEEP)
        self.counts = CacheCounts()

    def __repr__(self) -> str:
        return f"RedisBalances({self._name})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back the connections."""
        await self._redis.aclose()

    async def of(self, chain: str, wallets: Sequence[str]) -> dict[str, WalletBalances]:
        """See `LastGoodBalances.of`. What Redis lacks is read from the lake, and Redis gets it."""
        asked = list(dict.fromkeys(wallets))
        found: dict[str, WalletBalances] = {}
        for start in range(0, len(asked), KEYS_AT_ONCE):
            some = asked[start : start + KEYS_AT_ONCE]
            contents = await self._ask(partial(self._contents, chain, some))
            for wallet, content in zip(some, contents or [None] * len(some), strict=True):
                balances = self._read(content)
                if balances is not None:
                    found[wallet] = balances
        missing = [wallet for wallet in asked if wallet not in found]
        self.counts.hits += len(found)
        self.counts.misses += len(missing)
        if missing:
            known = await self._from_lake(chain, missing)
            await self.keep(chain, known)
            found |= known
        return {wallet: found[wallet] for wallet in asked if wallet in found}

    async def keep(self, chain: str, balances: Mapping[str, WalletBalances]) -> int:
        """See `LastGoodBalances.keep`. Entries of the same block are replaced by those read later."""
        wallets = list(balances)
        total = 0
        for start in range(0, len(wallets), KEYS_AT_ONCE):
            some = wallets[start : start + KEYS_AT_ONCE]
            arguments: list[str | bytes | int] = [self._keep_milliseconds]
            for wallet in some:
                each = balances[wallet]
                arguments += [each.block.number, repr(_moment(each.as_of)), _content(each)]
            keys = [self._key(chain, wallet) for wallet in some]
            kept = await self._ask(partial(self._script, keys=keys, args=arguments))
            if kept is not None:
                total += kept
                self.counts.outdated += len(some) - kept
        self.counts.kept += total
        return total

    async def _contents(self, chain: str, wallets: Sequence[str]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for wallet in wallets:
            pipeline.hget(self._key(chain, wallet), "content")
        return await pipeline.execute(raise_on_error=False)

    def _key(self, chain: str, wallet: str) -> str:
        return f"{self._prefix}:balances:{FORMAT}:{chain}:{wallet}"

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """What Redis answers; None when it does not, or was found not to shortly before."""
        from redis.exceptions import RedisError

        if self._now() < self._rests_until:
            self.counts.avoided += 1
            return None
        try:
            answer = await question()
        except (RedisError, OSError, TimeoutError) as error:
            self.counts.faults += 1
            self._rests_until = self._now() + REST_SECONDS
            if not self._is_down:  # said once an outage, not once a request; the text may hold the address
                _LOG.warning("Redis at %s fails (%s); balances come from the lake", self._name, type(error).__name__)
            self._is_down = True
            return None
        if self._is_down:
            _LOG.info("Redis at %s answers again after %d faults", self._name, self.counts.faults)
        self._is_down = False
        return answer

    def _read(self, content: Any) -> WalletBalances | None:
        """An entry, or None when there is none that can be trusted."""
        if content is None:
            return None
        try:
            return _balances(content)
        except (ValueError, TypeError, KeyError, OverflowError):
            self.counts.unreadable += 1
            return None


def _open(url: str, answer_seconds: float) -> "tuple[str, Redis]":
    """A name that can be shown, and a client that neither waits long nor tries again."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    try:
        name = _name_of(url)
        client = Redis.from_url(
            url,
            socket_timeout=answer_seconds,
            socket_connect_timeout=answer_seconds,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=30,
        )
    except (ValueError, TypeError):
        msg = "the URL of Redis is none: redis://[user:password@]host[:port][/database], rediss:// or unix:///path"
        raise ValueError(msg) from None
    return name, client


def _name_of(url: str) -> str:
    """Host and port, or the path of a socket: what of the URL may be shown.

    Raises:
        ValueError: If it is no URL of Redis.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path:
        return f"unix:{parts.path}"
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError
    return parts.hostname + (f":{parts.port}" if parts.port else "")


def _moment(as_of: datetime) -> float:
    if as_of.tzinfo is None:
        msg = f"{as_of} has no time zone"
        raise ValueError(msg)
    return as_of.timestamp()


def _content(balances: WalletBalances) -> bytes:
    import orjson

    block = balances.block
    return orjson.dumps(
        {
            "number": block.number,
            "hash": block.hash,
            "timestamp": block.timestamp,
            "parent_hash": block.parent_hash,
            "as_of": balances.as_of,
            "raw": {asset: str(raw) for asset, raw in balances.raw.items()},  # JSON numbers end at 64 bits
        }
    )


def _balances(content: bytes) -> WalletBalances:
    """The inverse of `_content`.

    Raises:
        ValueError, TypeError, KeyError, OverflowError: If it is not what `_content` wrote.
    """
    import orjson

    found = orjson.loads(content)
    for name, kind in (("number", int), ("hash", str), ("timestamp", int), ("parent_hash", str), ("raw", dict)):
        if type(found[name]) is not kind:
            raise TypeError(name)
    as_of = datetime.fromisoformat(found["as_of"])
    _moment(as_of)
    raw: dict[str, int] = {}
    for asset, text in found["raw"].items():
        if not isinstance(text, str) or not text.isascii() or not text.isdigit():
            raise ValueError(asset)
        raw[asset] = int(text)
    block = Block(found["number"], found["hash"], found["timestamp"], found["parent_hash"])
    return WalletBalances(block, as_of, raw)
