"""Exports of exchanges: every row of real ones is understood, left out with a reason, or a fault; none disappears."""

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.database.transaction_exports import amount, moment, read_export
from portfolio_pipelines.database.transaction_files import TransactionFile, read_transaction_file
from portfolio_pipelines.database.transaction_import import CURRENCIES, SIDES
from portfolio_pipelines.finance.inventory import find_shortfalls
from portfolio_pipelines.finance.transactions import FIAT, TRANSACTIONS

ROOT = Path(__file__).parents[3]
EXPORTS = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve() / "ledgers" / "exports"
NOW = datetime(2026, 1, 10, tzinfo=UTC)
# file: format, transactions, rows left out, faulty rows
EXPECTED = {
    "binance_history.csv": ("binance", 39, 15, 4),
    "bisq_trades.csv": ("bisq", 9, 1, 0),
    "bitcoin_tax_trades.csv": ("bitcoin.tax", 3, 0, 0),
    "bitmex_wallet_history.csv": ("bitmex", 9, 1, 0),
    "bitstamp.csv": ("bitstamp", 3, 0, 0),
    "bittrex_order_history.csv": ("bittrex", 2, 0, 0),
    "bittrex_tx_history.csv": ("bittrex", 2, 0, 0),
    "blockfi-trades.csv": ("blockfi", 1, 0, 0),
    "blockfi-transactions.csv": ("blockfi", 7, 2, 0),
    "blockpit_transactions.csv": ("blockpit", 17, 0, 0),
    "coinbasepro.csv": ("coinbasepro", 11, 0, 0),
    "coinledger_export.csv": ("coinledger", 21, 0, 6),
    "cointracking_custom_dates.csv": ("cointracking", 2, 0, 0),
    "cointracking_trades_list.csv": ("cointracking", 11, 0, 1),
    "corrupt_nexo.csv": ("nexo", 11, 5, 1),
    "cryptocom_special_events.csv": ("crypto.com", 12, 1, 2),
    "cryptocom_trades_list.csv": ("crypto.com", 31, 10, 0),
    "kucoin_order_history.csv": ("kucoin", 2, 0, 0),
    "nexo.csv": ("nexo", 25, 14, 0),
    "rotki_generic_events.csv": ("rotki events", 6, 0, 1),
    "rotki_generic_trades.csv": ("rotki trades", 5, 0, 1),
    "shapeshift-trade-history.csv": ("shapeshift", 2, 1, 0),
    "uphold-transaction-history.csv": ("uphold", 8, 0, 0),
}


def read(source: Path | str, **options: Any) -> TransactionFile:
    content = source if isinstance(source, Path) else source.encode()
    return read_transaction_file(content, first_day=date(2013, 1, 1), now=NOW, user_id="ann", **options)


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="PORTFOLIO_SHARED_DATA has no ledgers/exports")
@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_export_is_read_completely(name: str) -> None:
    form, transactions, ignored, faulty = EXPECTED[name]
    export = read_export(EXPORTS / name, day_first=True)
    assert export is not None
    assert not any("was not understood" in str(fault) for fault in export.faults.first)
    file = read(EXPORTS / name, day_first=True)
    assert (file.format, file.faults.total, sum(count for _, count in file.ignored)) == (form, faulty, ignored)
    skipped = read(EXPORTS / name, day_first=True, skip_faulty=True)
    assert not skipped.faults
    assert sum(count for _, count in skipped.ignored) == ignored + faulty
    assert skipped.rows["transaction_id"].n_unique() == transactions
    assert set(skipped.rows["user_id"]) == {"ann"}


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="PORTFOLIO_SHARED_DATA has no ledgers/exports")
def test_no_export_is_forgotten() -> None:
    assert {path.name for path in EXPORTS.glob("*.csv")} == set(EXPECTED)


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="PORTFOLIO_SHARED_DATA has no ledgers/exports")
def test_most_real_exports_take_what_never_came_in_them_so_that_they_are_listed_and_not_refused() -> None:
    short = 0
    for name in EXPECTED:
        rows = read(EXPORTS / name, day_first=True, skip_faulty=True).rows
        money = [
            pl.when(pl.col(side).is_in(sorted(CURRENCIES)))
            .then(pl.lit(FIAT) + pl.col(side))
            .otherwise(side)
            .alias(side)
            for side in SIDES
        ]
        ledger = rows.with_columns(*money, user_key=1, transaction_key=pl.int_range(pl.len()))
        short += not find_shortfalls(ledger.select(TRANSACTIONS.names()).cast(TRANSACTIONS)).is_empty()
    assert (short, len(EXPECTED)) == (20, 23)


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="PORTFOLIO_SHARED_DATA has no ledgers/exports")
def test_balances_of_coinbase_pro_are_those_that_it_prints() -> None:
    rows = read(EXPORTS / "coinbasepro.csv").rows
    lines = pl.read_csv(EXPORTS / "coinbasepro.csv", infer_schema=False)
    for coin in ("BTC", "ETH"):
        total = Decimal(0)
        for side, sign in (("in", 1), ("out", -1), ("fee", -1)):
            mine = rows.filter(pl.col(f"{side}_asset") == coin)
            total += sign * sum((Decimal(text) for text in mine[f"{side}_quantity"]), Decimal(0))
        printed = lines.filter(pl.col("Amount/balance unit") == coin)["Amount"]
        assert total == sum(Decimal(text) for text in printed)


