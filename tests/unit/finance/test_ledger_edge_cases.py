"""The edge cases of ledgers, one or more tests each, with figures made by hand."""

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from portfolio_pipelines.finance.lot_movements import LedgerPolicy
from portfolio_pipelines.finance.lots import Flag, Kind
from tests.unit.finance.ledgers import buy, prices, row, sell, settle

D = Decimal
START = buy("2024-01-01", "10 ETH", "10000 USD")
MARKET = prices(ETH=2000.0, BNB=300.0)


# 1. A fee in kind
def test_a_fee_in_coins_of_a_sale_is_a_disposal_of_its_own_and_taken_from_the_proceeds_once() -> None:
    found = settle(START, sell("2024-02-01", "2000 USD", "1 ETH", fee="0.001 ETH"), closes=MARKET)
    assert found.sold("ETH") == [(D(1), D(1000), D(1998)), (D("0.001"), D(1), D(2))]
    assert found.realised == D(999)  # 2000 of money − 1001 of basis


def test_a_fee_in_coins_of_a_purchase_is_added_to_the_cost_once() -> None:
    bnb = buy("2024-01-01", "1 BNB", "200 USD")
    found = settle(bnb, buy("2024-02-01", "1 ETH", "2000 USD", fee="0.1 BNB"), closes=MARKET)
    assert found.held("ETH") == (D(1), D(2030))
    assert found.realised == D(10)  # 0.1 BNB at 30, bought for 20
    assert (found.total("paid_in_usd"), found.total("paid_out_usd")) == (D(2200), D(0))


def test_a_fee_in_money_is_part_of_cost_or_proceeds() -> None:
    found = settle(
        buy("2024-01-01", "1 ETH", "1000 USD", fee="10 USD"), sell("2024-01-02", "1500 USD", "1 ETH", fee="20 USD")
    )
    assert found.realised == D(470)


# 2. Gas
def test_gas_is_a_disposal_of_the_coin_and_its_worth_belongs_to_the_swap() -> None:
    swap = row("2024-02-01", "trade", came="4 UNI", went="1 ETH", fee="0.01 ETH", value="2000")
    found = settle(START, swap, closes=MARKET)
    assert found.held("UNI") == (D(4), D(2020))
    assert found.sold("ETH") == [(D(1), D(1000), D(2000)), (D("0.01"), D(10), D(20))]


def test_a_failed_transaction_still_costs_gas() -> None:
    found = settle(START, row("2024-02-01", "fee", fee="0.01 ETH"), closes=MARKET)
    assert found.sold("ETH") == [(D("0.01"), D(10), D(20))]
    assert found.held("ETH")[0] == D("9.99")


# 3. Own-wallet transfer
def test_a_transfer_moves_lots_with_their_day_and_cost_and_only_the_lost_part_is_disposed_of() -> None:
    move = row("2024-03-01", "transfer", went="4.01 ETH", came="4 ETH", to_venue="ledger")
    found = settle(START, move, closes=MARKET, scope="per_venue")
    assert found.held("ETH", "ledger") == (D(4), D(4000))
    assert found.sold("ETH") == [(D("0.01"), D(10), D(20))]
    assert [lot[0] for lot in found.lots("ETH")] == [date(2024, 1, 1), date(2024, 1, 1)]


def test_lots_are_used_in_order_of_acquisition_not_of_arrival() -> None:
    rows = (
        buy("2024-01-01", "1 ETH", "100 USD"),
        buy("2024-01-02", "1 ETH", "200 USD", venue="ledger"),
        row("2024-01-03", "transfer", went="1 ETH", came="1 ETH", to_venue="ledger"),
        sell("2024-01-04", "500 USD", "1 ETH", venue="ledger"),
    )
    assert settle(*rows, scope="per_venue", method="fifo").realised == D(400)
    assert settle(*rows, scope="per_venue", method="lifo").realised == D(300)


