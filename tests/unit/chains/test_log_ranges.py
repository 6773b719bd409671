"""Every log is read once, however an endpoint refuses ranges and results."""

import asyncio
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.discovery import Cursor, Scanned, scan_transfers
from portfolio_pipelines.chains.log_ranges import Reach, read_range
from portfolio_pipelines.chains.rpc.answers import NodeError
from portfolio_pipelines.chains.rpc.errors import InvalidRequest, TooMuch
from tests.unit.chains.simulated_chain import Refusal, SimulatedChain, address, addresses

TOKEN, STRANGER = address(0x70), address(0x57)
WHERE = ("simulated", "memory")
WALLETS = range(0xA000, 0xA000 + 40)


def scan(chain: SimulatedChain, cursor: Cursor | None = None, **settings: object) -> list[Scanned]:
    async def collected() -> list[Scanned]:
        found = scan_transfers(chain, addresses(list(WALLETS)), chain.head(), cursor=cursor, **settings)  # type: ignore[arg-type]
        return [scanned async for scanned in found]

    return asyncio.run(collected())


def busy_chain(refusal: Refusal | None, blocks: int = 30_000) -> SimulatedChain:
    """A chain with a transfer now and then, and a crowded stretch of 2,500 transfers in 50 blocks."""
    chain = SimulatedChain(range(blocks), refusal)
    for number in range(7, blocks, 211):
        chain.transfer(number, TOKEN, STRANGER, address(WALLETS[number % 40]), number)
    for number in range(12_000, 12_050):
        for place in range(50):
            chain.transfer(number, TOKEN, address(WALLETS[place % 40]), address(WALLETS[(place + 1) % 40]), place)
    return chain


def range_limit(most: int, code: int, text: str) -> Refusal:
    return lambda first, last, _wallets, _found: NodeError(code, text) if last - first + 1 > most else None


def result_limit(most: int, code: int, text: str) -> Refusal:
    return lambda _first, _last, _wallets, found: NodeError(code, text) if found > most else None


def infura(first: int, last: int, _: int, found: int) -> NodeError | None:
    if last - first + 1 > 10_000:
        return NodeError(-32602, f"range {last - first + 1} exceeds limit of 10000")
    if found > 1_000:
        middle = first + (last - first) // 5
        text = f"query returned more than 1000 results. Try with this block range [{hex(first)}, {hex(middle)}]."
        return NodeError(-32005, text, {"from": hex(first), "to": hex(middle), "limit": 1000})
    return None


def alchemy(first: int, last: int, _: int, found: int) -> NodeError | None:
    if last - first + 1 <= 2_000 and found <= 1_000:
        return None
    text = (
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range. Based on your "
        f"parameters and the response size limit, this block range should work: [{hex(first)}, {hex(first + 100)}]"
    )
    return NodeError(-32602, text)


def reth(first: int, last: int, _: int, found: int) -> NodeError | None:
    """Proposes the range that was asked: whoever believes it never ends (reth issue 23810)."""
    return (
        NodeError(-32602, f"query exceeds max results 900, retry with the range {first}-{last}")
        if found > 900
        else None
    )


def results_from_below(first: int, last: int, _: int, found: int) -> NodeError | None:
    """Proposes a range that begins elsewhere."""
    return (
        NodeError(-32602, f"query exceeds max results 900, retry with the range {first - 500}-{first}")
        if found > 900
        else None
    )


def body_limit(first: int, last: int, wallets: int, found: int) -> NodeError | None:
    return NodeError(-32614, "request body too large") if wallets > 12 else None


