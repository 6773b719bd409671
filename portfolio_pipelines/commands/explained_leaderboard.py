"""What a user's standing was computed from: the user's own counted days. See `explained_metrics`.

Of all others nothing is told but how many there are: no name, no figure. They are compared here by what
`leaderboard_ranks` holds of them, and by their own days where returns are equal to the digits that it shows.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explained_metrics import Explanation, Question, Value
from portfolio_pipelines.finance.leaderboard import EQUAL_DIGITS, LEAST_AT_WORK_USD, WINDOWS
from portfolio_pipelines.finance.leaderboard_privacy import EDGES_USD, FIGURE_DIGITS
from portfolio_pipelines.finance.returns import LEAST_INVESTED_USD
from portfolio_pipelines.leaderboard_tables import COUNTED_RETURNS

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from portfolio_pipelines.resources.lake import Lake

RANKS: Final = "leaderboard_ranks"
BOARD: Final = "leaderboard"
OF_RANKS: Final = (
    "rank", "roi_twr", "pnl_over_peak_capital", "max_drawdown", "value_bucket", "n_ranked", "n_obs",
)  # fmt: skip
"""The figures of leaderboard_ranks."""
OF_BOARD: Final = (*OF_RANKS[:-1], "n_began")
"""The figures of leaderboard."""


def explain_standing(
    marts: "duckdb.DuckDBPyConnection", lake: "Lake | None", mart: str, question: Question
) -> Explanation:
    """Work a figure of the leaderboard out for one user.

    Args:
        marts: The warehouse.
        lake: Holds the days that were counted.
        mart: RANKS, or BOARD for the user's row of it.
        question: Its window is 30, 90 or 365.

    Raises:
        CommandError: If there was no board, the user is not on it, or the lake is not at hand.
    """
    column = question.metric.rpartition(".")[2]
    own = _standing(marts, question)
    served = own[column] if mart == RANKS else _on_the_board(marts, question, own, column)
    if served is None and own["reason"] is not None:
        return Explanation("it cannot be told", [], None, None, own["reason"])
    if lake is None:
        msg = f"{question.metric} rests on {COUNTED_RETURNS}, which is read from the lake: it is not at hand"
        raise CommandError(msg)
    found = _worked(marts, lake, question, own, column)
    inputs: list[tuple[str, Value]] = [("window", f"{_first(question)} to {question.day}"), *found.inputs]
    return Explanation(found.formula, inputs, found.recomputed, served, own["reason"])


def _worked(
    marts: "duckdb.DuckDBPyConnection", lake: "Lake", question: Question, own: dict[str, Any], column: str
) -> Explanation:
    if column == "rank":
        return _rank(marts, lake, question, own)
    if column == "n_ranked":
        return Explanation("number of users that are ranked", [], len(_ranked(marts, question)))
    if column == "n_began":
        opening = counted(lake, None, [_first(question)])["opening_usd"]
        least = f"number of users with {LEAST_AT_WORK_USD:g} USD or more at work when the window began"
        return Explanation(least, [], int((opening >= LEAST_AT_WORK_USD).sum()))
    if column == "value_bucket":
        return _bucket(marts, lake, question, own)
    return _of_days(counted(lake, [own["user_key"]], _days(question)), column)


def counted(lake: "Lake", keys: Iterable[int] | None, days: Iterable[date]) -> "pl.DataFrame":
    """What was counted of some users, or of all, on some days: COUNTED_RETURNS_SCHEMA."""
    import polars as pl

    from portfolio_pipelines.leaderboard_tables import COUNTED_RETURNS_SCHEMA

    paths = {day: lake.path(COUNTED_RETURNS, day) for day in sorted(days)}
    rows = [
        pl.scan_parquet(path, hive_partitioning=False).with_columns(date=pl.lit(day))
        for day, path in paths.items()
        if path.is_file()
    ]
    if not rows:
        return pl.DataFrame(schema=COUNTED_RETURNS_SCHEMA)
    wanted = pl.lit(value=True) if keys is None else pl.col("user_key").is_in(list(keys))
    return pl.concat(one.filter(wanted).select(COUNTED_RETURNS_SCHEMA.names()) for one in rows).collect()


def _of_days(days: "pl.DataFrame", column: str) -> Explanation:
    """A figure that follows from the user's days alone."""
    opening, gain = (days[name].fill_null(float("nan")).to_numpy() for name in ("opening_usd", "gain_usd"))
    known = (opening >= LEAST_INVESTED_USD) & ~np.isnan(gain)
    opening, gain = opening[known], gain[known]
    dates = days["date"].to_numpy()[known].astype("datetime64[D]").astype(object)
    inputs: list[tuple[str, Value]] = [("days that count", len(gain))]
    if column == "n_obs":
        return Explanation("number of days whose return is known and counts", inputs, len(gain))
    if column == "pnl_over_peak_capital":
        at = int(np.argmax(opening))
        inputs += [
            ("gains, USD", float(gain.sum())),
            (f"at work on {dates[at]}, USD", float(opening[at])),
        ]
        formula = "sum of gains / most that was at work at the start of a day, rounded to 0.01 %"
        return Explanation(formula, inputs, _shown(gain.sum() / opening[at]))
    index = np.cumprod(1 + gain / opening)
    if column == "roi_twr":
        inputs += [
            ("gains, USD", float(gain.sum())),
            ("index at the end, 1 at the start", float(index[-1])),
        ]
        formula = "product of 1 + gain of the day / worth at the close before, minus 1, rounded to 0.01 %"
        return Explanation(formula, inputs, _shown(index[-1] - 1))
    highest = np.maximum.accumulate(np.maximum(index, 1.0))
    trough = int(np.argmin(index / highest))
    inputs += [
        ("highest index until then, 1 at the start", float(highest[trough])),
        (f"index at the close of {dates[trough]}", float(index[trough])),
    ]
    lowest = min(0.0, float(index[trough] / highest[trough] - 1))
    return Explanation("index at the trough / highest index before it - 1, rounded to 0.01 %", inputs, _shown(lowest))


