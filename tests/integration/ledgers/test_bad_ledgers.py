"""Bad ledgers at the command line: every fault of a file in one message, exit status 1, and nothing changed."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from portfolio_pipelines.cli import app
from portfolio_pipelines.database.connection import url_text

HEADER = (
    "transaction_id,at,type,venue,to_venue,in_asset,in_quantity,out_asset,out_quantity,fee_asset,fee_quantity,chain,"
    "block_number\n"
)
BUY = "buy,2024-03-01 10:00,buy,kraken,,BTC,1,USD,50000,,,,\n"
STORED = "stored,2024-03-05 10:00,sell,kraken,,USD,30000,BTC,0.5,,,,\n"
GIANT = "9" * 10_000_000
BITTREX = (
    "TXID,Time (UTC),Transaction,Order Type,Market,Base,Quote,Price,Quantity (Base),Fees (Quote),Total (Quote),"
    "Approx Value (USD),Time In Force,Notes\n"
    "a-1,2017-12-03T12:04:16,Sold,Limit,ETH/BTC,ETH,BTC,0.07,2,0,0.14,,,\n"
)
# name: rows below the header, what the message has to say; the rows of the file begin at 2
BAD = {
    "negative inventory": (
        [
            "a,2024-03-02,sell,kraken,,USD,1,BTC,1.5,,,,\n",
            "b,2024-03-03,withdrawal,kraken,,,,ETH,2,,,,\n",
            "c,2024-03-04,fee,kraken,,,,,,SOL,0.1,,\n",
        ],
        [
            "row 2: trade 'a' leg 1 of ann takes 1.5 coingecko:bitcoin from kraken at 2024-03-02 00:00:00 UTC: 1 held",
            "trade 'stored' leg 1 (stored, row 3 of stored.csv) of ann takes 0.5 coingecko:bitcoin",
            "row 3: withdrawal 'b' leg 1 of ann takes 2 coingecko:ethereum",
            "row 4: the fee of fee 'c' leg 1 of ann takes 0.1 coingecko:solana",
            "4 faults", "--missing-acquisitions list",
        ],
    ),
    "impossible order": (
        [
            "a,2024-03-02,sell,kraken,,USD,1,ETH,1,,,,\n",
            "b,2024-03-03,buy,kraken,,ETH,1,USD,1,,,,\n",
            "c,2024-03-06,buy,kraken,,SOL,1,USD,1,,,ethereum,8\n",
            "d,2024-03-05,buy,kraken,,SOL,1,USD,1,,,ethereum,9\n",
        ],
        [
            "row 2: trade 'a' leg 1 of ann takes 1 coingecko:ethereum", "0 held in all venues, 1 missing",
            "row 5: block 9 at 2024-03-05 00:00:00 comes after block 8", "2 faults",
        ],
    ),
    "unknown assets": (
        ["a,2024-03-02,buy,kraken,,NOPE,1,USD,1,,,,\n", "b,2024-03-02,sell,kraken,,USD,1,NADA,1,NIL,1,,\n"],
        ["row 2: unknown asset 'NOPE'", "row 3: unknown asset 'NADA'", "row 3: unknown asset 'NIL'", "3 faults"],
    ),
    "duplicate ids": (
        ["a,2024-03-02,buy,kraken,,ETH,1,USD,1,,,,\n"] * 3,
        ["row 3: repeats row 2: transaction 'a' leg 1", "row 4: repeats row 2", "2 faults"],
    ),
    "mixed time zones": (
        [
            "a,2024-03-02 10:00+01:00,buy,kraken,,ETH,1,USD,1,,,,\n",
            "b,2024-03-02 10:00,buy,kraken,,ETH,1,USD,1,,,,\n",
            "c,2024-03-02 10:00,sell,kraken,,USD,1,ETH,3,,,,\n",
        ],
        [
            "times with and without a time zone are mixed (2 rows have none)", "row 4: trade 'c'", "1 missing",
            "2 faults",
        ],
    ),
    "lines of 10 MB": (
        [
            f"a,2024-03-02,buy,kraken,,ETH,{GIANT},USD,1,,,,\n",
            f"b,2024-03-02,buy,\"{'k' * 10_000_000}\",,ETH,1,USD,1,,,,\n",
            f"{GIANT},2024-03-02,buy,kraken,,ETH,1,USD,1,,,,\n",
        ],
        [
            "row 2: in_quantity has 10000000 characters", "row 3: venue has 10000000 characters",
            "row 4: transaction_id has 10000000 characters", "3 faults",
        ],
    ),
    "all of it": (
        [
            "short,2024-03-02,sell,kraken,,USD,1,BTC,9,,,,\n",
            "zone,2024-03-02 10:00Z,buy,kraken,,ETH,1,USD,1,,,,\n",
            "none,2024-03-02 10:00,buy,kraken,,ETH,1,USD,1,,,,\n",
            "none,2024-03-02 10:00,buy,kraken,,ETH,1,USD,1,,,,\n",
            "what,2024-03-02,buy,kraken,,NOPE,1,USD,1,,,,\n",
            "high,2024-03-06,buy,kraken,,SOL,1,USD,1,,,ethereum,8\n",
            "low,2024-03-05,buy,kraken,,SOL,1,USD,1,,,ethereum,9\n",
            f"long,2024-03-02,buy,kraken,,ETH,{GIANT},USD,1,,,,\n",
            "minus,2024-03-02,buy,kraken,,ETH,-1,USD,1,,,,\n",
            "when,02.03.2024,buy,kraken,,ETH,1,USD,1,,,,\n",
            "odd,2024-03-02,borrow,kraken,,ETH,1,USD,1,,,,\n",
        ],
        [
            "row 2: trade 'short' leg 1 of ann takes 9 coingecko:bitcoin", "time zone are mixed",
            "row 5: repeats row 4", "row 6: unknown asset 'NOPE'", "row 8: block 9",
            "row 9: in_quantity has 10000000 characters", "row 10: in_quantity is -1", "'02.03.2024'",
            "row 12: type 'borrow' is none of", "(stored, row 3 of stored.csv) of ann takes 0.5", "10 faults",
        ],
    ),
}  # fmt: skip


@pytest.fixture
def cli(database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A command line on a database where ann has bought 1 BTC and sold half of it."""
    monkeypatch.setenv("PORTFOLIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", url_text(database.url))
    monkeypatch.setenv("COLUMNS", "1000")
    runner = CliRunner()
    assert run(runner, tmp_path / "stored.csv", BUY + STORED).exit_code == 0
    return runner


