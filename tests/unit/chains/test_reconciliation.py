"""opening + received − sent − gas = observed, and a reason where it is not."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.discovery import TRANSFERS
from portfolio_pipelines.chains.raw_amounts import integers, raw_columns
from portfolio_pipelines.chains.reconciliation import KEYS, NATIVE, fee_of, movements_of, reconcile

DAY = date(2027, 3, 1)
MINE, YOURS, THEIRS = "0xa1", "0xa2", "0xa3"
USDC, STETH = "0xc0", "0x57"
ETHER = 10**18

Amounts = dict[tuple[str, str], int | None]  # (wallet, token) -> amount


def keyed(rows: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    return {
        "day": [DAY] * len(rows),
        "chain_id": [1] * len(rows),
        "wallet": [wallet for wallet, _ in rows],
        "token": [token for _, token in rows],
    }


KEY_TYPES = {"day": pl.Date, "chain_id": pl.Int64, "wallet": pl.String, "token": pl.String}


def balances(amounts: Amounts, stale: Sequence[tuple[str, str]] = ()) -> pl.DataFrame:
    frame = pl.DataFrame(keyed(list(amounts)), schema=KEY_TYPES).hstack(list(raw_columns(amounts.values())))
    return frame.with_columns(pl.Series("is_stale", [key in stale for key in amounts], dtype=pl.Boolean))


def movements(*rows: tuple[str, str, str, int]) -> pl.DataFrame:
    """Rows of (wallet, token, part, amount)."""
    frame = pl.DataFrame(keyed([row[:2] for row in rows]), schema=KEY_TYPES)
    parts = pl.Series("part", [row[2] for row in rows], dtype=pl.String)
    return frame.with_columns(parts).hstack(list(raw_columns(row[3] for row in rows)))


def transactions(*rows: tuple[str, int, int | None]) -> pl.DataFrame:
    """Rows of (wallet, value, fee)."""
    keys = {name: values for name, values in keyed([(wallet, "") for wallet, *_ in rows]).items() if name != "token"}
    frame = pl.DataFrame(keys, schema={name: kind for name, kind in KEY_TYPES.items() if name != "token"})
    return frame.hstack(
        [*raw_columns((row[1] for row in rows), "value_raw"), *raw_columns((row[2] for row in rows), "fee_raw")]
    )


def verdict(
    opening: Amounts, observed: Amounts, *moved: tuple[str, str, str, int], **settings: Any
) -> dict[tuple[str, str], tuple[int | None, str]]:
    """Difference and reason of each (wallet, token)."""
    frame = reconcile(balances(opening), balances(observed), movements(*moved), **settings)
    return {
        (row["wallet"], row["token"]): (difference, row["reason"])
        for row, difference in zip(frame.to_dicts(), integers(frame, "difference"), strict=True)
    }


def listed(token: str) -> pl.DataFrame:
    return pl.DataFrame({"chain_id": [1], "token": [token]})


def test_a_day_of_transfers_that_add_up_is_ok() -> None:
    found = verdict({(MINE, USDC): 100}, {(MINE, USDC): 120}, (MINE, USDC, "received", 50), (MINE, USDC, "sent", 30))
    assert found == {(MINE, USDC): (0, "ok")}


def test_a_token_that_came_and_one_that_went_need_no_row_on_the_other_side() -> None:
    found = verdict({(MINE, USDC): 5}, {(MINE, STETH): 7}, (MINE, USDC, "sent", 5), (MINE, STETH, "received", 7))
    assert found == {(MINE, USDC): (0, "ok"), (MINE, STETH): (0, "ok")}


def test_the_sums_are_shown_beside_the_verdict() -> None:
    frame = reconcile(
        balances({(MINE, NATIVE): 10 * ETHER}),
        balances({(MINE, NATIVE): 8 * ETHER}),
        movements((MINE, NATIVE, "received", ETHER)),
        transactions=transactions((MINE, 2 * ETHER, ETHER // 2), (MINE, 0, ETHER // 2)),
        traced_chains=[1],
    )
    row = frame.drop(column for column in frame.columns if column.endswith("_hex")).row(0)
    assert row == (DAY, 1, MINE, NATIVE, 10 * ETHER, ETHER, 2 * ETHER, ETHER, 8 * ETHER, 8 * ETHER, 0, "ok")


@pytest.mark.parametrize(
    ("opening", "observed", "value", "fee", "expected"),
    [
        (100, 60, 30, 10, (0, "ok")),
        (100, 75, 30, 10, (15, "internal_transfer")),
        (100, 60, 30, None, (-10, "gas")),
        (100, 50, 30, 10, (-10, "unknown")),
    ],
)
def test_the_coin_of_a_traced_chain(
    opening: int, observed: int, value: int, fee: int | None, expected: tuple[int, str]
) -> None:
    found = verdict(
        {(MINE, NATIVE): opening},
        {(MINE, NATIVE): observed},
        transactions=transactions((MINE, value, fee)),
        traced_chains=[1],
    )
    assert found[MINE, NATIVE] == expected


def test_the_coin_of_a_chain_that_is_not_traced_says_so_and_not_more() -> None:
    assert verdict({(MINE, NATIVE): 100}, {(MINE, NATIVE): 60}) == {(MINE, NATIVE): (-40, "not_traceable")}
    assert verdict({(MINE, NATIVE): 100}, {(MINE, NATIVE): 100}) == {(MINE, NATIVE): (0, "ok")}
    known_elsewhere = verdict(
        {(MINE, NATIVE): 100}, {(MINE, NATIVE): 60}, transactions=transactions((YOURS, 1, 1)), traced_chains=[10]
    )
    assert known_elsewhere[MINE, NATIVE] == (-40, "not_traceable")


def test_an_unknown_fee_of_one_wallet_is_no_excuse_for_another() -> None:
    found = verdict(
        {(MINE, NATIVE): 100, (YOURS, NATIVE): 100},
        {(MINE, NATIVE): 90, (YOURS, NATIVE): 90},
        transactions=transactions((MINE, 0, None)),
        traced_chains=[1],
    )
    assert found == {(MINE, NATIVE): (-10, "gas"), (YOURS, NATIVE): (-10, "unknown")}


def test_a_listed_rebasing_token_grows_with_and_without_transfers() -> None:
    found = verdict(
        {(MINE, STETH): 100, (YOURS, STETH): 100},
        {(MINE, STETH): 101, (YOURS, STETH): 152},
        (YOURS, STETH, "received", 50),
        rebasing=listed(STETH),
    )
    assert found == {(MINE, STETH): (1, "rebase"), (YOURS, STETH): (2, "rebase")}


def test_a_token_whose_holders_all_change_by_one_factor_rebases_though_nobody_said_so() -> None:
    opening = {(wallet, STETH): 10**24 * size for wallet, size in ((MINE, 3), (YOURS, 5), (THEIRS, 7))}
    observed = {key: amount * 10_001 // 10_000 for key, amount in opening.items()}
    assert {reason for _, reason in verdict(opening, observed).values()} == {"rebase"}
    shrunk = {key: amount * 9_999 // 10_000 for key, amount in opening.items()}
    assert {reason for _, reason in verdict(opening, shrunk).values()} == {"rebase"}


def test_two_holders_or_one_that_stayed_are_no_proof_of_a_rebase() -> None:
    two = {(MINE, STETH): 3_000_000, (YOURS, STETH): 5_000_000}
    grown = {key: amount * 11 // 10 for key, amount in two.items()}
    assert {reason for _, reason in verdict(two, grown).values()} == {"missing_logs"}
    found = verdict({**two, (THEIRS, STETH): 7, ("0xa4", STETH): 8}, {**grown, (THEIRS, STETH): 7, ("0xa4", STETH): 8})
    assert found[MINE, STETH][1] == "missing_logs"
    emptied = verdict(dict.fromkeys([(MINE, USDC), (YOURS, USDC), (THEIRS, USDC)], 5), {})
    assert {reason for _, reason in emptied.values()} == {"missing_logs"}, "all gone is no rebase"


def test_a_change_without_any_log_and_a_day_without_all_logs_miss_logs() -> None:
    assert verdict({(MINE, USDC): 100}, {(MINE, USDC): 130})[MINE, USDC] == (30, "missing_logs")
    unscanned = pl.DataFrame({"day": [DAY], "chain_id": [1]})
    moved = (MINE, USDC, "received", 50)
    found = verdict({(MINE, USDC): 100}, {(MINE, USDC): 149}, moved, unscanned=unscanned)
    assert found[MINE, USDC] == (-1, "missing_logs")
    elsewhere = pl.DataFrame({"day": [DAY], "chain_id": [10]})
    found = verdict({(MINE, USDC): 100}, {(MINE, USDC): 149}, moved, unscanned=elsewhere)
    assert found[MINE, USDC] == (-1, "fee_on_transfer")


@pytest.mark.parametrize(
    ("observed", "reason"),
    [(190, "fee_on_transfer"), (175, "fee_on_transfer"), (174, "unknown"), (201, "unknown"), (200, "ok")],
)
def test_a_token_that_keeps_a_part_of_what_moves(observed: int, reason: str) -> None:
    found = verdict({(MINE, USDC): 100}, {(MINE, USDC): observed}, (MINE, USDC, "received", 100))
    assert found[MINE, USDC] == (observed - 200, reason)


def test_what_is_unread_or_carried_over_is_stale_and_no_difference_is_invented() -> None:
    frame = reconcile(
        balances({(MINE, USDC): None, (YOURS, USDC): 5, (THEIRS, USDC): 7}),
        balances({(MINE, USDC): 5, (YOURS, USDC): None, (THEIRS, USDC): 7}, stale=[(THEIRS, USDC)]),
        movements((YOURS, USDC, "received", 2)),
    )
    shown = frame.select("wallet", "opening", "expected", "observed", "difference", "reason").rows()
    assert shown == [
        (MINE, None, None, 5, None, "stale"),
        (YOURS, 5, 7, None, None, "stale"),
        (THEIRS, 7, 7, 7, None, "stale"),
    ]


def test_amounts_beyond_38_digits_are_exact() -> None:
    huge = 2**256 - 1
    found = verdict({(MINE, USDC): huge}, {(MINE, USDC): 3}, (MINE, USDC, "sent", huge), (MINE, USDC, "received", 4))
    assert found[MINE, USDC] == (-1, "fee_on_transfer")
    frame = reconcile(balances({(MINE, USDC): huge}), balances({}), movements())
    assert integers(frame, "difference") == [-huge]
    assert frame["reason"].to_list() == ["missing_logs"]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([MINE, YOURS]),
            st.sampled_from([USDC, STETH]),
            st.sampled_from(["received", "sent"]),
            st.integers(0, 2**256 - 1) | st.integers(0, 10**38) | st.integers(0, 1_000),
        ),
        max_size=20,
    )
)
def test_whatever_moves_a_balance_that_follows_from_it_is_ok(moved: list[tuple[str, str, str, int]]) -> None:
    opening: Amounts = {(wallet, token): 10**90 for wallet in (MINE, YOURS) for token in (USDC, STETH)}
    observed: Amounts = dict(opening)
    for wallet, token, part, amount in moved:
        observed[wallet, token] = (observed[wallet, token] or 0) + (amount if part == "received" else -amount)
    assert set(verdict(opening, observed, *moved).values()) == {(0, "ok")}
    assert {
        difference
        for difference, _ in verdict(opening, {k: (v or 0) + 1 for k, v in observed.items()}, *moved).values()
    } == {1}


def test_days_and_chains_are_separate_books() -> None:
    rows = balances({(MINE, USDC): 5})
    other_day = rows.with_columns(day=pl.lit(date(2027, 3, 2)))
    other_chain = rows.with_columns(chain_id=pl.lit(10, dtype=pl.Int64))
    frame = reconcile(pl.concat([rows, other_day, other_chain]), pl.concat([rows, other_day]), movements())
    assert frame.select("day", "chain_id", "reason").rows() == [
        (DAY, 1, "ok"),
        (DAY, 10, "missing_logs"),
        (date(2027, 3, 2), 1, "ok"),
    ]


def test_transfers_become_movements_of_our_wallets() -> None:
    transfers = pl.DataFrame(
        [
            (1, "0x", "0x", 0, USDC, MINE, YOURS, 5, None, "erc20"),
            (1, "0x", "0x", 1, USDC, MINE, MINE, 6, None, "erc20"),
            (1, "0x", "0x", 2, USDC, "0xff", MINE, None, "0x" + "f" * 64, "erc20"),
            (1, "0x", "0x", 3, USDC, "0xff", MINE, 77, None, "erc721"),
            (1, "0x", "0x", 4, USDC, "0xff", MINE, None, None, "malformed"),
        ],
        schema=TRANSFERS,
        orient="row",
    ).with_columns(day=pl.lit(DAY), chain_id=pl.lit(1, dtype=pl.Int64))
    found = movements_of(transfers, [MINE, YOURS])
    assert found.columns == [*KEYS, "part", "raw", "raw_hex"]
    assert sorted(zip(found["wallet"], found["part"], integers(found), strict=True)) == [
        (MINE, "received", 6),
        (MINE, "received", 2**256 - 1),
        (MINE, "sent", 5),
        (MINE, "sent", 6),
        (YOURS, "received", 5),
    ]


@pytest.mark.parametrize(
    ("receipt", "fee"),
    [
        ({"gasUsed": "0x5208", "effectiveGasPrice": "0x3b9aca00"}, 21_000 * 10**9),
        ({"gasUsed": "0x5208", "effectiveGasPrice": "0x1", "l1Fee": "0x64"}, 21_100),
        ({"gasUsed": "0x5208", "effectiveGasPrice": "0x1", "blobGasUsed": "0x20000", "blobGasPrice": "0x2"}, 283_144),
        ({"gasUsed": "0x5208"}, None),
        ({"gasUsed": None, "effectiveGasPrice": "0x1"}, None),
        ({}, None),
    ],
)
def test_the_fee_of_a_transaction(receipt: dict[str, str], fee: int | None) -> None:
    assert fee_of(receipt) == fee
