"""Real pools, a real position manager, and what the contracts themselves would pay out: equal to the wei."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from eth_abi.abi import decode

from portfolio_pipelines.chains.deployments import UniswapV3
from portfolio_pipelines.chains.protocols import uniswap_v3, uniswap_v3_reading
from portfolio_pipelines.chains.protocols.faults import Faults, PositionFault
from portfolio_pipelines.chains.protocols.positions import Position
from portfolio_pipelines.chains.protocols.uniswap_v3 import read_positions
from portfolio_pipelines.chains.protocols.uniswap_v3_reading import read_records
from portfolio_pipelines.chains.protocols.uniswap_v3_records import PROGRAM, position_program
from portfolio_pipelines.chains.rpc.errors import BadAnswer, TooMuch
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, place_multicall3
from tests.contracts.plain_node import PlainNode
from tests.contracts.solidity import runtime_code
from tests.contracts.uniswap import FOREVER, UniswapV3Contracts, deploy_uniswap_v3

SPACING = {500: 10, 3_000: 60, 10_000: 200}  # ticks between possible bounds, by fee
MOST = 2**128 - 1
POSITIONS = 1_000
OUTERMOST = 887_272
# How PositionReader.hex was made; a chain needs the London fork (2021) to run it.
PROGRAM_SETTINGS = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "london",
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}


@dataclass
class World:
    chain: Anvil
    uniswap: UniswapV3Contracts
    owners: list[str]
    deployment: UniswapV3
    middle: int  # a block between two rounds of trading

    def read(
        self,
        owners: Sequence[str] | None = None,
        block: int | None = None,
        *,
        node: PlainNode | None = None,
        multicall3: str | None = MULTICALL3,
        faults: list[PositionFault] | None = None,
    ) -> list[Position]:
        node = node or PlainNode(self.chain.url)

        async def reading() -> list[Position]:
            at = await node.block(block)
            return await read_positions(
                node,
                self.owners if owners is None else owners,
                at,
                self.deployment,
                multicall3=multicall3,
                faults=faults,
            )

        return asyncio.run(reading())

    def paid(self, positions: Sequence[Position], block: int | None = None) -> list[dict[tuple[str, str], int]]:
        """What the manager pays for each: for the liquidity, and what collecting before gives."""
        manager = self.uniswap.manager
        requests = []
        for position in positions:
            token_id, liquidity = int(position.facts["token_id"]), int(position.facts["liquidity"])
            collect = manager.encode("collect", (token_id, position.wallet, MOST, MOST))
            decrease = manager.encode("decreaseLiquidity", (token_id, liquidity, 0, 0, FOREVER))
            everything = manager.encode("multicall", [decrease, collect] if liquidity else [collect])
            for data in (everything, collect):
                parameters = self.chain.call_parameters(manager.address, data, sender=position.wallet, block=block)
                requests.append(("eth_call", parameters))
        answers = [bytes.fromhex(answer[2:]) for answer in self.chain.batch(requests)]
        found = []
        for place, position in enumerate(positions):
            (parts,) = decode(["bytes[]"], answers[2 * place])
            fees = decode(["uint256", "uint256"], answers[2 * place + 1])
            principal = decode(["uint256", "uint256"], parts[0]) if len(parts) == 2 else (0, 0)
            collected = decode(["uint256", "uint256"], parts[-1])
            assert collected == tuple(a + b for a, b in zip(principal, fees, strict=True))
            tokens = [str(position.facts[name]) for name in ("token0", "token1")]
            amounts = dict(zip([(token, "principal") for token in tokens], principal, strict=True))
            amounts |= dict(zip([(token, "fee") for token in tokens], fees, strict=True))
            found.append({key: raw for key, raw in amounts.items() if raw})
        return found


def amounts(position: Position) -> dict[tuple[str, str], int]:
    return {(amount.token, amount.role): amount.raw for amount in position.amounts}


def random_positions(chance: random.Random, owners: Sequence[str]) -> list[tuple[str, int, int, int, int, int]]:
    """Ranges of every kind: narrow, wide, everything there is, at the price, far from it, and many that are shared."""
    positions = []
    shared = [(fee, spacing * -6, spacing * 8) for fee, spacing in SPACING.items()]
    for number in range(POSITIONS):
        fee = chance.choice(list(SPACING))
        spacing = SPACING[fee]
        if number % 5 == 0:
            fee, lower, upper = chance.choice(shared)
        elif number % 20 == 1:
            upper = OUTERMOST // spacing * spacing
            lower = -upper
        else:
            lower = chance.randrange(-150, 150) * spacing
            upper = lower + spacing * chance.choice((1, 1, 2, 5, 20, 200))
        sizes = 10 ** chance.randrange(4, 24), 10 ** chance.randrange(4, 24)
        positions.append((chance.choice(owners), fee, lower, upper, *sizes))
    return positions


def trade(uniswap: UniswapV3Contracts, chance: random.Random, swaps: int) -> None:
    uniswap.swap(
        [(chance.choice(list(SPACING)), chance.random() < 0.5, 10 ** chance.randrange(6, 25)) for _ in range(swaps)]
    )


@pytest.fixture(scope="module")
def world(sources: dict[str, Artifact]) -> Iterator[World]:
    chance = random.Random("a thousand positions")  # noqa: S311 - the same world every time
    with Anvil(arguments=["--gas-limit", "2000000000"]) as chain:
        place_multicall3(chain)
        uniswap = deploy_uniswap_v3(chain, sources)
        for fee in SPACING:
            uniswap.pool(fee, 2**96 * chance.randrange(90, 110) // 100)
        owners = [*chain.accounts, *("0x" + chance.randbytes(20).hex() for _ in range(30))]
        positions = random_positions(chance, owners)
        uniswap.mint(positions[: POSITIONS // 2])
        trade(uniswap, chance, 60)
        uniswap.mint(positions[POSITIONS // 2 :])
        trade(uniswap, chance, 60)
        middle = chain.height
        chain.mine(3_600)
        collect_and_withdraw(uniswap, chance, chain.accounts)
        trade(uniswap, chance, 60)
        deployment = UniswapV3(uniswap.factory.address, uniswap.manager.address)
        yield World(chain, uniswap, owners, deployment, middle)


def collect_and_withdraw(uniswap: UniswapV3Contracts, chance: random.Random, accounts: Sequence[str]) -> None:
    """Touch many positions, so that counters and roundings differ: collect, withdraw a part, all, or burn the token."""
    manager = uniswap.manager
    transactions = []
    for account, owned in zip(accounts, manager.calls("balanceOf", [(each,) for each in accounts]), strict=True):
        ids = manager.calls("tokenOfOwnerByIndex", [(account, index) for index in range(min(owned, 10))])
        for number, (token_id, own) in enumerate(
            zip(ids, manager.calls("positions", [(i,) for i in ids]), strict=True)
        ):
            liquidity = own[7]
            part = (0, 1, liquidity // 3, liquidity, liquidity)[number % 5]
            calls = []
            if part:
                calls.append(manager.encode("decreaseLiquidity", (token_id, part, 0, 0, FOREVER)))
            if number % 5 in (0, 4):
                most = MOST if number % 5 == 4 else chance.randrange(1, 10**6)
                calls.append(manager.encode("collect", (token_id, account, most, MOST)))
            if number == 9:
                calls.append(manager.encode("burn", token_id))
            transactions += [(account, manager.address, data) for data in calls]
    uniswap.chain.send_together(transactions, gas=2_000_000)


def test_a_thousand_random_positions_give_what_the_contract_pays(world: World) -> None:
    positions = world.read()
    assert len(positions) == world.uniswap.manager.call("totalSupply") > POSITIONS - 50
    assert [amounts(position) for position in positions] == world.paid(positions)
    assert sum("fee" in {amount.role for amount in position.amounts} for position in positions) > POSITIONS // 2


def test_at_an_earlier_block_too(world: World) -> None:
    positions = world.read(block=world.middle)
    assert len(positions) == POSITIONS
    assert [amounts(position) for position in positions] == world.paid(positions, world.middle)
    assert positions != world.read()


def test_a_position_names_its_owner_and_its_pool(world: World) -> None:
    manager, factory = world.uniswap.manager, world.uniswap.factory
    for position in world.read(world.owners[:3])[::20]:
        token_id = int(position.position_id.removeprefix(manager.address + "/"))
        own = manager.call("positions", token_id)
        assert position.wallet == manager.call("ownerOf", token_id)
        assert position.pool == factory.call("getPool", *own[2:5])
        names = ("token0", "token1", "fee", "tick_lower", "tick_upper")
        assert [position.facts[name] for name in names] == list(own[2:7])
        assert (position.protocol, position.receipt_token, position.receipt_raw) == ("uniswap_v3", None, 0)


def test_an_emptied_position_has_no_amounts_and_a_burnt_one_is_gone(world: World) -> None:
    positions = world.read(world.chain.accounts)
    empty = [position for position in positions if not position.amounts]
    assert empty
    assert all(position.facts["liquidity"] == "0" for position in empty)
    existing = {position.position_id for position in positions}
    before = {position.position_id for position in world.read(world.chain.accounts, world.middle)}
    assert before - existing


def test_who_owns_nothing_has_no_position(world: World) -> None:
    assert world.read(["0x" + "ab" * 20]) == []
    assert world.read([]) == []


def test_two_hundred_positions_are_one_call(world: World) -> None:
    node = PlainNode(world.chain.url)
    positions = world.read(world.owners[:5], node=node)
    assert 50 < len(positions) <= 200
    assert node.calls == 1 + 1  # the block, the positions


def test_wallets_and_positions_beyond_one_call_are_gone_on_with(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = world.read()
    for wallets, positions in ((3, 33), (1, 1), (100, 60)):
        monkeypatch.setattr(uniswap_v3_reading, "WALLETS_A_CALL", wallets)
        monkeypatch.setattr(uniswap_v3_reading, "POSITIONS_A_CALL", positions)
        owners = world.owners if positions > 1 else world.owners[:2]
        assert world.read(owners) == [position for position in expected if position.wallet in owners]


def test_a_node_with_little_gas_gives_them_in_more_calls(world: World) -> None:
    class Stingy(PlainNode):
        """Allows 3 million gas a call, and no question of more than 500 bytes at first."""

        async def eth_call(self, to, data, block, *, code=None, gas=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
            if len(data) > 500:
                self.refused += 1
                raise TooMuch(self.name, "127.0.0.1", "request entity too large")
            return await super().eth_call(to, data, block, code=code, gas=3_000_000)

        refused = 0

    node = Stingy(world.chain.url)
    assert world.read(world.owners[:20], node=node) == world.read(world.owners[:20])
    assert node.refused == 1
    assert node.calls > 6


@pytest.mark.parametrize("multicall3", [MULTICALL3, None])
def test_nodes_that_cannot_run_our_program_are_asked_for_every_value(world: World, multicall3: str | None) -> None:
    node = PlainNode(world.chain.url, overrides=False)
    assert world.read(world.owners[:8], node=node, multicall3=multicall3) == world.read(world.owners[:8])


def test_nodes_that_ignore_the_program_are_asked_for_every_value(world: World) -> None:
    class Ignorant(PlainNode):
        async def eth_call(self, to, data, block, *, code=None, gas=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
            return await super().eth_call(to, data, block, gas=gas)

    assert world.read(world.owners[:3], node=Ignorant(world.chain.url)) == world.read(world.owners[:3])


def test_a_truncated_answer_is_an_error_that_names_the_chain(world: World) -> None:
    class Truncating(PlainNode):
        async def eth_call(self, to, data, block, *, code=None, gas=None):  # type: ignore[no-untyped-def]
            return (await super().eth_call(to, data, block, code=code, gas=gas))[:-32]

    with pytest.raises(BadAnswer, match=r"^polygon at "):
        world.read(world.owners[:3], node=Truncating(world.chain.url, name="polygon"))


def test_an_answer_of_another_block_is_an_error(world: World) -> None:
    class Late(PlainNode):
        async def eth_call(self, to, data, block, *, code=None, gas=None):  # type: ignore[no-untyped-def]
            return await super().eth_call(to, data, min(block, world.middle), code=code, gas=gas)

    with pytest.raises(BadAnswer, match="positions at time"):
        world.read(world.owners[:3], node=Late(world.chain.url))


def test_before_the_manager_existed_there_were_no_positions(world: World) -> None:
    assert world.read(block=1) == []
    assert world.read(block=1, node=PlainNode(world.chain.url, overrides=False)) == []


def test_an_address_without_a_manager_is_a_fault_and_not_an_empty_list(world: World) -> None:
    wrong = World(world.chain, world.uniswap, world.owners, UniswapV3(world.deployment.factory, "0x" + "99" * 20), 0)
    with pytest.raises(PositionFault, match=r"0x9999.*no contract stands"):
        wrong.read()
    collected: list[PositionFault] = []
    assert wrong.read(faults=collected) == []
    assert [fault.place for fault in collected] == ["0x" + "99" * 20]


def test_a_manager_that_is_none_is_a_fault_of_each_wallet(world: World) -> None:
    token = world.uniswap.router.address  # a contract without balanceOf
    wrong = World(world.chain, world.uniswap, world.owners, UniswapV3(world.deployment.factory, token), 0)
    collected: list[PositionFault] = []
    assert wrong.read(world.owners[:2], faults=collected) == []
    assert [fault.wallet for fault in collected] == world.owners[:2]


def test_the_shipped_program_is_what_its_source_compiles_to() -> None:
    assert position_program() == runtime_code(PROGRAM.with_suffix(".sol"), "PositionReader", settings=PROGRAM_SETTINGS)


def test_what_the_pool_rounded_away_is_paid_to_nobody(world: World) -> None:
    """The pool rounds down whenever one of two positions in a range is touched; the last to collect gets less."""
    uniswap, manager = world.uniswap, world.uniswap.manager
    touched, untouched = world.chain.accounts[:2]
    with world.chain.reverted():
        uniswap.mint([(owner, 500, -100, 100, 10**6, 10**6) for owner in (touched, untouched)])
        one, other = (manager.call("tokenOfOwnerByIndex", each, manager.call("balanceOf", each) - 1)
                      for each in (touched, untouched))  # fmt: skip
        for _ in range(12):
            uniswap.swap([(500, True, 10**21), (500, False, 10**21)])
            manager.send("decreaseLiquidity", (one, 1, 0, 0, FOREVER), sender=touched)
        manager.send("collect", (one, touched, MOST, MOST), sender=touched)
        position = next(each for each in world.read([untouched]) if each.facts["token_id"] == str(other))
        block = asyncio.run(PlainNode(world.chain.url).block())
        records = asyncio.run(
            read_records(
                PlainNode(world.chain.url), [untouched], block, world.deployment, Faults("", "", None), multicall3=None
            )
        )
        record = next(each for each in records if each.token_id == other)
        alone = replace(record, shared_owed0=2**120, shared_owed1=2**120)
        assert uniswap_v3.fees(alone) != uniswap_v3.fees(record)
        assert [amounts(position)] == world.paid([position])
