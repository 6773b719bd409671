"""The leaderboard: what counts of each portfolio on each day, who is ranked, and where. The rules are in `finance`.

Like metrics, a run of a range ranks its month ends and its last day, or every day where the run's tag asks for it; what
counts is computed for every day. Entering or correcting holdings changes no day before the one it is done on, so boards
stay as they were; a late price changes those that rest on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import dagster as dg
import numpy as np
import polars as pl

from portfolio_pipelines.assets.counted_days import CountedDays, frame_of_day
from portfolio_pipelines.assets.days import (
    DAILY,
    EVERY_DAY,
    ONE_RUN,
    RETRY,
    WHICH_DAYS_TAG,
    days_of,
    days_with_figures,
)
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.finance import leaderboard_privacy as privacy
from portfolio_pipelines.finance.counted_holdings import CountedHoldings, confirmed_prices, days_and_those_before
from portfolio_pipelines.finance.leaderboard import TOP, WINDOWS, Backwards, WindowRecord, began_with, ranks, words_of
from portfolio_pipelines.finance.valuation import prices_by_day
from portfolio_pipelines.leaderboard_tables import (
    COUNTED_RETURNS,
    COUNTED_RETURNS_SCHEMA,
    HOLDING_CHANGES,
    HOLDING_CHANGES_SCHEMA,
    HOLDING_VERSIONS,
    HOLDING_VERSIONS_SCHEMA,
    LEADERBOARD,
    LEADERBOARD_RANKS,
    LEADERBOARD_RANKS_SCHEMA,
    LEADERBOARD_SCHEMA,
)
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.leaderboard_rules import LeaderboardRules
from portfolio_pipelines.resources.partitions import PartitionWriter, chained, fingerprint, frame_fingerprint
from portfolio_pipelines.tables import (
    INVESTMENT_DAYS,
    INVESTMENT_DAYS_SCHEMA,
    PRICES,
    PRICES_SCHEMA,
    SUCCESSIONS,
    SUCCESSIONS_SCHEMA,
    USERS,
    USERS_SCHEMA,
)

VERSIONS_VERSION: Final = "2"
RETURNS_VERSION: Final = "1"
BOARD_VERSION: Final = "1"
PRICE_COLUMNS: Final = ["asset_id", "date", "close_usd", "last_close_usd", "status", "n_quotes", "is_final"]
TABLES: Final = {
    "leaderboard": (
        LEADERBOARD_SCHEMA,
        "The hundred best portfolios over 30, 90 and 365 days, under pseudonyms that change every month.",
    ),
    "leaderboard_ranks": (
        LEADERBOARD_RANKS_SCHEMA,
        "Where each portfolio stands, or why it is not ranked: for its user alone.",
    ),
}


@dg.asset(
    group_name="core",
    owners=OWNERS,
    kinds={"postgres", "parquet"},
    code_version=VERSIONS_VERSION,
    metadata=column_schema(HOLDING_VERSIONS_SCHEMA),
    retry_policy=RETRY,
)
def holding_versions(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.MaterializeResult[None]:
    """All versions of all holdings, with the days on which each was known."""
    with database.writer(lake, context.run.run_id) as writer:
        state = database.state_of("holding_versions")
        if writer.is_current(HOLDING_VERSIONS, None, state, VERSIONS_VERSION):
            frame = lake.read_table(HOLDING_VERSIONS, HOLDING_VERSIONS_SCHEMA)
        else:
            frame = database.load("holding_versions")
            writer.write(HOLDING_VERSIONS, None, frame, state, VERSIONS_VERSION)
            writer.write(HOLDING_CHANGES, None, changes_of(frame), state, VERSIONS_VERSION)
    return dg.MaterializeResult(metadata=written(frame))


@dg.asset(
    deps=["holding_versions", "investment_legs", "prices_daily", "asset_successions"],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="core",
    owners=OWNERS,
    kinds={"parquet", "numpy"},
    code_version=RETURNS_VERSION,
    metadata=column_schema(COUNTED_RETURNS_SCHEMA),
)
def counted_returns(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    leaderboard_rules: dg.ResourceParam[LeaderboardRules],
) -> dg.MaterializeResult[None]:
    """What the leaderboard counts of every portfolio on every day: gains of what was known at the close before.

    The year before the run is looked at, too: where other rules hold now, or the installation is older than the board,
    its days are computed again.
    """
    days = days_to_count(days_of(context), lake)
    rows, last = 0, pl.DataFrame(schema=COUNTED_RETURNS_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        changed = outdated_returns(writer, lake, days, leaderboard_rules)
        if changed:
            versions = lake.read_table(HOLDING_VERSIONS, HOLDING_VERSIONS_SCHEMA)
            holdings = CountedHoldings.from_versions(versions, leaderboard_rules.counts_from)
            needed = days_and_those_before(list(changed))
            prices = lake.read(PRICES, needed, PRICES_SCHEMA, PRICE_COLUMNS)
            by_day = prices_by_day(
                confirmed_prices(prices, leaderboard_rules.least_sources),
                lake.read_table(SUCCESSIONS, SUCCESSIONS_SCHEMA),
                holdings.asset_ids,
                needed,
            )
            closes = dict(zip(needed, by_day, strict=True))
            for day, inputs in changed.items():
                last = frame_of_day(holdings.day(day, closes[day - timedelta(days=1)], closes[day]))
                writer.write(COUNTED_RETURNS, day, last, inputs, RETURNS_VERSION)
                rows += last.height
    return dg.MaterializeResult(metadata=written(last, rows, days_computed=len(changed)))


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            deps=["counted_returns", "users"],
            description=description,
            owners=OWNERS,
            group_name="core",
            kinds={"parquet", "numpy"},
            code_version=BOARD_VERSION,
            metadata=column_schema(schema),
            partitions_def=DAILY,
        )
        for name, (schema, description) in TABLES.items()
    ],
    backfill_policy=ONE_RUN,
)
def leaderboards(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    leaderboard_rules: dg.ResourceParam[LeaderboardRules],
) -> Iterator[dg.MaterializeResult[None]]:
    """Both tables from one pass over the last year."""
    wanted = board_days(days_of(context), lake, every_day=context.run.tags.get(WHICH_DAYS_TAG) == EVERY_DAY)
    rows, ranked = 0, 0
    board, standing = pl.DataFrame(schema=LEADERBOARD_SCHEMA), pl.DataFrame(schema=LEADERBOARD_RANKS_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        due = outdated_boards(writer, lake, wanted, leaderboard_rules)
        past = CountedDays(lake)
        users = lake.read_table(USERS, USERS_SCHEMA) if due else pl.DataFrame(schema=USERS_SCHEMA)
        for day, inputs in due.items():
            board, standing = boards_of(past, day, users, leaderboard_rules)
            writer.write(LEADERBOARD, day, board, inputs, BOARD_VERSION)
            writer.write(LEADERBOARD_RANKS, day, standing, inputs, BOARD_VERSION)
            rows, ranked = rows + board.height, ranked + standing.height
    yield dg.MaterializeResult(asset_key="leaderboard", metadata=written(board, rows, days_computed=len(due)))
    yield dg.MaterializeResult(
        asset_key="leaderboard_ranks", metadata=written(standing.clear(), ranked, days_computed=len(due))
    )


def changes_of(versions: pl.DataFrame) -> pl.DataFrame:
    """HOLDING_CHANGES_SCHEMA: one fingerprint for what begins or ends to be known on each day."""
    begins = versions.with_columns(date=pl.max_horizontal("known_from", "invested_on"), event=pl.lit("begins"))
    ends = versions.filter(pl.col("known_to").is_not_null()).with_columns(date=pl.col("known_to"), event=pl.lit("ends"))
    events = pl.concat([begins, ends]).drop("known_to")  # else a day would change when what it began has ended
    days = [
        (day, frame_fingerprint(rows))
        for (day,), rows in events.sort(events.columns).partition_by("date", as_dict=True).items()
    ]
    return pl.DataFrame(days, schema=HOLDING_CHANGES_SCHEMA, orient="row").sort("date")


def days_to_count(days: Sequence[date], lake: Lake) -> list[date]:
    """The days of a run, and the priced ones that its boards reach back to."""
    first = days[0] - timedelta(days=max(WINDOWS) - 1)
    return [*sorted(day for day in lake.days(PRICES) if first <= day < days[0]), *days]


def known_by(lake: Lake, days: Sequence[date], rules: LeaderboardRules) -> dict[date, str]:
    """A fingerprint of all holdings that count by the close of each day."""
    if rules.counts_from == "purchase":
        return chained(lake.read_table(INVESTMENT_DAYS, INVESTMENT_DAYS_SCHEMA).iter_rows(), days)
    return chained(lake.read_table(HOLDING_CHANGES, HOLDING_CHANGES_SCHEMA).iter_rows(), days)


def returns_inputs(writer: PartitionWriter, day: date, known: str, rules: LeaderboardRules) -> str:
    """What the counted returns of a day rest on: the prices at both its ends, and what was known."""
    closes = (writer.content(PRICES, day - timedelta(days=back)) for back in (1, 0))
    return fingerprint(*closes, known, writer.content(SUCCESSIONS), rules.counts_from, rules.least_sources)


def outdated_returns(
    writer: PartitionWriter, lake: Lake, days: Sequence[date], rules: LeaderboardRules
) -> dict[date, str]:
    """Those of the days whose counted returns were not made from what is there now by this code; with what that is."""
    known = known_by(lake, days, rules)
    inputs = {day: returns_inputs(writer, day, known[day], rules) for day in days}
    return {
        day: made_from
        for day, made_from in inputs.items()
        if not writer.is_current(COUNTED_RETURNS, day, made_from, RETURNS_VERSION)
    }


def board_days(days: Sequence[date], lake: Lake, *, every_day: bool) -> list[date]:
    """The days of a run that are ranked: month ends, the last one that counts, those ranked before; or all."""
    return days_with_figures(days, lake.days(COUNTED_RETURNS), lake.days(LEADERBOARD), every_day=every_day)


def board_inputs(writer: PartitionWriter, lake: Lake, days: Sequence[date], rules: LeaderboardRules) -> dict[date, str]:
    """What the boards of each day rest on: what counts on the days of its longest window, and the key.

    User ids are left out: the id of a key never changes, and a new user has new rows.
    """
    counted = lake.days(COUNTED_RETURNS)
    result = {}
    for day in days:
        window = (day - timedelta(days=back) for back in range(max(WINDOWS)))
        content = (writer.content(COUNTED_RETURNS, one) if one in counted else "" for one in window)
        result[day] = fingerprint(*content, rules.bucket_users, rules.key_fingerprint)
    return result


def outdated_boards(
    writer: PartitionWriter, lake: Lake, days: Sequence[date], rules: LeaderboardRules
) -> dict[date, str]:
    """Those of the days that have not both tables, made from what is there now by this code; with what that is."""
    return {
        day: made_from
        for day, made_from in board_inputs(writer, lake, days, rules).items()
        if not all(writer.is_current(t, day, made_from, BOARD_VERSION) for t in (LEADERBOARD, LEADERBOARD_RANKS))
    }


def boards_of(
    past: CountedDays, day: date, users: pl.DataFrame, rules: LeaderboardRules
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both tables of a day, without the date.

    Args:
        past: What counts on each day.
        day: The day.
        users: USERS_SCHEMA.
        rules: The choices of the operator.
    """
    newest = past.day(day)
    keys = newest.user_key if newest is not None else np.empty(0, np.int32)
    ids = dict(users.select("user_key", "user_id").iter_rows())
    folded = Backwards(keys)
    boards = [pl.DataFrame(schema={k: v for k, v in LEADERBOARD_SCHEMA.items() if k != "date"})]
    standings = [pl.DataFrame(schema={k: v for k, v in LEADERBOARD_RANKS_SCHEMA.items() if k != "date"})]
    for back, counted in enumerate(past.back_from(day, max(WINDOWS))):
        folded.add(counted)
        if back + 1 in WINDOWS:
            began = began_with(counted) if counted is not None else 0
            board, standing = _board(folded.record(), keys, ids, began, day, rules)
            boards.append(board)
            standings.append(standing)
    return pl.concat(boards), pl.concat(standings)


