"""Positions that nobody names beforehand: shares of Curve pools and NFTs are found by what moved."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.chains.chain_reading import NATIVE, PAIRS_SCHEMA, ChainReading
from portfolio_pipelines.chains.deployments import Deployments, PairFactory, UniswapV3
from portfolio_pipelines.chains.evm_positions import COIN_OF_CURVE, with_known_tokens
from portfolio_pipelines.chains.evm_reading import EvmReader
from portfolio_pipelines.chains.protocols.pool_states import PoolRequest
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.token_facts import TOKEN_FACTS
from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Artifact, deploy
from tests.contracts.plain_node import PlainNode
from tests.contracts.uniswap import add_liquidity, deploy_uniswap_v2_factory, new_pair, two_tokens
from tests.integration.chains.test_evm_reading import ANA, BOB, ROW, ask, block_at

DAI = "0x" + "d" * 40


class Curve:
    """A registry with one pool of the chain's coin and another, whose shares Ana holds and Bob has staked."""

    def __init__(self, chain: Anvil, sources: dict[str, Artifact]) -> None:
        self.coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 18)
        self.registry = deploy(chain, sources["CurveMetaRegistryStandIn"])
        coins = [COIN_OF_CURVE, self.coin.address]
        self.pool = deploy(chain, sources["CurvePoolStandIn"], coins, [4_000, 800], 10**18)
        self.gauge = deploy(chain, sources["CurveGaugeStandIn"], self.pool.address)
        self.registry.send("name_pool", self.pool.address, self.pool.address, self.gauge.address, "Coins of all kinds")

    def stake(self) -> None:
        self.pool.send("mint", ANA, 3)
        self.pool.send("mint", self.gauge.address, 1)
        self.gauge.send("mint", BOB, 1)


def reader(node: PlainNode, **known: Any) -> EvmReader:
    return EvmReader(node, ROW, replace(Deployments(31337), **known))


def of(reading: ChainReading, protocol: str) -> dict[tuple[str, str], list[tuple[str, int]]]:
    return {
        (position.wallet, position.position_id): [(amount.token, amount.raw) for amount in position.amounts]
        for position in reading.positions
        if position.protocol == protocol
    }


def test_shares_of_curve_are_found_by_the_transfer_of_them_also_when_they_are_staked(
    chain: Anvil, node: PlainNode, sources: dict[str, Artifact]
) -> None:
    curve, previous = Curve(chain, sources), block_at(node)
    curve.stake()
    asked = reader(node, curve_address_provider=curve.registry.address)
    reading = ask(asked, previous=previous)
    staked = f"{curve.pool.address}/{curve.gauge.address}"
    expected = {
        (ANA, curve.pool.address): [(NATIVE, 3_000), (curve.coin.address, 600)],
        (BOB, staked): [(NATIVE, 1_000), (curve.coin.address, 200)],
    }
    assert of(reading, "curve") == expected
    assert {position.facts["pool_name"] for position in reading.positions} == {"Coins of all kinds"}
    assert {curve.pool.address, curve.gauge.address, curve.coin.address} <= set(reading.new_tokens["token"])
    assert reading.unread_protocols == {}
    later = ask(asked, previous=block_at(node), pair_tokens=[curve.gauge.address], position_holders=frozenset({1, 2}))
    assert of(later, "curve") == expected


def test_a_token_that_claims_to_be_a_stake_is_none_unless_the_registry_says_so(
    chain: Anvil, node: PlainNode, sources: dict[str, Artifact]
) -> None:
    curve, previous = Curve(chain, sources), block_at(node)
    forged = deploy(chain, sources["CurveGaugeStandIn"], curve.pool.address)
    curve.pool.send("mint", curve.gauge.address, 1)
    forged.send("mint", BOB, 1)
    reading = ask(reader(node, curve_address_provider=curve.registry.address), previous=previous)
    assert of(reading, "curve") == {}
    assert reading.unread_protocols == {}


