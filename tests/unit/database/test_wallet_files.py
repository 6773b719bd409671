"""Wallet files: what loads, and every way in which one is refused."""

import io
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.addresses import checksum_address
from portfolio_pipelines.chains.registry import Chain, Registry
from portfolio_pipelines.database.wallet_files import ROWS, WalletFile, read_wallet_file
from portfolio_pipelines.market.file_faults import FileRefusedError

CHAINS = Registry(
    [
        Chain(1, "ethereum", "Ethereum", "ETH", "layer1", enabled=True),
        Chain(42161, "arbitrum-one", "Arbitrum One", "ETH", "layer2", enabled=True),
        Chain(5, "sleepy", "Sleepy", "ETH", "layer1"),
        Chain(-1, "solana", "Solana", "SOL", "layer1", "solana", enabled=True),
        Chain(-2, "bitcoin", "Bitcoin", "BTC", "layer1", "bitcoin", enabled=True),
    ]
)
HEADER = "user_id,address,label,chains\n"
VITALIK = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
SOLANA = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"
TAPROOT = "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"
LEGACY = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"


def read(text: str | bytes) -> WalletFile:
    data = text.encode() if isinstance(text, str) else text
    return read_wallet_file(data, chains=CHAINS, name="wallets.csv")


def faults(text: str | bytes) -> list[str]:
    try:
        found = read(text).faults
    except FileRefusedError as error:
        return [str(fault) for fault in error.faults]
    return [str(fault) for fault in found.first]


def test_addresses_of_three_families_and_names_are_told_apart_by_their_form() -> None:
    lines = [
        VITALIK,
        VITALIK.lower(),
        VITALIK.upper().replace("X", "x"),
        "vitalik.eth",
        SOLANA,
        TAPROOT.upper(),
        LEGACY,
    ]
    file = read(HEADER + "".join(f"u{place},{text},,\n" for place, text in enumerate(lines)))
    assert not file.faults, str(file.faults.refusal())
    assert file.rows.schema == ROWS
    evm = ("evm", VITALIK.lower())
    assert list(file.rows.select("family", "address").iter_rows()) == [
        evm, evm, evm, ("evm", None), ("solana", SOLANA), ("bitcoin", TAPROOT), ("bitcoin", LEGACY)
    ]  # fmt: skip


def test_csv_json_lines_and_parquet_say_the_same() -> None:
    objects = [
        {"user_id": "ann", "address": VITALIK, "label": "main", "chains": ["1", "Arbitrum One"]},
        {"user_id": "bob", "address": VITALIK, "label": None, "chains": []},
    ]
    buffer = io.BytesIO()
    pl.DataFrame(objects, schema_overrides={"chains": pl.List(pl.String)}).write_parquet(buffer)
    files = [
        read(HEADER + f'ann,{VITALIK},main,"1,arbitrum-one"\nbob,{VITALIK},,\n'),
        read(json.dumps(objects)),
        read("\n".join(json.dumps(item) for item in objects)),
        read(buffer.getvalue()),
    ]
    for file in files:
        assert not file.faults, str(file.faults.refusal())
        assert file.rows["label"].to_list() == ["main", None]
        assert file.rows["chains"].to_list() == [["arbitrum-one", "ethereum"], []]
        assert (file.has_labels, file.has_chains) == (True, True)


def test_label_and_chains_may_be_left_out() -> None:
    file = read(f"address,user_id\n{VITALIK},ann\n")
    assert not file.faults
    assert (file.has_labels, file.has_chains) == (False, False)
    assert file.rows.row(0)[1:] == ("ann", VITALIK, VITALIK.lower(), "evm", None, [])


