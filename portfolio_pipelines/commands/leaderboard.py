"""`portfolio leaderboard`: the board of a day, and where one user stands. The rules are in `finance.leaderboard`."""

from datetime import date
from typing import TYPE_CHECKING, Any

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.reading import print_rows

if TYPE_CHECKING:
    import duckdb

    from portfolio_pipelines.resources.platform import Platform


def show_leaderboard(platform: "Platform", window: int, user: str | None, day: date | None, form: str) -> None:
    """Print the board, and below it where the user stands.

    Raises:
        CommandError: If there is no board of the day, or nothing is known of the user.
    """
    with platform.warehouse.connect() as marts:
        shown = day or _newest(marts)
        names, board = _rows(
            marts,
            "select rank, pseudonym, roi_twr, pnl_over_peak_capital, max_drawdown, value_bucket, n_ranked, n_began "
            "from marts.leaderboard where as_of = ? and window_days = ? order by rank",
            [shown, window],
        )
        own = None if user is None else _standing(marts, shown, window, user)
    if form != "table":
        print_rows(*((names, board) if own is None else (list(own), [tuple(own.values())])), form)
        return
    if board:
        ranked, began = board[0][names.index("n_ranked")], board[0][names.index("n_began")]
        OUT.print(
            f"Leaderboard of {shown} over {window} days: {ranked} ranked, of {began} that began with 100 USD or more",
            markup=False,
        )
        kept = len(names) - 2
        print_rows([name.replace("_", " ") for name in names[:kept]], [row[:kept] for row in board], "table")
    else:
        OUT.print(
            f"Nobody is ranked on {shown} over {window} days. Holdings count from the day they were entered; "
            "`--user USER` says why somebody is not ranked",
            markup=False,
        )
    if own is not None:
        OUT.print(_sentence(str(user), own), markup=False)


def _newest(marts: "duckdb.DuckDBPyConnection") -> date:
    found = marts.execute("select max(as_of) from marts.leaderboard_ranks").fetchone()
    if found is None or found[0] is None:
        msg = (
            "there is no leaderboard yet: `portfolio run` makes one of the days from the close on which the first "
            "holding was entered (PORTFOLIO_LEADERBOARD_COUNTS_FROM=purchase trusts what was entered later)"
        )
        raise CommandError(msg)
    newest: date = found[0]
    return newest


def _rows(
    marts: "duckdb.DuckDBPyConnection", query: str, values: list[object]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = marts.execute(query, values)
    return [column[0] for column in cursor.description or []], cursor.fetchall()


def _standing(marts: "duckdb.DuckDBPyConnection", day: date, window: int, user: str) -> dict[str, Any]:
    names, rows = _rows(
        marts,
        "select rank, pseudonym, roi_twr, pnl_over_peak_capital, max_drawdown, value_bucket, n_ranked, n_obs, reason "
        "from marts.leaderboard_ranks where as_of = ? and window_days = ? and user_id = ?",
        [day, window, user],
    )
    if not rows:
        days = marts.execute(
            "select distinct as_of from marts.leaderboard_ranks where user_id = ? order by 1 desc limit 5", [user]
        ).fetchall()
        known = ", ".join(str(found[0]) for found in days) or "none"
        msg = (
            f"nothing of {user} counted by {day}: holdings count from the close of the day they were entered on. "
            f"The newest days with a rank of {user}: {known}"
        )
        raise CommandError(msg)
    return dict(zip(names, rows[0], strict=True))


def _sentence(user: str, own: dict[str, Any]) -> str:
    if own["rank"] is None:
        return f"{user} is not ranked: {own['reason']} ({own['n_obs']} days count)"
    return f"{user} is number {own['rank']} of {own['n_ranked']}, as {own['pseudonym']}: {own['roi_twr']:+.2%}"