def _board(
    record: WindowRecord, keys: np.ndarray, ids: Mapping[int, str], began: int, day: date, rules: LeaderboardRules
) -> tuple[pl.DataFrame, pl.DataFrame]:
    eligible = record.eligible
    numbers = np.zeros(len(keys), np.int64)
    period = privacy.period_of(day)
    owners = [ids.get(key, str(key)) for key in keys[eligible].tolist()]  # who came a moment ago has no id here yet
    numbers[eligible] = privacy.pseudonym_numbers(rules.key_bytes, period, record.window_days, owners)
    rank = ranks(record, numbers)
    names = np.full(len(keys), None, object)
    names[eligible] = privacy.pseudonyms(numbers[eligible])
    standing = pl.DataFrame(
        {
            "user_key": keys,
            "window_days": np.full(len(keys), record.window_days),
            "rank": rank,
            "pseudonym": pl.Series(names.tolist(), dtype=pl.String),
            "roi_twr": privacy.shown(record.roi_twr),
            "pnl_over_peak_capital": privacy.shown(record.pnl_over_peak_capital),
            "max_drawdown": privacy.shown(record.max_drawdown),
            "value_bucket": pl.Series(
                privacy.buckets(record.value_usd, eligible, rules.bucket_users).texts(), dtype=pl.String
            ),
            "n_ranked": np.full(len(keys), int(eligible.sum())),
            "n_obs": record.n_obs,
            "reason": words_of(record.unranked),
            "n_began": np.full(len(keys), began),
        },
        nan_to_null=True,
    ).with_columns(pl.when(pl.col("rank") > 0).then("rank"))
    board = standing.filter(pl.col("rank") <= TOP).sort("rank")

    def as_table(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
        wanted = {name: kind for name, kind in schema.items() if name != "date"}
        return frame.select(list(wanted)).cast(pl.Schema(wanted))

    return as_table(board, LEADERBOARD_SCHEMA), as_table(standing, LEADERBOARD_RANKS_SCHEMA)
