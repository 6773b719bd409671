"""Transfers since the last scan: what a log means, restarts, reorganisations, answers that cannot be true."""

import asyncio
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from portfolio_pipelines.chains.discovery import (
    DEPOSIT,
    NOBODY,
    TRANSFER,
    TRANSFERS,
    WITHDRAWAL,
    Cursor,
    scan_transfers,
)
from portfolio_pipelines.chains.log_ranges import Reach
from portfolio_pipelines.chains.raw_amounts import integers
from portfolio_pipelines.chains.rpc.errors import BadAnswer, RpcError, Unreachable
from tests.unit.chains.simulated_chain import SimulatedChain, address, addresses, topic
from tests.unit.chains.test_log_ranges import STRANGER, TOKEN, WALLETS, WHERE, scan

ROOT = Path(__file__).parents[3]
SHARED = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve()
OURS, OTHER = address(WALLETS[0]), address(WALLETS[1])
HUGE = 2**256 - 1


def all_of(chain: SimulatedChain, **settings: Any) -> pl.DataFrame:
    return pl.concat([part.transfers for part in scan(chain, **settings)])


def test_erc20_and_erc721_are_told_apart_and_amounts_are_exact() -> None:
    chain = SimulatedChain(range(10))
    chain.transfer(1, TOKEN, STRANGER, OURS, 10**38 - 1)
    chain.transfer(2, TOKEN, OURS, STRANGER, HUGE)
    chain.log(3, TOKEN, [TRANSFER, topic(STRANGER), topic(OURS), topic(77)], "0x")
    found = all_of(chain)
    assert found.select("sender", "receiver", "raw", "raw_hex", "kind").rows() == [
        (STRANGER, OURS, 10**38 - 1, None, "erc20"),
        (OURS, STRANGER, None, hex(HUGE), "erc20"),
        (STRANGER, OURS, 77, None, "erc721"),
    ]
    assert dict(found.schema) == TRANSFERS


def test_a_transfer_between_two_of_our_wallets_is_one_row() -> None:
    chain = SimulatedChain(range(10))
    chain.transfer(1, TOKEN, OURS, OTHER, 5)
    chain.transfer(1, TOKEN, OURS, OURS, 6)
    assert all_of(chain)["raw"].to_list() == [5, 6]


@pytest.mark.parametrize(
    ("topics", "data"),
    [
        ([TRANSFER, topic(STRANGER), topic(OURS)], "0x"),
        ([TRANSFER, topic(STRANGER), topic(OURS)], topic(1) + "00" * 32),
        ([TRANSFER, topic(STRANGER), topic(OURS)], "0x01"),
        ([TRANSFER, topic(STRANGER), topic(OURS), topic(1)], topic(2)),
        ([TRANSFER, topic(2**255 + 5), topic(OURS)], topic(1)),
        ([TRANSFER, topic(OURS)], topic(1)),
    ],
)
def test_a_contract_that_keeps_to_no_standard_is_kept_without_an_amount_and_stops_nothing(
    topics: list[str], data: str
) -> None:
    chain = SimulatedChain(range(10))
    chain.log(1, TOKEN, topics, data)
    chain.transfer(2, TOKEN, STRANGER, OURS, 5)
    assert all_of(chain).select("kind", "raw", "raw_hex").rows() == [("malformed", None, None), ("erc20", 5, None)]


def test_wrapped_coins_come_and_go_without_a_transfer() -> None:
    """WETH9 logs Deposit and Withdrawal. The same events of another contract mean something else."""
    wrapped, vault = address(0xEE), address(0xFA)
    chain = SimulatedChain(range(10))
    chain.log(1, wrapped, [DEPOSIT, topic(OURS)], topic(9))
    chain.log(2, wrapped, [WITHDRAWAL, topic(OURS)], topic(4))
    chain.log(3, vault, [DEPOSIT, topic(OURS)], topic(1))
    rows = all_of(chain, wrapped_native=[wrapped]).select("token", "sender", "receiver", "raw", "kind").rows()
    assert rows == [(wrapped, NOBODY, OURS, 9, "erc20"), (wrapped, OURS, NOBODY, 4, "erc20")]
    assert all_of(chain).is_empty()


