"""The whole portfolio now and some days before, beside the snapshots, which are made of documents."""

from datetime import date
from typing import Any

import pytest

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