def test_a_chain_that_is_not_enabled_is_taken_with_a_note() -> None:
    file = read(HEADER + f"ann,{VITALIK},,sleepy\n")
    assert not file.faults
    assert file.notes == ("sleepy is not enabled: nothing is read there until it is",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            f"ann,{VITALIK.replace('dA', 'Da')},,",
            "row 2: '0xd8Da6BF26964aF9D7eEd9e03E53415D37aA96045' has a wrong checksum: a letter was mistyped, or it "
            f"should be spelled {VITALIK}",
        ),
        ("ann,0x1234,,", "row 2: '0x1234' is no address: it has 4 hex digits after 0x, an address 40"),
        (f"ann,{VITALIK[2:].lower()},,", f"row 2: '{VITALIK[2:].lower()}' lacks the 0x of an address"),
        (f"ann,{VITALIK[:-1]}g,,", f"row 2: '{VITALIK[:-1]}g' is no address: 'g' at place 42 is no hex digit"),
        (f"ann,0x{'0' * 40},,", "is the zero address, where burnt tokens go: it belongs to nobody"),
        (f"ann,{SOLANA[:-4]},,", "neither 0x and 40 hex digits, nor one of Solana (29 bytes instead of 32) or Bitcoin"),
        (f"ann,{LEGACY[:-1]}b,,", "its checksum is wrong"),
        (f"ann,{TAPROOT[:-1]}q,,", "its checksum is wrong"),
        ("ann,hello world,,", "row 2: 'hello world' is no address: neither 0x and 40 hex digits, nor one of Solana or"),
        ("ann,,,", "row 2: no address"),
        (f",{VITALIK},,", "row 2: no user_id"),
        (f"ann,{VITALIK},{'x' * 101},", "row 2: label has 101 characters, more than 100"),
        (f"ann,{VITALIK},a\x1bb,", "row 2: label 'a\\x1bb' holds control characters"),
        (f"ann,{VITALIK},,etherum", "row 2: there is no chain 'etherum'; did you mean ethereum?"),
        (f"ann,{VITALIK},,etherum;1;arbitrom-one", "row 2: there is no chain 'etherum'; did you mean ethereum?; there"),
        (f"ann,{SOLANA},,ethereum", "row 2: an address of Solana cannot be on ethereum"),
        (f"ann,{VITALIK},,bitcoin", "row 2: an address of an EVM chain cannot be on bitcoin"),
        (f"ann,{VITALIK},", "row 2: has 3 fields instead of 4"),
    ],
)
def test_a_bad_row_is_told_with_its_number(row: str, message: str) -> None:
    found = faults(HEADER + row + "\n")
    assert len(found) == 1
    assert message in found[0]


def test_all_faults_are_told_at_once() -> None:
    text = HEADER + f"ann,0x12,,\n,{VITALIK},,\nbob,{VITALIK},,nowhere-at-all\n"
    assert [fault.split(":")[0] for fault in faults(text)] == ["row 2", "row 3", "row 4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (HEADER, "has no rows"),
        ("user_id,label\nann,x\n", "column address is missing; the file has user_id, label"),
        (f"address,user_id\nann,{VITALIK}\nbob,{SOLANA}\n", "columns user_id and address look swapped"),
        ('[{"user_id": "ann", "address": ["0x1"]}]', "address holds a list or an object"),
        (
            '[{"user_id": "ann", "address": "a.eth", "chains": [["ethereum"]]}]',
            "chains holds a list or an object",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, message: str) -> None:
    assert any(message in fault for fault in faults(text))


@given(st.binary(min_size=20, max_size=20).filter(any), st.booleans())
def test_every_address_is_read_in_both_spellings(raw: bytes, mixed: bool) -> None:
    address = f"0x{raw.hex()}"
    file = read(HEADER + f"ann,{checksum_address(address) if mixed else address},,\n")
    assert not file.faults
    assert file.rows["address"].to_list() == [address]


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    cells = json.dumps([{"user_id": "ann", "address": text, "label": text, "chains": text}])
    try:
        file = read(cells)
    except FileRefusedError:
        return
    assert bool(file.faults) or file.rows.height == 1
