"""Strategies and plans on a real Postgres: versions, refusals, what becomes of proposals."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid5

import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.target_plans import (
    PROPOSALS,
    PlanRefusedError,
    decide,
    plans_frame,
    save_proposals,
    save_request,
)
from portfolio_pipelines.database.target_versions import (
    StrategyRefusedError,
    delete_strategy,
    set_strategy,
    targets_frame,
)
from portfolio_pipelines.finance.allocation import Rules, Target
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

BTC, ETH, SOL = "coingecko:bitcoin", "coingecko:ethereum", "coingecko:solana"
DAY = date(2025, 3, 2)
NOW = datetime(2025, 3, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def users(database: sa.Engine) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('ann'), ('bob')"))


def halves(first: str = "50") -> list[Target]:
    share = Decimal(first)
    return [Target(BTC, share, Decimal(5)), Target(ETH, 100 - share, Decimal("2.5"), may_sell=False)]


def put(database: sa.Engine, targets: list[Target], rules: Rules | None = None, name: str = "core") -> int:
    return set_strategy(database, "ann", name, targets, rules or Rules(), who="ann", now=NOW)


def proposal(day: date = DAY, number: int = 1, status: str = "proposed", method: str = "closed_form") -> pl.DataFrame:
    plan = str(uuid5(UUID(int=0), f"{day} {number}"))
    steps = (
        '[{"step": 1, "action": "swap", "asset_id": "coingecko:bitcoin", "amount_usd": 500.5, '
        '"into_asset_id": "coingecko:ethereum", "reason": "a \\"quoted\\" reason"}]'
    )
    close = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    row = (plan, 1, 1, day, method, status, 1000.0, 500.0, 0.5, 0.25, True, steps, NOW, close + timedelta(hours=48))
    return pl.DataFrame([row], schema=PROPOSALS, orient="row")


def statuses(database: sa.Engine) -> dict[tuple[date, str], str]:
    rows = plans_frame(database).select("as_of", "method", "status").iter_rows()
    return {(day, method): status for day, method, status in rows}


def test_a_strategy_is_stored_as_shares_and_the_same_again_changes_nothing(database: sa.Engine) -> None:
    assert put(database, halves(), Rules(min_trade_usd=Decimal("12.50"))) == 1
    assert put(database, halves()[::-1], Rules(min_trade_usd=Decimal("12.5"))) == 1
    rows = targets_frame(database).select("user_id", "strategy", "asset_id", "target", "band", "may_sell").rows()
    assert rows == [("ann", "core", BTC, 0.5, 0.05, True), ("ann", "core", ETH, 0.5, 0.025, False)]
    assert targets_frame(database, "bob").is_empty()


def test_a_change_is_a_new_version_and_the_old_one_stays(database: sa.Engine) -> None:
    put(database, halves())
    assert put(database, halves("60")) == 2
    assert targets_frame(database, "ann")["target"].to_list() == [0.6, 0.4]
    with database.connect() as connection:
        history = connection.execute(
            sa.text("select version, superseded_at is null as holds, ended_by from app.strategy_versions order by 1")
        ).all()
    assert [tuple(row) for row in history] == [(1, False, "ann"), (2, True, None)]


def test_a_deleted_strategy_is_gone_from_the_list_and_may_come_back(database: sa.Engine) -> None:
    put(database, halves())
    delete_strategy(database, "ann", "core", who="ann")
    assert targets_frame(database).is_empty()
    with pytest.raises(StrategyRefusedError, match="has no strategy 'core'"):
        delete_strategy(database, "ann", "core", who="ann")
    assert put(database, halves()) == 2


def test_buy_only_means_that_nothing_may_be_sold(database: sa.Engine) -> None:
    put(database, halves(), Rules(buy_only=True))
    assert targets_frame(database)["may_sell"].to_list() == [False, False]


def test_all_faults_of_a_strategy_are_told_at_once_and_nothing_is_stored(database: sa.Engine) -> None:
    with pytest.raises(StrategyRefusedError) as refused:
        set_strategy(database, "nobody", "core", halves()[:1] * 2, Rules(), who="ann")
    text = str(refused.value)
    assert "no user 'nobody'" in text
    assert f"{BTC} is named twice" in text
    with pytest.raises(StrategyRefusedError, match="sum to 50 %"):
        put(database, halves()[:1])
    assert targets_frame(database).is_empty()


def test_a_user_has_at_most_twenty_strategies(database: sa.Engine) -> None:
    for number in range(20):
        put(database, halves(), name=f"number {number}")
    with pytest.raises(StrategyRefusedError, match="at most 20"):
        put(database, halves(), name="one more")
    assert put(database, halves("70"), name="number 3") == 2


def test_a_proposal_can_be_accepted_by_the_beginning_of_its_id(database: sa.Engine) -> None:
    put(database, halves())
    assert save_proposals(database, proposal(), DAY, NOW) == 1
    plan = plans_frame(database, "ann").row(0, named=True)
    assert (plan["action"], plan["amount_usd"], plan["reason"]) == ("swap", 500.5, 'a "quoted" reason')
    decide(database, plan["plan_id"][:8], "accepted", who="ann", why="good", now=NOW)
    assert statuses(database) == {(DAY, "closed_form"): "accepted"}
    with pytest.raises(PlanRefusedError, match="is accepted, it can no longer be rejected"):
        decide(database, plan["plan_id"], "rejected", who="ann", now=NOW)


def test_the_next_night_replaces_proposals_but_not_decisions(database: sa.Engine) -> None:
    put(database, halves())
    save_proposals(database, proposal(), DAY, NOW)
    save_proposals(database, proposal(DAY + timedelta(days=1)), DAY + timedelta(days=1), NOW)
    assert statuses(database) == {(DAY + timedelta(days=1), "closed_form"): "proposed"}
    decide(database, plans_frame(database)["plan_id"][0], "rejected", who="ann", now=NOW)
    save_proposals(database, proposal(DAY + timedelta(days=2)).clear(), DAY + timedelta(days=2), NOW)
    assert statuses(database) == {(DAY + timedelta(days=1), "closed_form"): "rejected"}


def test_the_same_night_again_keeps_what_was_decided_and_what_was_asked_for(database: sa.Engine) -> None:
    put(database, halves())
    save_proposals(database, proposal(), DAY, NOW)
    save_request(database, proposal(number=2, method="request"))
    assert save_request(database, proposal(number=2, method="request")) == 0
    save_proposals(database, proposal(), DAY, NOW)
    assert statuses(database) == {(DAY, "closed_form"): "proposed", (DAY, "request"): "proposed"}
    asked = plans_frame(database).filter(pl.col("method") == "request")["plan_id"][0]
    decide(database, asked, "accepted", who="ann", now=NOW)
    assert statuses(database) == {(DAY, "closed_form"): "expired", (DAY, "request"): "accepted"}


def test_a_proposal_that_is_two_days_old_can_no_longer_be_accepted(database: sa.Engine) -> None:
    put(database, halves())
    save_proposals(database, proposal(), DAY, NOW)
    plan = plans_frame(database)["plan_id"][0]
    with pytest.raises(PlanRefusedError, match="is expired"):
        decide(database, plan, "accepted", who="ann", now=NOW + timedelta(days=2))


def test_a_changed_strategy_ends_its_proposals_and_late_ones_of_the_old_version_are_dropped(
    database: sa.Engine,
) -> None:
    put(database, halves())
    save_proposals(database, proposal(), DAY, NOW)
    put(database, halves("60"))
    assert statuses(database) == {(DAY, "closed_form"): "expired"}
    assert save_proposals(database, proposal(number=3), DAY, NOW) == 0


@pytest.mark.parametrize("prefix", ["", "00", "ffffffff"])
def test_a_plan_that_nobody_can_mean_is_refused(database: sa.Engine, prefix: str) -> None:
    put(database, halves())
    save_proposals(database, proposal(), DAY, NOW)
    with pytest.raises(PlanRefusedError, match="no single plan begins with"):
        decide(database, prefix, "accepted", who="ann", now=NOW)


def test_an_asset_that_is_only_a_target_gets_a_price_from_the_close_before_it_was_set(
    database: sa.Engine, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr(url_text(database.url)), price_providers=())
    platform = Platform.of(settings)
    put(database, [Target(SOL, Decimal(95), Decimal(1)), Target("ethereum/0xabc", Decimal(5), Decimal(1))])
    assert platform.database.held_since().rows() == [(SOL, DAY)], "a token is priced as its wallets say"
    wanted = platform.market.tracked([DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)])
    assert wanted.filter(asset_id=SOL)["date"].to_list() == [DAY, DAY + timedelta(days=1)]
    delete_strategy(database, "ann", "core", who="ann", now=NOW)
    assert platform.database.held_since().is_empty()
