"""The figures that alerts are evaluated on, from marts as they are published; what the small market lacks is put in."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from portfolio_pipelines.database.alert_versions import RuleTerms, add_rule
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.delivery.alerts.evaluation import evaluate, preview
from portfolio_pipelines.delivery.alerts.metrics import METRICS, Owner
from portfolio_pipelines.resources.served_marts import publish
from portfolio_pipelines.resources.warehouse import Warehouse

BTC, ETH, SOL = (f"coingecko:{name}" for name in ("bitcoin", "ethereum", "solana"))
D3, D4 = date(2025, 2, 1), date(2025, 2, 2)
NOW = datetime(2025, 2, 2, 20, tzinfo=UTC)
EARLIER = datetime.fromisoformat("2025-02-01T10:00")  # marts hold plain UTC
POOL = "0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8"


class Published:
    """The marts of the small market in a real database, and what rules of Alice see in them."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def put(self, mart: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows beside what was published, in the mart as publishing made it."""
        with self.engine.begin() as connection:
            kind = connection.scalar(
                sa.text("select partstrat from pg_partitioned_table where partrelid = cast(:mart as regclass)"),
                {"mart": f"marts.{mart}"},
            )
            others = connection.scalar(
                sa.text("select count(*) from pg_inherits where inhparent = cast(:mart as regclass)"),
                {"mart": f"marts.{mart}"},
            )
            bounds = "for values with (modulus 1, remainder 0)" if kind == "h" else "default"
            if not (kind == "h" and others):
                connection.execute(
                    sa.text(f"create table if not exists marts.{mart}_more partition of marts.{mart} {bounds}")
                )
            for row in rows:
                names = ", ".join(row)
                values = ", ".join(f":{name}" for name in row)
                connection.execute(sa.text(f"insert into marts.{mart} ({names}) values ({values})"), row)

    def sees(
        self, metric: str, subject: str = "portfolio", span: int | None = None, user: str | None = "alice"
    ) -> list[tuple[Any, ...]]:
        """Subject, value, coverage and reason, as a rule would find them."""
        terms = RuleTerms(metric, subject, "above", span, warning_at=1e15)
        found = preview(self.engine, add_rule(self.engine, user, terms, who="test"), metric, now=NOW)
        assert found is not None
        return [
            (each.row["subject"], _rounded(each.row["value"]), _rounded(each.row["coverage"]), each.row["reason"])
            for each in found
        ]


def _rounded(value: float | None) -> float | None:
    return value if value is None else round(value, 4)


@pytest.fixture
def published(warehouse: Warehouse, database: sa.Engine) -> Published:
    publish(warehouse, url_text(database.url.set(drivername="postgresql")))
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('alice'), ('bob')"))
    return Published(database)


def test_total_worth_and_its_change_carry_the_coverage_of_both_ends(published: Published) -> None:
    # 0.02 BTC, 0.12 ETH and 2 SOL: 1650 USD, of which the 220 of SOL rest on a price that was carried over.
    assert published.sees("value") == [("portfolio", 1650.0, round(1430 / 1650, 4), None)]
    # The day before SOL had no price at all: 1560 of 1800 expected.
    change = round(100 * (1650 / 1560 - 1), 4)
    assert published.sees("value", span=1) == [("portfolio", change, round(1560 / 1800, 4), None)]
    assert published.sees("value", span=7) == [
        ("portfolio", None, round(1430 / 1650, 4), "its worth then is not known")
    ]
    assert published.sees("value", span=1, user="bob") == [("portfolio", round(100 * (80 / 70 - 1), 4), 1.0, None)]


def test_the_return_of_the_newest_closed_day_is_that_of_the_snapshots(published: Published) -> None:
    assert published.sees("day_return", user="bob") == [("portfolio", 12.5, 1.0, None)]
    assert published.sees("day_return")[0][1] is None


def test_prices_and_their_changes_count_when_both_are_fresh(published: Published) -> None:
    assert published.sees("price", BTC) == [(BTC, 55_000.0, 1.0, None)]
    assert published.sees("price", BTC, 1) == [(BTC, -8.3333, 1.0, None)]
    assert published.sees("price", BTC, 3) == [(BTC, 10.0, 1.0, None)]
    assert published.sees("price", SOL)[0][:3] == (SOL, 110.0, 0.0)  # carried over
    assert published.sees("price", SOL, 1)[0][:2] == (SOL, None)  # no price the day before
    assert published.sees("price", "coingecko:nothing") == [("coingecko:nothing", None, None, None)]
    everything = published.sees("price", "*", user=None)
    assert {row[0] for row in everything} >= {BTC, ETH, SOL}


