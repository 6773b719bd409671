"""The whole portfolio now and some days before, beside the snapshots, which are made of documents."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from portfolio_pipelines.commands.summary import print_summary
from portfolio_pipelines.resources.warehouse import Warehouse

D3, D4 = date(2025, 2, 1), date(2025, 2, 2)


def rows(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    with warehouse.connect() as connection:
        return connection.execute(query).fetchall()


def test_totals_are_those_of_the_snapshots_on_the_newest_day_and_the_day_before(warehouse: Warehouse) -> None:
    snapshots = {
        day: rows(
            warehouse,
            f"""
            select user_id, total_value_usd::double, coverage, is_final from marts.portfolio_snapshots
            where snapshot_timestamp = date '{day}' + 1 order by user_id
            """,
        )
        for day in (D3, D4)
    }
    found = rows(
        warehouse,
        "select user_id, value_usd, coverage, is_final, value_1d_usd, coverage_1d, value_7d_usd, date "
        "from marts.portfolio_totals order by user_id",
    )
    assert [row[0] for row in found] == ["alice", "bob", "carol", "dave"]
    before = {row[0]: row for row in snapshots[D3]}
    for row, snapshot in zip(found, snapshots[D4], strict=True):
        assert row[:4] == (snapshot[0], pytest.approx(snapshot[1], abs=1e-6), pytest.approx(snapshot[2]), snapshot[3])
        assert row[4:6] == pytest.approx(before[row[0]][1:3], abs=1e-6)
        assert row[6:] == (None, D4)


def test_the_summary_tells_a_chain_that_was_never_read_from_one_that_lacks_prices(
    warehouse: Warehouse, wallets: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dave's coins on Ethereum were read, but nobody prices them; Optimism never answered."""
    wallets.wallets.append((4, 40, "dave", "0xee", "evm", None, "ethereum", True, D3, None))
    wallets.balances[D4, "ethereum"][4, 10] = 7 * 10**18
    wallets.write()
    warehouse.build()
    print_summary(SimpleNamespace(warehouse=warehouse, settings=SimpleNamespace(warehouse="")), D4)  # type: ignore[arg-type]
    said = capsys.readouterr().out
    (row,) = (line for line in said.splitlines() if line.startswith("│ dave "))
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["dave", "–", "2", "optimism", "ethereum", ""]
    assert "never read" in said
    assert "without a price" in said