def _rank(marts: "duckdb.DuckDBPyConnection", lake: "Lake", question: Question, own: dict[str, Any]) -> Explanation:
    others = _ranked(marts, question)
    ahead = sum(roi > own["roi_twr"] for _, roi, _ in others)
    equal = {key: name for key, roi, name in others if roi == own["roi_twr"]}
    days = counted(lake, equal, _days(question)).partition_by("user_key", as_dict=True) if len(equal) > 1 else {}
    order = sorted(equal, key=lambda key: (*_exact(days[(key,)]), equal[key])) if days else list(equal)
    before = order.index(own["user_key"])
    inputs: list[tuple[str, Value]] = [
        ("roi_twr, to 0.01 %", own["roi_twr"]),
        ("ranked users with a higher one", ahead),
        ("others with the same", len(equal) - 1),
        ("of them before this user", before),
    ]
    formula = (
        "1 + users with a higher return + those before of equal ones: by its further digits, then by gain on peak "
        "capital, then by drawdown, then by lot (the order of the pseudonyms)"
    )
    return Explanation(formula, inputs, 1 + ahead + before)


def _exact(days: "pl.DataFrame") -> tuple[float, float, float]:
    """What the order of two users follows, the better one smaller."""
    opening, gain = (days.sort("date")[name].to_numpy() for name in ("opening_usd", "gain_usd"))
    index = np.cumprod(1 + gain / opening)
    fall = min(0.0, float((index / np.maximum.accumulate(np.maximum(index, 1.0))).min() - 1))
    figures = (float(index[-1] - 1), float(gain.sum() / opening.max()), fall)
    return (-round(figures[0], EQUAL_DIGITS), -round(figures[1], EQUAL_DIGITS), -round(figures[2], EQUAL_DIGITS))


