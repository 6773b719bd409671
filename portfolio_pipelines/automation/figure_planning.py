"""Which closes lack figures (metrics, correlations, boards), or have some that rest on other values than there are now.

Belongs here: comparing what the figures of a close were made from with what is there. Days whose values are out of date
themselves are `planning`; runs that value without figures (the running day) leave them to this.
"""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Final

from portfolio_pipelines.leaderboard_tables import COUNTED_RETURNS, HOLDING_VERSIONS, LEADERBOARD, LEADERBOARD_RANKS
from portfolio_pipelines.metric_tables import (
    ASSET_CORRELATIONS,
    BENCHMARK_COMPARISON,
    DIVERSIFICATION,
    PORTFOLIO_METRICS,
)
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.leaderboard_rules import LeaderboardRules
from portfolio_pipelines.resources.partitions import PartitionWriter
from portfolio_pipelines.tables import PORTFOLIO_PERFORMANCE

TABLES_OF_CLOSES: Final = (
    PORTFOLIO_METRICS, BENCHMARK_COMPARISON, DIVERSIFICATION, ASSET_CORRELATIONS, LEADERBOARD, LEADERBOARD_RANKS,
)  # fmt: skip


def due_figures(
    writer: PartitionWriter, lake: Lake, database: Database, asked: Sequence[date], days: Sequence[date]
) -> set[date]:
    """The days that must be run for their figures of a close.

    Args:
        writer: Knows what every file was made from.
        lake: Where the files are.
        database: Its settings hold the rules; says whether the holdings were copied.
        asked: The days asked for, ascending: they should have figures.
        days: All days looked at: figures that they have should be current.
    """
    from portfolio_pipelines.assets.diversification import outdated_diversification
    from portfolio_pipelines.assets.metrics import outdated_figures

    looked_at = set(days)
    with_metrics = sorted(lake.days(PORTFOLIO_METRICS) & lake.days(PORTFOLIO_PERFORMANCE) & looked_at)
    with_correlations = [day for day in with_metrics if day in lake.days(DIVERSIFICATION)]
    return {
        *_lacking(lake, asked),
        *outdated_figures(writer, lake, with_metrics, FigureRules.of(database.settings)),
        # A close of long before a coin was held is in its correlations, though in no value of a portfolio.
        *outdated_diversification(writer, lake, with_correlations),
        *_outdated_boards(writer, lake, database, looked_at),
    }


def _lacking(lake: Lake, asked: Sequence[date]) -> list[date]:
    """Month ends without figures, and the last day asked for if neither it nor a later one has them.

    A run that was killed left them out, or one that valued the running day, which gets none.
    """
    there = {table: lake.days(table) for table in TABLES_OF_CLOSES}
    known = lake.days(PORTFOLIO_PERFORMANCE)
    newest = min(max(made, default=date.min) for made in there.values())
    return [
        day
        for day in asked
        if (_ends_month(day) or (day == asked[-1] and day > newest))
        and day in known
        and any(day not in made for made in there.values())
    ]


def _ends_month(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


def _outdated_boards(writer: PartitionWriter, lake: Lake, database: Database, days: Collection[date]) -> list[date]:
    """Days whose counted returns or boards are out of date; the newest board, where holdings were not copied since."""
    from portfolio_pipelines.assets import leaderboard

    counted = sorted(lake.days(COUNTED_RETURNS) & set(days))
    ranked = [day for day in counted if day in lake.days(LEADERBOARD)]
    if not ranked:  # else the key of the pseudonyms would be made by asking
        return []
    rules = LeaderboardRules.of(database.settings)
    state = database.state_of("holding_versions")
    is_copied = writer.is_current(HOLDING_VERSIONS, None, state, leaderboard.VERSIONS_VERSION)
    return [
        *([] if is_copied else ranked[-1:]),
        *leaderboard.outdated_returns(writer, lake, counted, rules),
        *leaderboard.outdated_boards(writer, lake, ranked, rules),
    ]
