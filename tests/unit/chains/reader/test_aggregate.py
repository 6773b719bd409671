"""Multicall3: our bulk encoding against eth_abi, which knows nothing of it."""

import numpy as np
import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.reader.aggregate import decode_answer, encode_question
from portfolio_pipelines.chains.reader.encoding import Malformed
from tests.unit.chains.reader.model_node import MULTICALL, address, addresses

RESULTS = st.lists(
    st.tuples(
        st.booleans(), st.one_of(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.just(bytes(32)))
    ),
    max_size=12,
)


def answer_of(results: list[tuple[bool, bytes]]) -> bytes:
    head = [(True, (5).to_bytes(32, "big")), (True, (6).to_bytes(32, "big"))]
    return encode(["(bool,bytes)[]"], [head + results])


@given(st.integers(0, 5), st.integers(0, 4), st.booleans())
def test_the_calldata_is_what_eth_abi_makes_of_the_same_calls(wallets: int, tokens: int, native: bool) -> None:
    holders = [address(1_000 + number) for number in range(wallets)]
    contracts = [address(1 + number) for number in range(tokens)]
    multicall = bytes.fromhex(MULTICALL[2:])
    pad = bytes(32)
    calls = [(multicall, True, bytes.fromhex("42cbb15c") + pad), (multicall, True, bytes.fromhex("0f28c97d") + pad)]
    for holder in holders:
        word = bytes(12) + holder
        calls += [(multicall, True, bytes.fromhex("4d2301cc") + word)] * native
        calls += [(contract, True, bytes.fromhex("70a08231") + word) for contract in contracts]
    expected = bytes.fromhex("82ad56cb") + encode(["(address,bool,bytes)[]"], [calls])
    assert (
        encode_question(addresses(*holders), addresses(*contracts), addresses(multicall)[0], native=native) == expected
    )


@given(RESULTS)
def test_results_of_any_length_are_decoded_and_only_whole_words_count(results: list[tuple[bool, bytes]]) -> None:
    answer = decode_answer(answer_of(results), len(results))
    read = {pair: data for pair, (success, data) in enumerate(results) if success and len(data) == 32}
    assert (answer.number, answer.timestamp) == (5, 6)
    assert answer.failed.tolist() == [pair for pair in range(len(results)) if pair not in read]
    found = {int(pair): word.tobytes() for pair, word in zip(answer.pairs, answer.words, strict=True)}
    assert found == {pair: data for pair, data in read.items() if any(data)}


@given(RESULTS, st.data())
def test_a_truncated_answer_is_refused(results: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    raw = answer_of(results)
    with pytest.raises(Malformed):
        decode_answer(raw[: data.draw(st.integers(0, len(raw) - 1))], len(results))


@given(RESULTS, st.binary(min_size=1, max_size=100))
def test_an_answer_that_is_too_long_is_refused(results: list[tuple[bool, bytes]], more: bytes) -> None:
    with pytest.raises(Malformed):
        decode_answer(answer_of(results) + more, len(results))


@given(RESULTS, st.integers(0, 1_000))
def test_an_answer_to_another_question_is_refused(results: list[tuple[bool, bytes]], pairs: int) -> None:
    if pairs != len(results):
        with pytest.raises(Malformed):
            decode_answer(answer_of(results), pairs)


@given(RESULTS, st.data())
def test_a_hostile_answer_is_refused_or_read_as_eth_abi_reads_it(
    results: list[tuple[bool, bytes]], data: st.DataObject
) -> None:
    """Any word replaced by any number: offsets and lengths that point anywhere never lead out of the answer."""
    raw = bytearray(answer_of(results))
    places = st.integers(0, len(raw) // 32 - 1)
    numbers = st.one_of(
        st.integers(0, 2**256 - 1), st.integers(0, 40).map(lambda number: 32 * number), st.integers(0, 300)
    )
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        raw[32 * place : 32 * place + 32] = data.draw(numbers).to_bytes(32, "big")
    try:
        answer = decode_answer(bytes(raw), len(results))
    except Malformed:
        return
    try:
        (read,) = decode(["(bool,bytes)[]"], bytes(raw))
    except Exception:
        return
    words = {pair: found for pair, (success, found) in enumerate(read[2:]) if success and len(found) == 32}
    found = {int(pair): word.tobytes() for pair, word in zip(answer.pairs, answer.words, strict=True)}
    assert found == {pair: word for pair, word in words.items() if any(word)}
    assert set(answer.failed.tolist()) == set(range(len(results))) - set(words)


def test_an_answer_without_number_and_time_of_the_block_is_refused() -> None:
    raw = encode(["(bool,bytes)[]"], [[(False, b""), (True, bytes(32)), (True, bytes(32))]])
    with pytest.raises(Malformed, match="number or the time"):
        decode_answer(raw, 1)


def test_the_arrays_stay_small_whatever_the_answer_claims() -> None:
    raw = bytearray(answer_of([(True, bytes(32))]))
    raw[32:64] = (2**31 - 1).to_bytes(32, "big")
    with pytest.raises(Malformed, match="announce"):
        decode_answer(bytes(raw), 1)
    assert np.frombuffer(raw, np.uint8).size < 1_000