def run(cli: CliRunner, file: Path, rows: str, *options: str) -> Any:
    file.write_text(HEADER + rows)
    return cli.invoke(app, ["import", "transactions", str(file), "--user", "ann", *options])


def everything(engine: sa.Engine) -> list[Any]:
    with engine.connect() as connection:
        return [
            connection.execute(sa.text(f"select * from app.{table} order by 1, 2")).all()
            for table in ("users", "imports", "transactions", "transaction_versions", "assets")
        ]


@pytest.mark.parametrize("name", BAD)
def test_every_fault_is_told_at_once_and_nothing_changes(
    database: sa.Engine, cli: CliRunner, tmp_path: Path, name: str
) -> None:
    rows, expected = BAD[name]
    before = everything(database)
    result = run(cli, tmp_path / "bad.csv", "".join(rows))
    assert result.exit_code == 1
    said = " ".join(result.output.split())
    assert [text for text in expected if text not in said] == [], said[:5000]
    assert "bad.csv was refused, nothing was imported" in said
    assert len(result.output) < 10_000
    assert everything(database) == before


def test_what_is_missing_may_be_listed_instead(database: sa.Engine, cli: CliRunner, tmp_path: Path) -> None:
    sold = "a,2024-03-02,sell,kraken,,USD,1,ETH,1.5,,,,\n"
    result = run(cli, tmp_path / "more.csv", sold, "--missing-acquisitions", "list")
    assert result.exit_code == 0
    assert "more.csv: 1 new" in result.output
    assert "amounts that go without ever having come: 1;" in result.output
    assert "portfolio transactions questions" in result.output
    bought = run(cli, tmp_path / "late.csv", "b,2024-03-01,buy,kraken,,ETH,1.5,USD,1,,,,\n")
    assert "without ever having come" not in bought.output


def test_the_setting_decides_whether_each_venue_is_looked_at_alone(
    cli: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = "a,2024-03-06,sell,coinbase,,USD,1,BTC,0.5,,,,\n"
    monkeypatch.setenv("PORTFOLIO_LEDGER_INVENTORY_SCOPE", "per_venue")
    assert "0 held there, 0.5 missing" in run(cli, tmp_path / "a.csv", elsewhere).output
    monkeypatch.setenv("PORTFOLIO_LEDGER_INVENTORY_SCOPE", "universal")
    assert run(cli, tmp_path / "a.csv", elsewhere).exit_code == 0


def test_removing_what_others_take_is_refused_by_name_unless_it_is_to_be_listed(
    database: sa.Engine, cli: CliRunner
) -> None:
    before = everything(database)
    refused = cli.invoke(app, ["transactions", "remove", "ann", "buy"])
    assert refused.exit_code == 1
    assert "trade 'stored' leg 1 (stored, row 3 of stored.csv) of ann takes 0.5" in refused.output
    assert everything(database) == before
    removed = cli.invoke(app, ["transactions", "remove", "ann", "buy", "--missing-acquisitions", "list"])
    assert "buy of ann is removed" in removed.output
    assert cli.invoke(app, ["transactions", "remove", "ann", "stored"]).exit_code == 0


def test_an_export_shows_one_place_alone_so_what_it_lacks_is_listed_unless_it_is_to_be_refused(
    database: sa.Engine, cli: CliRunner, tmp_path: Path
) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(BITTREX)
    before = everything(database)
    command = ["import", "transactions", str(file), "--user", "bob", "--month-first"]
    refused = cli.invoke(app, [*command, "--missing-acquisitions", "refuse"])
    assert refused.exit_code == 1
    assert "takes 2 coingecko:ethereum from bittrex" in refused.output
    assert everything(database) == before
    listed = cli.invoke(app, command)
    assert listed.exit_code == 0
    assert "export of bittrex" in listed.output
    assert "amounts that go without ever having come: 1;" in listed.output
