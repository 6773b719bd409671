"""Importing transaction files into a real database: versions, names, all faults at once, all or nothing."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from portfolio_pipelines.database.transaction_import import TransactionImport, import_transactions
from portfolio_pipelines.database.transaction_versions import list_transactions, load_transactions, remove
from portfolio_pipelines.finance.transactions import TRANSACTIONS, in_order
from portfolio_pipelines.market.file_faults import FileRefusedError

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
HEADER = (
    "user_id,transaction_id,leg,at,type,venue,to_venue,in_asset,in_quantity,out_asset,out_quantity,"
    "fee_asset,fee_quantity,value_usd,tx_hash,block_number,log_index\n"
)
BOUGHT = "ann,t1,,2024-01-01 10:00,buy,kraken,,BTC,0.100000000000000001,USD,4000,USD,10,,,,\n"
SOLD = "ann,t2,,2024-02-01 10:00,sell,kraken,,USD,2500,BTC,0.05,BTC,0.0001,,,,\n"


def bring(engine: sa.Engine, text: str, **options: Any) -> TransactionImport:
    defaults: dict[str, Any] = {"first_day": date(2013, 1, 1), "who": "tester", "now": NOW, "name": "ledger.csv"}
    return import_transactions(engine, text.encode(), **(defaults | options))


def refusal(engine: sa.Engine, text: str, **options: Any) -> str:
    with pytest.raises(FileRefusedError) as caught:
        bring(engine, text, **options)
    assert counts(engine) == (0, 0, 0)
    return str(caught.value)


def counts(engine: sa.Engine) -> tuple[int, ...]:
    tables = ("imports", "transactions", "transaction_versions")
    with engine.connect() as connection:
        return tuple(connection.scalar(sa.text(f"select count(*) from app.{table}")) for table in tables)


def test_a_ledger_is_stored_to_the_last_digit(database: sa.Engine) -> None:
    report = bring(database, HEADER + BOUGHT + SOLD)
    assert (report.added, report.changed, report.unchanged) == (2, 0, 0)
    assert (report.first_affected_day, report.format) == (date(2024, 1, 1), "own")
    frame = load_transactions(database)
    assert frame.schema == TRANSACTIONS
    assert frame["in_asset"].to_list() == ["coingecko:bitcoin", "fiat:usd"]
    assert frame["in_quantity"][0] == Decimal("0.100000000000000001")
    assert in_order(frame)["type"].to_list() == ["trade", "trade"]
    assert list_transactions(database, "bob").is_empty()


def test_the_same_file_twice_changes_nothing_and_a_changed_row_is_a_new_version(database: sa.Engine) -> None:
    bring(database, HEADER + BOUGHT + SOLD)
    again = bring(database, HEADER + BOUGHT + SOLD)
    assert (again.added, again.unchanged, again.first_affected_day) == (0, 2, None)
    assert counts(database) == (1, 2, 2)
    moved = bring(database, HEADER + SOLD.replace("2024-02-01", "2024-01-20"))
    assert (moved.changed, moved.first_affected_day) == (1, date(2024, 1, 20))
    assert counts(database) == (2, 2, 3)
    assert load_transactions(database)["at"].dt.date().to_list() == [date(2024, 1, 1), date(2024, 1, 20)]


def test_a_removed_transaction_is_gone_and_may_come_back(database: sa.Engine) -> None:
    bring(database, HEADER + BOUGHT + SOLD)
    with database.begin() as connection:
        assert remove(connection, "ann", "t2", NOW, "tester") == 1
        assert remove(connection, "ann", "t2", NOW, "tester") == 0
    assert load_transactions(database).height == 1
    assert bring(database, HEADER + SOLD).added == 1
    assert load_transactions(database).height == 2


def test_offsets_become_utc(database: sa.Engine) -> None:
    bring(database, HEADER + BOUGHT.replace("10:00", "23:30:00-0200"))
    assert load_transactions(database)["at"].to_list() == [datetime(2024, 1, 2, 1, 30, tzinfo=UTC)]


def test_tokens_of_chains_are_known_by_their_id_and_a_known_coin_is_one_asset(database: sa.Engine) -> None:
    nft = "eip155:1/erc721:0x" + "aB" * 20 + "/7"
    bring(
        database,
        HEADER + BOUGHT.replace("BTC", nft) + SOLD.replace("BTC", "COINGECKO:bitcoin"),
        missing_acquisitions="list",
    )
    assert load_transactions(database)["in_asset"][0] == nft.lower()
    assert load_transactions(database)["out_asset"][1] == "coingecko:bitcoin"


def test_an_unknown_asset_is_a_fault_unless_it_is_to_be_kept(database: sa.Engine) -> None:
    assert "unknown asset 'NOPECOIN'" in refusal(database, HEADER + BOUGHT.replace("BTC", "NOPECOIN"))
    report = bring(database, HEADER + BOUGHT.replace("BTC", "NOPECOIN"), keep_unknown=True)
    assert report.new_assets == ("file:NOPECOIN",)
    assert load_transactions(database)["in_asset"].to_list() == ["file:NOPECOIN"]


def test_whose_ledger_it_is_may_be_said_beside_the_file(database: sa.Engine) -> None:
    text = "transaction_id,at,type,venue,in_asset,in_quantity\nr1,2024-01-01,reward,kraken,ETH,1\n"
    assert "column user_id is missing" in refusal(database, text)
    bring(database, text, user_id="bob")
    assert list_transactions(database, "bob")["type"].to_list() == ["reward"]


FAULTS = {
    "duplicate ids": (BOUGHT + BOUGHT, "repeats row 2: transaction 't1' leg 1"),
    "mixed time zones": (BOUGHT + SOLD.replace("10:00", "10:00+01:00"), "with and without a time zone are mixed"),
    "the future": (BOUGHT.replace("2024", "2027"), "is in the future"),
    "the stone age": (BOUGHT.replace("2024", "2008"), "is before 2013-01-01"),
    "no date": (BOUGHT.replace("2024-01-01 10:00", "01.02.2024"), "dates look like day-month-year"),
    "an unknown type": (BOUGHT.replace("buy", "borrow"), "type 'borrow' is none of trade"),
    "a side that is missing": (BOUGHT.replace("USD,4000", ","), "trade 't1': nothing went"),
    "half a leg": (BOUGHT.replace("USD,4000", "USD,"), "out_asset and out_quantity go together"),
    "a negative amount": (BOUGHT.replace("4000", "-4000"), "out_quantity is -4000"),
    "more than there is": (BOUGHT.replace("4000", "1e21"), "beyond reason"),
    "less than is kept": (BOUGHT.replace("4000", "1e-19"), "smaller than the 18 decimals"),
    "a transfer to nowhere": (BOUGHT.replace("buy", "transfer"), "no to_venue"),
    "a side too many": (BOUGHT.replace("buy", "reward"), "reward has no out_asset"),
    "nothing at all": ("ann,t1,,2024-01-01,fee,kraken,,,,,,,,,,,\n", "nothing came, nothing went"),
    "no venue": (BOUGHT.replace("kraken", ""), "no venue"),
    "legs that part": (
        BOUGHT.replace("t1,", "t1,1") + SOLD.replace("t2,", "t1,2"),
        "legs of transaction 't1' have different moments",
    ),
    "impossible order": (
        BOUGHT.replace(",,,\n", ",,9,1\n") + SOLD.replace(",,,\n", ",,8,1\n"),
        "comes after block 8, which is later",
    ),
    "a block that is none": (BOUGHT.replace(",,,\n", ",,x,1\n"), "block_number 'x' is no whole number"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_is_refused_whole_with_its_reason(database: sa.Engine, name: str) -> None:
    text, reason = FAULTS[name]
    assert reason in refusal(database, HEADER + text)


def test_all_faults_are_told_at_once(database: sa.Engine) -> None:
    bad = "".join(text for name, (text, _) in FAULTS.items() if name not in {"no date", "duplicate ids"})
    said = refusal(database, HEADER + bad)
    assert int(said.partition(": ")[2].split()[0]) > 15


@pytest.mark.parametrize("column", ["user_id", "venue", "in_asset", "in_quantity", "at", "block_number"])
def test_a_line_of_ten_megabytes_is_refused_in_a_short_message(database: sa.Engine, column: str) -> None:
    names = HEADER.strip().split(",")
    cells = BOUGHT.strip().split(",")
    cells[names.index(column)] = "9" * 10_000_000
    said = refusal(database, HEADER + ",".join(cells) + "\n")
    assert len(said) < 5000
    assert "10000000 characters" in said or "10,000,000" in said


def test_a_quoted_line_of_ten_megabytes_is_refused_too(database: sa.Engine) -> None:
    said = refusal(database, HEADER + BOUGHT.replace("kraken", '"' + "k" * 10_000_000 + '"'))
    assert len(said) < 5000
