"""Blocks that are no longer canonical are found, and nothing else is read again."""

import asyncio
from datetime import date

import polars as pl
import pytest

from portfolio_pipelines.chains.reorganisations import canonical_hashes, find_fork, newest_canonical, to_read_again
from portfolio_pipelines.chains.rpc.errors import BadAnswer, RpcError, StateUnavailable
from portfolio_pipelines.chains.rpc.node import Block
from tests.unit.chains.simulated_chain import SimulatedChain


def stored(chain: SimulatedChain, numbers: list[int], chain_id: int = 1) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "day": [date(2027, 1, 1 + place) for place in range(len(numbers))],
            "chain_id": [chain_id] * len(numbers),
            "block_number": numbers,
            "block_hash": [chain.hash_of(number) for number in numbers],
        }
    )


def test_only_partitions_of_replaced_blocks_are_read_again() -> None:
    chain = SimulatedChain(range(100))
    before = pl.concat([stored(chain, [10, 50, 90]), stored(chain, [90], chain_id=10)])
    chain.reorganise(50, "b")
    canonical = asyncio.run(canonical_hashes(chain, [90, 10, 50, 90]))
    again = to_read_again(before, canonical)
    assert again.select("day", "chain_id", "block_number").rows() == [
        (date(2027, 1, 2), 1, 50),
        (date(2027, 1, 3), 1, 90),
    ]
    assert again["canonical_hash"].to_list() == [chain.hash_of(50), chain.hash_of(90)]


def test_a_chain_that_became_shorter_replaces_what_was_beyond_its_end() -> None:
    chain = SimulatedChain(range(100))
    before = stored(chain, [10, 95])
    chain.timestamps = range(90)
    again = to_read_again(before, asyncio.run(canonical_hashes(chain, [10, 95])))
    assert again.select("block_number", "canonical_hash").rows() == [(95, None)]


def test_hashes_in_capitals_are_the_same_hashes() -> None:
    chain = SimulatedChain(range(100))
    before = stored(chain, [10]).with_columns(pl.col("block_hash").str.to_uppercase().str.replace("0X", "0x"))
    assert to_read_again(before, asyncio.run(canonical_hashes(chain, [10]))).is_empty()


def test_not_knowing_is_no_reorganisation() -> None:
    chain = SimulatedChain(range(100))

    async def unreachable(requests: object) -> list[object]:
        return [StateUnavailable("simulated", "memory", "pruned")]

    chain.batch = unreachable  # type: ignore[method-assign, assignment]
    with pytest.raises(RpcError, match="simulated"):
        asyncio.run(canonical_hashes(chain, [5]))


@pytest.mark.parametrize("answer", [{}, {"number": "0x5"}, [], "0x", {"number": "0x6"}])
def test_an_answer_that_is_not_the_block_is_not_believed(answer: object) -> None:
    chain = SimulatedChain(range(100))
    whole = chain._json(chain.block_of(5))

    async def strange(_requests: object) -> list[object]:
        return [whole | answer if answer == {"number": "0x6"} else answer]  # type: ignore[operator]

    chain.batch = strange  # type: ignore[method-assign, assignment]
    with pytest.raises(BadAnswer, match="simulated"):
        asyncio.run(canonical_hashes(chain, [5]))


@pytest.mark.parametrize(("first_new", "position"), [(95, 2), (91, 2), (90, 1), (51, 1), (50, 0), (5, None)])
def test_the_newest_canonical_checkpoint(first_new: int, position: int | None) -> None:
    chain = SimulatedChain(range(100))
    checkpoints = [(number, chain.hash_of(number)) for number in (10, 50, 90)]
    chain.reorganise(first_new, "b")
    assert asyncio.run(newest_canonical(chain, checkpoints, 99)) == position
    assert asyncio.run(newest_canonical(chain, checkpoints, 60)) == (None if position is None else min(position, 1))


def test_the_fork_is_found_over_parent_hashes() -> None:
    chain = SimulatedChain(range(100))
    known = [chain.block_of(number) for number in range(80, 95)]
    chain.reorganise(90, "b")
    fork = asyncio.run(find_fork(chain, known, chain.block_of(97)))
    assert fork.ancestor == known[9]
    assert fork.ancestor.number == 89
    assert [block.number for block in fork.abandoned] == [90, 91, 92, 93, 94]
    assert fork.adopted == tuple(chain.block_of(number) for number in range(90, 98))


def test_a_head_that_simply_follows_abandons_nothing() -> None:
    chain = SimulatedChain(range(100))
    known = [chain.block_of(number) for number in range(80, 95)]
    fork = asyncio.run(find_fork(chain, known, chain.block_of(95)))
    assert (fork.ancestor, fork.abandoned, fork.adopted) == (known[-1], (), (chain.block_of(95),))
    fork = asyncio.run(find_fork(chain, known, known[-1]))
    assert (fork.ancestor, fork.abandoned, fork.adopted) == (known[-1], (), ())


def test_a_shorter_branch_that_wins_is_a_fork_too() -> None:
    chain = SimulatedChain(range(100))
    known = [chain.block_of(number) for number in range(80, 95)]
    chain.reorganise(85, "b")
    fork = asyncio.run(find_fork(chain, known, chain.block_of(86)))
    assert (fork.ancestor, len(fork.abandoned), len(fork.adopted)) == (known[4], 10, 2)


def test_a_fork_below_everything_known_has_no_ancestor() -> None:
    chain = SimulatedChain(range(100))
    known = [chain.block_of(number) for number in range(80, 95)]
    chain.reorganise(70, "b")
    fork = asyncio.run(find_fork(chain, known, chain.block_of(96)))
    assert fork.ancestor is None
    assert fork.abandoned == tuple(known)
    assert [block.number for block in fork.adopted] == list(range(80, 97))
    assert asyncio.run(find_fork(chain, [], chain.block_of(96))).ancestor is None


def test_a_false_parent_is_not_followed() -> None:
    chain = SimulatedChain(range(100))
    known = [chain.block_of(number) for number in range(80, 90)]
    head = Block(95, chain.hash_of(95), 95, chain.hash_of(40))
    with pytest.raises(BadAnswer, match=r"simulated.*parent"):
        asyncio.run(find_fork(chain, known, head))