def leg(file: TransactionFile, at: int = 0) -> tuple[Any, ...]:
    columns = ["type", "in_quantity", "in_asset", "out_quantity", "out_asset", "fee_quantity", "fee_asset"]
    return file.rows.select(columns).row(at)


def test_a_trade_of_kucoin() -> None:
    header = "tradeCreatedAt,symbol,side,price,size,funds,fee,feeCurrency\n"
    assert leg(read(header + "2022-04-28 12:36:00,XTZ-USDT,sell,2,3,6,0.1,USDT\n")) == (
        "trade",
        "6",
        "USDT",
        "3",
        "XTZ",
        "0.1",
        "USDT",
    )


BINANCE = "User_ID,UTC_Time,Account,Operation,Coin,Change,Remark\n"


def test_lines_of_binance_of_one_second_are_one_trade() -> None:
    text = BINANCE + (
        "1,2020-10-30 14:21:20,Spot,Fee,ETH,-3.6E-05,\n1,2020-10-30 14:21:20,Spot,Buy,EUR,-100,\n"
        "1,2020-10-30 14:21:20,Spot,Buy,EUR,-34,\n1,2020-10-30 14:21:20,Spot,Buy,ETH,0.036,\n"
    )
    assert leg(read(text)) == ("trade", "0.036", "ETH", "134", "EUR", "0.000036", "ETH")


def test_a_faulty_row_refuses_an_export_unless_it_is_to_be_left_out() -> None:
    text = BINANCE + "1,2020-10-30 14:21:20,Spot,Frobnicate,ETH,1,\n1,2020-10-30 14:21:21,Spot,Deposit,ETH,1,\n"
    assert "row 2: operation 'Frobnicate' is not known" in str(read(text).faults.refusal())
    kept = read(text, skip_faulty=True)
    assert kept.ignored == (("row 2: operation 'Frobnicate' is not known", 1),)
    assert leg(kept) == ("deposit", "1", "ETH", None, None, None, None)


def test_equal_rows_of_an_export_are_several_transactions_with_stable_ids() -> None:
    text = BINANCE + "1,2020-10-30 14:21:21,Spot,Deposit,ETH,1,\n" * 2
    first, second = read(text).rows["transaction_id"]
    assert second == f"{first}#2"
    assert read(text).rows["transaction_id"].to_list() == [first, second]


def test_a_date_that_may_mean_two_days_has_to_be_explained() -> None:
    text = (
        "Type,Buy,Cur.,Sell,Cur.,Fee,Cur.,Exchange,Group,Comment,Date\nDeposit,5,XMR,-,,,,Poloniex,,,5/9/2017 21:14\n"
    )
    assert "may mean two days" in str(read(text).faults.refusal())
    assert read(text, day_first=True).rows["at"][0].date() == date(2017, 9, 5)
    assert read(text, day_first=False).rows["at"][0].date() == date(2017, 5, 9)


def test_whose_export_it_is_has_to_be_said() -> None:
    content = (BINANCE + "1,2020-10-30 14:21:21,Spot,Deposit,ETH,1,\n").encode()
    file = read_transaction_file(content, first_day=date(2013, 1, 1), now=NOW)
    assert "does not say whose it is" in str(file.faults.refusal())


def test_what_bitmex_withdraws_includes_its_fee() -> None:
    header = "transactTime,transactType,amount,fee,address,transactStatus,walletBalance\n"
    row = '"12/25/2019, 5:47:25 AM",Withdrawal,-5746216,100000,x,Completed,0\n'
    assert leg(read(header + row)) == ("withdrawal", None, None, "0.05646216", "BTC", "0.00100000", "BTC")


@pytest.mark.parametrize("text", ["NaN", "inf", "1.2.3", "ten"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        amount(text)


def test_amounts_and_times_as_exchanges_write_them() -> None:
    assert [amount(text) for text in ("$1,234.50", "-", "", "+0.5", "1E-8")] == [
        Decimal("1234.50"), 0, 0, Decimal("0.5"), Decimal("1e-8"),
    ]  # fmt: skip
    assert moment("2018-06-03 21:16:15 +0200") == datetime(2018, 6, 3, 19, 16, 15, tzinfo=UTC)
    with pytest.raises(ValueError, match="is no time"):
        moment("yesterday")
