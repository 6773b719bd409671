"""Counts of NFTs on a local chain; collections that lie or revert cost only themselves."""

import asyncio
from collections.abc import Sequence

import pytest

from portfolio_pipelines.chains.protocols.erc721 import Collection, read_counts, read_positions
from portfolio_pipelines.chains.protocols.faults import PositionFault
from portfolio_pipelines.chains.protocols.positions import Position
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy
from tests.contracts.plain_node import PlainNode

GONE = "0x" + "22" * 20
REVERTS = bytes.fromhex("60006000fd")


@pytest.fixture
def nfts(chain: Anvil, sources: dict[str, Artifact]) -> Contract:
    """Account 1 holds two, account 2 one, account 3 burnt its own."""
    collection = deploy(chain, sources["TestCollection"])
    for number, place in enumerate((1, 1, 2, 3)):
        collection.send("mint", chain.accounts[place], number)
    collection.send("burn", 3)
    return collection


def read(
    node: PlainNode,
    wallets: Sequence[str],
    *collections: Collection,
    block: int | None = None,
    multicall3: str | None = MULTICALL3,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    async def run() -> list[Position]:
        at = await node.block(block)
        return await read_positions(node, wallets, at, collections, multicall3=multicall3, faults=faults)

    return asyncio.run(run())


async def in_pairs(
    node: PlainNode, pairs: Sequence[tuple[str, Collection]], faults: list[PositionFault]
) -> list[Position]:
    return await read_counts(node, pairs, await node.block(), multicall3=MULTICALL3, faults=faults)


def counts(positions: Sequence[Position]) -> dict[str, int]:
    return {position.wallet: position.amounts[0].raw for position in positions}


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
def test_counts_are_the_collections_own(chain: Anvil, node: PlainNode, nfts: Contract, multicall3: str | None) -> None:
    positions = read(node, chain.accounts, Collection("Test", nfts.address), multicall3=multicall3)
    assert counts(positions) == {chain.accounts[1]: 2, chain.accounts[2]: 1}
    for position in positions:
        assert (position.protocol, position.position_id, position.pool) == ("erc721", nfts.address, nfts.address)
        assert (position.receipt_token, position.facts["collection"]) == (None, "Test")


def test_a_past_block_is_counted_as_it_was(chain: Anvil, node: PlainNode, nfts: Contract) -> None:
    wallets, block = chain.accounts, chain.height
    nfts.send("transferFrom", wallets[1], wallets[4], 0, sender=wallets[1])
    collection = Collection("Test", nfts.address)
    assert counts(read(node, wallets, collection)) == {wallets[1]: 1, wallets[2]: 1, wallets[4]: 1}
    assert counts(read(node, wallets, collection, block=block)) == {wallets[1]: 2, wallets[2]: 1}


def test_collections_that_lie_revert_or_are_none_are_named_and_the_others_are_counted(
    chain: Anvil, node: PlainNode, nfts: Contract, sources: dict[str, Artifact]
) -> None:
    wallets = chain.accounts
    generous = deploy(chain, sources["LyingCollection"], 1)  # everybody has one
    boastful = deploy(chain, sources["LyingCollection"], 0)
    boastful.send("set", wallets[1], 2**255)
    boastful.send("set", wallets[2], 13)  # reverts
    boastful.send("set", wallets[3], 5)
    token = deploy(chain, sources["TestToken"], "token", "TOK", 18)
    token.send("mint", wallets[1], 7)
    broken = "0x" + "33" * 20
    chain.set_code(broken, REVERTS)
    faults: list[PositionFault] = []
    bad = [
        Collection("gone", GONE),
        Collection("broken", broken),
        Collection("token", token.address),
        Collection("generous", generous.address),
        Collection("boastful", boastful.address),
    ]
    positions = read(node, wallets, *bad, Collection("Test", nfts.address), faults=faults)
    assert counts([each for each in positions if each.pool == nfts.address]) == {wallets[1]: 2, wallets[2]: 1}
    assert counts([each for each in positions if each.pool != nfts.address]) == {wallets[3]: 5}
    assert {(fault.name, fault.wallet) for fault in faults} == {
        ("gone", None),
        ("broken", None),
        ("token", None),
        ("generous", None),
        ("boastful", wallets[1]),
        ("boastful", wallets[2]),
    }
    assert all(str(fault).startswith(f"local: erc721 {fault.name} {fault.place}") for fault in faults)
    noted: list[PositionFault] = []
    pairs = [(wallet, each) for each in (*bad, Collection("Test", nfts.address)) for wallet in wallets]
    single = asyncio.run(in_pairs(node, pairs, noted))
    assert sorted(single, key=repr) == sorted(positions, key=repr)
    assert {(fault.name, fault.wallet) for fault in noted} == {(fault.name, fault.wallet) for fault in faults}


def test_a_fault_that_nobody_collects_is_raised(node: PlainNode, chain: Anvil) -> None:
    with pytest.raises(PositionFault, match=f"local: erc721 gone {GONE}: it does not say"):
        read(node, chain.accounts, Collection("gone", GONE))
