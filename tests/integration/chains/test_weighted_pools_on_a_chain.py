"""Real weighted pools from the chain to their losses: found by what moved, compared before and after real swaps."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from portfolio_pipelines.assets.liquidity_frames import TOKENS, read_positions
from portfolio_pipelines.chain_tables import DEFI_POSITIONS_SCHEMA
from portfolio_pipelines.chains.deployments import Deployments
from portfolio_pipelines.chains.evm_reading import EvmReader
from portfolio_pipelines.chains.position_rows import position_rows
from portfolio_pipelines.chains.protocols import balancer
from portfolio_pipelines.chains.protocols.pool_states import PoolRequest
from portfolio_pipelines.chains.protocols.positions import Position
from portfolio_pipelines.finance.impermanent_loss import weighted_loss
from portfolio_pipelines.finance.impermanent_loss_bases import BASES, advance_bases
from portfolio_pipelines.finance.impermanent_loss_positions import read_losses
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, place_multicall3
from tests.contracts.balancer import ONE, Balancer, Pool, coins, deploy_balancer
from tests.contracts.plain_node import PlainNode
from tests.integration.chains.test_evm_reading import ANA, BOB, ROW, WALLETS, ask, block_at, held

OF_PAIR, OF_THREE = [ONE // 5 * 4, ONE // 5], [ONE // 2, ONE // 4, ONE // 4]
USD = (2000.0, 1.0, 10.0)  # of one whole coin when the pools begin
VALUE = 500_000  # USD that begin in each pool


@dataclass
class World:
    """A pool of 2021 with two coins and one of 2023 with three, a fifth of whose shares Ana has."""

    balancer: Balancer
    tokens: list[Contract]
    pair: Pool
    three: Pool
    bases: pl.DataFrame = field(default_factory=BASES.to_frame)
    day: date = date(2025, 1, 30)

    @property
    def chain(self) -> Anvil:
        return self.balancer.chain

    @property
    def decimals(self) -> list[int]:
        return [token.call("decimals") for token in self.tokens]

    @property
    def keys(self) -> dict[str, int]:
        known = [*(token.address for token in self.tokens), self.pair.address, self.three.address]
        return {address: key for key, address in enumerate(known, 1)}

    def node(self) -> PlainNode:
        return PlainNode(self.chain.url, self.chain.chain_id)

    def read(self) -> dict[str, Position]:
        """Ana's positions by pool, now also followed."""
        node = self.node()

        async def reading() -> tuple[Any, list[Position]]:
            block = await node.block(None)
            pools = [self.pair.address, self.three.address]
            return block, await balancer.read_positions(
                node, [ANA], block, self.balancer.known, pools, multicall3=MULTICALL3
            )

        block, positions = asyncio.run(reading())
        tokens = pl.DataFrame(
            [(key, "local", address, places, None) for (address, key), places in
             zip(self.keys.items(), [*self.decimals, 18, 18], strict=True)],
            schema=TOKENS, orient="row",
        )  # fmt: skip
        rows = position_rows(positions, block, WALLETS, self.keys, DEFI_POSITIONS_SCHEMA)
        self.bases = advance_bases(
            self.bases, read_positions(rows.with_columns(chain=pl.lit("local")), tokens), self.day
        )
        self.day += timedelta(days=1)
        return {position.pool: position for position in positions}

    def whole(self, position: Position) -> np.ndarray:
        """Whole units of each coin, in the order of the pool."""
        raw = {amount.token: amount.raw for amount in position.amounts}
        return np.array([raw[token.address] / 10.0**places for token, places in
                         zip(self.tokens, self.decimals, strict=True) if token.address in raw])  # fmt: skip

    def losses(self, usd: dict[int, float]) -> dict[str, dict[str, Any]]:
        frame = pl.DataFrame(list(usd.items()), schema={"token_key": pl.Int32, "usd": pl.Float64}, orient="row")
        return {row["pool"]: row for row in read_losses(self.bases, frame).to_dicts()}


@pytest.fixture
def world(contracts_folder: object, sources: dict[str, Artifact]) -> Iterator[World]:
    with Anvil() as chain:
        place_multicall3(chain)
        balancer_v2, tokens = deploy_balancer(chain), coins(chain, sources, (18, 6, 8))
        pair = balancer_v2.pool("WeightedPool2Tokens", tokens[:2], OF_PAIR)
        three = balancer_v2.pool("of 2023", tokens, OF_THREE)
        yield World(balancer_v2, tokens, pair, three)


