"""An EVM chain read again and again: blocks that are replaced, coins in the form of tokens, sleeping wallets."""

import asyncio
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.chains.chain_reading import NATIVE, PAIRS_SCHEMA, ChainQuestion, ChainReading
from portfolio_pipelines.chains.deployments import Deployments
from portfolio_pipelines.chains.evm_reading import EvmReader
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.chains.rpc.node import Block
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, artifact, deploy
from tests.contracts.plain_node import PlainNode
from tests.contracts.uniswap import WETH

ANA, BOB = "0x" + "a1" * 20, "0x" + "b2" * 20
ROW = Chain(31337, "local", "Local", "ETH", "local", multicall3=MULTICALL3)
WALLETS = pl.DataFrame({"wallet_key": [1, 2], "address": [ANA, BOB]}, schema_overrides={"wallet_key": pl.Int32})


def ask(reader: EvmReader, block: int | None = None, **question: Any) -> ChainReading:
    """Read both wallets at a block, the newest by default."""
    asked: Mapping[str, Any] = {
        "wallets": WALLETS,
        "due": frozenset({1, 2}),
        "tokens": [],
        "pairs": pl.DataFrame(schema=PAIRS_SCHEMA),
        **question,
    }

    async def run() -> ChainReading:
        return await reader.read(ChainQuestion(**asked), await reader.node.block(block))

    return asyncio.run(run())


def block_at(node: PlainNode, number: int | None = None) -> Block:
    return asyncio.run(node.block(number))


def moved(reading: ChainReading) -> list[tuple[int, int]]:
    return [(row["block_number"], int(row["raw"])) for row in reading.transfers.iter_rows(named=True)]


def held(reading: ChainReading) -> dict[tuple[int, str], int]:
    return {(row["wallet_key"], row["token"]): int(row["raw"]) for row in reading.balances.iter_rows(named=True)}


@pytest.fixture
def reader(node: PlainNode) -> EvmReader:
    return EvmReader(node, ROW, Deployments(31337))


@pytest.fixture
def token(chain: Anvil, sources: dict[str, Artifact]) -> Contract:
    return deploy(chain, sources["TestToken"], "Some", "SOME", 18)


def test_transfers_are_told_from_the_newest_block_that_is_still_there(
    chain: Anvil, node: PlainNode, reader: EvmReader, token: Contract
) -> None:
    token.send("mint", ANA, 1)
    blocks = [block_at(node)]
    with chain.reverted():
        token.send("mint", ANA, 20)
        blocks.append(block_at(node))
        assert ask(reader, previous=blocks[0]).transfers_from == blocks[0].number + 1
    chain.mine(5)  # so that the new block is another one
    token.send("mint", ANA, 300)
    head = chain.height
    again = ask(reader, previous=blocks[1], checkpoints=blocks[:1])
    assert (again.is_scanned, again.transfers_from, moved(again)) == (True, blocks[0].number + 1, [(head, 300)])
    unchanged = ask(reader, previous=block_at(node), checkpoints=blocks)
    assert (unchanged.is_scanned, unchanged.transfers_from, moved(unchanged)) == (True, head + 1, [])


def test_when_no_known_block_is_left_transfers_are_told_since_the_beginning_of_the_day(
    chain: Anvil, node: PlainNode, reader: EvmReader, token: Contract
) -> None:
    chain.mine(60)
    start = block_at(node).timestamp
    chain.mine(60)
    token.send("mint", ANA, 1)
    before = chain.height
    with chain.reverted():
        token.send("mint", ANA, 20)
        gone = [block_at(node)]
        token.send("mint", ANA, 20)
        gone.append(block_at(node))
    chain.mine(5)
    token.send("mint", BOB, 300)
    again = ask(reader, previous=gone[1], checkpoints=gone[:1], since=start)
    assert (again.is_scanned, moved(again)) == (True, [(before, 1), (chain.height, 300)])
    assert again.transfers_from == before - 2


def test_a_chain_that_became_shorter_is_scanned_from_where_it_still_is_the_same(
    chain: Anvil, node: PlainNode, reader: EvmReader, token: Contract
) -> None:
    token.send("mint", ANA, 1)
    kept = block_at(node)
    with chain.reverted():
        token.send("mint", ANA, 20)
        token.send("mint", ANA, 20)
        gone = block_at(node)
    again = ask(reader, previous=gone, checkpoints=[kept])
    assert (again.is_scanned, again.transfers_from, moved(again)) == (True, kept.number + 1, [])


def test_the_chains_coin_in_the_form_of_a_token_is_not_counted_beside_the_coin(
    chain: Anvil, node: PlainNode, token: Contract
) -> None:
    previous = block_at(node)
    token.send("mint", ANA, 7)
    asked = {"previous": previous, "known_tokens": frozenset({token.address})}
    assert held(ask(EvmReader(node, ROW, Deployments(31337)), **asked)) == {(1, token.address): 7}
    celo = ask(EvmReader(node, ROW, Deployments(31337), coin_tokens=frozenset({token.address})), **asked)
    assert (held(celo), moved(celo), celo.pairs.rows()) == ({}, [], [])
    stored = pl.DataFrame({"wallet_key": [1], "token": [token.address]}, schema=PAIRS_SCHEMA)
    again = ask(EvmReader(node, ROW, Deployments(31337), coin_tokens=frozenset({token.address})), pairs=stored)
    assert (held(again), again.pairs.rows()) == ({}, [])


def test_what_wrapping_and_unwrapping_the_coin_moved_is_told_although_it_is_no_transfer(
    chain: Anvil, node: PlainNode
) -> None:
    weth = deploy(chain, artifact(WETH))
    one = chain.accounts[1]
    wallets = pl.DataFrame({"wallet_key": [1], "address": [one]}, schema_overrides={"wallet_key": pl.Int32})
    previous = block_at(node)
    weth.send("deposit", sender=one, value=30)
    weth.send("withdraw", 10, sender=one)
    asked = {"wallets": wallets, "due": frozenset({1}), "previous": previous}
    assert moved(ask(EvmReader(node, ROW, Deployments(31337)), **asked)) == []
    wrapped = ask(EvmReader(node, ROW, Deployments(31337), wrapped_native=[weth.address]), **asked)
    assert [raw for _, raw in moved(wrapped)] == [30, 10]
    assert held(wrapped)[1, weth.address] == 20


def test_a_wallet_that_was_silent_is_read_when_something_moves(
    chain: Anvil, node: PlainNode, reader: EvmReader, token: Contract
) -> None:
    previous = block_at(node)
    token.send("mint", BOB, 7)
    chain.set_balance(BOB, 5)
    woken = ask(reader, previous=previous, due=frozenset({1}))
    assert woken.read == {1, 2}
    assert held(woken) == {(2, NATIVE): 5, (2, token.address): 7}
    chain.mine()
    asleep = ask(reader, previous=block_at(node), due=frozenset({1}))
    assert (asleep.read, held(asleep)) == ({1}, {})