def test_a_transfer_may_span_lots() -> None:
    rows = (
        buy("2024-01-01", "1 ETH", "100 USD"),
        buy("2024-01-02", "1 ETH", "200 USD"),
        row("2024-01-03", "transfer", went="1.5 ETH", came="1.4 ETH", to_venue="ledger"),
    )
    found = settle(*rows, scope="per_venue", closes=prices(ETH=300.0))
    assert found.held("ETH", "ledger") == (D("1.4"), D(180))
    assert found.sold("ETH") == [(D("0.1"), D(20), D(30))]
    assert found.held("ETH", "kraken") == (D("0.5"), D(100))


# 4. Unmatched half of a transfer
def test_halves_with_one_transaction_hash_are_a_transfer() -> None:
    rows = (
        START,
        row("2024-02-01T10:00", "withdrawal", went="2 ETH", tx_hash="0xAB"),
        row("2024-02-05T10:00", "deposit", came="1.9 ETH", venue="ledger", tx_hash="0xab"),
    )
    found = settle(*rows, closes=MARKET, scope="per_venue")
    assert found.held("ETH", "ledger") == (D("1.9"), D(1900))
    assert found.sold("ETH") == [(D("0.1"), D(100), D(200))]


def test_halves_near_in_amount_and_time_are_a_transfer() -> None:
    rows = (
        START,
        row("2024-02-01T10:00", "withdrawal", went="2 ETH"),
        row("2024-02-01T10:30", "deposit", came="1.99 ETH", venue="ledger"),
        row("2024-02-01T10:40", "deposit", came="1.99 ETH", venue="other"),
    )
    found = settle(*rows, closes=MARKET, scope="per_venue")
    assert found.held("ETH", "ledger") == (D("1.99"), D(1990))
    assert found.held("ETH", "other") == (D("1.99"), D(0))
    assert found.open.filter(pl.col("venue") == "other")["flags"].to_list() == [Flag.UNKNOWN_SOURCE]


@pytest.mark.parametrize(
    "deposit",
    [
        row("2024-02-03T10:00", "deposit", came="2 ETH", venue="ledger"),  # two days later
        row("2024-02-01T10:30", "deposit", came="1.5 ETH", venue="ledger"),  # a quarter lost
        row("2024-02-01T10:30", "deposit", came="2.01 ETH", venue="ledger"),  # more than was sent
        row("2024-02-01T10:30", "deposit", came="2 ETH"),  # into the same venue
        row("2024-02-01T10:30", "deposit", came="2 ETH", venue="ledger", tx_hash="0xcd"),  # another transaction
    ],
)
def test_an_unmatched_half_stays_unknown_and_is_not_guessed(deposit: dict[str, object]) -> None:
    found = settle(START, row("2024-02-01T10:00", "withdrawal", went="2 ETH", tx_hash="0xab"), deposit, closes=MARKET)
    assert found.realised == 0
    left = found.uses.filter(pl.col("kind") == int(Kind.LEAVE))
    assert left.select("quantity", "cost_usd").rows() == [(D(2), D(2000))]
    assert Flag.UNKNOWN_SOURCE in {Flag(flags) for flags in found.open["flags"]}


def test_a_deposit_whose_file_says_what_it_cost_is_known() -> None:
    found = settle(row("2024-02-01", "deposit", came="2 ETH", value="1500"), closes=MARKET)
    assert found.held("ETH") == (D(2), D(1500))
    assert found.open["flags"].to_list() == [0]


# 5. Pool scope
def test_both_scopes_are_there_and_differ() -> None:
    rows = (
        buy("2024-01-01", "1 ETH", "100 USD"),
        buy("2024-01-02", "1 ETH", "200 USD", venue="ledger"),
        sell("2024-01-03", "500 USD", "1 ETH", venue="ledger"),
    )
    assert settle(*rows).realised == D(400)
    assert settle(*rows, scope="per_venue").realised == D(300)


