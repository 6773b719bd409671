"""The commands about targets and plans as people type them, against a real database."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from portfolio_pipelines.cli import app
from portfolio_pipelines.database.connection import url_text


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: sa.Engine) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTFOLIO_HOME", str(tmp_path))
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", url_text(database.url))
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('ann')"))


def portfolio(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


def test_a_strategy_is_set_listed_changed_and_deleted() -> None:
    words = (
        "targets",
        "set",
        "ann",
        "core",
        "BTC=50",
        "ETH=30:3",
        "coingecko:solana=20",
        "--band",
        "2",
        "--keep",
        "ETH",
    )
    assert portfolio(*words) == (0, "core of ann is version 1. `portfolio run` measures its drift.\n")
    code, listed = portfolio("targets", "list", "--user", "ann", "--format", "json")
    rows = json.loads(listed)
    assert code == 0
    assert [(row["asset_id"], row["percent"], row["band_pct"], row["may_sell"]) for row in rows] == [
        ("coingecko:bitcoin", 50.0, 2.0, True),
        ("coingecko:ethereum", 30.0, 3.0, False),
        ("coingecko:solana", 20.0, 2.0, True),
    ]
    assert "version 2" in portfolio("targets", "set", "ann", "core", "BTC=60", "ETH=40", "--buy-only")[1]
    assert portfolio("targets", "delete", "ann", "core")[0] == 0
    assert "nobody has a strategy" in portfolio("targets", "list")[1]
    assert portfolio("targets", "delete", "ann", "core")[0] == 1


def test_everything_that_is_wrong_is_told_at_once() -> None:
    code, said = portfolio(
        "targets", "set", "ann", "core", "BTC=50%", "BITCON=x", "ETH", "--keep", "SOL", "--min-trade", "few"
    )
    assert code == 1
    for fault in ("unknown asset 'BITCON'", "the weight of 'BITCON' is no number: 'x'", "write shares as ASSET=PERCENT",
                  "'coingecko:solana' is kept or not to be bought, but has no share",
                  "the smallest trade is no number: 'few'"):  # fmt: skip
        assert fault in said
    code, said = portfolio("targets", "set", "nobody", "core", "BTC=50", "ETH=49.9")
    assert code == 1
    assert "there is no user 'nobody'" in said
    assert "the weights sum to 99.9 %, not to 100 %" in said
    assert portfolio("targets", "set", "ann", "core", "BTC=150", "ETH=-50")[0] == 1
    assert "nobody has a strategy" in portfolio("targets", "list")[1]


def test_without_plans_the_list_says_so_and_nothing_can_be_accepted() -> None:
    assert "no plan is proposed" in portfolio("plans", "list")[1]
    code, said = portfolio("plans", "accept", "3f2a9c01")
    assert code == 1
    assert "no single plan begins with '3f2a9c01'" in said
    code, said = portfolio("plan", "ann", "core")
    assert code == 1
    assert "'ann' has no strategy 'core'" in said
