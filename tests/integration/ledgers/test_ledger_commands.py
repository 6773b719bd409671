"""Ledgers from the command line."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from portfolio_pipelines.cli import app
from portfolio_pipelines.database.connection import url_text

LEDGER = (
    "transaction_id,at,type,venue,in_asset,in_quantity,out_asset,out_quantity\n"
    "t1,2024-03-01,buy,kraken,BTC,0.1,USD,5000\nt2,2024-03-02,sell,kraken,USD,6000,BTC,0.1\n"
)


@pytest.fixture
def cli(database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("PORTFOLIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", url_text(database.url))
    return CliRunner()


def test_a_ledger_is_imported_listed_and_taken_back(cli: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "ledger.csv"
    file.write_text(LEDGER)
    refused = cli.invoke(app, ["import", "transactions", str(file)])
    assert refused.exit_code == 1
    assert "user_id is missing" in refused.output
    imported = cli.invoke(app, ["import", "transactions", str(file), "--user", "ann"])
    assert "ledger.csv: 2 new, 0 changed, 0 unchanged" in imported.output
    listed = cli.invoke(app, ["transactions", "--user", "ann", "--format", "csv"])
    assert "coingecko:bitcoin" in listed.output
    removed = cli.invoke(app, ["transactions", "remove", "ann", "t2"])
    assert "t2 of ann is removed" in removed.output
    assert cli.invoke(app, ["transactions", "remove", "ann", "t2"]).exit_code == 1
    assert "t2" not in cli.invoke(app, ["transactions", "--user", "ann", "--format", "csv"]).output
    assert cli.invoke(app, ["import", "transactions", str(tmp_path / "none.csv")]).exit_code == 1
