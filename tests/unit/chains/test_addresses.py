import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portfolio_pipelines.chains.addresses import (
    ZERO_ADDRESS,
    AddressError,
    address_array,
    address_bytes,
    address_text,
    address_texts,
    checksum_address,
    keccak,
    parse_address,
)

FROM_THE_EIP = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]
MIXED = FROM_THE_EIP[4]
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())


def test_keccak_is_that_of_ethereum_and_not_sha_3() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak(b"Transfer(address,address,uint256)").hex().startswith("ddf252ad1be2c89b69c2b068fc378daa")


@pytest.mark.parametrize("address", FROM_THE_EIP)
def test_the_checksum_is_that_of_the_eip(address: str) -> None:
    assert checksum_address(address.lower()) == address
    assert parse_address(address) == address.lower()


@given(addresses)
def test_every_address_is_read_in_lower_case_upper_case_and_with_its_checksum(address: str) -> None:
    shown = checksum_address(address)
    upper = "0x" + address[2:].upper()
    assert {parse_address(text) for text in (address, upper, upper.replace("x", "X"), shown, f"  {shown}\n")} == {
        address
    }
    assert checksum_address(shown) == shown


@given(addresses, st.integers(2, 41))
def test_one_letter_in_the_wrong_case_is_refused_with_the_right_spelling(address: str, place: int) -> None:
    right = checksum_address(address)
    wrong = right[:place] + right[place].swapcase() + right[place + 1 :]
    assume(wrong != right)
    assume(wrong[2:] not in (wrong[2:].lower(), wrong[2:].upper()))  # these carry no checksum
    with pytest.raises(AddressError, match=right):
        parse_address(wrong)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing"),
        ("vitalik.eth", "looks like a name"),
        (MIXED[2:], f"write 0x{MIXED[2:]}"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "does not begin with 0x"),
        (MIXED[:-1], "39 hex digits"),
        (MIXED + "0", "41 hex digits"),
        (MIXED[:-1] + "g", "'g' at place 42"),
        (MIXED[:10] + " " + MIXED[10:], "' ' at place 11"),
        ("0x" + "٣" * 40, "at place 3"),  # digits to Python, not to an address
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(AddressError, match=why):
        parse_address(text)


@given(st.lists(addresses, max_size=20))
def test_many_addresses_survive_the_way_through_an_array(many: list[str]) -> None:
    array = address_array(many)
    assert array.shape == (len(many), 20)
    assert array.dtype == np.uint8
    assert address_texts(array) == many
    assert [address_text(address_bytes(address)) for address in many] == many


def test_an_array_of_addresses_can_be_written_to() -> None:
    array = address_array([ZERO_ADDRESS])
    array[0, 19] = 1
    assert address_texts(array) == ["0x" + "00" * 19 + "01"]


def test_addresses_are_read_from_columns_of_wider_arrays() -> None:
    words = np.arange(64, dtype=np.uint8).reshape(2, 32)
    assert address_texts(words[:, 12:]) == ["0x" + bytes(range(12, 32)).hex(), "0x" + bytes(range(44, 64)).hex()]


def test_the_wrong_one_of_many_is_named() -> None:
    with pytest.raises(AddressError, match=r"address 1 of 3.*41 hex digits"):
        address_array([ZERO_ADDRESS, ZERO_ADDRESS + "0", ZERO_ADDRESS])
    with pytest.raises(AddressError, match="address 0 of 2"):  # blanks inside would make other bytes
        address_array(["0x" + " " * 2 + "00" * 19, ZERO_ADDRESS])


def test_upper_case_in_an_array_is_the_same_address() -> None:
    assert address_texts(address_array([MIXED])) == [MIXED.lower()]


def test_a_word_holds_an_address_on_the_right_and_nothing_else() -> None:
    raw = bytes(range(20))
    assert address_text(bytes(12) + raw) == address_text(raw) == "0x" + raw.hex()
    for wrong in (b"\1" + bytes(11) + raw, raw[:-1], b""):
        with pytest.raises(AddressError, match="no address"):
            address_text(wrong)


def test_an_array_of_another_shape_holds_no_addresses() -> None:
    for wrong in (np.zeros((2, 32), np.uint8), np.zeros(20, np.uint8), np.zeros((1, 20), np.int64)):
        with pytest.raises(AddressError, match="holds no addresses"):
            address_texts(wrong)  # type: ignore[arg-type]