def test_drift_is_in_percentage_points_and_found_by_strategy(published: Published) -> None:
    row = {
        "date": D4, "user_id": "bob", "strategy": "core", "asset_id": BTC, "target": 0.5, "band": 0.02,
        "weight": 0.6667, "drift": 0.1667,
    }  # fmt: skip
    published.put("allocation_drift", [row, row | {"asset_id": ETH, "weight": None, "drift": None}])
    both = [
        (f"core/{BTC}", 16.67, 1.0, None), (f"core/{ETH}", None, 1.0, "a part of the portfolio has no usable price"),
    ]  # fmt: skip
    assert published.sees("allocation_drift", "core", user="bob") == both
    assert published.sees("allocation_drift", "*", user="bob") == both
    assert published.sees("allocation_drift", f"core/{BTC}", user="bob") == both[:1]
    assert published.sees("allocation_drift", "core", user="alice") == [("core", None, None, None)]


def test_performance_is_that_of_the_window_on_the_newest_day(published: Published) -> None:
    row = {"user_id": "alice", "window_days": 30, "coverage": 0.99}
    figures = {"roi": 0.2, "twr": 0.1, "xirr": 0.3, "volatility": 0.8, "max_drawdown": -0.25, "sharpe": 1.5,
               "sortino": 2.5}  # fmt: skip
    published.put(
        "portfolio_metrics",
        [
            row | figures | {"as_of": D4}, row | {"as_of": D3, "twr": 0.9},
            row | {"as_of": D4, "window_days": 365, "reason": "fewer days than the window"},
        ],
    )  # fmt: skip
    for name, value in figures.items():
        shown = value if name in {"sharpe", "sortino"} else 100 * value
        assert published.sees(name, span=30) == [("portfolio", round(shown, 4), 0.99, None)]
    assert published.sees("twr", span=365) == [("portfolio", None, 0.99, "fewer days than the window")]


def test_losses_of_positions_and_their_totals(published: Published) -> None:
    row = {
        "date": D4, "user_id": "alice", "position_id": "entered/1", "as_of": datetime.fromisoformat("2025-02-02T10:00"),
        "is_last_of_day": True, "chain": "ethereum", "is_stale": False, "il_pct": -5.7, "il_usd": -57.0,
    }  # fmt: skip
    published.put(
        "impermanent_loss",
        [
            row,
            row | {"position_id": "entered/2", "il_usd": None, "is_stale": True, "chain": "base"},  # market prices
            row | {"position_id": "entered/3", "as_of": EARLIER, "is_stale": True, "chain": "base"},
            row | {"position_id": "entered/4", "as_of": EARLIER, "is_last_of_day": False},
        ],
    )  # fmt: skip
    published.put(
        "impermanent_loss_totals",
        [{"date": D4, "user_id": "alice", "il_pct": -5.0, "il_usd": -114.0, "positions": 3, "is_stale": True}],
    )
    assert published.sees("impermanent_loss", "*") == [
        ("entered/1", -5.7, 1.0, None), ("entered/2", -5.7, 1.0, None), ("entered/3", -5.7, 0.0, None),
    ]  # fmt: skip
    assert [row[0] for row in published.sees("impermanent_loss", "base")] == ["entered/2", "entered/3"]
    assert published.sees("impermanent_loss_usd", "entered/1") == [("entered/1", -57.0, 1.0, None)]
    # Of three positions one is fresh and known in dollars.
    assert published.sees("total_impermanent_loss") == [("portfolio", -5.0, 0.3333, None)]
    assert published.sees("total_impermanent_loss_usd") == [("portfolio", -114.0, 0.3333, None)]


