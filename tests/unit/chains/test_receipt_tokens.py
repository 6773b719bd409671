"""Receipt tokens are worth what they stand for, and nothing is counted twice."""

import asyncio
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.raw_amounts import integers, raw_columns
from portfolio_pipelines.chains.receipt_tokens import (
    NoRatio,
    Ratio,
    ReceiptToken,
    explained,
    not_held,
    read_ratios,
    receipt_prices,
)
from portfolio_pipelines.chains.rpc.errors import Reverted, TooMuch, Unreachable
from tests.unit.chains.simulated_chain import SimulatedChain, address
from tests.unit.chains.test_log_ranges import WHERE

SHARE, COIN, OTHER = address(1), address(2), address(3)
WAD = 10**18


def words(*numbers: int) -> str:
    return "0x" + "".join(f"{number:064x}" for number in numbers)


def converting(digits: int) -> str:
    return f"0x07a2d13a{10**digits:064x}"


def ratios(token: ReceiptToken, answers: dict[str, Any]) -> list[Ratio | NoRatio]:
    chain = SimulatedChain(range(10))
    chain.contracts = {(token.token, data): answer for data, answer in answers.items()}
    honest = ReceiptToken(OTHER, "atoken", 6, (COIN,))
    *found, last = asyncio.run(read_ratios(chain, [token, honest], 9))
    assert last == Ratio(OTHER, COIN, 1, 1), "another token is not harmed"
    return found


@pytest.mark.parametrize(
    ("kind", "question"), [("wsteth", "0x035faf82"), ("reth", "0xe6aa216c"), ("ctoken", "0x182df0f5")]
)
def test_rates_per_wad(kind: Any, question: str) -> None:
    token = ReceiptToken(SHARE, kind, 18, (COIN,))
    assert ratios(token, {question: words(1_234_567_890_123_456_789)}) == [
        Ratio(SHARE, COIN, 1_234_567_890_123_456_789, WAD)
    ]
    for nothing in (
        "0x",
        words(0),
        words(1, 2),
        "0x1234",
        "0xzz",
        Reverted(*WHERE, "no"),
        TooMuch(*WHERE, "gas"),
        None,
    ):
        (found,) = ratios(token, {question: nothing})
        assert isinstance(found, NoRatio)
        assert found.token == SHARE


def test_a_ctoken_as_compound_counts_it() -> None:
    """cUSDC: 8 decimals, rate 0.0223 USDC for one, scaled by 10^(18 + 6 - 8)."""
    ratio = Ratio(SHARE, COIN, 223_000_000_000_000, WAD)
    assert ratio.underlying_of(100 * 10**8) == 2_230_000


def test_vaults_are_asked_for_many_shares_so_that_six_digits_of_the_coin_do_not_round_the_ratio() -> None:
    vault = ReceiptToken(SHARE, "erc4626", 18, (COIN,))
    answers = {converting(30): words(1_050_001_234_567_890_123), converting(18): words(1_050_001)}
    (ratio,) = ratios(vault, answers)
    assert ratio == Ratio(SHARE, COIN, 1_050_001_234_567_890_123, 10**30)
    assert isinstance(ratio, Ratio)
    assert ratio.underlying_of(10**6 * WAD) == 1_050_001_234_567


def test_a_vault_that_overflows_at_many_shares_is_asked_for_one() -> None:
    vault = ReceiptToken(SHARE, "erc4626", 18, (COIN,))
    answers = {converting(30): Reverted(*WHERE, "overflow"), converting(18): words(1_050_001)}
    assert ratios(vault, answers) == [Ratio(SHARE, COIN, 1_050_001, WAD)]
    assert isinstance(ratios(vault, {})[0], NoRatio)


def test_a_pair_stands_for_both_of_its_tokens() -> None:
    pair = ReceiptToken(SHARE, "uniswap_v2", 18, (COIN, OTHER))
    answers = {"0x0902f1ac": words(500, 800, 1_700_000_000), "0x18160ddd": words(100)}
    assert ratios(pair, answers) == [Ratio(SHARE, COIN, 500, 100), Ratio(SHARE, OTHER, 800, 100)]
    assert isinstance(ratios(pair, answers | {"0x18160ddd": words(0)})[0], NoRatio)
    assert isinstance(ratios(pair, answers | {"0x0902f1ac": words(5)})[0], NoRatio)


def test_a_node_that_fails_is_not_the_fault_of_the_token() -> None:
    with pytest.raises(Unreachable, match="simulated"):
        ratios(ReceiptToken(SHARE, "reth", 18, (COIN,)), {"0xe6aa216c": Unreachable(*WHERE, "gone")})


def test_a_token_with_the_wrong_number_of_underlying_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match=SHARE):
        ratios(ReceiptToken(SHARE, "uniswap_v2", 18, (COIN,)), {})


