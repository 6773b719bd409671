"""The state of all balances from read to read: nothing is lost, nothing that is missing becomes zero."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chain_tables import WALLET_BALANCES_SCHEMA
from portfolio_pipelines.chains.balance_state import Advanced, advance, carried
from portfolio_pipelines.chains.rpc.node import Block

EARLIER, NOW = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=UTC)
BLOCK = Block(200, "0xnew", int(NOW.timestamp()))
Pair = tuple[int, int]


def state(rows: dict[Pair, int], *, stale: bool = False) -> pl.DataFrame:
    values = [(w, t, raw, None, EARLIER, 100, "0xold", stale) for (w, t), raw in sorted(rows.items())]
    return pl.DataFrame(values, schema=WALLET_BALANCES_SCHEMA, orient="row")


def read(rows: dict[Pair, int]) -> pl.DataFrame:
    names = ["wallet_key", "token_key", "raw", "raw_hex"]
    schema = {name: WALLET_BALANCES_SCHEMA[name] for name in names}
    return pl.DataFrame([(w, t, raw, None) for (w, t), raw in rows.items()], schema=schema, orient="row")


def pairs(*keys: Pair) -> pl.DataFrame:
    return pl.DataFrame(list(keys), schema={"wallet_key": pl.Int32, "token_key": pl.Int32}, orient="row")


def step(before: pl.DataFrame, answer: dict[Pair, int], **changed: Any) -> Advanced:
    arguments: dict[str, Any] = {
        "asked_wallets": [1, 2], "asked_tokens": [10, 11], "asked_pairs": pairs(), "unread": pairs(),
        "watched": [1, 2, 3],
    } | changed  # fmt: skip
    return advance(before, BLOCK, read(answer), **arguments)


def raws(frame: pl.DataFrame) -> dict[Pair, int]:
    return {(row["wallet_key"], row["token_key"]): int(row["raw"]) for row in frame.iter_rows(named=True)}


def test_a_read_balance_carries_its_block_and_a_spent_one_is_gone() -> None:
    after = step(state({(1, 10): 5, (1, 11): 7}), {(1, 10): 6})
    assert raws(after.state) == {(1, 10): 6}
    assert after.state.row(0, named=True) | {"raw": None} == {
        "wallet_key": 1, "token_key": 10, "raw": None, "raw_hex": None, "as_of": NOW, "block_number": 200,
        "block_hash": "0xnew", "is_stale": False,
    }  # fmt: skip
    assert raws(after.changes) == {(1, 10): 6, (1, 11): 0}


def test_a_balance_that_could_not_be_read_stays_and_is_stale() -> None:
    after = step(state({(1, 10): 5}), {}, unread=pairs((1, 10), (2, 10)))
    assert raws(after.state) == {(1, 10): 5}
    assert after.state["is_stale"].to_list() == [True]
    assert after.state["as_of"].to_list() == [EARLIER]
    assert after.changes.is_empty()


def test_a_wallet_or_token_that_was_not_asked_for_stays_as_fresh_as_it_was() -> None:
    after = step(state({(3, 10): 5, (1, 99): 8}), {})
    assert raws(after.state) == {(3, 10): 5, (1, 99): 8}
    assert after.state["is_stale"].to_list() == [False, False]


def test_a_pair_that_was_asked_for_by_itself_and_is_empty_is_gone() -> None:
    assert raws(step(state({(1, 99): 8}), {}, asked_pairs=pairs((1, 99))).state) == {}


def test_a_stale_balance_is_healed_by_the_next_good_read() -> None:
    after = step(state({(1, 10): 5}, stale=True), {(1, 10): 5})
    assert after.state["is_stale"].to_list() == [False]
    assert after.changes.is_empty()


def test_a_wallet_that_is_no_longer_watched_is_dropped_without_being_a_change() -> None:
    after = step(state({(3, 10): 5}), {}, watched=[1, 2])
    assert after.state.is_empty()
    assert after.changes.is_empty()


def test_when_nothing_can_be_read_everything_is_carried_and_stale() -> None:
    after = carried(state({(1, 10): 5, (9, 10): 1}), [1])
    assert raws(after) == {(1, 10): 5}
    assert after["is_stale"].to_list() == [True]
    assert after["as_of"].to_list() == [EARLIER]


HOLDINGS = st.dictionaries(
    st.tuples(st.integers(1, 3), st.sampled_from([10, 11, 99])), st.integers(1, 10**38 - 1), max_size=9
)


@given(HOLDINGS, HOLDINGS)
def test_the_state_before_and_the_changes_give_the_state_after(before: dict[Pair, int], truth: dict[Pair, int]) -> None:
    asked = {pair: raw for pair, raw in truth.items() if pair[0] in (1, 2) and pair[1] in (10, 11)}
    after = step(state(before), asked)
    replayed = before | raws(after.changes)
    assert {pair: raw for pair, raw in replayed.items() if raw} == raws(after.state)