# 6. Missing acquisition
def test_what_was_never_acquired_costs_nothing_is_flagged_and_its_amount_listed() -> None:
    found = settle(buy("2024-01-01", "1 ETH", "100 USD"), sell("2024-01-02", "900 USD", "3 ETH"))
    assert found.sold("ETH") == [(D(1), D(100), D(300)), (D(2), D(0), D(600))]
    missing = found.entries.filter(pl.col("flags") & int(Flag.MISSING) != 0)
    assert missing.select("quantity", "cost_usd").rows() == [(D(2), D(0))]
    assert found.uses["flags"].to_list() == [0, Flag.MISSING]
    assert found.held("ETH") == (D(0), D(0))


# 7. Negative inventory
def test_where_shorts_are_allowed_a_sale_of_nothing_opens_one_and_a_purchase_closes_it() -> None:
    rows = (
        sell("2024-01-01", "900 USD", "3 ETH"),
        buy("2024-01-02", "1 ETH", "200 USD"),
        buy("2024-01-03", "4 ETH", "1000 USD"),
    )
    policy = LedgerPolicy(shorts_allowed=True)
    for method in ("fifo", "lifo", "hifo", "average"):
        open_short = settle(rows[0], policy=policy, method=method)
        assert open_short.held("ETH") == (D(-3), D(-900))
        assert open_short.realised == 0
        closed = settle(*rows, policy=policy, method=method)
        assert closed.realised == D(100) + D(100)  # 300 − 200, 600 − 500
        assert closed.held("ETH") == (D(2), D(500))


# 8. Same timestamp
def test_at_one_moment_acquisitions_come_before_swaps_and_these_before_disposals() -> None:
    found = settle(
        sell("2024-01-01", "300 USD", "1 UNI"),
        row("2024-01-01", "trade", came="1 UNI", went="1 ETH", value="150"),
        row("2024-01-01", "reward", came="1 ETH", value="100"),
    )
    assert found.ordered["type"].to_list() == ["reward", "trade", "trade"]
    assert found.realised == D(50) + D(150)


def test_at_one_moment_block_transaction_and_log_decide_first() -> None:
    place = {"block_number": 7, "transaction_index": 3}
    rows = (
        row("2024-01-01", "reward", came="1 ETH", value="1", log_index=9, **place),
        row("2024-01-01", "spend", went="1 ETH", value="1", log_index=2, **place),
        row("2024-01-01", "reward", came="1 ETH", value="1", block_number=6, transaction_index=8),
    )
    assert settle(*rows).ordered["transaction_key"].to_list() == [3, 2, 1]


def test_legs_of_one_transaction_stay_together() -> None:
    rows = (
        row("2024-01-01", "trade", went="1 ETH", transaction_id="b", leg=1),
        row("2024-01-01", "trade", came="5 UNI", transaction_id="b", leg=2),
        row("2024-01-01", "trade", came="5 UNI", went="5 DAI", transaction_id="a", value="1"),
    )
    found = settle(START, *rows, closes=prices(ETH=2000.0))
    assert found.ordered.filter(pl.col("transaction_id") == "b")["rank"].diff().to_list() == [None, 1]
    assert found.held("UNI") == (D(10), D(2001))


# 9. Swaps
def test_a_swap_has_one_value_that_of_the_leg_with_the_better_price() -> None:
    swap = row("2024-02-01", "trade", came="4 UNI", went="1 ETH")
    stale = prices(ETH=(2000.0, "stale", 3), UNI=(520.0, "ok", 1))
    assert settle(START, swap, closes=stale).held("UNI")[1] == D(2080)
    more_quotes = prices(ETH=(2000.0, "ok", 3), UNI=(520.0, "ok", 1))
    assert settle(START, swap, closes=more_quotes).held("UNI")[1] == D(2000)
    alike = prices(ETH=2000.0, UNI=520.0)
    found = settle(START, swap, closes=alike)
    assert found.held("UNI")[1] == D(2000)
    assert found.realised == D(1000)
    assert (found.total("paid_in_usd"), found.total("paid_out_usd")) == (D(10000), D(0))


def test_a_stable_coin_is_worth_its_close() -> None:
    found = settle(START, row("2024-02-01", "trade", came="2000 USDC", went="1 ETH"), closes=prices(USDC=0.9))
    assert found.held("USDC") == (D(2000), D(1800))


