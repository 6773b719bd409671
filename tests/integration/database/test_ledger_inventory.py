"""Imports that would make a ledger take what it does not have: refused whole, or listed; never half, never guessed."""

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from portfolio_pipelines.database.transaction_import import TransactionImport, import_transactions
from portfolio_pipelines.database.transaction_versions import load_transactions
from portfolio_pipelines.finance.inventory import InventoryRules, find_shortfalls
from portfolio_pipelines.finance.lot_movements import LedgerPolicy
from portfolio_pipelines.finance.transactions import in_order
from portfolio_pipelines.market.file_faults import FileRefusedError

ROOT = Path(__file__).parents[3]
EXPORTS = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve() / "ledgers" / "exports"
NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
HEADER = (
    "user_id,transaction_id,at,type,venue,to_venue,in_asset,in_quantity,out_asset,out_quantity,fee_asset,fee_quantity,"
    "tx_hash\n"
)
BUY = "ann,buy,2024-01-01 10:00,buy,kraken,,BTC,1,USD,40000,,,\n"
SELL = "ann,sell,2024-02-01 10:00,sell,kraken,,USD,50000,BTC,0.75,,,\n"
PER_VENUE = InventoryRules(scope="per_venue")


def bring(engine: sa.Engine, *lines: str, **options: Any) -> TransactionImport:
    given: dict[str, Any] = {"first_day": date(2013, 1, 1), "who": "tester", "now": NOW, "name": "ledger.csv"}
    return import_transactions(engine, (HEADER + "".join(lines)).encode(), **(given | options))


def refusal(engine: sa.Engine, *lines: str, **options: Any) -> str:
    before = everything(engine)
    with pytest.raises(FileRefusedError) as caught:
        bring(engine, *lines, **options)
    assert everything(engine) == before
    return str(caught.value)


def everything(engine: sa.Engine) -> list[Any]:
    with engine.connect() as connection:
        return [
            connection.execute(sa.text(f"select * from app.{table} order by 1, 2")).all()
            for table in ("users", "imports", "transactions", "transaction_versions", "assets")
        ]


def state(engine: sa.Engine) -> pl.DataFrame:
    """The ordered ledger without the numbers that follow the order of imports."""
    ordered = in_order(load_transactions(engine))
    ids = ordered.select(matched_key="transaction_key", matched="transaction_id")
    return ordered.join(ids, on="matched_key", how="left", maintain_order="left").drop("transaction_key", "matched_key")


def test_all_rows_that_take_too_much_are_told_at_once_and_nothing_is_imported(database: sa.Engine) -> None:
    said = refusal(
        database,
        BUY,
        SELL,
        "ann,more,2024-02-02 11:30,sell,kraken,,USD,30000,BTC,0.5,,,\n",
        "ann,swap,2024-02-03,swap,kraken,,SOL,10,USD,1000,ETH,0.01,\n",
        "bob,gone,2024-02-04,withdrawal,ledger,,,,BTC,2,,,\n",
    )
    assert said.splitlines()[:4] == [
        "ledger.csv was refused, nothing was imported: 3 faults",
        "  row 4: trade 'more' leg 1 of ann takes 0.5 coingecko:bitcoin from kraken at 2024-02-02 11:30:00 UTC: "
        "0.25 held in all venues, 0.25 missing",
        "  row 5: the fee of trade 'swap' leg 1 of ann takes 0.01 coingecko:ethereum from kraken at 2024-02-03 "
        "00:00:00 UTC: 0 held in all venues, 0.01 missing",
        "  row 6: withdrawal 'gone' leg 1 of bob takes 2 coingecko:bitcoin from ledger at 2024-02-04 00:00:00 UTC: "
        "0 held in all venues, 2 missing",
    ]
    assert "import the missing acquisitions first" in said
    assert "--missing-acquisitions list" in said


def test_an_impossible_order_is_refused_although_the_sums_are_right(database: sa.Engine) -> None:
    assert "row 2: trade 'sell' leg 1 of ann takes 0.75" in refusal(database, SELL, BUY.replace("2024-01", "2024-03"))
    assert bring(database, SELL, BUY).added == 2, "the order of rows in a file says nothing"


def test_what_is_to_be_listed_is_imported_and_counted(database: sa.Engine) -> None:
    report = bring(database, SELL, missing_acquisitions="list")
    assert (report.added, report.missing) == (1, 1)
    again = bring(database, SELL)
    assert (again.unchanged, again.missing) == (1, 0), "the same file twice changes nothing, so it asks nothing"


