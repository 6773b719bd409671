"""What somebody with wallets does at a terminal: the samples, their own wallets, parts of a run, past days."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portfolio_pipelines.chains.registry import load_registry
from portfolio_pipelines.commands import local_node
from tests.contracts.anvil import Anvil
from tests.contracts.install import installed

CHAIN = "mode"
ANN = "0x" + "a1" * 20
COIN = 10**18


@pytest.fixture
def chain() -> Iterator[Anvil]:
    with Anvil(load_registry().by_slug[CHAIN].chain_id) as chain:
        yield chain


def test_the_samples_are_read_on_a_local_chain_once(install: Callable[..., Any]) -> None:
    installed()
    home = install("samples")
    said = home.does("quickstart", "--days", "3")
    assert "On chain: 1 chain read" in said
    assert "not real" in said, "nobody takes the coins of a local chain for money"
    held = home.rows("select user_id, sum(amount) as coins from marts.wallet_balances group by 1 order by 1")
    assert held == [
        {"user_id": "ann", "coins": 8.0},
        {"user_id": "ben", "coins": 4.0},
        {"user_id": "cleo", "coins": 4.0},
    ]
    price = home.row("select close_usd from marts.current_prices where asset_id = 'coingecko:ethereum'")["close_usd"]
    total = home.row(
        "select total_value_usd::double as value, coverage from marts.portfolio_snapshots where user_id = 'ann' "
        "order by snapshot_timestamp desc limit 1"
    )
    invested = home.row(
        "select value_usd from marts.portfolio_performance_daily where user_id = 'ann' order by date desc limit 1"
    )["value_usd"]
    assert total == {"value": pytest.approx(invested + 8 * price), "coverage": pytest.approx(1.0)}
    again = home.does("quickstart", "--days", "3")
    assert "Everything is up to date" in again
    assert "already" in again


def test_without_a_local_chain_the_samples_go_on_and_say_what_was_skipped(
    install: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_settings: object) -> None:
        msg = "anvil is not installed, and there is no npm to install it with"
        raise local_node.NoLocalChainError(msg)

    monkeypatch.setattr(local_node, "find_anvil", lambda _folders: None)
    monkeypatch.setattr(local_node, "_installed", none)
    home = install("no-local-chain")
    said = home.does("quickstart", "--days", "2")
    assert "On chain: skipped for the sample wallets: anvil is not installed" in said
    assert home.rows("select * from marts.wallet_balances") == []


def test_a_wallet_of_ones_own_from_import_to_marts_and_back_in_time(install: Callable[..., Any], chain: Anvil) -> None:
    home = install("own-wallet")
    assert "no wallet is watched" in home.does("run", "--only", "onchain")
    (home.home / "chains.toml").write_text(
        f'enabled = ["{CHAIN}"]\n[chain.{CHAIN}]\nendpoints = ["{chain.url}"]\nconfirmations = 0\n'
    )
    home.does("import", "wallets", home.write("wallets.csv", f"user_id,address,label,chains\nann,{ANN},main,\n"))

    today = datetime.now(UTC).date()
    chain.set_balance(ANN, 3 * COIN)
    assert f"1 chain read for {today}" in home.does("run", "--only", "onchain")
    row = home.row("select chain, label, token, amount, is_stale from marts.wallet_balances")
    assert row == {"chain": CHAIN, "label": "main", "token": "ETH", "amount": 3.0, "is_stale": False}
    asset = home.row(
        "select asset_type, chain, balance::double as balance, value_usd > 0 as priced from portfolio_assets"
    )
    assert asset == {"asset_type": "token", "chain": CHAIN, "balance": 3.0, "priced": True}
    (served,) = home.sql("select token, balance from marts.wallet_balances")
    assert (served[0], float(served[1])) == ("ETH", 3.0)

    refusal = home.refuses("backfill", "--only", "onchain", "--from", "2020-01-01", "--to", "2020-01-02")
    assert "PORTFOLIO_FIRST_CHAIN_DAY" in refusal
    before = today - timedelta(days=1)
    said = home.does("backfill", "--only", "onchain", "--from", before, "--to", before)
    assert f"{CHAIN} on {before} could not be read" in said, "the chain began today: its past is not made up"
    assert home.row("select amount, is_stale from marts.wallet_balances") == {"amount": 3.0, "is_stale": False}

    assert "chains can be read, wallets or pools are watched on 1" in home.portfolio("doctor").stdout