def test_prices_follow_through_layers_of_different_decimals() -> None:
    """A vault of a pair of staked Ether and a coin of 6 digits."""
    vault, pair, steth, wsteth, usdc = "vault", "pair", "steth", "wsteth", "usdc"
    found = receipt_prices(
        [
            Ratio(vault, pair, 11, 10),
            Ratio(pair, wsteth, 5 * WAD, 10 * WAD),
            Ratio(pair, usdc, 12_000 * 10**6, 10 * WAD),
            Ratio(wsteth, steth, 12 * WAD // 10, WAD),
        ],
        {steth: 2_000.0, usdc: 1.0},
        {vault: 18, pair: 18, steth: 18, wsteth: 18, usdc: 6},
    )
    assert found == pytest.approx({wsteth: 2_400.0, pair: 2_400.0, vault: 2_640.0})


def test_no_price_is_not_zero() -> None:
    pair = [Ratio("pair", "known", 1, 1), Ratio("pair", "unknown", 1, 1)]
    assert receipt_prices(pair, {"known": 1.0}, {"pair": 18, "known": 18, "unknown": 18}) == {}
    assert receipt_prices([Ratio("a", "known", 1, 1)], {"known": 1.0}, {"known": 18}) == {}


def test_tokens_that_stand_for_each_other_have_no_price() -> None:
    circle = [Ratio("a", "b", 1, 1), Ratio("b", "a", 1, 1), Ratio("c", "c", 1, 1)]
    assert receipt_prices(circle, {}, {"a": 18, "b": 18, "c": 18}) == {}


def test_an_underlying_token_with_a_market_price_keeps_it() -> None:
    """The receipt itself is priced by its ratio; a market price of it is for others to compare."""
    layered = [Ratio("vault", "wsteth", 1, 1), Ratio("wsteth", "steth", 12, 10)]
    decimals = {"vault": 18, "wsteth": 18, "steth": 18}
    found = receipt_prices(layered, {"steth": 100.0, "wsteth": 119.0}, decimals)
    assert found == pytest.approx({"vault": 119.0, "wsteth": 120.0})


# Nothing is counted twice

Rows = list[tuple[str, str, int | None]]


def balances(rows: Rows) -> pl.DataFrame:
    keys = {"chain_id": [1] * len(rows), "wallet": [row[0] for row in rows], "token": [row[1] for row in rows]}
    frame = pl.DataFrame(keys, schema={"chain_id": pl.Int64, "wallet": pl.String, "token": pl.String})
    return frame.hstack(list(raw_columns(row[2] for row in rows))).with_columns(source=pl.lit("reader"))


def positions(rows: list[tuple[str, str | None, int]]) -> pl.DataFrame:
    keys = {"chain_id": [1] * len(rows), "wallet": [row[0] for row in rows], "receipt_token": [row[1] for row in rows]}
    frame = pl.DataFrame(keys, schema={"chain_id": pl.Int64, "wallet": pl.String, "receipt_token": pl.String})
    return frame.hstack(list(raw_columns((row[2] for row in rows), "receipt_raw")))


def rows_of(frame: pl.DataFrame) -> Rows:
    return list(zip(frame["wallet"], frame["token"], integers(frame), strict=True))


def test_a_token_that_a_position_explains_is_not_counted_beside_it() -> None:
    held = balances([("me", "usdc", 5), ("me", "pair", 100), ("you", "pair", 7), ("me", "atoken", 50)])
    left = explained(
        held, positions([("me", "pair", 100), ("me", "atoken", 20), ("me", "atoken", 10), ("me", None, 9)])
    )
    assert rows_of(left) == [("me", "usdc", 5), ("you", "pair", 7), ("me", "atoken", 20)]
    assert left.columns == held.columns
    assert left["source"].to_list() == ["reader"] * 3


def test_the_same_token_on_another_chain_is_another_token() -> None:
    held = balances([("me", "pair", 100)])
    other = positions([("me", "pair", 100)]).with_columns(chain_id=pl.lit(10, dtype=pl.Int64))
    assert rows_of(explained(held, other)) == [("me", "pair", 100)]


def test_an_unknown_balance_stays_unknown() -> None:
    held = balances([("me", "pair", None)])
    assert rows_of(explained(held, positions([("me", "pair", 5)]))) == [("me", "pair", None)]
    assert not_held(held, positions([("me", "pair", 5)])).is_empty()


def test_a_position_of_more_than_is_held_is_reported_and_leaves_nothing() -> None:
    """The pair tokens are staked elsewhere, or balance and position are of two blocks."""
    held = balances([("me", "pair", 5), ("you", "pair", 5)])
    claimed = positions([("me", "pair", 7), ("you", "pair", 5), ("me", "atoken", 3)])
    assert explained(held, claimed).is_empty()
    assert rows_of(not_held(held, claimed)) == [("me", "atoken", 3), ("me", "pair", 2)]


AMOUNT = st.integers(0, 2**256 - 1) | st.integers(0, 100)
KEY = st.tuples(st.sampled_from(["me", "you"]), st.sampled_from(["a", "b", "c"]))


@settings(max_examples=60)
@given(st.dictionaries(KEY, AMOUNT, max_size=6), st.lists(st.tuples(KEY, AMOUNT), max_size=6))
def test_what_is_left_and_what_is_explained_add_up_to_what_is_held(
    held: dict[tuple[str, str], int], claims: list[tuple[tuple[str, str], int]]
) -> None:
    frame = balances([(*key, amount) for key, amount in held.items()])
    claimed = positions([(wallet, token, amount) for (wallet, token), amount in claims])
    of_key = {key: sum(amount for k, amount in claims if k == key) for key, _ in claims}
    left = {(wallet, token): amount for wallet, token, amount in rows_of(explained(frame, claimed))}
    assert left == {
        key: amount - of_key.get(key, 0) for key, amount in held.items() if key not in of_key or amount > of_key[key]
    }
    missing = {(wallet, token): amount for wallet, token, amount in rows_of(not_held(frame, claimed))}
    assert missing == {key: total - held.get(key, 0) for key, total in of_key.items() if total > held.get(key, 0)}