def test_a_scan_goes_on_where_the_last_one_ended() -> None:
    chain = SimulatedChain(range(100))
    chain.transfer(10, TOKEN, STRANGER, OURS, 1)
    cursor = scan(chain)[-1].cursor
    chain.timestamps = range(200)
    chain.transfer(150, TOKEN, STRANGER, OURS, 2)
    chain.asked.clear()
    (part,) = scan(chain, cursor=Cursor.from_text(cursor.to_text()))
    assert (part.first, part.last, part.last_hash) == (100, 199, chain.hash_of(199))
    assert part.transfers["raw"].to_list() == [2]
    assert min(first for first, *_ in chain.asked) == 100


def test_a_finished_range_outlives_a_node_that_dies_in_the_next_one() -> None:
    chain = SimulatedChain(range(100))
    for number in range(100):
        chain.transfer(number, TOKEN, STRANGER, OURS, number)
    stored: list[pl.DataFrame] = []
    cursor: Cursor | None = None

    def die() -> None:
        if len(stored) == 2:
            raise Unreachable(*WHERE, "gone")

    async def run() -> None:
        nonlocal cursor
        async for part in scan_transfers(chain, addresses(list(WALLETS)), chain.head(), cursor=cursor, window=25):
            stored.append(part.transfers)
            cursor = part.cursor

    chain.before_logs = die
    with pytest.raises(Unreachable):
        asyncio.run(run())
    chain.before_logs = None
    asyncio.run(run())
    assert pl.concat(stored)["raw"].to_list() == list(range(100))


def test_after_a_reorganisation_the_replaced_blocks_are_read_again() -> None:
    chain = SimulatedChain(range(100))
    for number in range(0, 100, 10):
        chain.transfer(number, TOKEN, STRANGER, OURS, number)
    parts = scan(chain, window=20)
    stored = pl.concat([part.transfers for part in parts])
    chain.reorganise(55, "b")
    chain.transfer(57, TOKEN, STRANGER, OURS, 570)
    for part in scan(chain, cursor=parts[-1].cursor, window=20):
        assert part.first >= 40, "blocks that are still canonical are not read again"
        stored = pl.concat([stored.filter(pl.col("block_number") < part.first), part.transfers])
    assert stored["raw"].to_list() == [0, 10, 20, 30, 40, 50, 570]
    assert stored["block_hash"].to_list() == [chain.hash_of(number) for number in stored["block_number"]]


def test_a_chain_that_shares_no_checkpoint_is_read_from_its_first_block() -> None:
    chain = SimulatedChain(range(50))
    cursor = scan(chain)[-1].cursor
    chain.reorganise(0, "b")
    assert scan(chain, cursor=cursor, first_block=5)[0].first == 5


def test_a_node_behind_the_cursor_is_not_asked_for_logs() -> None:
    chain = SimulatedChain(range(50))
    cursor = scan(chain)[-1].cursor
    chain.timestamps, chain.asked = range(40), []
    assert scan(chain, cursor=cursor) == []
    assert chain.asked == []


def test_blocks_replaced_while_they_are_read_are_read_again_at_once() -> None:
    chain = SimulatedChain(range(50))
    chain.transfer(10, TOKEN, STRANGER, OURS, 1)
    chain.transfer(40, TOKEN, STRANGER, OURS, 2)
    times = 0

    def reorganise() -> None:
        nonlocal times
        times += 1
        if times == 2:  # the logs that were sent are read, those received are not
            chain.reorganise(30, "b")
            chain.transfer(41, TOKEN, OURS, STRANGER, 3)

    chain.before_logs = reorganise
    (part,) = scan(chain)
    assert part.transfers["raw"].to_list() == [1, 3]
    assert part.last_hash == chain.hash_of(49)


def test_a_chain_that_never_rests_is_an_error_and_no_wrong_rows() -> None:
    chain = SimulatedChain(range(50))
    chain.before_logs = lambda: chain.branches.append((30, str(len(chain.asked))))
    with pytest.raises(BadAnswer, match=r"simulated.*replaced"):
        scan(chain)


def test_logs_of_one_block_with_two_hashes_are_of_two_branches() -> None:
    chain = SimulatedChain(range(50))
    chain.transfer(10, TOKEN, STRANGER, OURS, 1)
    chain.transfer(10, TOKEN, STRANGER, OURS, 2)["blockHash"] = topic(5)
    with pytest.raises(BadAnswer, match="replaced"):
        scan(chain)


