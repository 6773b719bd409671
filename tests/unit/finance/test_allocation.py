from decimal import Decimal

import pytest

from portfolio_pipelines.finance.allocation import Rules, Target, faults_of


def target(asset: str, weight: str, band: str = "2") -> Target:
    return Target(asset, Decimal(weight), Decimal(band))


def test_weights_that_sum_to_a_hundred_are_accepted() -> None:
    assert faults_of("core", [target("a", "33.333333"), target("b", "66.666667")], Rules()) == []


@pytest.mark.parametrize(("weights", "total"), [(("50", "49.999999"), "99.999999"), (("60", "40.5"), "100.5")])
def test_weights_must_sum_to_exactly_a_hundred(weights: tuple[str, str], total: str) -> None:
    faults = faults_of("core", [target("a", weights[0]), target("b", weights[1])], Rules())
    assert faults == [f"the weights sum to {total} %, not to 100 %"]


def test_decimals_that_floats_cannot_hold_still_sum_to_a_hundred() -> None:
    targets = [target(str(n), "0.1") for n in range(10)] + [target("rest", "99")]
    assert faults_of("core", targets, Rules()) == []


def test_all_faults_are_told_at_once() -> None:
    targets = [target("a", "-10"), target("a", "NaN"), target("b", "30", "101"), target("c", "1.1234567")]
    faults = faults_of(" ", targets, Rules(min_trade_usd=Decimal(-1), max_cost_pct=Decimal("Infinity")))
    assert faults == [
        "a strategy needs a name of 1 to 60 characters",
        "a is named twice",
        "the weight of a must be from 0 to 100 %, not -10",
        "the weight of a must be from 0 to 100 %, not NaN",
        "the band of b must be from 0 to 100 %, not 101",
        "the weight of c has more than 6 decimals: 1.1234567",
        "the smallest trade must be a number from 0 on, not -1",
        "the greatest cost must be a number from 0 on, not Infinity",
    ]


def test_a_strategy_without_assets_is_refused() -> None:
    assert faults_of("core", [], Rules())[0] == "a strategy names 1 to 500 assets, not 0"
