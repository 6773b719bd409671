"""Ratios of receipts as rows: exact, and the last good one, marked, when there is none now."""

import pytest

from portfolio_pipelines.chain_tables import RECEIPT_RATIOS_SCHEMA
from portfolio_pipelines.chains.receipt_probe import leads_to_itself
from portfolio_pipelines.chains.receipt_rows import advance_receipts, receipt_rows
from portfolio_pipelines.chains.receipt_tokens import NoRatio, Ratio, ReceiptToken
from portfolio_pipelines.chains.rpc.node import Block

VAULT, OUTER, COIN = "0x" + "11" * 20, "0x" + "22" * 20, "0x" + "33" * 20
KEYS = {VAULT: 1, OUTER: 2, COIN: 3}
DECIMALS = {VAULT: 18, OUTER: 6, COIN: 6}
RECEIPTS = {
    VAULT: ReceiptToken(VAULT, "erc4626", 18, (COIN,)),
    OUTER: ReceiptToken(OUTER, "erc4626", 6, (VAULT,)),
}
NOW, LATER = Block(7, "0x07", 1_700_000_000), Block(8, "0x08", 1_700_000_012)
GOOD = Ratio(VAULT, COIN, 1_050_000, 10**18)
LAYER = Ratio(OUTER, VAULT, 2 * 10**18, 10**6)


def test_the_ratio_is_in_whole_units_and_the_exact_one_beside_it() -> None:
    frame = receipt_rows([LAYER, GOOD], NOW, KEYS, RECEIPTS, DECIMALS, RECEIPT_RATIOS_SCHEMA)
    assert frame.schema == RECEIPT_RATIOS_SCHEMA
    assert frame.select("token_key", "underlying_token_key", "numerator", "denominator", "ratio").rows() == [
        (1, 3, "1050000", str(10**18), 1.05),
        (2, 1, str(2 * 10**18), "1000000", 2.0),
    ]


def test_receipts_whose_tokens_have_no_key_are_left_out_and_none_is_no_row() -> None:
    for ratios, keys in (((GOOD,), {VAULT: 1}), ((GOOD,), {COIN: 3}), ((), KEYS)):
        frame = receipt_rows(ratios, NOW, keys, RECEIPTS, DECIMALS, RECEIPT_RATIOS_SCHEMA)
        assert frame.is_empty()
        assert frame.schema == RECEIPT_RATIOS_SCHEMA


@pytest.mark.parametrize("reason", [None, "it said nothing"])
def test_a_ratio_that_is_not_had_stays_as_a_stale_one_and_heals(reason: str | None) -> None:
    before = receipt_rows([GOOD, LAYER], NOW, KEYS, RECEIPTS, DECIMALS, RECEIPT_RATIOS_SCHEMA)
    read = [LAYER] if reason is None else [LAYER, NoRatio(VAULT, reason)]
    after = advance_receipts(before, receipt_rows(read, LATER, KEYS, RECEIPTS, DECIMALS, RECEIPT_RATIOS_SCHEMA), {2})
    assert after.select("token_key", "ratio", "block_number", "is_stale", "reason").rows() == [
        (1, 1.05, 7, True, reason),
        (2, 2.0, 8, False, None),
    ]
    healed = receipt_rows([GOOD, LAYER], LATER, KEYS, RECEIPTS, DECIMALS, RECEIPT_RATIOS_SCHEMA)
    assert advance_receipts(after, healed, {2}).equals(healed)


def test_one_that_never_had_a_ratio_says_why_and_has_none() -> None:
    read = receipt_rows([NoRatio(VAULT, "zero")], NOW, KEYS, RECEIPTS, DECIMALS, RECEIPT_RATIOS_SCHEMA)
    first = advance_receipts(read.clear(), read, {1})
    assert first.select("ratio", "numerator", "reason", "is_stale").rows() == [(None, None, "zero", False)]


def test_what_is_held_counts_and_what_it_stands_for_and_nothing_else() -> None:
    read = receipt_rows([GOOD, LAYER], NOW, KEYS, RECEIPTS, DECIMALS, RECEIPT_RATIOS_SCHEMA)
    assert advance_receipts(read.clear(), read, {1, 3})["token_key"].to_list() == [1]
    assert advance_receipts(read.clear(), read, {2})["token_key"].to_list() == [1, 2]
    assert advance_receipts(read, read.clear(), {3}).is_empty()


def test_circles_are_seen_and_end() -> None:
    assert leads_to_itself("a", {"a": "b", "b": "c", "c": "a"})
    assert not leads_to_itself("x", {"x": "a", "a": "b", "b": "a"})
    assert not leads_to_itself("a", {"a": "b"})