def begin(world: World) -> None:
    """Somebody begins both pools and gives Ana a fifth."""
    somebody = world.chain.accounts[1]
    for pool, weights in ((world.pair, OF_PAIR), (world.three, OF_THREE)):
        amounts = [
            int(VALUE * weight / ONE / price * 10**places)
            for weight, price, places in zip(weights, USD, world.decimals, strict=False)
        ]
        world.balancer.begin(pool, somebody, amounts)
        shares = pool.contract.call("balanceOf", somebody)
        pool.contract.send("transfer", ANA, shares // 5, sender=somebody)


def test_losses_are_those_of_the_weights_and_fees_are_the_rest_of_what_the_contracts_pay(world: World) -> None:
    world.balancer.take_of_fees(ONE // 2)
    begin(world)
    before = world.read()
    for sold, bought, usd in ((1, 0, 25_000), (1, 2, 30_000), (0, 1, 5_000)):
        amount = int(usd / USD[sold] * 10 ** world.decimals[sold])
        for pool in (world.pair, world.three):
            if max(sold, bought) < len(pool.tokens):
                world.balancer.swap(pool, world.chain.accounts[1], sold, bought, amount)
    after = world.read()
    for pool, weights in ((world.pair, OF_PAIR), (world.three, OF_THREE)):
        weight = np.array(weights) / ONE
        then, now = world.whole(before[pool.address]), world.whole(after[pool.address])
        prices = (weight / now) / (weight / now)[1]  # of the pool, in coin 1, which is worth 1 USD
        ratios = prices / ((weight / then) / (weight / then)[1])
        found = world.losses(dict(enumerate(prices, 1)))[pool.address]
        expected = float(weighted_loss(ratios, weight))
        assert expected < -1e-4
        assert found["il_pct"] == pytest.approx(100 * expected, rel=1e-6)
        assert found["hodl_value_usd"] == pytest.approx(then @ prices)
        assert found["net_usd"] == pytest.approx(now @ prices - then @ prices, rel=1e-6)
        growth = np.prod(now**weight) / np.prod(then**weight)
        assert found["fees_usd"] == pytest.approx((now @ prices) * (1 - 1 / growth), rel=1e-6)
        assert growth > 1
    pair = world.losses({2: 1.0})[world.pair.address]
    assert pair["il_pct"] == pytest.approx(100 * float(weighted_loss([pair["price_ratio"], 1], [0.8, 0.2])), rel=1e-6)
    assert world.losses({2: 1.0})[world.three.address]["reason"] == "usd_unknown"


def test_shares_are_found_by_the_transfer_of_them_and_explained(world: World) -> None:
    previous = block_at(world.node())
    begin(world)
    deployments = replace(Deployments(31337), balancer_v2=world.balancer.known)
    reading = ask(EvmReader(world.node(), ROW, deployments), previous=previous)
    pools = {world.pair.address, world.three.address}
    assert {(position.wallet, position.pool) for position in reading.positions} == {(ANA, pool) for pool in pools}
    assert {position.receipt_token: position.receipt_raw for position in reading.positions} == {
        token: raw for (_, token), raw in held(reading).items() if token in pools
    }
    assert {*pools, *(token.address for token in world.tokens)} <= set(reading.new_tokens["token"])
    assert (reading.unread_protocols, reading.faults) == ({}, [])
    later = ask(
        EvmReader(world.node(), ROW, deployments), previous=block_at(world.node()), pair_tokens=sorted(pools),
        position_holders=frozenset({1, 2}),
    )  # fmt: skip
    assert later.positions == reading.positions


def test_a_chain_without_known_factories_shows_ordinary_tokens_unless_a_user_entered_the_pool(world: World) -> None:
    previous = block_at(world.node())
    begin(world)
    world.pair.contract.send("transfer", BOB, 10**18, sender=world.chain.accounts[1])
    reader = EvmReader(world.node(), ROW, Deployments(31337))
    assert ask(reader, previous=previous).positions == []
    reading = ask(reader, previous=previous, pools=[PoolRequest("balancer_v2", world.pair.address)])
    assert {(position.wallet, position.pool) for position in reading.positions} == {
        (ANA, world.pair.address), (BOB, world.pair.address),
    }  # fmt: skip
    (state,) = reading.pool_states
    assert state.reserves == tuple(world.balancer.vault.call("getPoolTokens", world.pair.pool_id)[1])


def test_a_pool_that_breaks_spoils_no_other_protocol(world: World) -> None:
    previous = block_at(world.node())
    begin(world)
    world.chain.set_code(world.balancer.vault.address, bytes.fromhex("60006000fd"))
    deployments = replace(Deployments(31337), balancer_v2=world.balancer.known)
    reading = ask(EvmReader(world.node(), ROW, deployments), previous=previous)
    assert reading.positions == []
    assert list(reading.unread_protocols) == ["balancer_v2"]
    assert len({token for _, token in held(reading)} & {world.pair.address, world.three.address}) == 2