def _bucket(marts: "duckdb.DuckDBPyConnection", lake: "Lake", question: Question, own: dict[str, Any]) -> Explanation:
    """The range of worth, merged with poorer ones until enough ranked users share it."""
    worth = counted(lake, [key for key, _, _ in _ranked(marts, question)], [question.day])
    values = dict(zip(worth["user_key"], worth["value_usd"], strict=True))
    steps = [0.0, *EDGES_USD, float("inf")]
    ranges: list[tuple[float, float]] = []
    upper = steps[-1]
    for low in reversed(steps[:-1]):
        if sum(low <= value < upper for value in values.values()) >= question.bucket_users:
            ranges.append((low, upper))
            upper = low
        elif low == 0 and ranges:
            ranges[-1] = (low, ranges[-1][1])
    mine = values[own["user_key"]]
    found = next(((low, high) for low, high in ranges if low <= mine < high), None)
    inputs: list[tuple[str, Value]] = [
        ("worth at the close, USD", mine),
        ("ranked users that must share a range", question.bucket_users),
    ]
    formula = "range of worth, from the richest down merged with the next until enough ranked users share it"
    return Explanation(formula, inputs, None if found is None else _words(*found))


def _words(low: float, high: float) -> str:
    if low == 0 and high == float("inf"):
        return "any worth"
    if low == 0:
        return f"below {high:,.0f} USD"
    return f"{low:,.0f} USD and more" if high == float("inf") else f"{low:,.0f} to {high:,.0f} USD"


def _standing(marts: "duckdb.DuckDBPyConnection", question: Question) -> dict[str, Any]:
    """The user's row of leaderboard_ranks, with the user's key."""
    if question.window not in WINDOWS:
        msg = f"boards are over {', '.join(map(str, WINDOWS))} days: choose one with --window"
        raise CommandError(msg)
    found = marts.execute(
        "select ranks.*, users.user_key from marts.leaderboard_ranks as ranks "
        "inner join intermediate.dim_users as users on users.user_id = ranks.user_id "
        "where ranks.user_id = ? and ranks.as_of = ? and ranks.window_days = ?",
        [question.user, question.day, question.window],
    )
    names = [column[0] for column in found.description or []]
    row = found.fetchone()
    if row is not None:
        return dict(zip(names, row, strict=True))
    days = marts.execute("select distinct as_of from marts.leaderboard_ranks order by 1 desc limit 5").fetchall()
    known = ", ".join(str(day[0]) for day in days) or "none"
    msg = f"leaderboard_ranks has no row of {question.user} on {question.day}; its newest days are: {known}"
    raise CommandError(msg)


def _on_the_board(marts: "duckdb.DuckDBPyConnection", question: Question, own: dict[str, Any], column: str) -> Value:
    """A figure of the user's own row of the board; what is the same in all rows needs none."""
    whole = column in {"n_ranked", "n_began"}
    row = marts.execute(
        f"select {column} from marts.leaderboard where as_of = ? and window_days = ? "
        f"{'' if whole else 'and pseudonym = ?'} limit 1",
        [question.day, question.window, *([] if whole else [own["pseudonym"]])],
    ).fetchone()
    if row is None:
        why = own["reason"] or "the board shows the first hundred"
        msg = (
            f"{question.user} is not on the board of {question.day} over {question.window} days: {why}. "
            f"leaderboard_ranks.{column} explains where the user stands"
        )
        raise CommandError(msg)
    value: Value = row[0]
    return value


def _ranked(marts: "duckdb.DuckDBPyConnection", question: Question) -> list[tuple[int, float, str]]:
    """Key, return and pseudonym of everybody who is ranked: compared with, and never printed."""
    return marts.execute(
        "select users.user_key, ranks.roi_twr, ranks.pseudonym from marts.leaderboard_ranks as ranks "
        "inner join intermediate.dim_users as users on users.user_id = ranks.user_id "
        "where ranks.as_of = ? and ranks.window_days = ? and ranks.rank is not null",
        [question.day, question.window],
    ).fetchall()


def _first(question: Question) -> date:
    return question.day - timedelta(days=question.window - 1)


def _days(question: Question) -> list[date]:
    return [_first(question) + timedelta(days=n) for n in range(question.window)]


def _shown(figure: float) -> float:
    return float(np.round(figure, FIGURE_DIGITS)) + 0.0
