"""Accounts of Solana out of answers: real ones, and hostile ones that must never become a number."""

import base64
import gzip
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address
from solders.token.state import Mint as ReferenceMint
from solders.token.state import TokenAccount as ReferenceAccount

from portfolio_pipelines.chains.endpoint_pool import Where
from portfolio_pipelines.chains.rpc.endpoints import Address
from portfolio_pipelines.chains.rpc.errors import RpcError
from portfolio_pipelines.chains.rpc.transport import Reply
from portfolio_pipelines.chains.solana import answers
from portfolio_pipelines.chains.solana.associated import AssociatedAccounts
from portfolio_pipelines.chains.solana.token_accounts import (
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    decode_mint,
    decode_token_account,
)

RECORDED = (
    Path(os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")) / "providers" / "solana_rpc_real.jsonl.gz"
).resolve()
WHERE = Where("solana", "node.example", Address("https://node.example/a-very-secret-key"))
WALLET = "FkzRQKW8Mzip4xXHamibLZB28sjqN9ZLFacQdbuVEYxa"


def recorded(method: str) -> list[tuple[dict[str, Any], Reply]]:
    if not RECORDED.exists():
        pytest.skip(f"no recorded answers at {RECORDED}")
    found = []
    with gzip.open(RECORDED, "rt") as lines:
        for line in lines:
            entry = json.loads(line)
            request = json.loads(entry["request_body"])
            if request["method"] == method:
                found.append((request, Reply(entry["status"], entry["body"].encode())))
    assert found
    return found


def token_account(amount: int = 5, state: int = 1, native: int = 0, tail: bytes = b"") -> bytes:
    options = struct.pack("<I32sBIQQI32s", 0, bytes(32), state, native, 0, 0, 0, bytes(32))
    return bytes([1] * 32) + bytes([2] * 32) + struct.pack("<Q", amount) + options + tail


def test_recorded_accounts_have_their_lamports() -> None:
    (request, reply), *_ = recorded("getMultipleAccounts")
    slot, value = answers.in_context(answers.result_of(reply, WHERE, request["id"]), WHERE, 410343008)
    accounts = answers.accounts_of(value, WHERE, 2)
    assert slot == 410343008
    assert [account and account.lamports for account in accounts] == [564503502, 10665754]


def test_recorded_token_accounts_decode_as_the_reference_decodes_them() -> None:
    seen = 0
    for request, reply in recorded("getTokenAccountsByOwner"):
        _, value = answers.in_context(answers.result_of(reply, WHERE, 0), WHERE, 1)
        for row in value:
            account = answers.account_of(row["account"], WHERE)
            decoded = decode_token_account(account.data, account.owner)
            reference = ReferenceAccount.from_bytes(account.data[:165])
            assert (decoded.mint, decoded.owner, decoded.amount) == (
                str(reference.mint),
                str(reference.owner),
                reference.amount,
            )
            assert decoded.owner == request["params"][0]
            assert decoded.extensions == ((7, 2, 15) if account.owner == TOKEN_2022_PROGRAM else ())
            assert AssociatedAccounts().derive(decoded.owner, [(decoded.mint, account.owner)]) == [row["pubkey"]]
            seen += 1
    assert seen >= 6


def test_recorded_mints_decode_as_the_reference_decodes_them() -> None:
    seen = []
    for _, reply in recorded("getAccountInfo"):
        account = answers.account_of(answers.result_of(reply, WHERE, 0)["value"], WHERE)
        if account.owner in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
            mint = decode_mint(account.data, account.owner)
            reference = ReferenceMint.from_bytes(account.data[:82])
            assert (mint.decimals, mint.supply) == (reference.decimals, reference.supply)
            assert mint.is_initialized
            seen.append(mint.program)
    assert set(seen) == {TOKEN_PROGRAM, TOKEN_2022_PROGRAM}


def test_flags_and_extensions_of_an_account_are_told() -> None:
    frozen = decode_token_account(token_account(state=2), TOKEN_PROGRAM)
    assert (frozen.is_frozen, frozen.is_native, frozen.is_initialized) == (True, False, True)
    assert decode_token_account(token_account(native=1), TOKEN_PROGRAM).is_native
    tail = b"\x02" + struct.pack("<HH", 5, 3) + b"abc" + struct.pack("<HH", 7, 0) + bytes(10)
    modern = decode_token_account(token_account(tail=tail), TOKEN_2022_PROGRAM)
    assert modern.extensions == (5, 7)
    assert modern.may_hide_a_balance
    assert not frozen.may_hide_a_balance


@pytest.mark.parametrize(
    ("data", "program", "why"),
    [
        (token_account()[:-1], TOKEN_PROGRAM, "164 bytes"),
        (token_account(tail=b"\x02"), TOKEN_PROGRAM, "166 bytes"),
        (token_account(state=3), TOKEN_PROGRAM, "state 3"),
        (token_account(native=2), TOKEN_PROGRAM, "no tag"),
        (token_account(tail=b"\x01"), TOKEN_2022_PROGRAM, "is 1, not 2"),
        (token_account(tail=b"\x02" + struct.pack("<HH", 7, 9)), TOKEN_2022_PROGRAM, "reaches beyond"),
        (token_account(tail=b"\x02\x07\x00\x01"), TOKEN_2022_PROGRAM, "breaks off"),
        (token_account(tail=b"\x02" + bytes(189)), TOKEN_2022_PROGRAM, "355 bytes"),
        (token_account(), "11111111111111111111111111111111", "no token program"),
    ],
)
def test_bytes_that_no_program_wrote_are_refused(data: bytes, program: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_token_account(data, program)


@given(st.binary(max_size=400), st.sampled_from([TOKEN_PROGRAM, TOKEN_2022_PROGRAM]))
def test_any_bytes_decode_as_the_reference_does_or_are_refused(data: bytes, program: str) -> None:
    try:
        decoded = decode_token_account(data, program)
    except ValueError:
        return
    assert decoded.amount == ReferenceAccount.from_bytes(data[:165]).amount


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def good_answer() -> dict[str, Any]:
    account = {
        "data": [base64.b64encode(token_account()).decode(), "base64"],
        "executable": False,
        "lamports": 7,
        "owner": TOKEN_PROGRAM,
        "rentEpoch": 2**64 - 1,
        "space": 165,
    }
    return {"jsonrpc": "2.0", "id": 1, "result": {"context": {"slot": 9}, "value": [account, None]}}


def lamports_of(body: bytes) -> list[int | None]:
    _, value = answers.in_context(answers.result_of(Reply(200, body), WHERE, 1), WHERE, 9)
    accounts = answers.accounts_of(value, WHERE, 2)
    for account in accounts:
        if account is not None and account.owner == TOKEN_PROGRAM:
            try:
                decode_token_account(account.data, account.owner)
            except ValueError as error:
                raise answers.bad_answer(WHERE, str(error)) from error
    return [None if account is None else account.lamports for account in accounts]


def outcome(body: bytes) -> tuple[list[int | None], str | None]:
    try:
        return lamports_of(body), None
    except RpcError as error:
        return [], str(error)


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, child in children for deeper in paths_in(child, (*path, key)))]


