"""The last good balances in a real Redis in front of the lake; and without it, when it dies."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.balance_cache import RedisBalances
from portfolio_pipelines.chains.last_good_balances import LakeBalances, LastGoodBalances, WalletBalances
from portfolio_pipelines.chains.rpc.node import Block
from tests.integration.chains.redis_server import RedisServer

T = TypeVar("T")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ETH = "eip155:1/slip44:60"


def held(number: int, raw: int = 5, minutes: int = 0) -> WalletBalances:
    block = Block(number, "0x" + "ab" * 32, 1_700_000_000 + number, "0x" + "cd" * 32)
    return WalletBalances(block, NOON + timedelta(minutes=minutes), {ETH: raw})


class Lake:
    """The truth, and what was asked of it."""

    def __init__(self, **known: WalletBalances) -> None:
        self.known = known
        self.asked: list[list[str]] = []

    async def __call__(self, chain: str, wallets: Sequence[str]) -> Mapping[str, WalletBalances]:
        assert chain == "ethereum"
        self.asked.append(list(wallets))
        return {wallet: self.known[wallet] for wallet in wallets if wallet in self.known}


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.client().flushall()
    return running


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RedisServer]:
    """A server for tests that kill it; it wants a password."""
    server = RedisServer(tmp_path, password="a-very-secret-password")
    server.start()
    yield server
    server.kill()


def using(url: str, lake: Lake, use: Callable[[RedisBalances], Awaitable[T]], **options: Any) -> T:
    async def run() -> T:
        async with RedisBalances(url, lake, answer_seconds=30, **options) as cache:
            return await use(cache)

    return asyncio.run(run())


def test_what_was_kept_is_found_exactly_without_asking_the_lake(server: RedisServer) -> None:
    lake = Lake()
    rich = WalletBalances(held(7).block, NOON, {ETH: 2**256 - 1, "eip155:1/erc20:0x" + "1" * 40: 1})
    empty = WalletBalances(held(7).block, NOON, {})

    async def use(cache: RedisBalances) -> Any:
        assert await cache.keep("ethereum", {"rich": rich, "empty": empty}) == 2
        return await cache.of("ethereum", ["empty", "rich", "empty"])

    assert using(server.url, lake, use) == {"empty": empty, "rich": rich}
    assert lake.asked == []


def test_what_redis_lacks_comes_from_the_lake_once(server: RedisServer) -> None:
    lake = Lake(known=held(3))

    async def use(cache: RedisBalances) -> Any:
        first = await cache.of("ethereum", ["known", "unknown"])
        second = await cache.of("ethereum", ["known", "unknown"])
        assert (cache.counts.hits, cache.counts.misses, cache.counts.faults) == (1, 3, 0)
        return first, second

    assert using(server.url, lake, use) == ({"known": held(3)}, {"known": held(3)})
    assert lake.asked == [["known", "unknown"], ["unknown"]]


def test_chains_do_not_mix(server: RedisServer) -> None:
    async def use(cache: RedisBalances) -> Any:
        await cache.keep("polygon", {"w": held(3)})
        return await cache.of("ethereum", ["w"])

    assert using(server.url, Lake(), use) == {}


def test_older_balances_never_replace_newer_ones(server: RedisServer) -> None:
    async def use(cache: RedisBalances) -> Any:
        assert await cache.keep("ethereum", {"w": held(9, raw=9)}) == 1
        assert await cache.keep("ethereum", {"w": held(8, raw=8, minutes=60)}) == 0
        assert await cache.keep("ethereum", {"w": held(9, raw=7, minutes=-1)}) == 0
        assert cache.counts.outdated == 2
        assert (await cache.of("ethereum", ["w"]))["w"].raw == {ETH: 9}
        assert await cache.keep("ethereum", {"w": held(9, raw=10, minutes=1)}) == 1
        assert await cache.keep("ethereum", {"w": held(10, raw=11, minutes=-60)}) == 1
        return (await cache.of("ethereum", ["w"]))["w"]

    assert using(server.url, Lake(), use) == held(10, raw=11, minutes=-60)


def test_the_newest_survives_writers_that_race(server: RedisServer) -> None:
    numbers = [*range(1, 60), 2**53 - 1]

    async def write(number: int) -> None:
        async with RedisBalances(server.url, Lake(), answer_seconds=30) as cache:
            await cache.keep("ethereum", {f"w{place}": held(number, raw=number) for place in range(5)})

    async def run() -> Any:
        await asyncio.gather(*(write(number) for number in sorted(numbers, key=lambda n: n * 7919 % 61)))
        async with RedisBalances(server.url, Lake(), answer_seconds=30) as cache:
            return await cache.of("ethereum", [f"w{place}" for place in range(5)])

    assert {each.block.number for each in asyncio.run(run()).values()} == {2**53 - 1}


def test_a_stale_answer_of_the_lake_does_not_undo_what_was_kept_meanwhile(server: RedisServer) -> None:
    class SlowLake(Lake):
        async def __call__(self, chain: str, wallets: Sequence[str]) -> Mapping[str, WalletBalances]:
            await cache_of_the_run.keep("ethereum", {"w": held(20)})
            return await super().__call__(chain, wallets)

    async def run() -> Any:
        nonlocal cache_of_the_run
        cache_of_the_run = RedisBalances(server.url, Lake(), answer_seconds=30)
        async with cache_of_the_run, RedisBalances(server.url, SlowLake(w=held(19)), answer_seconds=30) as cache:
            await cache.of("ethereum", ["w"])
            return await cache.of("ethereum", ["w"])

    cache_of_the_run: RedisBalances
    assert asyncio.run(run()) == {"w": held(20)}


def test_entries_expire_when_nobody_renews_them(server: RedisServer) -> None:
    async def use(cache: RedisBalances) -> None:
        await cache.keep("ethereum", {"w": held(1)})

    using(server.url, Lake(), use, keep_seconds=60)
    (key,) = server.client().keys()
    assert key == b"portfolio:balances:1:ethereum:w"
    assert 50_000 < server.client().pttl(key) <= 60_000  # type: ignore[operator]
    using(server.url, Lake(), use, keep_seconds=600)
    assert server.client().pttl(key) > 500_000  # type: ignore[operator]


def test_thousands_of_wallets_are_kept_and_found(server: RedisServer) -> None:
    many = {f"w{number}": held(number) for number in range(2_345)}

    async def use(cache: RedisBalances) -> Any:
        assert await cache.keep("ethereum", many) == len(many)
        return await cache.of("ethereum", list(many))

    assert using(server.url, Lake(), use) == many


def test_when_redis_dies_everything_goes_on_and_it_is_said_once(
    mortal: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    lake, clock = Lake(w=held(5)), Clock()

    async def use(cache: RedisBalances) -> None:
        await cache.keep("ethereum", {"w": held(4)})
        assert await cache.of("ethereum", ["w"]) == {"w": held(4)}
        mortal.kill()
        for _ in range(50):
            assert await cache.of("ethereum", ["w"]) == {"w": held(5)}
            assert await cache.keep("ethereum", {"w": held(6)}) == 0
        assert cache.counts.faults == 1
        assert cache.counts.avoided == 50 * 3 - 1
        clock.time += 11
        assert await cache.of("ethereum", ["w"]) == {"w": held(5)}
        assert cache.counts.faults == 2

        mortal.start()
        clock.time += 11
        assert await cache.of("ethereum", ["w"]) == {"w": held(5)}
        asked = len(lake.asked)
        assert await cache.of("ethereum", ["w"]) == {"w": held(5)}
        assert len(lake.asked) == asked, "Redis has it again"

    with caplog.at_level(logging.INFO):
        using(mortal.url, lake, use, now=clock)
    messages = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert [record.levelname for record in caplog.records if "Redis" in record.getMessage()] == ["WARNING", "INFO"]
    assert "balances come from the lake" in messages[0]
    assert "answers again after 2 faults" in messages[1]
    assert "secret" not in caplog.text


def test_a_refused_password_is_a_fault_like_any_other(mortal: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async def use(cache: RedisBalances) -> Any:
        assert "wrong" not in repr(cache)
        return await cache.of("ethereum", ["w"])

    url = mortal.url.replace("a-very-secret-password", "wrong-password")
    assert using(url, Lake(w=held(5)), use) == {"w": held(5)}
    assert "wrong-password" not in caplog.text
    assert "fails (AuthenticationError)" in caplog.text


def test_a_redis_that_does_not_answer_is_not_waited_for() -> None:
    async def run() -> Any:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        listener = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with listener, RedisBalances(f"redis://127.0.0.1:{port}", Lake(w=held(1)), answer_seconds=0.05) as cache:
            found = await cache.of("ethereum", ["w"])
            await cache.of("ethereum", ["w"])
            return found, cache.counts.faults

    assert asyncio.run(run()) == ({"w": held(1)}, 1)


def test_a_full_redis_is_a_fault_like_any_other(server: RedisServer) -> None:
    async def use(cache: RedisBalances) -> Any:
        await cache.keep("ethereum", {"w": held(1)})
        server.client().config_set("maxmemory", 1)
        try:
            return await cache.keep("ethereum", {"w": held(2)}), cache.counts.faults
        finally:
            server.client().config_set("maxmemory", 0)

    assert using(server.url, Lake(), use) == (0, 1)


def test_a_restart_that_lost_the_script_is_not_noticed(server: RedisServer) -> None:
    async def use(cache: RedisBalances) -> Any:
        await cache.keep("ethereum", {"w": held(1)})
        server.client().script_flush()
        return await cache.keep("ethereum", {"w": held(2)}), cache.counts.faults

    assert using(server.url, Lake(), use) == (1, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.binary(max_size=60)
    | st.sampled_from(["number", "hash", "timestamp", "parent_hash", "as_of", "raw"]).flatmap(
        lambda name: st.tuples(
            st.just(name), st.sampled_from([None, 1.5, "x", {"a": 1}, {"a": "-1"}, {"a": "1e3"}, {"a": "٣"}, [], True])
        )
    )
)
def test_damaged_entries_are_replaced_by_the_truth(server: RedisServer, damage: bytes | tuple[str, Any]) -> None:
    async def use(cache: RedisBalances) -> Any:
        await cache.keep("ethereum", {"w": held(1)})
        (key,) = server.client().keys()
        if isinstance(damage, bytes):
            content = damage
        else:
            whole = json.loads(server.client().hget(key, "content") or b"")  # type: ignore[arg-type]
            content = json.dumps(whole | dict([damage])).encode()
        server.client().hset(key, "content", content)  # type: ignore[arg-type]
        found = await cache.of("ethereum", ["w"])
        return found["w"], cache.counts.unreadable

    server.client().flushall()
    found, unreadable = using(server.url, Lake(w=held(2)), use)
    harmless = [("hash", "x"), ("parent_hash", "x")]
    assert (found.raw, unreadable) == ({ETH: 5}, 0 if damage in harmless else 1)


def test_a_key_of_another_kind_is_replaced_by_the_truth(server: RedisServer) -> None:
    server.client().set("portfolio:balances:1:ethereum:w", "something else")

    async def use(cache: RedisBalances) -> Any:
        for _ in range(2):
            assert await cache.of("ethereum", ["w"]) == {"w": held(1)}
        return cache.counts.unreadable, cache.counts.hits, cache.counts.faults

    assert using(server.url, Lake(w=held(1)), use) == (1, 1, 0)


def test_a_unix_socket_serves_as_well(server: RedisServer) -> None:
    async def use(cache: RedisBalances) -> Any:
        await cache.keep("ethereum", {"w": held(1)})
        return await cache.of("ethereum", ["w"])

    assert using(f"unix://{server.folder}/redis.sock", Lake(), use) == {"w": held(1)}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "http://secret@host",
        "redis://",
        "redis://:a/secret#x@host:1",
        "redis://:p@host:secret",
        "redis://h?db=secret",
    ],
)
def test_what_is_no_url_of_redis_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="the URL of Redis is none") as caught:
        RedisBalances(url, Lake())
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nothing_shows_the_password() -> None:
    cache = RedisBalances("redis://user:a-secret@cache.example:6380/2", Lake())
    assert repr(cache) == "RedisBalances(cache.example:6380)"


def test_without_redis_the_lake_answers() -> None:
    lake = Lake(w=held(1))
    plain: LastGoodBalances = LakeBalances(lake)

    async def run() -> Any:
        return await plain.keep("ethereum", {"w": held(2)}), await plain.of("ethereum", ["w", "w", "x"])

    assert asyncio.run(run()) == (0, {"w": held(1)})
    assert lake.asked == [["w", "x"]]


def test_a_moment_without_time_zone_is_refused(server: RedisServer) -> None:
    naive = WalletBalances(held(1).block, datetime(2026, 1, 1), {})  # noqa: DTZ001

    async def use(cache: RedisBalances) -> None:
        await cache.keep("ethereum", {"w": naive})

    with pytest.raises(ValueError, match="no time zone"):
        using(server.url, Lake(), use)