def test_figures_of_a_pool_and_their_changes(published: Published) -> None:
    row = {
        "chain": "ethereum", "protocol": "uniswap_v3", "pool": POOL, "tvl_usd": 2e6, "volume_usd_1d": 3e5,
        "fee_apr": 0.12, "reward_apr": None, "price": 2500.0, "reserve0": 400.0, "reserve1": 1e6,
        "as_of": datetime.fromisoformat("2025-02-02T10:00"), "is_stale": False,
    }  # fmt: skip
    published.put("pool_states", [row | {"date": D4, "tvl_usd": None, "provider_tvl_usd": 1.5e6}, row | {"date": D3}])
    subject = f"ethereum/{POOL}"
    wanted = {
        "pool_tvl": 1.5e6, "pool_volume": 3e5, "pool_apr": 12.0, "pool_price": 2500.0, "pool_reserve0": 400.0,
        "pool_reserve1": 1e6,
    }  # fmt: skip
    for name, value in wanted.items():
        assert published.sees(name, subject) == [(subject, value, 1.0, None)]
    assert published.sees("pool_tvl", subject, 1) == [(subject, -25.0, 1.0, None)]
    assert published.sees("pool_reward_apr", subject)[0][1:] == (
        None, 1.0, "neither the chain nor a provider tells it",
    )  # fmt: skip
    assert published.sees("pool_tvl", "ethereum") == [(subject, 1.5e6, 1.0, None)]


def test_a_loan_that_is_repaid_can_no_longer_be_liquidated(published: Published) -> None:
    row = {
        "user_id": "alice", "address": "0xaa", "chain": "ethereum", "protocol": "aave_v3", "pool": "0x01",
        "role": "supply", "as_of": datetime.fromisoformat("2025-02-02T10:00"), "is_stale": False,
        "facts": '{"health_factor": "2060850659999789969"}',
    }  # fmt: skip
    without = '{"market": "0x01"}'
    published.put(
        "defi_positions",
        [
            row, row | {"role": "debt"}, row | {"pool": "0x02", "facts": without},
            row | {"pool": "0x03", "role": "debt", "facts": without}, row | {"pool": "0x04", "is_stale": True},
        ],
    )  # fmt: skip
    one, repaid, unknown, stale = published.sees("health_factor", "*")
    assert one == ("ethereum/aave_v3/0x01/0xaa", 2.0609, 1.0, None)
    assert repaid == ("ethereum/aave_v3/0x02/0xaa", float("inf"), 1.0, None)
    assert unknown[1:] == (None, 1.0, "the market did not tell it")
    assert stale[1:3] == (2.0609, 0.0)


def test_the_age_of_data_is_told_by_the_clock(published: Published) -> None:
    # The third day is the newest closed one: it ended 20 hours ago. Its prices became known an hour later.
    assert published.sees("data_age", "closed-day") == [("closed-day", 20.0, 1.0, None)]
    assert published.sees("data_age", "prices")[0][1] == pytest.approx(-3)  # of the running day, known at 23:00
    published.put(
        "wallet_balances",
        [{"user_id": "alice", "address": "0xaa", "chain": "base", "token_key": 1, "as_of": NOW - timedelta(hours=30)}],
    )
    assert published.sees("data_age", "chains") == [("chains/base", 30.0, 1.0, None)]


def test_operators_watch_the_scorecard_and_failed_runs(published: Published) -> None:
    (found,) = published.sees("data_quality", "value_coverage", user=None)
    assert found[1] == pytest.approx((1650 + 80 - 220) / (1650 + 80), abs=1e-4)
    assert published.sees("failed_runs", "any", 1, user=None) == [("any", 0.0, 1.0, None)]
    with published.engine.begin() as connection:
        connection.execute(
            sa.text("insert into app.failed_runs values ('1', 'daily', :now, 'x'), ('2', 'daily', :past, 'x')"),
            {"now": NOW, "past": NOW - timedelta(days=2)},
        )
    assert published.sees("failed_runs", "*", 7, user=None) == [("any", 2.0, 1.0, None), ("daily", 2.0, 1.0, None)]
    assert published.sees("failed_runs", "daily", 1, user=None) == [("daily", 1.0, 1.0, None)]


def test_every_metric_can_be_evaluated_on_published_marts(published: Published) -> None:
    for name, metric in METRICS.items():
        user = None if metric.owner is Owner.OPERATORS else "bob"
        subject = "portfolio" if metric.has_one_subject else "*"
        for span in {None if not metric.needs_span else metric.spans[0], metric.spans[0] if metric.spans else None}:
            add_rule(published.engine, user, RuleTerms(name, subject, "beyond", span, warning_at=1e15), who="test")
    assert {each.metric for each in evaluate(published.engine, now=NOW)} == METRICS.keys()
    # What follows the clock is looked at again, everything else waits for a publication.
    again = {each.metric for each in evaluate(published.engine, now=NOW + timedelta(minutes=1))}
    assert again == {name for name, metric in METRICS.items() if metric.follows_clock}
