"""Reading whole populations: every way to ask gives the same, and no fault of a node becomes a number."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.reader.balances import Balances, ReaderLimits, read_balances
from portfolio_pipelines.chains.rpc.errors import BadAnswer, RateLimited, RpcError, StateUnavailable, TooMuch
from tests.unit.chains.reader.model_node import (
    BLOCK,
    ENDPOINT,
    MULTICALL,
    NATIVE,
    ModelNode,
    address,
    addresses,
    as_dictionary,
)

TOKENS = [address(number) for number in range(1, 4)]
WALLETS = [address(number) for number in range(1_000, 1_012)]
WAYS = {
    "state override": frozenset[str](),
    "creation code, reverted": frozenset({"override"}),
    "creation code": frozenset({"override", "revert data"}),
    "Multicall3": frozenset({"override", "deployless"}),
    "one by one": frozenset({"override", "deployless", "multicall"}),
}

Held = dict[tuple[bytes, bytes], int | None]


def read(node: ModelNode, **settings: Any) -> Balances:
    settings = {"multicall": MULTICALL} | settings
    return asyncio.run(read_balances(node, addresses(*WALLETS), addresses(*TOKENS), BLOCK, **settings))


def expected(held: Held) -> tuple[dict[tuple[int, int], int], set[tuple[int, int]]]:
    columns = [NATIVE, *TOKENS]
    pairs = {
        (w, c): held.get((token, wallet), 0) for w, wallet in enumerate(WALLETS) for c, token in enumerate(columns)
    }
    return (
        {pair: value for pair, value in pairs.items() if value},
        {pair for pair, value in pairs.items() if value is None},
    )


HELD = st.dictionaries(
    st.tuples(st.sampled_from([NATIVE, *TOKENS]), st.sampled_from(WALLETS)),
    st.one_of(st.none(), st.integers(0, 2**256 - 1)),
    max_size=30,
).map(lambda held: {key: value for key, value in held.items() if value is not None or key[0] != NATIVE})


@pytest.mark.parametrize("way", WAYS)
@given(held=HELD, largest=st.sampled_from([1, 3, 7, 1_000]))
@settings(max_examples=30)
def test_every_way_to_ask_gives_the_same_whatever_a_call_may_hold(way: str, held: Held, largest: int) -> None:
    node = ModelNode(held, refuse=WAYS[way], largest=largest)
    found = read(node)
    assert found.technique == way
    assert as_dictionary(found) == expected(held)
    assert max(node.pairs_of_calls, default=0) <= largest


def test_what_a_node_takes_is_remembered_for_the_next_read() -> None:
    limits = ReaderLimits()
    node = ModelNode({}, refuse=frozenset({"override"}), largest=20)
    read(node, limits=limits)
    assert limits.unsupported == {"state override"}
    assert limits.pairs["creation code, reverted"] <= 20
    again = ModelNode({}, refuse=frozenset({"override"}), largest=20)
    found = read(again, limits=limits)
    assert found.calls == len(again.pairs_of_calls)  # nothing was refused this time


def test_wallets_and_columns_may_be_none() -> None:
    node = ModelNode({})
    none = np.zeros((0, 20), np.uint8)
    found = asyncio.run(read_balances(node, none, addresses(*TOKENS), BLOCK))
    assert (found.calls, len(found.wallet), len(found.failed_wallet)) == (0, 0, 0)
    found = asyncio.run(read_balances(node, addresses(*WALLETS), none, BLOCK, native=False))
    assert (found.calls, len(found.wallet)) == (0, 0)


def test_without_the_native_coin_the_columns_keep_their_numbers() -> None:
    held: Held = {(TOKENS[2], WALLETS[1]): 5, (TOKENS[0], WALLETS[1]): None, (NATIVE, WALLETS[0]): 7}
    assert as_dictionary(read(ModelNode(held), native=False)) == ({(1, 3): 5}, {(1, 1)})


def test_addresses_of_another_form_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        asyncio.run(read_balances(ModelNode({}), np.zeros((2, 32), np.uint8), addresses(*TOKENS), BLOCK))


def test_more_columns_than_a_call_holds_are_read_in_parts() -> None:
    held: Held = {(token, wallet): 1 + number for number, token in enumerate(TOKENS) for wallet in WALLETS}
    limits = ReaderLimits(pairs={"state override": 2})
    node = ModelNode(held)
    assert as_dictionary(read(node, limits=limits)) == expected(held)
    assert max(node.pairs_of_calls) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_everybody_seems_to_hold_is_a_liar_and_has_no_balance(way: str) -> None:
    held: Held = {(TOKENS[0], WALLETS[4]): 9}
    found = read(ModelNode(held, refuse=WAYS[way], everybody={TOKENS[1]: 10**24}))
    assert found.lying_columns.tolist() == [2]
    assert as_dictionary(found) == ({(4, 1): 9}, {(wallet, 2) for wallet in range(len(WALLETS))})


def test_no_more_calls_are_under_way_than_allowed() -> None:
    class Counting(ModelNode):
        under_way = most = 0

        async def eth_call(self, *arguments: Any, **settings: Any) -> bytes:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(0)
            self.under_way -= 1
            return await super().eth_call(*arguments, **settings)

    node = Counting({})
    read(node, limits=ReaderLimits(pairs={"state override": 1}), concurrency=3)
    assert node.most == 3


@pytest.mark.parametrize("error", [RateLimited, StateUnavailable])
def test_a_node_that_cannot_be_read_now_is_an_error_and_not_another_way_to_ask(error: type[RpcError]) -> None:
    class Failing(ModelNode):
        async def eth_call(self, *_: Any, **__: Any) -> bytes:
            raise error(self.name, ENDPOINT, "not now")

    with pytest.raises(error, match=r"ethereum at node\.example: not now"):
        read(Failing({}))


def test_one_balance_that_is_too_much_for_every_way_is_an_error() -> None:
    class Poor(ModelNode):
        async def batch(self, _: Any) -> list[Any]:
            raise TooMuch(self.name, ENDPOINT, "body too large")

    with pytest.raises(TooMuch, match=r"ethereum at node\.example: body too large"):
        read(Poor({}, largest=0))


def test_a_program_that_runs_out_of_gas_is_asked_for_less() -> None:
    class Poor(ModelNode):
        def _program(self, question: bytes, way: str) -> bytes:
            pairs = 4 * ((len(question) - 3) // 20 - len(TOKENS))
            return (5).to_bytes(32, "big") if pairs > 5 else super()._program(question, way)

    held: Held = {(TOKENS[0], wallet): 3 for wallet in WALLETS}
    found = read(Poor(held))
    assert as_dictionary(found) == expected(held)
    assert found.technique == "state override"


def last_byte_less(answer: bytes) -> bytes:
    return answer[:-1]


def one_word_more(answer: bytes) -> bytes:
    return answer + bytes(32)


def nothing(answer: bytes) -> bytes:
    return b""


def a_page(answer: bytes) -> bytes:
    return b"<html>" * 100


FAULTS = [last_byte_less, one_word_more, nothing, a_page]


@pytest.mark.parametrize("fault", FAULTS)
def test_answers_that_cannot_be_true_end_in_single_calls_with_true_numbers(fault: Callable[[bytes], bytes]) -> None:
    held: Held = {(TOKENS[1], WALLETS[3]): 10**20, (TOKENS[2], WALLETS[3]): None, (NATIVE, WALLETS[0]): 1}
    found = read(ModelNode(held, spoil=fault))
    assert found.technique == "one by one"
    assert as_dictionary(found) == expected(held)


def test_one_untrue_answer_is_asked_again_the_same_way() -> None:
    spoilt = iter([True])
    held: Held = {(TOKENS[1], WALLETS[3]): 10**20}
    found = read(ModelNode(held, spoil=lambda answer: answer[:-1] if next(spoilt, False) else answer))
    assert (found.technique, as_dictionary(found)) == ("state override", expected(held))


class Hostile(ModelNode):
    """Cuts, lengthens or invents what it answers, now and then."""

    chance = random.Random(0)  # noqa: S311

    def _program(self, question: bytes, way: str) -> bytes:
        return self._changed(super()._program(question, way))

    def _multicall(self, data: bytes) -> bytes:
        return self._changed(super()._multicall(data))

    def _changed(self, answer: bytes) -> bytes:
        noise = self.chance.randbytes(self.chance.randint(0, 200))
        cut = self.chance.randint(0, len(answer))
        if len(noise) == len(answer) - cut:  # a lie of the right form: no form tells it from the truth
            cut = 0
        return self.chance.choice([answer, answer, answer[:cut], answer + noise, noise, answer[:cut] + noise])

    async def batch(self, requests: Any) -> list[Any]:
        results = await super().batch(requests)
        inventions = ["", "0x", "0xzz", "0x" + "1" * 66, None, 17, [], "<html>"]
        results = [self.chance.choice(inventions) if self.chance.random() < 0.01 else result for result in results]
        return results if self.chance.random() < 0.9 else results[:-1]


@given(st.integers(0, 2**32), st.sampled_from(list(WAYS.values())))
def test_no_fault_of_the_answers_becomes_a_number(seed: int, refuse: frozenset[str]) -> None:
    """An error that names the chain and the endpoint, or every balance is true or missing."""
    held: Held = {(TOKENS[1], WALLETS[3]): 10**20, (TOKENS[0], WALLETS[5]): 1, (NATIVE, WALLETS[0]): 7}
    node = Hostile(held, refuse=refuse)
    node.chance = random.Random(seed)  # noqa: S311
    try:
        found = read(node)
    except BadAnswer as error:
        message = str(error)
    else:
        message = "ethereum at node.example: "
        balances, failed = as_dictionary(found)
        truth, _ = expected(held)
        assert balances == {pair: value for pair, value in truth.items() if pair not in failed}
    assert message.startswith("ethereum at node.example: ")


@pytest.mark.parametrize("way", ["state override", "creation code, reverted", "Multicall3"])
def test_an_answer_of_another_block_is_refused(way: str) -> None:
    held: Held = {(TOKENS[1], WALLETS[3]): 10**20}
    found = read(ModelNode(held, refuse=WAYS[way], number=BLOCK.number + 1))
    assert found.technique == "one by one"
    later = replace(BLOCK, timestamp=BLOCK.timestamp + 12)
    node = ModelNode(held, refuse=WAYS[way])
    arguments = (addresses(*WALLETS), addresses(*TOKENS), later)
    assert asyncio.run(read_balances(node, *arguments, multicall=MULTICALL)).technique == "one by one"


def test_a_chain_whose_machine_counts_the_blocks_of_its_parent_is_known_by_its_time() -> None:
    found = read(ModelNode({(TOKENS[1], WALLETS[3]): 5}, number=21_000_000))
    assert (found.technique, as_dictionary(found)[0]) == ("state override", {(3, 2): 5})
