"""From rows of holdings beside targets to plans with steps: who is planned for, how, and why not."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from portfolio_pipelines.finance.rebalancing_books import (
    BOOK_ROWS,
    GAS_UNKNOWN,
    IN_DEBT,
    NO_HELP,
    PLANS,
    UNPRICED,
    plans_of,
)

TOKENS, WORTH, TARGETS = ("BTC", "ETH", "SOL", "USDC"), (6000.0, 2500.0, 500.0, 1000.0), (0.5, 0.3, 0.1, 0.1)
DAY = "2025-03-02"


def strategy(key: int = 1, worth: tuple[float | None, ...] = WORTH, **changes: Any) -> pl.DataFrame:
    """The example that is checked by hand: BTC is 800 over its band, ETH and SOL 300 under theirs each."""
    rows = []
    for asset, (token, value, target) in enumerate(zip(TOKENS, worth, TARGETS, strict=True)):
        row: dict[str, Any] = {
            "strategy_key": key, "version": 1, "asset_id": f"coingecko:{token.lower()}", "token": token,
            "place": "market", "target": target, "band": 0.02, "value_usd": value, "price_usd": 10.0,
            "sellable_usd": value, "is_outside": None if value is None else abs(value - target * 10_000) > 200,
            "may_sell": True, "may_buy": True, "min_trade_usd": 0.0, "max_cost_share": 0.02, "gas_usd": 0.5,
        }  # fmt: skip
        own = {name: value[asset] if isinstance(value, tuple) else value for name, value in changes.items()}
        rows.append(row | own)
    return pl.DataFrame(rows, schema=BOOK_ROWS)


def steps(plans: pl.DataFrame, row: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(plans["steps"][row])
    return found


def test_the_example_becomes_two_steps_with_their_costs_and_reasons() -> None:
    plans = plans_of(strategy(), DAY)
    assert plans.schema == PLANS
    assert plans.select("method", "status", "is_complete").row(0) == ("closed_form", "proposed", True)
    first, second = steps(plans)
    assert (first["step"], first["action"], first["asset_id"]) == (1, "swap", "coingecko:btc")
    assert (first["into_asset_id"], second["into_asset_id"]) == ("coingecko:eth", "coingecko:sol")
    assert first["amount_tokens"] == pytest.approx(first["amount_usd"] / 10)
    assert first["reason"] == "BTC 60.0 % of 50.0 ± 2.0; ETH 25.0 % of 30.0 ± 2.0"
    for cost in ("gas_usd", "slippage_usd"):
        assert sum(step[cost] for step in (first, second)) == pytest.approx(plans[cost][0])
    lost = sum(step["amount_usd"] - step["into_amount_usd"] for step in (first, second))
    assert lost == pytest.approx(plans["gas_usd"][0] + plans["slippage_usd"][0], abs=0.03)


def test_a_strategy_inside_its_bands_has_no_plan() -> None:
    assert plans_of(strategy(worth=(5000.0, 3000.0, 1000.0, 1000.0)), DAY).is_empty()
    assert plans_of(pl.DataFrame(schema=BOOK_ROWS), DAY).is_empty()


@pytest.mark.parametrize(
    ("book", "reason"),
    [
        (strategy(worth=(6000.0, None, 500.0, 1000.0)), UNPRICED),
        (strategy(worth=(6000.0, -2500.0, 500.0, 1000.0)), IN_DEBT),
        (strategy(gas_usd=None), GAS_UNKNOWN),
        (strategy(may_sell=False), NO_HELP),
        (strategy(gas_usd=20.0), "it would cost 40.80 USD to come 800.82 USD nearer to the target"),
    ],
)
def test_where_nothing_is_suggested_the_only_step_says_why(book: pl.DataFrame, reason: str) -> None:
    plans = plans_of(book, DAY)
    assert plans["status"].to_list() == ["not_suggested"]
    (step,) = steps(plans)
    assert (step["step"], step["action"], step["amount_usd"]) == (0, "none", None)
    assert step["reason"].startswith(reason)


@pytest.mark.parametrize(
    "limits",
    [
        {"min_trade_usd": 50.0},
        {"may_buy": (True, True, True, False)},
        {"sellable_usd": (5000.0, 2500.0, 500.0, 1000.0)},
        {"place": ("ethereum", "market", "market", "market")},
        {"gas_usd": (0.5, 0.5, 0.5, None)},
    ],
)
def test_limits_are_solved_for_and_the_rest_goes_by_the_closed_form(limits: dict[str, Any]) -> None:
    plans = plans_of(pl.concat([strategy(1), strategy(2, **limits)]), DAY)
    assert plans["method"].to_list() == ["closed_form", "optimum"]
    assert plans["status"].to_list() == ["proposed", "proposed"]


def test_a_sale_on_one_chain_for_a_purchase_on_another_pays_gas_twice() -> None:
    plans = plans_of(strategy(place=("ethereum", "base", "base", "base"), gas_usd=(3.0, 0.1, 0.1, 0.1)), DAY)
    assert [step["gas_usd"] for step in steps(plans)] == [pytest.approx(3.1)] * 2


def test_new_money_is_invested_on_request_even_inside_the_bands() -> None:
    inside = strategy(worth=(5000.0, 3000.0, 1000.0, 1000.0))
    plans = plans_of(inside, DAY, new_money_usd=1000.0)
    assert plans.select("method", "status", "portfolio_usd").row(0) == ("request", "proposed", 11_000.0)
    assert {step["action"] for step in steps(plans)} == {"buy"}
    assert sum(step["amount_usd"] for step in steps(plans)) == pytest.approx(1000, abs=3)
    nothing = plans_of(inside, DAY, new_money_usd=0.0)
    assert steps(nothing)[0]["reason"] == "every share is inside its band"


def test_the_same_plan_has_the_same_id_and_another_day_another() -> None:
    first = plans_of(pl.concat([strategy(1), strategy(2)]), DAY)
    again = plans_of(pl.concat([strategy(2), strategy(1, gas_usd=0.49)]), DAY)
    assert again["plan_id"].to_list() == first["plan_id"].to_list()
    assert first["plan_id"].n_unique() == 2
    assert set(plans_of(strategy(), "2025-03-03")["plan_id"]).isdisjoint(first["plan_id"])


def test_strategies_of_all_sizes_are_planned_for_together() -> None:
    random = np.random.default_rng(7)
    books = []
    for key, count in enumerate((1, 2, 3, 9, 17, 40), start=1):
        targets = random.dirichlet(np.full(count, 5.0))
        values = targets * random.lognormal(0, 0.5, count)
        values *= 50_000 / values.sum()
        books.append(
            pl.DataFrame(
                {
                    "strategy_key": [key] * count,
                    "asset_id": [f"a{n:02}" for n in range(count)],
                    "target": targets,
                    "value_usd": values,
                    "sellable_usd": values,
                    "is_outside": np.abs(values / 50_000 - targets) > 0.001,
                },
            ).with_columns(
                version=1,
                token=pl.lit(None, pl.String),
                place=pl.lit("market"),
                band=0.001,
                price_usd=None,
                may_sell=True,
                may_buy=True,
                min_trade_usd=0.0,
                max_cost_share=0.02,
                gas_usd=0.0,
            )
        )
    plans = plans_of(pl.concat([book.select(BOOK_ROWS.names()).cast(BOOK_ROWS) for book in books]), DAY)
    assert plans["strategy_key"].to_list() == [2, 3, 4, 5, 6]
    assert plans["status"].unique().to_list() == ["proposed"]
    assert steps(plans)[0]["amount_tokens"] is None  # no price, but the worth is known