def test_a_swap_that_nobody_can_value_is_flagged_on_both_sides() -> None:
    found = settle(START, row("2024-02-01", "trade", came="4 UNI", went="1 ETH"))
    assert found.values["value_usd"].to_list() == [D(10000), None]
    assert found.uses["flags"].to_list() == [Flag.UNPRICED]
    assert found.open.filter(pl.col("asset_id") == "UNI")["flags"].to_list() == [Flag.UNPRICED]


# 10. Wraps
def test_a_wrap_moves_the_basis_with_its_ratio_or_by_setting_is_a_swap() -> None:
    wrap = row("2024-02-01", "wrap", came="8 wstETH", went="10 ETH")
    kept = settle(START, wrap, closes=MARKET)
    assert kept.lots("wstETH") == [(date(2024, 1, 1), D(8), D(10000))]
    assert kept.realised == 0
    sold = settle(START, wrap, closes=MARKET, policy=LedgerPolicy(wraps_keep_basis=False))
    assert sold.lots("wstETH") == [(date(2024, 2, 1), D(8), D(20000))]
    assert sold.realised == D(10000)


# 11. Liquidity
def test_liquidity_takes_the_basis_in_and_gives_market_value_out() -> None:
    usdc = buy("2024-01-01", "4000 USDC", "4000 USD")
    add = [
        row("2024-02-01", "add_liquidity", went="2 ETH", transaction_id="add", leg=1),
        row("2024-02-01", "add_liquidity", went="4000 USDC", transaction_id="add", leg=2),
        row("2024-02-01", "add_liquidity", came="100 LP", transaction_id="add", leg=3),
    ]
    remove = [
        row("2024-03-01", "remove_liquidity", went="50 LP", transaction_id="rem", leg=1),
        row("2024-03-01", "remove_liquidity", came="1 ETH", transaction_id="rem", leg=2),
        row("2024-03-01", "remove_liquidity", came="2500 USDC", transaction_id="rem", leg=3),
    ]
    fees = row("2024-03-02", "reward", came="0.5 ETH")
    closes = prices(ETH=2000.0, USDC=1.0)
    added = settle(START, usdc, *add, closes=closes)
    assert added.held("LP") == (D(100), D(6000))
    assert added.realised == 0
    removed = settle(START, usdc, *add, *remove, fees, closes=closes)
    assert removed.held("LP") == (D(50), D(3000))
    assert removed.sold("LP") == [(D(50), D(3000), D(4500))]
    assert removed.held("USDC") == (D(2500), D(2500))
    assert removed.total("income_usd") == D(1000)
    at_market = settle(START, usdc, *add, closes=closes, policy=LedgerPolicy(liquidity_keeps_basis=False))
    assert at_market.held("LP") == (D(100), D(8000))
    assert at_market.realised == D(2000)


# 12. Income
@pytest.mark.parametrize("kind", ["airdrop", "reward", "income", "mining"])
def test_income_is_an_acquisition_at_market(kind: str) -> None:
    found = settle(row("2024-02-01", kind, came="2 ETH"), closes=MARKET)
    assert found.held("ETH") == (D(2), D(4000))
    assert (found.total("income_usd"), found.total("paid_in_usd")) == (D(4000), D(0))


def test_unpriced_income_costs_nothing_and_says_so() -> None:
    found = settle(row("2024-02-01", "airdrop", came="2 SPAM"))
    assert found.held("SPAM") == (D(2), D(0))
    assert found.open["flags"].to_list() == [Flag.UNPRICED]
    assert found.values["value_usd"].to_list() == [None]


# 13. Rebasing tokens
def test_a_quantity_that_grows_by_itself_is_income_and_one_that_shrinks_is_a_loss() -> None:
    grows = row("2024-02-01", "rebase", came="1 ETH")
    shrinks = row("2024-02-02", "rebase", went="2 ETH")
    found = settle(START, grows, shrinks, closes=MARKET)
    assert found.total("income_usd") == D(2000)
    assert found.realised == D(-2000)
    assert found.held("ETH") == (D(9), D(10000))


