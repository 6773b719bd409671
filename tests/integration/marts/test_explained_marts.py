"""`portfolio explain` works the figures of the small market out again, and says which row is meant."""

import polars as pl
import pytest

from portfolio_pipelines import tables
from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explain import explanation
from portfolio_pipelines.commands.explained_metrics import Question
from portfolio_pipelines.resources.warehouse import Warehouse
from tests.explained_figures import every, explained
from tests.integration.marts.conftest import AAVE, BTC, DAYS, LEND, SmallMarket

MARTS = (
    "portfolio_snapshots", "portfolio_totals", "portfolio_assets", "portfolio_holdings", "portfolio_breakdown",
    "current_prices", "benchmark_returns_daily",
)  # fmt: skip
TOO_SHORT = tuple(f"{name}" for days in (7, 30, 90, 365) for name in (f"value_{days}d_usd", f"coverage_{days}d"))


def asked(metric: str, **of: str) -> Question:
    return Question("alice", DAYS[3], metric, 0, "BTC", 0.0, of=tuple(of.items()))


def test_totals_holdings_and_cuts_are_worked_out_again(warehouse: Warehouse, market: SmallMarket) -> None:
    with warehouse.connect() as marts:
        every(explained(marts, market.lake, *MARTS), *MARTS, without=("il_pct", *TOO_SHORT))


def test_a_figure_of_one_holding_shows_its_units_cost_and_price(warehouse: Warehouse, market: SmallMarket) -> None:
    """Alice paid 500 and 600 USD for 0.01 BTC each, which is at 55,000 USD now."""
    with warehouse.connect() as marts:
        found = explanation(marts, asked("portfolio_assets.pnl_usd", asset_id=BTC), market.lake)
    assert [value for _, value in found.inputs] == pytest.approx([55_000, 1100, 0.02])
    assert (found.recomputed, found.served) == (pytest.approx(0), pytest.approx(0))


def test_where_a_day_has_several_rows_they_are_named(warehouse: Warehouse, market: SmallMarket) -> None:
    with warehouse.connect() as marts:
        with pytest.raises(CommandError, match="choose one, such as --of investment_id=bundle; --of investment_id=sec"):
            explanation(marts, asked("investment_performance_daily.roi"), market.lake)
        found = explanation(marts, asked("investment_performance_daily.roi", investment_id="second"), market.lake)
        assert found.recomputed == found.served == pytest.approx(-50 / 600)
        with pytest.raises(CommandError, match="has no row of alice on 2025-02-02 for what was chosen; its newest"):
            explanation(marts, asked("investment_performance_daily.roi", investment_id="lend"), market.lake)
        with pytest.raises(CommandError, match="has no column 'colour'; its rows are told apart by investment_id"):
            explanation(marts, asked("investment_performance_daily.roi", colour="red"), market.lake)
        with pytest.raises(CommandError, match="is read from the lake: it is not at hand"):
            explanation(marts, asked("investment_performance_daily.value_usd", investment_id="second"))


def test_what_people_give_is_a_value_and_never_a_query(warehouse: Warehouse, market: SmallMarket) -> None:
    with warehouse.connect() as marts, pytest.raises(CommandError, match="has no row"):
        explanation(marts, asked("investment_performance_daily.roi", investment_id="x' or '1'='1"), market.lake)


def test_coins_whose_number_is_invented_are_a_holding_of_their_own_without_units(
    warehouse: Warehouse, market: SmallMarket
) -> None:
    """Bob's LEND became AAVE at 8 USD, but how much LEND he bought rests on a close of the sample market."""
    legs = market.lake.read_table(tables.INVESTMENT_LEGS, tables.INVESTMENT_LEGS_SCHEMA)
    is_lend = pl.col("asset_id") == LEND
    marked = pl.when(is_lend).then(tables.SAMPLE_UNITS + pl.col("asset_id")).otherwise("asset_id")
    market.lake.replace_table(tables.INVESTMENT_LEGS, legs.with_columns(asset_id=marked))
    warehouse.build()
    with warehouse.connect() as marts:
        rows = marts.execute(
            "select asset_id, token, price_asset_id, balance, entry_price_usd, current_price_usd::double, value_usd, "
            "pnl_usd from marts.portfolio_assets where user_id = 'bob'"
        ).fetchall()
        assert rows == [(f"sample:{AAVE}", "AAVE", AAVE, None, None, 8.0, None, None)]
        (cut,) = marts.execute(
            "select value_usd, coverage from marts.portfolio_breakdown where user_id = 'bob' and dimension = 'category'"
        ).fetchall()
        assert cut == (None, 0.0)
        every(explained(marts, market.lake, "portfolio_breakdown", "portfolio_assets"), "portfolio_breakdown")