def broken(change: Callable[[dict[str, Any]], object]) -> SimulatedChain:
    chain = SimulatedChain(range(50))
    chain.transfer(10, TOKEN, STRANGER, OURS, 1)
    complete = chain._logs

    def answer(query: Any) -> Any:
        logs = [dict(log) for log in complete(query)]
        for log in logs:
            change(log)
        return logs

    chain._logs = answer  # type: ignore[method-assign]
    return chain


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.update(blockNumber="0x999"),
        lambda log: log.update(blockNumber=None),
        lambda log: log.update(blockNumber="ten"),
        lambda log: log.update(topics=[]),
        lambda log: log.update(topics=[topic(1), topic(STRANGER), topic(OURS)]),
        lambda log: log.update(topics=[TRANSFER, topic(STRANGER), topic(STRANGER)]),
        lambda log: log.update(topics=None),
        lambda log: log.update(address="0x12"),
        lambda log: log.update(address=None),
        lambda log: log.update(transactionHash="0x" + "_" * 64),
        lambda log: log.update(logIndex=None),
        lambda log: log.pop("data"),
        lambda log: log.update(data="0x" + "zz" * 32),
        lambda log: log.update(data=5),
        lambda log: log.update(blockHash="0x"),
    ],
)
def test_an_answer_that_cannot_be_true_is_an_error_with_the_name_of_the_chain(
    change: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(BadAnswer, match="simulated"):
        scan(broken(change))


@pytest.mark.parametrize("answer", [None, {}, "0x", [5], [None], [[]]])
def test_an_answer_that_is_no_list_of_logs_is_an_error(answer: Any) -> None:
    chain = SimulatedChain(range(50))
    chain._logs = lambda _query: answer  # type: ignore[method-assign]
    with pytest.raises(RpcError, match="simulated"):
        scan(chain)


def test_removed_logs_are_not_counted() -> None:
    chain = broken(lambda log: log.update(removed=True))
    assert all_of(chain).is_empty()


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data (PORTFOLIO_SHARED_DATA) is absent")
def test_the_transfers_of_real_receipts() -> None:
    """Each token transfer of the recorded transactions, found by asking for everybody named in one."""
    expected = json.loads((SHARED / "events/expected_events_dev.json").read_text())
    with gzip.open(SHARED / "events/receipts_dev.jsonl.gz", "rt") as lines:
        recorded = [json.loads(line) for line in lines]
    compared = 0
    for chain_id in {entry["chain_id"] for entry in recorded}:
        logs = [
            log
            for entry in recorded
            if entry["chain_id"] == chain_id
            for log in entry["receipt"]["logs"]
            if log["topics"] and log["topics"][0] == TRANSFER and len(log["topics"]) > 2
        ]
        wanted = {
            (entry["block"], event["log_index"]): (event["address"], *event["args"].values())
            for entry in expected
            if entry["chain_id"] == chain_id
            for event in entry["events"]
            if event["event"] == "Transfer"
        }
        assert wanted.items() <= transfers_in(logs).items()
        compared += len(wanted)
    assert compared > 100


def transfers_in(logs: list[dict[str, Any]]) -> dict[tuple[int, int], tuple[str, str, str, str]]:
    """Token, sender, receiver and amount of each log, by block and log index, as a scan finds them."""
    chain = SimulatedChain(range(max((int(log["blockNumber"], 16) for log in logs), default=0) + 2))
    for log in logs:
        chain.logs.setdefault(int(log["blockNumber"], 16), []).append(log)
    people = addresses(sorted({int(part, 16) for log in logs for part in log["topics"][1:3]}))

    async def read() -> pl.DataFrame:
        parts = scan_transfers(chain, people, chain.head(), window=10**9, reach=Reach(10**9, 10**9))
        return pl.concat([part.transfers async for part in parts])

    frame = asyncio.run(read())
    return {
        (row["block_number"], row["log_index"]): (row["token"], row["sender"], row["receiver"], str(amount))
        for row, amount in zip(frame.to_dicts(), integers(frame), strict=True)
    }


def test_no_wallets_ask_nothing_and_still_move_the_cursor() -> None:
    chain = SimulatedChain(range(10))

    async def read() -> list[int]:
        nobody = np.zeros((0, 20), dtype=np.uint8)
        return [part.last async for part in scan_transfers(chain, nobody, chain.head())]

    assert asyncio.run(read()) == [9]
    assert chain.asked == []