def test_pools_that_are_asked_for_are_read_and_shares_in_them_found_without_a_transfer(
    chain: Anvil, node: PlainNode, sources: dict[str, Artifact]
) -> None:
    curve, tokens = Curve(chain, sources), two_tokens(chain, sources)
    curve.stake()
    factory = deploy_uniswap_v2_factory(chain)
    pair = new_pair(factory, tokens)
    add_liquidity(pair, tokens, (10**18, 10**18), ANA)
    pools = [PoolRequest("curve", curve.pool.address), PoolRequest("uniswap_v2", pair.address)]
    known = {"uniswap_v2_factories": (PairFactory("uniswap_v2", factory.address),)}
    reading = ask(reader(node, **known), pools=pools, position_holders=frozenset({1}))
    assert [(state.pool, state.tokens, state.reserves) for state in reading.pool_states] == [
        (curve.pool.address, (NATIVE, curve.coin.address), (4_000, 800)),
        (pair.address, tuple(token.address for token in tokens), (10**18, 10**18)),
    ]
    assert {position.protocol for position in reading.positions} == {"curve", "uniswap_v2"}
    assert {curve.coin.address, *(token.address for token in tokens)} <= set(reading.new_tokens["token"])
    assert reading.faults == []
    gone = ask(reader(node), pools=[PoolRequest("uniswap_v2", DAI)])
    assert gone.pool_states == []
    assert [fault.startswith(f"local: uniswap_v2 {DAI}: ") for fault in gone.faults] == [True]


def collected(*pairs: tuple[int, str]) -> pl.DataFrame:
    return pl.DataFrame(list(pairs), schema=PAIRS_SCHEMA, orient="row")


def test_nfts_that_came_are_counted_and_stay_counted(
    chain: Anvil, node: PlainNode, sources: dict[str, Artifact]
) -> None:
    nfts, previous = deploy(chain, sources["TestCollection"]), block_at(node)
    for number, owner in enumerate((ANA, ANA, BOB)):
        nfts.send("mint", owner, number)
    first = ask(reader(node), previous=previous)
    assert of(first, "erc721") == {
        (ANA, nfts.address): [(nfts.address, 2)],
        (BOB, nfts.address): [(nfts.address, 1)],
    }
    assert first.new_tokens.select("token", "symbol", "decimals").rows() == [(nfts.address, "TEST", None)]
    assert first.balances.filter(pl.col("token") != NATIVE).is_empty()
    previous = block_at(node)
    later = ask(reader(node), previous=previous, collections=collected((1, nfts.address), (2, nfts.address)))
    assert of(later, "erc721") == of(first, "erc721")
    assert later.position_wallets == {1, 2}


def test_positions_of_uniswap_are_not_counted_as_nfts_too(
    chain: Anvil, node: PlainNode, sources: dict[str, Artifact]
) -> None:
    nfts, previous = deploy(chain, sources["TestCollection"]), block_at(node)
    nfts.send("mint", ANA, 1)
    asked = reader(node, uniswap_v3=UniswapV3("0x" + "12" * 20, nfts.address))
    assert of(ask(asked, previous=previous), "erc721") == {}


@pytest.mark.parametrize("was_counted", [False, True])
def test_a_collection_that_lies_is_a_fault_only_if_it_was_counted_before(
    chain: Anvil, node: PlainNode, sources: dict[str, Artifact], was_counted: bool
) -> None:
    """Else whoever sends NFTs of such a contract around would spoil every reading."""
    nfts, previous = deploy(chain, sources["TestCollection"]), block_at(node)
    honest = deploy(chain, sources["TestCollection"])
    nfts.send("mint", ANA, 1)
    honest.send("mint", ANA, 1)
    chain.set_code(nfts.address, bytes.fromhex("60016000526020 6000f3".replace(" ", "")))  # answers 1 to everything
    known = collected((1, nfts.address)) if was_counted else collected()
    reading = ask(reader(node), previous=previous, collections=known)
    assert of(reading, "erc721") == {(ANA, honest.address): [(honest.address, 1)]}
    assert ("erc721" in reading.unread_protocols) is was_counted


def test_amounts_of_what_is_no_contract_are_left_out_and_tokens_that_were_not_read_leave_the_position_out() -> None:
    position = Position("uniswap_v3", "0x1/1", ANA, DAI, (Amount(DAI, "principal", 5), Amount(BOB, "principal", 6)))
    facts = pl.DataFrame([(BOB, "no_code", None, None, None, None)], schema=TOKEN_FACTS, orient="row")
    kept, unread = with_known_tokens([position], {DAI}, facts)
    assert ([each.amounts for each in kept], unread) == ([position.amounts[:1]], {})
    kept, unread = with_known_tokens([position], {DAI}, facts.with_columns(status=pl.lit("unread")))
    assert (kept, unread) == ([], {"uniswap_v3": f"position 0x1/1: what {BOB} is was not read"})