PROVIDERS: dict[str, Refusal | None] = {
    "no limit": None,
    "Infura": infura,
    "Alchemy": alchemy,
    "QuickNode": range_limit(10_000, -32614, "eth_getLogs is limited to a 10,000 range"),
    "Tenderly": range_limit(2_000, -32000, "range limit 2000"),
    "reth that proposes what was asked": reth,
    "a proposal that begins elsewhere": results_from_below,
    "morph": range_limit(5_000, -32000, "max block range = 5000"),
    "a free tier of 10 blocks": range_limit(10, -32600, "Under the Free tier plan, up to a 10 block range"),
    "a time-out": result_limit(300, -32000, "query timeout exceeded"),
    "a body limit": body_limit,
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_transfer_is_found_once_whatever_the_provider_allows(provider: str) -> None:
    blocks = 13_000 if "10 blocks" in provider else 30_000
    chain = busy_chain(PROVIDERS[provider], blocks)
    found = pl.concat([part.transfers for part in scan(chain)])
    there = sorted((number, int(log["logIndex"], 16)) for number, logs in chain.logs.items() for log in logs)
    assert found.select("block_number", "log_index").rows() == there
    assert len(chain.refused) == len(set(chain.refused)), "a refused question was asked again"


def test_what_a_provider_allows_is_learned_once() -> None:
    chain = busy_chain(range_limit(2_000, -32000, "range limit 2000"))
    reach = Reach()
    scan(chain, reach=reach, window=10_000)
    assert 1_000 <= reach.blocks <= 2_000
    first_refusals = len(chain.refused)
    assert first_refusals <= 3 * 3 * 2, "three windows, both directions"
    scan(chain, reach=reach, window=reach.blocks)
    assert len(chain.refused) == first_refusals, "the second scan asks for no more than is allowed"


def test_one_crowded_wallet_does_not_slow_the_others() -> None:
    """One wallet gets 2,000 transfers in one window, a provider gives at most 100 logs."""
    chain = SimulatedChain(range(3_000), result_limit(100, -32005, "query returned more than 100 results"))
    for number in range(2_000):
        chain.transfer(number, TOKEN, STRANGER, address(WALLETS[3]), number)
    reach = Reach(wallets=1)
    found = scan(chain, reach=reach)
    assert sum(part.transfers.height for part in found) == 2_000
    assert reach.blocks > 1_000
    assert len(chain.asked) < 80 * 2 + 100


def test_an_answer_cut_at_a_round_number_is_not_believed() -> None:
    """A node that drops everything after 1,000 logs without a word."""
    chain = SimulatedChain(range(3_000))
    for number in range(2_500):
        chain.transfer(number, TOKEN, STRANGER, address(WALLETS[number % 40]), number)
    complete = chain._logs
    chain._logs = lambda query: complete(query)[:1_000]  # type: ignore[method-assign]
    assert sum(part.transfers.height for part in scan(chain)) == 2_500


def test_one_block_of_one_wallet_that_is_refused_is_an_error_with_its_chain() -> None:
    chain = SimulatedChain(range(100), range_limit(0, -32005, "query returned more than 10000 results"))
    with pytest.raises(TooMuch, match="simulated"):
        scan(chain)
    assert len(chain.refused) == len(set(chain.refused))


def test_an_error_that_is_not_about_size_is_not_answered_with_smaller_ranges() -> None:
    chain = SimulatedChain(range(100), range_limit(0, -32602, "invalid argument 0: hex string has odd digits"))
    with pytest.raises(InvalidRequest):
        scan(chain)
    assert len(chain.asked) == 1


@settings(max_examples=40)
@given(
    transfers=st.lists(
        st.tuples(st.integers(0, 199), st.sampled_from(WALLETS), st.sampled_from(WALLETS), st.integers(0, 2**256 - 1)),
        max_size=60,
    ),
    most_blocks=st.integers(5, 200),
    most_results=st.integers(20, 60),
    most_wallets=st.integers(4, 40),
    suggestion=st.integers(-50, 250),
    window=st.integers(10, 300),
    reach=st.integers(1, 1_000),
)
def test_any_mixture_of_limits_gives_every_transfer_once(
    transfers: list[tuple[int, int, int, int]],
    most_blocks: int,
    most_results: int,
    most_wallets: int,
    suggestion: int,
    window: int,
    reach: int,
) -> None:
    def refusal(first: int, last: int, wallets: int, found: int) -> NodeError | None:
        if last - first + 1 > most_blocks or wallets > most_wallets or (found > most_results and last > first):
            return NodeError(-32005, f"too many results, retry with the range {first}-{max(first + suggestion, 0)}")
        return None

    chain = SimulatedChain(range(200), refusal)
    for number, sender, receiver, amount in transfers:
        chain.transfer(number, TOKEN, address(sender), address(receiver), amount)
    parts = scan(chain, window=window, reach=Reach(blocks=reach))
    found = pl.concat([part.transfers for part in parts])
    there = sorted((number, int(log["logIndex"], 16)) for number, logs in chain.logs.items() for log in logs)
    assert found.select("block_number", "log_index").rows() == there
    assert [(part.first, part.last) for part in parts] == [
        (first, min(first + window - 1, 199)) for first in range(0, 200, window)
    ]


@settings(max_examples=200)
@given(
    most_blocks=st.integers(1, 300),
    proposal=st.tuples(st.integers(-10, 320), st.integers(-10, 320)) | st.none(),
    start=st.integers(1, 400),
)
def test_a_proposed_range_is_used_only_if_it_is_a_shorter_beginning(
    most_blocks: int, proposal: tuple[int, int] | None, start: int
) -> None:
    asked: list[tuple[int, int]] = []
    answered: list[int] = []

    async def read(wallets: Sequence[str], first: int, last: int) -> list[dict[str, Any]]:
        asked.append((first, last))
        if last - first + 1 > most_blocks:
            raise TooMuch(*WHERE, "too long", proposal)
        answered.extend(range(first, last + 1))
        return []

    asyncio.run(read_range(read, ["0xa"], 0, 299, Reach(blocks=start)))
    assert answered == list(range(300))
    assert len(asked) == len(set(asked))
    assert len(asked) <= 300 + 10