PATHS = [path for path in paths_in(good_answer()) if path]


def test_the_answer_that_is_spoiled_below_is_good() -> None:
    assert lamports_of(json.dumps(good_answer()).encode()) == [7, None]


@given(st.sampled_from(PATHS), JSON)
@example(("result", "value", 0, "lamports"), 2**64)
@example(("result", "value", 0, "lamports"), True)
@example(("result", "value", 0, "lamports"), 7.0)
@example(("result", "context", "slot"), 8)
@example(("id",), True)
def test_a_spoiled_answer_is_an_error_that_names_chain_and_endpoint(path: tuple[Any, ...], poison: Any) -> None:
    answer = good_answer()
    parent = answer
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = poison
    lamports, error = outcome(json.dumps(answer).encode())
    if error is not None:
        assert error.startswith("solana at node.example: ")
        assert "secret" not in error
        return
    value = answer["result"]["value"]  # what is still well-formed says what it says
    assert lamports == [None if account is None else account["lamports"] for account in value]
    assert all(type(number) is int for number in lamports if number is not None)


@given(st.integers(0, 700), st.binary(max_size=5))
def test_a_cut_answer_is_an_error(length: int, rest: bytes) -> None:
    whole = json.dumps(good_answer()).encode()
    cut = whole[: min(length, len(whole) - 1)] + rest
    if cut.strip() == whole:
        return
    with pytest.raises(RpcError, match=r"^solana at node\.example: "):
        lamports_of(cut)


def test_derived_accounts_are_those_of_the_reference_the_second_time_too() -> None:
    associated = AssociatedAccounts()
    programs = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
    mints = [(str(Pubkey(bytes([i] * 32))), programs[i % 2]) for i in range(1, 12)]
    wallets = [Pubkey(os.urandom(32)) for _ in range(90)]
    expected = {
        wallet: [
            str(get_associated_token_address(wallet, Pubkey.from_string(mint), Pubkey.from_string(program)))
            for mint, program in mints
        ]
        for wallet in wallets
    }
    for some in (mints[:3], mints, mints[::-1], mints):
        for wallet in wallets:
            places = [mints.index(mint) for mint in some]
            assert associated.derive(str(wallet), some) == [expected[wallet][place] for place in places]
    assert len(associated) == 90 * 11
