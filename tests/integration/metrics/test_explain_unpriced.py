"""`portfolio explain` where a holding has no price: what is null stays null, and a name says of which mart it is."""

import re

import numpy as np
import pytest
import sqlalchemy as sa

from portfolio_pipelines.resources.platform import Platform
from tests.explained_figures import every, explained
from tests.integration.metrics.conftest import (
    BTC,
    DAYS,
    FIRST,
    LAST,
    bring_investments,
    bring_prices,
    explained_at_terminal,
    new_platform,
    run,
)

SILENT = set(DAYS[20:32]) | set(DAYS[60:])
"""Days on which nobody prices the ghost: long enough for its last close to be carried no more."""
LEVELS = 2 * np.cumprod(1 + np.random.default_rng(7).normal(0.001, 0.03, len(DAYS)))
GHOST = {day: float(level) for day, level in zip(DAYS, LEVELS, strict=True) if day not in SILENT}


@pytest.fixture(scope="module")
def unpriced(database_of_module: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Ann and Bob, and three more who hold a coin that is priced now and then; Eve bought it while it was not."""
    platform = new_platform(database_of_module, tmp_path_factory.mktemp("unpriced") / "home")
    bring_prices(platform, "GHOST", GHOST)
    bring_investments(
        platform,
        f"cara,mixed,{FIRST},BTC,{BTC[FIRST] / 50},0.02\ncara,mixed,{FIRST},GHOST,200,100\n"
        f"dan,all,{FIRST},GHOST,200,100\n"
        f"eve,late,{DAYS[26]},GHOST,200,100\neve,late,{DAYS[26]},BTC,{BTC[DAYS[26]] / 50},0.02\n",
    )
    run(platform)
    platform.warehouse.build()
    return platform


def test_what_has_no_price_is_null_again_in_every_figure_of_every_day(unpriced: Platform) -> None:
    """A total, a gain and a return without a holding that has no price would be other figures than those served."""
    daily, *others = names = (
        "portfolio_performance_daily", "portfolio_metrics", "benchmark_comparison", "diversification",
    )  # fmt: skip
    with unpriced.warehouse.connect() as marts:
        nulls = marts.execute(
            "select user_id, count(*) - count(value_usd), count(*) - count(pnl_usd) "
            "from marts.portfolio_performance_daily group by user_id order by user_id"
        ).fetchall()
        of_users = {user: (value > 0, gain > 0) for user, value, gain in nulls}
        agreed = explained(marts, unpriced.lake, daily, most=200)
        agreed += explained(marts, unpriced.lake, *others, rel=1e-7, least=1e-7)  # bitcoin beside bitcoin: rounding
    assert of_users == {
        "ann": (False, False), "bob": (False, False),
        "cara": (False, True), "dan": (True, True), "eve": (False, True),
    }  # fmt: skip
    every(agreed, *names, without=("calmar", "xirr"))  # both need a longer record


def test_a_null_that_rests_on_a_missing_price_names_it_and_raises_no_alarm(unpriced: Platform) -> None:
    for metric in ("value_usd", "pnl_usd", "daily_return"):
        text = explained_at_terminal(unpriced, "dan", DAYS[-1], metric, None, "BTC")
        assert "served      null" in text
        assert "100 file:GHOST" in text
        assert "DIFFERS" not in text
        assert "gives" not in text


def test_a_name_alone_is_of_the_day_and_the_answer_says_of_which_mart_and_who_else_has_it(unpriced: Platform) -> None:
    """Cara's coin was priced on most days of her record and is not today: two figures named coverage."""
    of_day = explained_at_terminal(unpriced, "cara", LAST, "coverage", None, "BTC")
    assert "coverage of cara on 2024-05-04 (portfolio_performance_daily)" in of_day
    assert re.search(r"others .*portfolio_metrics\.coverage, portfolio_snapshots\.coverage", of_day)
    of_record = explained_at_terminal(unpriced, "cara", LAST, "portfolio_metrics.coverage", None, "BTC")
    assert "coverage of cara on 2024-05-04 (portfolio_metrics)" in of_record
    assert "others" not in of_record
    of_window = explained_at_terminal(unpriced, "cara", LAST, "coverage", 0, "BTC")
    assert of_window == of_record, "windows are of metrics"
    served = [re.search(r"served +(\S+)", text) for text in (of_day, of_record)]
    assert served[0]
    assert served[1]
    assert float(served[0][1]) < float(served[1][1])
    assert "(portfolio_performance_daily)" in explained_at_terminal(unpriced, "cara", LAST, "invested_usd", None, "BTC")
