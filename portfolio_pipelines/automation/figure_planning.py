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
    looked_at = set(days)
    with_metrics = sorted(lake.days(PORTFOLIO_METRICS) & lake.days(PORTFOLIO_PERFORMANCE) & looked_at)
    return {
        *_lacking(lake, asked),
        *_outdated_metrics(writer, lake, FigureRules.of(database.settings), with_metrics),
        *_outdated_correlations(writer, lake, with_metrics),
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


def _outdated_metrics(writer: PartitionWriter, lake: Lake, rules: FigureRules, days: Sequence[date]) -> list[date]:
    from portfolio_pipelines.assets import metrics

    of_metrics = metrics.metric_inputs(writer, lake, days, rules)
    of_comparison = metrics.comparison_inputs(writer, lake, days, rules)
    return [
        day
        for day in days
        if not writer.is_current(PORTFOLIO_METRICS, day, of_metrics[day], metrics.METRICS_VERSION)
        or not writer.is_current(BENCHMARK_COMPARISON, day, of_comparison[day], metrics.COMPARISON_VERSION)
    ]


def _outdated_correlations(writer: PartitionWriter, lake: Lake, days: Sequence[date]) -> list[date]:
    """A close of long before a coin was held is in its correlations, though in no value of a portfolio."""
    from portfolio_pipelines.assets import diversification

    known = [day for day in days if day in lake.days(DIVERSIFICATION)]
    inputs = diversification.diversification_inputs(writer, lake, known)
    return [day for day in known if not diversification.is_current(writer, day, inputs[day])]


def _outdated_boards(writer: PartitionWriter, lake: Lake, database: Database, days: Collection[date]) -> list[date]:
    """Days whose counted returns or boards are out of date; the newest board, where holdings were not copied since."""
    from portfolio_pipelines.assets import leaderboard

    counted = sorted(lake.days(COUNTED_RETURNS) & set(days))
    ranked = [day for day in counted if day in lake.days(LEADERBOARD)]
    if not ranked:  # else the key of the pseudonyms would be made by asking
        return []
    rules = LeaderboardRules.of(database.settings)
    known = leaderboard.known_by(lake, counted, rules)
    boards = leaderboard.board_inputs(writer, lake, ranked, rules)
    state = database.state_of("holding_versions")
    is_copied = writer.is_current(HOLDING_VERSIONS, None, state, leaderboard.VERSIONS_VERSION)
    return [
        *([] if is_copied else ranked[-1:]),
        *(
            day
            for day in counted
            if not writer.is_current(
                COUNTED_RETURNS,
                day,
                leaderboard.returns_inputs(writer, day, known[day], rules),
                leaderboard.RETURNS_VERSION,
            )
        ),
        *(day for day in ranked if not leaderboard.board_is_current(writer, day, boards[day])),
    ]
