"""The program's answers: what is true is decoded, everything else is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.reader.encoding import Malformed, OutOfGas, decode_answer, encode_question
from tests.unit.chains.reader.model_node import address, addresses, program_answer

BALANCES = st.one_of(st.just(0), st.none(), st.integers(1, 2**256 - 1), st.integers(1, 10**20))


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int | None], bytes]:
    """What each pair holds, and the answer."""
    columns, wallets = draw(st.integers(1, 5)), draw(st.integers(0, 7))
    native = draw(st.booleans())
    values = draw(st.lists(BALANCES, min_size=columns * wallets, max_size=columns * wallets))
    question = encode_question(
        addresses(*(address(100 + number) for number in range(wallets))),
        addresses(*(address(1 + number) for number in range(columns - native))),
        native=native,
    )
    order = iter(values)
    return values, program_answer(question, lambda *_: next(order), 5, 6)


@given(answers())
def test_what_the_program_answers_is_decoded_pair_by_pair(case: tuple[list[int | None], bytes]) -> None:
    values, raw = case
    answer = decode_answer(raw, len(values))
    assert (answer.number, answer.timestamp) == (5, 6)
    assert answer.pairs.tolist() == [pair for pair, value in enumerate(values) if value]
    assert answer.failed.tolist() == [pair for pair, value in enumerate(values) if value is None]
    assert [int.from_bytes(word.tobytes(), "big") for word in answer.words] == [value for value in values if value]


@given(answers(), st.data())
def test_a_truncated_answer_is_refused(case: tuple[list[int | None], bytes], data: st.DataObject) -> None:
    values, raw = case
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    with pytest.raises((Malformed, OutOfGas)):
        decode_answer(cut, len(values))


@given(answers(), st.binary(min_size=1, max_size=100))
def test_an_answer_that_is_too_long_is_refused(case: tuple[list[int | None], bytes], more: bytes) -> None:
    values, raw = case
    with pytest.raises(Malformed):
        decode_answer(raw + more, len(values))


@given(answers(), st.data())
def test_an_answer_to_another_question_is_refused(case: tuple[list[int | None], bytes], data: st.DataObject) -> None:
    values, raw = case
    pairs = data.draw(st.integers(0, 10_000).filter(lambda number: (number + 7) // 8 != (len(values) + 7) // 8))
    with pytest.raises(Malformed):
        decode_answer(raw, pairs)


@given(answers(), st.data())
def test_a_bitmap_with_one_bit_changed_is_refused(case: tuple[list[int | None], bytes], data: st.DataObject) -> None:
    values, raw = case
    size = (len(values) + 7) // 8
    if not size:
        return
    bit = data.draw(st.integers(0, 8 * size - 1))
    changed = bytearray(raw)
    changed[64 + bit // 8] ^= 128 >> bit % 8
    with pytest.raises(Malformed):
        decode_answer(bytes(changed), len(values))


@given(st.binary(max_size=400), st.integers(1, 200))
def test_noise_is_refused_or_at_least_consistent(raw: bytes, pairs: int) -> None:
    try:
        answer = decode_answer(raw, pairs)
    except (Malformed, OutOfGas):
        return
    assert len(raw) == 64 + 2 * ((pairs + 7) // 8) + 32 * len(answer.pairs)
    assert not np.intersect1d(answer.pairs, answer.failed).size
    assert answer.words.any(axis=1).all()


def test_a_zero_among_the_balances_that_are_not_zero_is_refused() -> None:
    with pytest.raises(Malformed, match="is zero"):
        decode_answer(bytes(64) + b"\x80\x00" + bytes(32), 1)


def test_a_pair_that_failed_and_has_a_balance_is_refused() -> None:
    with pytest.raises(Malformed, match="failed and"):
        decode_answer(bytes(64) + b"\x80\x80" + bytes(31) + b"\x01", 1)


def test_bits_beyond_the_last_pair_are_refused() -> None:
    with pytest.raises(Malformed, match="beyond the last"):
        decode_answer(bytes(64) + b"\x00\x40", 1)


def test_the_program_says_how_far_its_gas_went() -> None:
    with pytest.raises(OutOfGas, match="after 7") as caught:
        decode_answer((7).to_bytes(32, "big"), 9)
    assert caught.value.pairs == 7
    with pytest.raises(Malformed, match="after 9 of 9"):
        decode_answer((9).to_bytes(32, "big"), 9)


def test_a_question_holds_no_more_tokens_than_its_counter() -> None:
    with pytest.raises(ValueError, match="65536 tokens"):
        encode_question(np.zeros((0, 20), np.uint8), np.zeros((65_536, 20), np.uint8), native=False)
