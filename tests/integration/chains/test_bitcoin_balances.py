"""Balances on Bitcoin, read over HTTP from a server whose chain we know."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from portfolio_pipelines.chains.bitcoin.esplora import EsploraClient
from portfolio_pipelines.chains.bitcoin.source import BitcoinSource
from portfolio_pipelines.chains.chain_reading import PlainReader
from portfolio_pipelines.chains.families import AssetBalances, BalanceSource
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from portfolio_pipelines.chains.rpc.errors import QuotaExhausted, RateLimited, StateUnavailable, Unreachable
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.chains.rpc.pacing import Pacers
from tests.integration.chains.esplora_server import COIN, START, Chain, address_of, lived
from tests.integration.chains.loopback import Answer, serving, virtual_clock

T = TypeVar("T")
WHO = address_of("who")
SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"


def with_source(use: Callable[[BitcoinSource], Awaitable[T]], *chains: Chain, **options: Any) -> T:
    async def run() -> T:
        async with serving(chains[0].handle) as first, serving(chains[-1].handle) as second:
            urls = [first, second][: len(chains)]
            endpoints = [EndpointSettings(f"{url}/api?key=a-very-secret-key") for url in urls]
            async with EsploraClient("bitcoin", endpoints, clock=virtual_clock(), pacers=Pacers()) as client:
                return await use(BitcoinSource(client, **options))

    for chain in chains:
        strip_key(chain)
    return asyncio.run(run())


def strip_key(chain: Chain) -> None:
    handle = type(chain).handle

    async def without_key(path: str, body: bytes) -> Answer:
        assert path.endswith("?key=a-very-secret-key"), "the key of the URL got lost"
        return await handle(chain, path.partition("?")[0], body)

    chain.handle = without_key  # type: ignore[method-assign]


def read(wallets: list[str], *chains: Chain, block: Block | None = None, **options: Any) -> AssetBalances:
    async def use(source: BalanceSource) -> AssetBalances:
        return await source.balances(wallets, [], block or await source.newest())

    return with_source(use, *chains, **options)


def amounts(found: AssetBalances) -> dict[int, int]:
    assert found.balances["column"].eq(0).all()
    return {row: int(raw) for row, _, raw, _ in found.balances.rows()}


def truth(chain: Chain, addresses: list[str], height: int) -> dict[int, int]:
    balances = {row: chain.balance(address, height) for row, address in enumerate(addresses)}
    return {row: balance for row, balance in balances.items() if balance}


def block_of(chain: Chain, height: int) -> Block:
    block = chain.blocks[height]
    return Block(height, block["id"], block["timestamp"], block["previousblockhash"] or "")


def test_balances_at_the_tip_are_the_sums_of_confirmed_outputs() -> None:
    chain, addresses = lived()
    found = read(addresses, chain)
    assert amounts(found) == truth(chain, addresses, len(chain.blocks) - 1)
    assert found.block == block_of(chain, len(chain.blocks) - 1)
    assert found.failed.is_empty()
    assert not [path for path in chain.requests if "/txs/" in path]


def test_what_waits_for_a_block_does_not_count() -> None:
    chain = Chain()
    chain.create(WHO, 3 * COIN)
    chain.mine()
    chain.create(WHO, COIN)
    chain.pay(WHO, address_of("other"), 2 * COIN)
    assert amounts(read([WHO, address_of("other")], chain)) == {0: 3 * COIN}


def test_balances_at_every_past_block_are_exact() -> None:
    chain, addresses = lived(people=5, blocks=25)
    for height in (0, 1, 2, 10, 20, 25, 26):
        found = read(addresses, chain, block=block_of(chain, height))
        assert amounts(found) == truth(chain, addresses, height)
        assert found.failed.is_empty()


def test_history_of_many_pages_is_walked_to_its_end() -> None:
    chain = Chain()
    for _ in range(70):
        chain.create(WHO, 7)
        chain.mine()
    assert amounts(read([WHO], chain, block=block_of(chain, 3))) == {0: 21}
    assert len([path for path in chain.requests if "/txs/chain" in path]) == 3
    assert amounts(read([WHO], chain, block=block_of(chain, 0))) == {}


def test_a_block_found_while_reading_does_not_change_what_is_read() -> None:
    chain, addresses = lived()
    height = len(chain.blocks) - 1
    expected = truth(chain, addresses, height)

    def mine(path: str) -> None:
        if path == f"/address/{addresses[2]}" and len(chain.blocks) == height + 1:
            for sender, receiver in ((0, 1), (1, 2), (2, 5)):
                chain.pay(addresses[sender], addresses[receiver], 1)
            chain.mine()

    chain.before = mine
    assert amounts(read(addresses, chain)) == expected
    assert len(chain.blocks) == height + 2


def test_an_address_that_changes_during_its_walk_is_read_again() -> None:
    chain, addresses = lived(people=4, blocks=10)
    pinned = len(chain.blocks) - 2
    changes = 2

    def mine(path: str) -> None:
        nonlocal changes
        if path.startswith(f"/address/{addresses[0]}/txs") and changes:
            changes -= 1
            chain.create(addresses[0], 5)
            chain.mine()

    chain.before = mine
    assert amounts(read(addresses, chain, block=block_of(chain, pinned))) == truth(chain, addresses, pinned)


def test_a_block_that_the_server_no_longer_knows_is_an_error() -> None:
    chain, addresses = lived(people=3, blocks=5)
    gone = block_of(chain, len(chain.blocks) - 1)
    chain.undo()
    chain.mine(salt="another")
    with pytest.raises(StateUnavailable, match=rf"block {gone.number} is \w+ there, not {gone.hash}"):
        read(addresses, chain, block=gone)
    with pytest.raises(StateUnavailable, match="not there"):
        read(addresses, chain, block=Block(500, "f" * 64, 0))


def test_a_replaced_block_shows_in_the_hash_at_its_height() -> None:
    chain, _ = lived(people=3, blocks=5)
    old = block_of(chain, len(chain.blocks) - 1)
    assert with_source(lambda source: source.hash_of(old.number), chain) == old.hash
    chain.undo()
    assert with_source(lambda source: source.hash_of(old.number), chain) is None
    chain.mine(salt="another")
    new = with_source(lambda source: PlainReader(source).hash_of(old.number), chain)
    assert new == chain.blocks[-1]["id"] != old.hash


def test_the_close_of_a_day_is_its_last_block_even_where_times_fall_along_the_chain() -> None:
    for seed in range(4):
        chain, _ = lived(people=3, blocks=120, payments=0, seed=seed)
        times = [block["timestamp"] for block in chain.blocks]
        for moment in (START, START + 1, times[50], times[50] + 1, times[80] - 1, max(times), max(times) + 9_000):
            end = datetime.fromtimestamp(moment, UTC)
            block = with_source(lambda source, end=end: source.at_close(end), chain)  # type: ignore[misc]
            expected = [height for height, time in enumerate(times) if time < moment]
            assert (None if block is None else block.number) == (max(expected) if expected else None)


def test_finding_the_close_of_a_day_takes_few_requests() -> None:
    chain = Chain()
    for _ in range(3_000):
        chain.mine(chain.random.choice([60, 600, 1_100]))
    moment = chain.blocks[1_234]["timestamp"] + 1
    block = with_source(lambda source: source.at_close(datetime.fromtimestamp(moment, UTC)), chain)
    assert block == block_of(chain, 1_234)
    assert len(chain.requests) <= 16


def test_a_moment_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        with_source(lambda source: source.at_close(datetime(2024, 1, 1)), Chain())  # noqa: DTZ001


def test_sums_that_do_not_match_the_outputs_are_not_believed() -> None:
    chain, addresses = lived(people=4, blocks=6)

    def lie(path: str, body: Any) -> Any:
        if path == f"/address/{addresses[1]}":
            body["chain_stats"]["funded_txo_sum"] += 1
        return body

    chain.spoil = lie
    found = read(addresses, chain)
    expected = truth(chain, addresses, len(chain.blocks) - 1)
    assert amounts(found) == {row: amount for row, amount in expected.items() if row != 1}
    ((row, column, why),) = found.failed.rows()
    assert (row, column) == (1, 0)
    assert why.startswith("bitcoin at 127.0.0.1:")
    assert f"{addresses[1]} has" in why
    assert "secret" not in why


def test_another_server_answers_for_an_address_that_one_lies_about() -> None:
    liar, addresses = lived(people=4, blocks=6)
    honest, _ = lived(people=4, blocks=6)

    def lie(path: str, body: Any) -> Any:
        if path == f"/address/{addresses[1]}":
            body["chain_stats"]["spent_txo_sum"] += 1
        return body

    liar.spoil = lie
    found = read(addresses, liar, honest)
    assert amounts(found) == truth(honest, addresses, len(honest.blocks) - 1)
    assert found.failed.is_empty()
    assert len([path for path in honest.requests if path == f"/address/{addresses[1]}"]) == 1


def test_a_history_that_does_not_add_up_to_the_sums_is_not_believed() -> None:
    chain, addresses = lived(people=3, blocks=6)

    def lie(path: str, body: Any) -> Any:
        if path.startswith(f"/address/{addresses[0]}/txs"):
            return [each for each in body if each["status"]["block_height"] > 1]
        return body

    chain.spoil = lie
    found = read(addresses, chain, block=block_of(chain, 0))
    assert amounts(found) == {}
    assert found.failed["wallet"].to_list() == [0]
    assert "while its sums say" in found.failed["why"][0]


def test_addresses_with_more_outputs_than_a_server_lists_are_read_from_their_sums() -> None:
    chain = Chain()
    for _ in range(501):
        chain.create(WHO, 3)
    chain.mine()
    assert amounts(read([WHO], chain)) == {0: 1_503}


def test_a_history_too_long_for_a_person_is_missing_and_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portfolio_pipelines.chains.bitcoin.source.LONGEST_WALK", 1)
    chain = Chain()
    chain.create(SEGWIT, COIN)
    chain.mine()
    for _ in range(60):
        chain.create(WHO, 1)
        chain.mine()
    found = read([WHO, SEGWIT.upper()], chain, block=block_of(chain, 1))
    assert amounts(found) == {1: COIN}
    assert "more than 1 pages" in found.failed["why"][0]


FAULTS = {
    "429": (Answer("slow down", 429, {"Retry-After": "2"}), RateLimited),
    "500": (Answer("oops a-very-secret-key", 500), Unreachable),
    "html": (Answer("<html>a-very-secret-key</html>"), Unreachable),
    "truncated": (Answer("x" * 500, cut_after=20), Unreachable),
    "half": (Answer('[{"id": "00'), Unreachable),
    "refused": (Answer("", 401), QuotaExhausted),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_tried_again_and_a_lasting_one_named_without_the_key(fault: str) -> None:
    answer, kind = FAULTS[fault]
    chain, addresses = lived(people=3, blocks=4)
    faults = [] if kind is QuotaExhausted else [answer, answer]
    chain.before = lambda path: faults.pop() if faults and path.startswith("/blocks") else None
    assert amounts(read(addresses, chain)) == truth(chain, addresses, len(chain.blocks) - 1)

    chain.before = lambda path: answer if not path.startswith("/blocks/tip") else None
    with pytest.raises(kind, match=r"^bitcoin at 127\.0\.0\.1:\d+: ") as caught:
        read(addresses, chain)
    assert "secret" not in str(caught.value)


def test_another_server_takes_over_where_one_breaks_down() -> None:
    broken, addresses = lived(people=5, blocks=6)
    well, _ = lived(people=5, blocks=6)
    broken.before = lambda path: Answer("", 500) if path.startswith(f"/address/{addresses[2]}") else None
    assert amounts(read(addresses, broken, well)) == truth(well, addresses, len(well.blocks) - 1)


def test_tokens_and_addresses_of_other_chains_are_refused_before_anything_is_asked() -> None:
    chain = Chain()
    block = block_of(chain, 0)
    with pytest.raises(ValueError, match="bitcoin has no tokens"):
        with_source(lambda source: source.balances([WHO], ["x"], block), chain)
    with pytest.raises(ValueError, match="EVM chain"):
        read(["0xd8da6bf26964af9d7eed9e03e53415d37aa96045"], chain, block=block)
    assert chain.requests == []
