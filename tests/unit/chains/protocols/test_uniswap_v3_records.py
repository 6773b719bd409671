"""A true answer is read, and nothing else: a node may cut, lengthen or invent what it sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols.uniswap_v3_records import (
    HEAD_WORDS,
    RECORD_WORDS,
    WORD,
    Record,
    decode_answer,
    encode_question,
)

WALLETS = 3
TIMESTAMP = 1_700_000_000


def record(wallet: int = 0, **changes: int) -> Record:
    values = dict.fromkeys(Record.__dataclass_fields__, 7)
    values |= {"wallet": wallet, "lower": -60, "upper": 120, "tick": -1, "pool": 2**159, "sqrt_price": 2**96}
    return Record(**(values | changes))


def answer(records: list[Record], *, contract: int = 1, next_wallet: int = WALLETS, next_index: int = 0) -> bytes:
    numbers = [TIMESTAMP, contract, next_wallet, next_index, len(records)]
    numbers += [getattr(each, name) for each in records for name in Record.__dataclass_fields__]
    return b"".join((number % 2**256).to_bytes(WORD) for number in numbers)


TRUE = answer([record(), record(), record(2)])


def test_records_come_out_as_they_are() -> None:
    read = decode_answer(TRUE, WALLETS)
    assert read.records == [record(), record(), record(2)]
    assert (read.timestamp, read.is_contract, read.next_wallet, read.next_index) == (TIMESTAMP, True, WALLETS, 0)


def test_an_answer_may_end_within_a_wallet() -> None:
    read = decode_answer(answer([record(), record(1), record(1)], next_wallet=1, next_index=2), WALLETS)
    assert (read.next_wallet, read.next_index, len(read.records)) == (1, 2, 3)
    read = decode_answer(answer([record()], next_wallet=0, next_index=5), WALLETS, first_index=4)
    assert (read.next_wallet, read.next_index, len(read.records)) == (0, 5, 1)


@pytest.mark.parametrize(("next_wallet", "next_index"), [(0, 1), (0, 3), (1, 1), (2, 2), (0, 2**200)])
def test_going_on_elsewhere_than_where_the_records_end_is_refused(next_wallet: int, next_index: int) -> None:
    """Else a node could keep us asking for ever."""
    with pytest.raises(ValueError, match=r"positions? "):
        decode_answer(answer([record(), record()], next_wallet=next_wallet, next_index=next_index), WALLETS)


@given(st.integers(0, len(TRUE) - 1))
def test_a_cut_answer_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="position"):
        decode_answer(TRUE[:length], WALLETS)


@given(st.binary(min_size=1, max_size=3 * WORD * RECORD_WORDS))
def test_a_lengthened_answer_is_refused(more: bytes) -> None:
    with pytest.raises(ValueError, match="position"):
        decode_answer(TRUE + more, WALLETS)


@given(st.binary(max_size=WORD * (HEAD_WORDS + 2 * RECORD_WORDS)))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(ValueError, match="position"):
        decode_answer(noise, WALLETS)


@given(st.integers(0, HEAD_WORDS * WORD - 1), st.integers(1, 255))
def test_a_changed_head_is_refused_or_changes_nothing_but_the_head(place: int, change: int) -> None:
    changed = bytearray(TRUE)
    changed[place] ^= change
    try:
        read = decode_answer(bytes(changed), WALLETS)
    except ValueError:
        return
    assert read.records == decode_answer(TRUE, WALLETS).records


@pytest.mark.parametrize(
    "changes",
    [
        {"token0": 2**160},
        {"pool": 2**160},
        {"pool": 0},
        {"sqrt_price": 0},
        {"sqrt_price": 2**160},
        {"liquidity": 2**128},
        {"own_owed0": 2**128},
        {"own_owed1": 2**128},
        {"shared_liquidity": 2**128},
        {"shared_owed1": 2**255},
        {"fee": 2**24},
        {"lower": -887_273},
        {"upper": 887_273},
        {"lower": 120},
        {"lower": 2**254},
        {"tick": 887_273},
        {"tick": -887_274},
    ],
)
def test_a_value_that_no_contract_can_hold_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="position 7 has"):
        decode_answer(answer([record(**changes)]), WALLETS)


@pytest.mark.parametrize(
    ("wallets", "next_wallet"),
    [([1, 0], 3), ([3], 3), ([2**255], 3), ([2], 1)],
    ids=["out of order", "not asked", "absurd", "beyond where it goes on"],
)
def test_positions_of_wallets_that_were_not_read_are_refused(wallets: list[int], next_wallet: int) -> None:
    with pytest.raises(ValueError, match="positions of the wallets"):
        decode_answer(answer([record(wallet) for wallet in wallets], next_wallet=next_wallet), WALLETS)


@pytest.mark.parametrize("head", [{"contract": 2}, {"next_wallet": 4}, {"next_wallet": 3, "next_index": 1}])
def test_a_head_that_cannot_be_is_refused(head: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="it goes on at"):
        decode_answer(answer([], **head), WALLETS)


def test_a_question_holds_its_wallets_in_twenty_bytes_each() -> None:
    wallets = ["0x" + f"{number:02x}" * 20 for number in (1, 2, 3)]
    question = encode_question("0x" + "aa" * 20, "0x" + "bb" * 20, wallets, 4, 200)
    assert len(question) == 4 + 6 * WORD + 2 * WORD
    assert question[4 + 6 * WORD :][:60] == b"".join(bytes.fromhex(wallet[2:]) for wallet in wallets)
