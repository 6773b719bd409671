"""`portfolio explain` works a user's standing out again, and tells nothing of anybody else."""

from datetime import date

import polars as pl
import pytest

from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explain import explanation
from portfolio_pipelines.commands.explained_leaderboard import OF_BOARD, OF_RANKS
from portfolio_pipelines.commands.explained_metrics import Question
from portfolio_pipelines.leaderboard_tables import COUNTED_RETURNS, COUNTED_RETURNS_SCHEMA, LEADERBOARD_RANKS
from portfolio_pipelines.leaderboard_tables import LEADERBOARD_RANKS_SCHEMA as RANKS_SCHEMA
from portfolio_pipelines.resources.platform import Platform
from tests.integration.leaderboard.conftest import LAST

BUCKET_USERS = 2


def asked(user: str, metric: str, window: int = 30, day: date = LAST) -> Question:
    return Question(user, day, metric, window, "BTC", 0.0, bucket_users=BUCKET_USERS)


def test_every_figure_of_a_standing_is_worked_out_again_and_nobody_else_is_shown(copied: Platform) -> None:
    copied.warehouse.build()
    with copied.warehouse.connect() as marts:
        agreed = 0
        for user, other in (("ann", "bob"), ("bob", "ann")):
            pseudonym, theirs = (
                marts.execute(
                    "select pseudonym, roi_twr from marts.leaderboard_ranks "
                    "where user_id = ? and as_of = ? and window_days = 30",
                    [name, LAST],
                ).fetchall()[0]
                for name in (user, other)
            )
            for mart, columns in (("leaderboard_ranks", OF_RANKS), ("leaderboard", OF_BOARD)):
                for column in columns:
                    found = explanation(marts, asked(user, f"{mart}.{column}"), copied.lake)
                    assert found.recomputed == found.served, (user, mart, column, found)
                    agreed += found.served is not None
                    shown = str(found.inputs)
                    assert other not in shown
                    assert str(theirs[0]) not in shown
                    assert str(theirs[1]) not in shown
            assert pseudonym[0] != theirs[0]
        assert agreed == 2 * (len(OF_RANKS) + len(OF_BOARD))
        whole = explanation(marts, asked("cid", "rank"), copied.lake)
        assert whole.served is None
        assert whole.reason is not None
        assert whole.reason.startswith("fewer daily returns")
        days = explanation(marts, asked("cid", "leaderboard_ranks.n_obs"), copied.lake)
        assert days.recomputed == days.served
        with pytest.raises(CommandError, match=r"cid is not on the board of .* leaderboard_ranks\.rank explains where"):
            explanation(marts, asked("cid", "leaderboard.rank"), copied.lake)
        with pytest.raises(CommandError, match="30, 90, 365 days: choose one with --window"):
            explanation(marts, asked("ann", "rank", 0), copied.lake)
        with pytest.raises(CommandError, match="has no row of mallory"):
            explanation(marts, asked("mallory", "rank"), copied.lake)


def test_of_equal_returns_the_further_digits_decide(copied: Platform) -> None:
    """Ann's days become Bob's, a millionth better on the last one: to 0.01 % both are the same."""
    ranks = copied.lake.read(LEADERBOARD_RANKS, [LAST], RANKS_SCHEMA)
    keys = dict(
        ranks.filter(pl.col("rank").is_not_null(), pl.col("window_days") == 30).select("rank", "user_key").rows()
    )
    first, second = keys[1], keys[2]
    for day in sorted(copied.lake.days(COUNTED_RETURNS)):
        rows = copied.lake.read(COUNTED_RETURNS, [day], COUNTED_RETURNS_SCHEMA)
        better = pl.col("gain_usd") + (pl.col("opening_usd") * 1e-6 if day == LAST else 0.0)
        twin = rows.filter(user_key=first).with_columns(user_key=pl.lit(second, pl.Int32), gain_usd=better)
        others = rows.filter(pl.col("user_key") != second)
        copied.lake.replace(COUNTED_RETURNS, day, pl.concat([others, twin]).sort("user_key").drop("date"))
    own = ranks.filter(user_key=first, window_days=30)
    figures = {name: own[name][0] for name in ("roi_twr", "pnl_over_peak_capital", "max_drawdown")}
    is_twin = (pl.col("user_key") == second) & (pl.col("window_days") == 30)
    is_first = (pl.col("user_key") == first) & (pl.col("window_days") == 30)
    changed = ranks.with_columns(
        rank=pl.when(is_twin).then(1).when(is_first).then(2).otherwise("rank").cast(pl.Int32),
        **{name: pl.when(is_twin).then(value).otherwise(name) for name, value in figures.items()},
    )
    copied.lake.replace(LEADERBOARD_RANKS, LAST, changed.drop("date"))
    copied.warehouse.build()
    with copied.warehouse.connect() as marts:
        names = dict(marts.execute("select user_key, user_id from intermediate.dim_users").fetchall())
        for key, place in ((second, 1), (first, 2)):
            found = explanation(marts, asked(names[key], "rank"), copied.lake)
            assert (found.recomputed, found.served) == (place, place)
            assert dict(found.inputs)["others with the same"] == 1