def test_a_late_import_repairs_what_was_missing(database: sa.Engine) -> None:
    bring(database, SELL, missing_acquisitions="list")
    part = BUY.replace("BTC,1", "BTC,0.5")
    report = bring(database, part)
    assert (report.added, report.missing) == (1, 0), "less is missing than before: that is no new fault"
    bring(database, BUY.replace("ann,buy", "ann,rest").replace("BTC,1", "BTC,0.25"))
    assert find_shortfalls(load_transactions(database)).is_empty()
    assert "takes 0.25" in refusal(database, "ann,again,2024-03-01,sell,kraken,,USD,1,BTC,0.25,,,\n")


def test_a_correction_that_makes_a_stored_disposal_impossible_names_it(database: sa.Engine) -> None:
    bring(database, BUY, name="january.csv")
    bring(database, SELL, name="february.csv")
    said = refusal(database, BUY.replace("BTC,1", "BTC,0.7"), name="corrected.csv")
    assert (
        "  trade 'sell' leg 1 (stored, row 2 of february.csv) of ann takes 0.75 coingecko:bitcoin from kraken at "
        "2024-02-01 10:00:00 UTC: 0.7 held in all venues, 0.05 missing" in said
    )
    assert bring(database, BUY.replace("BTC,1", "BTC,0.75")).changed == 1
    assert "row 2 of february.csv" in refusal(database, BUY.replace("BTC,1", "BTC,0.75").replace("2024-01", "2024-03"))
    moved = bring(database, BUY.replace("2024-01", "2024-03"), missing_acquisitions="list")
    assert (moved.changed, moved.missing) == (1, 1)


def test_a_new_early_disposal_takes_it_from_a_stored_later_one(database: sa.Engine) -> None:
    bring(database, BUY, SELL, name="old.csv")
    said = refusal(database, "ann,early,2024-01-15,sell,kraken,,USD,20000,BTC,0.5,,,\n")
    assert "1 fault\n" in said
    assert "trade 'sell' leg 1 (stored, row 3 of old.csv) of ann takes 0.75" in said
    assert "0.5 held in all venues, 0.25 missing" in said


OUT = "ann,out,2024-01-05 10:00,withdrawal,kraken,,,,BTC,1,,,0xAA\n"
IN = "ann,in,2024-01-05 11:00,deposit,ledger,,BTC,0.99,,,,,0xaa\n"


def test_a_transfer_between_own_wallets_brings_what_is_sold_where_it_arrived(database: sa.Engine) -> None:
    bring(database, BUY, OUT)
    there = SELL.replace("kraken", "ledger")
    assert "row 2: trade 'sell' leg 1 of ann takes 0.75" in refusal(database, there), "it went to an unknown place"
    bring(database, IN)
    bring(database, there, rules=PER_VENUE)
    rest = "ann,rest,2024-02-02,sell,ledger,,USD,1,BTC,0.25,,,\n"
    assert "0.24 held in all venues, 0.01 missing" in refusal(database, rest), "a hundredth was lost on the way"


def test_a_deposit_that_leaves_its_withdrawal_is_told_with_the_stored_row_that_suffers(database: sa.Engine) -> None:
    bring(database, BUY, OUT, IN, SELL.replace("kraken", "ledger"), name="old.csv")
    said = refusal(database, IN.replace("0xaa", "0xbb").replace("BTC,0.99", "BTC,0.5"))
    assert "(stored, row 5 of old.csv)" in said


def test_the_setting_says_whether_other_venues_count(database: sa.Engine) -> None:
    elsewhere = SELL.replace("kraken", "coinbase")
    said = refusal(database, BUY, elsewhere, rules=PER_VENUE)
    assert "takes 0.75 coingecko:bitcoin from coinbase" in said
    assert "0 held there, 0.75 missing" in said
    assert bring(database, BUY, elsewhere).added == 2


def test_going_short_is_no_shortfall_where_it_is_allowed(database: sa.Engine) -> None:
    rules = InventoryRules(policy=LedgerPolicy(shorts_allowed=True))
    assert bring(database, SELL, rules=rules).missing == 0