# 14. Forks
def test_a_fork_costs_nothing_or_by_setting_its_close() -> None:
    fork = row("2024-02-01", "fork", came="10 ETHW")
    free = settle(START, fork, closes=prices(ETHW=5.0))
    assert (free.held("ETHW"), free.total("income_usd"), free.open["flags"].sum()) == ((D(10), D(0)), D(0), 0)
    earned = settle(START, fork, closes=prices(ETHW=5.0), policy=LedgerPolicy(forks_are_income=True))
    assert (earned.held("ETHW"), earned.total("income_usd")) == ((D(10), D(50)), D(50))


# 15. NFT
@pytest.mark.parametrize("method", ["fifo", "lifo", "hifo", "average"])
def test_each_nft_is_a_lot_of_its_own(method: str) -> None:
    first, second = "eip155:1/erc721:0x01/1", "eip155:1/erc721:0x01/2"
    rows = (
        buy("2024-01-01", f"1 {first}", "100 USD"),
        buy("2024-01-02", f"1 {second}", "300 USD"),
        sell("2024-01-03", "1000 USD", f"1 {second}"),
    )
    found = settle(*rows, method=method)  # type: ignore[arg-type]
    assert found.realised == D(700)
    assert found.held(first) == (D(1), D(100))


# 16. Dust
def test_a_rest_below_the_last_decimal_closes_the_lot() -> None:
    rows = (buy("2024-01-01", "1.000000001 BTC", "100 USD"), sell("2024-01-02", "300 USD", "1 BTC"))
    closed = settle(*rows, decimals={"BTC": 8})
    assert closed.held("BTC") == (D(0), D(0))
    assert closed.realised == D(200)
    kept = settle(*rows)
    assert kept.held("BTC")[0] == D("0.000000001")


def test_a_shortfall_below_the_last_decimal_is_not_missing() -> None:
    rows = (buy("2024-01-01", "1 BTC", "100 USD"), sell("2024-01-02", "300 USD", "1.000000001 BTC"))
    found = settle(*rows, decimals={"BTC": 8})
    assert found.entries["flags"].sum() == 0
    assert found.sold("BTC") == [(D(1), D(100), D(300))]


# 17. Reorganisations and late imports
def test_an_earlier_transaction_that_comes_late_changes_what_follows() -> None:
    known = (buy("2024-01-02", "1 ETH", "200 USD"), sell("2024-01-03", "500 USD", "1 ETH"))
    late = buy("2024-01-01", "1 ETH", "100 USD")
    assert settle(*known).realised == D(300)
    assert settle(*known, late).realised == D(400)
    assert settle(*known, late).ordered["day"].min() == date(2024, 1, 1)


# The rest of the vocabulary
def test_gifts_and_spending_are_disposals_at_market_and_a_loss_has_no_proceeds() -> None:
    for kind, gain in (("gift_sent", 1000), ("spend", 1000), ("loss", -1000)):
        assert settle(START, row("2024-02-01", kind, went="1 ETH"), closes=MARKET).realised == D(gain)


def test_a_gift_that_came_is_no_income() -> None:
    found = settle(row("2024-02-01", "gift_received", came="1 ETH"), closes=MARKET)
    assert (found.held("ETH"), found.total("income_usd")) == ((D(1), D(2000)), D(0))
    assert found.total("paid_in_usd") == D(2000)


def test_a_transfer_that_crosses_midnight_happens_when_it_was_sent() -> None:
    rows = (
        START,
        row("2024-02-01T23:59", "withdrawal", went="2 ETH"),
        row("2024-02-02T00:10", "deposit", came="2 ETH", venue="ledger"),
    )
    assert settle(*rows, closes=MARKET).ordered["day"].to_list()[1:] == [date(2024, 2, 1)] * 2
    assert timedelta(0) == settle(*rows).ordered["at"].diff()[2]
