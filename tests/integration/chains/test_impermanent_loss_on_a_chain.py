"""Impermanent loss of real positions in real pools: the contracts' own amounts before and after swaps."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.assets.liquidity_frames import TOKENS, read_positions
from portfolio_pipelines.chain_tables import DEFI_POSITIONS_SCHEMA
from portfolio_pipelines.chains.deployments import UniswapV3
from portfolio_pipelines.chains.position_rows import position_rows
from portfolio_pipelines.chains.protocols import uniswap_v2, uniswap_v3
from portfolio_pipelines.chains.protocols.positions import Position
from portfolio_pipelines.finance.impermanent_loss import concentrated_loss, constant_product_loss
from portfolio_pipelines.finance.impermanent_loss_bases import BASES, advance_bases
from portfolio_pipelines.finance.impermanent_loss_positions import read_losses
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, place_multicall3
from tests.contracts.plain_node import PlainNode
from tests.contracts.uniswap import (
    UniswapV3Contracts,
    add_liquidity,
    deploy_uniswap_v2_factory,
    deploy_uniswap_v3,
    new_pair,
    swap_in_pair,
)

ANA = "0x" + "a1" * 20
WALLETS = pl.DataFrame({"wallet_key": [1], "address": [ANA]}, schema_overrides={"wallet_key": pl.Int32})
FEE, UNIT = 3_000, 10**18
MOST = 2**128 - 1
RANGES = [(-6_000, 6_000), (-887_220, 887_220), (-60, 60), (60, 6_000), (-6_000, -60)]


@dataclass
class World:
    """A pool of v3, a pair of v2 and what Ana's positions in them were compared with so far."""

    chain: Anvil
    uniswap: UniswapV3Contracts
    pair: Contract
    factory: Contract
    bases: pl.DataFrame
    day: date = date(2025, 1, 30)

    def read(self) -> list[Position]:
        node = PlainNode(self.chain.url, self.chain.chain_id)

        async def reading() -> tuple[Any, list[Position]]:
            block = await node.block(None)
            deployment = UniswapV3(self.uniswap.factory.address, self.uniswap.manager.address)
            ranges = await uniswap_v3.read_positions(node, [ANA], block, deployment, multicall3=MULTICALL3)
            factories = {self.factory.address: "uniswap_v2"}
            pairs = await uniswap_v2.read_positions(
                node, [ANA], block, factories, [self.pair.address], multicall3=MULTICALL3
            )
            return block, [*ranges, *pairs]

        block, positions = asyncio.run(reading())
        rows = position_rows(positions, block, WALLETS, self.keys, DEFI_POSITIONS_SCHEMA)
        read = read_positions(rows.with_columns(chain=pl.lit("local")), self.token_frame)
        self.bases = advance_bases(self.bases, read, self.day)
        self.day += timedelta(days=1)
        return positions

    @property
    def keys(self) -> dict[str, int]:
        known = [*(token.address for token in self.uniswap.tokens), self.pair.address]
        return {address: key for key, address in enumerate(known, 1)}

    @property
    def decimals(self) -> list[int]:
        return [token.call("decimals") for token in self.uniswap.tokens]

    @property
    def token_frame(self) -> pl.DataFrame:
        rows = [(key, "local", address, places, None) for (address, key), places in
                zip(self.keys.items(), [*self.decimals, 18], strict=True)]  # fmt: skip
        return pl.DataFrame(rows, schema=TOKENS, orient="row")

    def losses(self) -> dict[str, dict[str, Any]]:
        """By token id of the range, or `pair`; token 1 costs 1 USD."""
        usd = pl.DataFrame({"token_key": [2], "usd": [1.0]}, schema_overrides={"token_key": pl.Int32})
        found = read_losses(self.bases, usd).to_dicts()
        return {row["position_id"].partition("/")[2] or "pair": row for row in found}

    def worth(self, amounts: Sequence[int], price: float) -> float:
        first, second = (raw / 10**places for raw, places in zip(amounts, self.decimals, strict=True))
        return first * price + second


@pytest.fixture
def world(sources: dict[str, Artifact]) -> Iterator[World]:
    with Anvil(arguments=["--gas-limit", "2000000000"]) as chain:
        place_multicall3(chain)
        uniswap = deploy_uniswap_v3(chain, sources)
        uniswap.pool(FEE, 2**96)
        somebody = chain.accounts[1]
        uniswap.mint([(somebody, FEE, -887_220, 887_220, UNIT, UNIT)])
        uniswap.mint([(ANA, FEE, lower, upper, UNIT, UNIT) for lower, upper in RANGES])
        factory = deploy_uniswap_v2_factory(chain)
        pair = new_pair(factory, uniswap.tokens)
        add_liquidity(pair, uniswap.tokens, (UNIT, UNIT), somebody)
        add_liquidity(pair, uniswap.tokens, (UNIT, UNIT), ANA)
        yield World(chain, uniswap, pair, factory, BASES.to_frame())


def principal(position: Position) -> list[int]:
    tokens = [position.facts["token0"], position.facts["token1"]]
    held = {amount.token: amount.raw for amount in position.amounts if amount.role == "principal"}
    return [held.get(str(token), 0) for token in tokens]


def test_positions_lose_what_their_formulas_say_of_the_amounts_of_the_contracts(world: World) -> None:
    before = {position.position_id.partition("/")[2] or "pair": position for position in world.read()}
    world.uniswap.swap([(FEE, True, 2 * UNIT)])
    swap_in_pair(world.pair, world.uniswap.tokens, 0, UNIT)
    after = {position.position_id.partition("/")[2] or "pair": position for position in world.read()}
    losses = world.losses()
    assert len(losses) == len(before) == len(RANGES) + 1
    places = world.decimals
    scale = 10.0 ** (places[0] - places[1])
    pair = losses.pop("pair")
    assert pair["il_pct"] == pytest.approx(100 * float(constant_product_loss(pair["price_ratio"])), abs=1e-9)
    assert pair["hodl_value_usd"] == pytest.approx(world.worth(principal(before["pair"]), pair["price"]))
    assert pair["net_usd"] == pytest.approx(
        world.worth(principal(after["pair"]), pair["price"]) - pair["hodl_value_usd"], rel=1e-9
    )
    assert pair["fees_usd"] > 0
    for token_id, row in losses.items():
        price = row["price"]
        sqrt_price = int(str(after[token_id].facts["sqrt_price_x96"])) / 2**96
        assert price == pytest.approx(sqrt_price**2 * scale)
        held = world.worth(principal(before[token_id]), price)
        made = world.worth(principal(after[token_id]), price)
        assert (row["hodl_value_usd"], row["position_value_usd"]) == pytest.approx((held, made))
        bounds = row["lower_price"], row["upper_price"]
        assert row["il_pct"] == pytest.approx(100 * float(concentrated_loss(scale, price, *bounds)), abs=1e-6)
        fees = world.uniswap.manager.call("collect", (int(token_id), ANA, MOST, MOST), sender=ANA)
        assert row["fees_usd"] == pytest.approx(world.worth(fees, price), abs=1e-12)
        assert row["in_range"] == (bounds[0] <= price < bounds[1])
    assert sum(row["in_range"] for row in losses.values()) in range(1, len(RANGES))