def test_decimals_are_exact_and_rounded_like_those_that_are_stored(database: sa.Engine) -> None:
    bought = "ann,buy,2024-01-01,buy,kraken,,BTC,0.1234567890123456785,USD,1,,,\n"
    sold = "ann,sell,2024-01-02,sell,kraken,,USD,1,BTC,{},,,\n"
    assert "0.000000000000000001 missing" in refusal(database, bought, sold.format("0.123456789012345680"))
    bring(database, bought, sold.format("1.23456789012345679e-1"))
    assert find_shortfalls(load_transactions(database)).is_empty()
    more = sold.format("1e-18").replace("ann,sell,2024-01-02", "ann,more,2024-01-03")
    assert "0 held in all venues, 0.000000000000000001 missing" in refusal(database, more)


def test_users_are_looked_at_by_themselves(database: sa.Engine) -> None:
    bring(database, BUY)
    bring(database, SELL.replace("ann", "bob"), missing_acquisitions="list")
    assert bring(database, SELL).added == 1, "what bob lacks is not asked of ann"


FILES: Sequence[str] = (
    BUY + "bob,b1,2024-01-01,buy,kraken,,ETH,3,USD,1,,,\n",
    OUT
    + "bob,w1,2024-01-03 10:00,withdrawal,kraken,,,,ETH,1,,,\nbob,w2,2024-01-03 10:00,withdrawal,kraken,,,,ETH,1,,,\n",
    IN + "bob,d1,2024-01-03 11:00,deposit,one,,ETH,1,,,,,\nbob,d2,2024-01-03 11:00,deposit,two,,ETH,1,,,,,\n",
    SELL.replace("kraken", "ledger") + "bob,s1,2024-02-01,sell,two,,USD,9,ETH,2,,,\n",
)


@pytest.mark.parametrize("order", list(permutations(range(4)))[1::4])
def test_files_in_any_order_end_where_the_right_order_ends(database: sa.Engine, order: tuple[int, ...]) -> None:
    for at in order:
        bring(database, FILES[at], missing_acquisitions="list")
    found = state(database)
    with database.begin() as connection:
        connection.execute(sa.text("truncate app.users, app.imports, app.transactions restart identity cascade"))
    for text in FILES:
        bring(database, text, missing_acquisitions="refuse")
    mine = {"user_key"}  # given out in the order of imports, too
    assert found.drop(mine).sort("at", "transaction_id").equals(state(database).drop(mine).sort("at", "transaction_id"))
    assert find_shortfalls(load_transactions(database)).is_empty()


def test_shortfalls_are_told_together_with_all_other_faults(database: sa.Engine) -> None:
    said = refusal(
        database,
        BUY,
        "ann,bad,2024-01-02,borrow,kraken,,ETH,1,,,,,\n",  # may have brought the ether
        "ann,nope,2024-01-03,reward,kraken,,NOPECOIN,1,,,,,\n",
        "ann,buy,2024-01-01 10:00,reward,kraken,,SOL,1,,,,,\n",  # an id that is there already
        "ann,e,2024-01-04,sell,kraken,,USD,1,ETH,1,,,\n",
        "ann,s,2024-01-05,sell,kraken,,USD,1,SOL,1,,,\n",
        "ann,a,2024-01-05,sell,kraken,,USD,1,ADA,1e25,,,\n",
        SELL.replace("0.75", "1.5"),
    )
    assert "row 3: type 'borrow' is none of" in said
    assert "row 4: unknown asset 'NOPECOIN'" in said
    assert "row 5: repeats row 2" in said
    assert "row 8: out_quantity 1e25 is beyond reason" in said
    assert "row 9: trade 'sell' leg 1 of ann takes 1.5 coingecko:bitcoin" in said
    assert "5 faults" in said, "what a row that cannot be read may have brought is not called missing"


def test_a_row_of_nobody_may_belong_to_anybody(database: sa.Engine) -> None:
    said = refusal(database, BUY.replace("ann", ""), SELL)
    assert "1 fault\n" in said
    assert "row 2: no user_id" in said


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="PORTFOLIO_SHARED_DATA has no ledgers/exports")
def test_an_export_of_trades_alone_is_imported_and_says_what_it_lacks_unless_it_is_to_be_refused(
    database: sa.Engine,
) -> None:
    options: dict[str, Any] = {"first_day": date(2013, 1, 1), "who": "t", "user_id": "ann", "keep_unknown": True}
    file = EXPORTS / "bittrex_order_history.csv"
    with pytest.raises(FileRefusedError, match="in all venues"):
        import_transactions(database, file, missing_acquisitions="refuse", **options)
    assert load_transactions(database).is_empty()
    assert import_transactions(database, file, **options).missing == 3
