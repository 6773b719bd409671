"""Real pairs, and what burning would give, asked of the pair itself: equal to the wei."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols.faults import PositionFault
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.protocols.uniswap_v2 import Pair, read_pairs, read_positions
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy
from tests.contracts.plain_node import PlainNode
from tests.contracts.uniswap import (
    add_liquidity,
    deploy_uniswap_v2_factory,
    new_pair,
    swap_in_pair,
    two_tokens,
)


@dataclass
class World:
    chain: Anvil
    uniswap: Contract
    sushiswap: Contract
    tokens: tuple[Contract, Contract]
    pair: Contract
    sushi_pair: Contract

    @property
    def factories(self) -> dict[str, str]:
        return {self.uniswap.address: "uniswap_v2", self.sushiswap.address: "sushiswap"}

    def read(
        self,
        wallets: Sequence[str] | None = None,
        pairs: Sequence[str] | None = None,
        block: int | None = None,
        *,
        multicall3: str | None = MULTICALL3,
        faults: list[PositionFault] | None = None,
    ) -> list[Position]:
        async def reading() -> list[Position]:
            node = PlainNode(self.chain.url)
            return await read_positions(
                node,
                self.chain.accounts if wallets is None else wallets,
                await node.block(block),
                self.factories,
                [self.pair.address, self.sushi_pair.address] if pairs is None else pairs,
                multicall3=multicall3,
                faults=faults,
            )

        return asyncio.run(reading())

    def burnt(self, position: Position) -> tuple[int, int]:
        """What the wallet gets when it burns all that it has of the pair; nothing has happened afterwards."""
        pair = Contract(self.chain, position.pool, self.pair.abi)
        with self.chain.reverted():
            pair.send("transfer", pair.address, position.receipt_raw, sender=position.wallet)
            amount0, amount1 = pair.call("burn", position.wallet)
            return amount0, amount1


@pytest.fixture(scope="module")
def world(module_chain: Anvil, sources: dict[str, Artifact]) -> World:
    chain = module_chain
    tokens = two_tokens(chain, sources)
    uniswap, sushiswap = deploy_uniswap_v2_factory(chain), deploy_uniswap_v2_factory(chain)
    made = World(chain, uniswap, sushiswap, tokens, new_pair(uniswap, tokens), new_pair(sushiswap, tokens))
    for number, owner in enumerate(chain.accounts[1:4]):
        for pair in (made.pair, made.sushi_pair):
            add_liquidity(pair, tokens, (10**18 + number, 3 * 10**9 + 7 * number), owner)
    swap_in_pair(made.pair, tokens, 0, 10**17)
    return made


@pytest.fixture(autouse=True)
def untouched(world: World) -> Iterator[None]:
    with world.chain.reverted():
        yield


def shares(position: Position) -> tuple[int, ...]:
    return tuple(amount.raw for amount in position.amounts)


def test_a_share_is_what_burning_gives(world: World) -> None:
    positions = world.read()
    assert len(positions) == 6
    for position in positions:
        assert shares(position) == world.burnt(position)


def test_a_position_names_its_pair_and_explains_the_pair_token_in_the_wallet(world: World) -> None:
    owner = world.chain.accounts[2]
    first, second = world.read([owner])
    assert [first.protocol, second.protocol] == ["uniswap_v2", "sushiswap"]
    assert (first.position_id, first.pool, first.receipt_token) == (world.pair.address,) * 3
    assert first.receipt_raw == world.pair.call("balanceOf", owner)
    token0, token1 = (token.address for token in world.tokens)
    assert first.amounts == tuple(map(Amount, (token0, token1), ("principal", "principal"), shares(first)))


def test_the_fee_that_the_protocol_has_not_minted_yet_is_not_the_owners(world: World) -> None:
    world.uniswap.send("setFeeTo", world.chain.accounts[8])
    add_liquidity(world.pair, world.tokens, (10**15, 10**9), world.chain.accounts[1])  # from here on k is kept
    for _ in range(5):
        swap_in_pair(world.pair, world.tokens, 0, 10**18)
        swap_in_pair(world.pair, world.tokens, 1, 10**9)
    position = world.read([world.chain.accounts[1]])[0]
    assert shares(position) == world.burnt(position)
    supply = world.pair.call("totalSupply")
    assert int(position.facts["supply"]) > supply
    without = position.receipt_raw * world.tokens[0].call("balanceOf", world.pair.address) // supply
    assert shares(position)[0] < without


def test_a_fee_that_is_switched_off_again_is_not_taken(world: World) -> None:
    world.uniswap.send("setFeeTo", world.chain.accounts[8])
    add_liquidity(world.pair, world.tokens, (10**15, 10**9), world.chain.accounts[1])
    swap_in_pair(world.pair, world.tokens, 0, 10**18)
    world.uniswap.send("setFeeTo", "0x" + "00" * 20)
    position = world.read([world.chain.accounts[1]])[0]
    assert world.pair.call("kLast") > 0
    assert shares(position) == world.burnt(position)


def test_tokens_that_somebody_gave_to_the_pair_belong_to_its_owners(world: World) -> None:
    world.tokens[1].send("mint", world.pair.address, 10**9)
    position = world.read([world.chain.accounts[3]])[0]
    assert shares(position) == world.burnt(position)
    assert int(position.facts["held1"]) > world.pair.call("getReserves")[1]


def test_an_earlier_block_gives_the_shares_of_then(world: World) -> None:
    before, height = world.read(), world.chain.height
    swap_in_pair(world.pair, world.tokens, 0, 10**18)
    assert world.read(block=height) == before
    assert world.read() != before


def test_without_multicall_the_same_is_read(world: World) -> None:
    assert world.read(multicall3=None) == world.read()


def test_a_wallet_that_comes_twice_is_read_once(world: World) -> None:
    owner = world.chain.accounts[1]
    assert world.read([owner, owner]) == world.read([owner])


def test_a_pair_before_its_first_deposit_and_after_its_last_withdrawal_is_no_position(
    world: World, sources: dict[str, Artifact]
) -> None:
    pair = new_pair(world.uniswap, two_tokens(world.chain, sources))
    assert world.read(pairs=[pair.address]) == []
    owner = world.chain.accounts[1]
    world.pair.send("transfer", world.pair.address, world.pair.call("balanceOf", owner), sender=owner)
    world.pair.send("burn", owner)
    assert [position.protocol for position in world.read([owner])] == ["sushiswap"]


def test_only_what_a_factory_confirms_is_a_pair(world: World, sources: dict[str, Artifact]) -> None:
    chain = world.chain
    forged = deploy(chain, sources["ForgedPair"], world.uniswap.address, *(token.address for token in world.tokens))
    stranger = deploy_uniswap_v2_factory(chain)
    unknown = new_pair(stranger, two_tokens(chain, sources))
    others = [forged.address, unknown.address, world.tokens[0].address, chain.accounts[0], "0x" + "77" * 20]
    assert forged.call("balanceOf", chain.accounts[1]) == 10**18
    assert world.read(pairs=others) == []
    assert world.read(pairs=[*others, world.pair.address]) == world.read(pairs=[world.pair.address])


def test_a_pair_whose_token_does_not_answer_is_a_fault_and_the_others_are_read(
    world: World, sources: dict[str, Artifact]
) -> None:
    tokens = two_tokens(world.chain, sources)
    broken = new_pair(world.uniswap, tokens)
    add_liquidity(broken, tokens, (10**18, 10**9), world.chain.accounts[1])
    world.chain.set_code(tokens[0].address, bytes.fromhex("60006000fd"))  # reverts whatever it is asked
    pairs = [broken.address, world.pair.address]
    faults: list[PositionFault] = []
    assert world.read(pairs=pairs, faults=faults) == world.read(pairs=[world.pair.address])
    assert [(fault.place, fault.protocol) for fault in faults] == [(broken.address, "uniswap_v2")]
    with pytest.raises(PositionFault, match=f"uniswap_v2 {broken.address}: what the pair holds is unknown"):
        world.read(pairs=pairs)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    # No deposit is so small that the pair refuses it, or refuses to pay it out again.
    deposits=st.lists(st.tuples(st.integers(10**16, 10**24), st.integers(10**8, 10**16)), min_size=1, max_size=3),
    trades=st.lists(st.tuples(st.integers(0, 1), st.integers(10**3, 10**20)), max_size=3),
    fee=st.booleans(),
)
def test_whatever_was_deposited_and_traded(
    world: World, deposits: list[tuple[int, int]], trades: list[tuple[int, int]], fee: bool
) -> None:
    chain, owner = world.chain, world.chain.accounts[5]
    with chain.reverted():
        if fee:
            world.uniswap.send("setFeeTo", chain.accounts[8])
        for amounts in deposits:
            add_liquidity(world.pair, world.tokens, amounts, owner)
        for sold, amount in trades:
            swap_in_pair(world.pair, world.tokens, sold, amount)
        (position,) = world.read([owner], [world.pair.address])
        assert shares(position) == world.burnt(position)


def test_the_state_of_a_pair_is_told(world: World) -> None:
    async def reading() -> dict[str, Pair]:
        node = PlainNode(world.chain.url)
        return await read_pairs(node, [world.pair.address], await node.block(), world.factories)

    pair = asyncio.run(reading())[world.pair.address]
    reserve0, reserve1, _ = world.pair.call("getReserves")
    assert (pair.reserve0, pair.reserve1, pair.held0, pair.held1) == (reserve0, reserve1, reserve0, reserve1)
    assert (pair.supply, pair.fee_is_on, pair.k_last) == (world.pair.call("totalSupply"), False, 0)
