"""What investments and portfolios were worth at each close. The arithmetic is in `finance`."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

import dagster as dg
import numpy as np
import polars as pl

from portfolio_pipelines.assets.days import DAILY, ONE_RUN, consecutive, days_of
from portfolio_pipelines.assets.frames import (
    frame_of_investments,
    frame_of_portfolios,
    investments_of,
    track_record_of,
)
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.finance.returns import chain_day
from portfolio_pipelines.finance.valuation import EPOCH, Contributions, Holdings, add_up, prices_by_day, value_day
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter, chained, fingerprint
from portfolio_pipelines.tables import (
    INVESTMENT_DAYS,
    INVESTMENT_DAYS_SCHEMA,
    INVESTMENT_LEGS,
    INVESTMENT_LEGS_SCHEMA,
    INVESTMENT_PERFORMANCE,
    INVESTMENT_PERFORMANCE_SCHEMA,
    PORTFOLIO_PERFORMANCE,
    PORTFOLIO_PERFORMANCE_SCHEMA,
    PRICES,
    PRICES_SCHEMA,
    SUCCESSIONS,
    SUCCESSIONS_SCHEMA,
)

INVESTMENTS_VERSION = "2"
PORTFOLIOS_VERSION = "4"
LEG_COLUMNS = ["user_key", "investment_key", "invested_on", "asset_id", "amount_usd", "quantity"]
PRICE_COLUMNS = ["asset_id", "date", "close_usd", "last_close_usd", "status", "is_final"]


@dg.asset(
    deps=["prices_daily", "investment_legs", "asset_successions"],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="core",
    owners=OWNERS,
    kinds={"parquet", "numpy"},
    code_version=INVESTMENTS_VERSION,
    metadata=column_schema(INVESTMENT_PERFORMANCE_SCHEMA),
)
def investment_performance(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.MaterializeResult[None]:
    """Worth of every investment at every close since its purchase. A holding without a price is never worth 0."""
    days = days_of(context)
    rows, last = 0, pl.DataFrame(schema=INVESTMENT_PERFORMANCE_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        made = investments_made(lake, [*_valued_before(lake, days[0]), *days])
        _refuse_to_build_upon_others(lake, days[0], lambda day: _has_present_values(writer, day, made[day]))
        inputs = {day: investment_inputs(writer, day, made[day]) for day in days}
        changed = [
            day for day in days if not writer.is_current(INVESTMENT_PERFORMANCE, day, inputs[day], INVESTMENTS_VERSION)
        ]
        if changed:
            holdings = Holdings.from_legs(lake.read_table(INVESTMENT_LEGS, INVESTMENT_LEGS_SCHEMA, LEG_COLUMNS))
            prices = prices_by_day(
                lake.read(PRICES, changed, PRICES_SCHEMA, PRICE_COLUMNS),
                lake.read_table(SUCCESSIONS, SUCCESSIONS_SCHEMA),
                holdings.asset_ids,
                changed,
            )
            for day, day_prices in zip(changed, prices, strict=True):
                last = frame_of_investments(value_day(holdings, day_prices, day))
                writer.write(INVESTMENT_PERFORMANCE, day, last, inputs[day], INVESTMENTS_VERSION)
                rows += last.height
    return dg.MaterializeResult(metadata=written(last, rows, days_computed=len(changed)))


@dg.asset(
    deps=["investment_performance"],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="core",
    owners=OWNERS,
    kinds={"parquet", "numpy"},
    code_version=PORTFOLIOS_VERSION,
    metadata=column_schema(PORTFOLIO_PERFORMANCE_SCHEMA),
)
def portfolio_performance(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.MaterializeResult[None]:
    """Each portfolio as the sum of its investments, with its time-weighted return."""
    days = days_of(context)
    rows, last = 0, pl.DataFrame(schema=PORTFOLIO_PERFORMANCE_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        made = investments_made(lake, [*_valued_before(lake, days[0]), *days])
        _refuse_to_build_upon_others(
            lake,
            days[0],
            lambda day: _has_present_values(writer, day, made[day]) and _has_present_portfolios(writer, day, made[day]),
        )
        inputs: dict[date, str] = {}
        before = writer.inputs(PORTFOLIO_PERFORMANCE, days[0] - timedelta(days=1))
        for day in days:
            before = inputs[day] = portfolio_inputs(writer, day, made[day], before)
        changed = [
            day for day in days if not writer.is_current(PORTFOLIO_PERFORMANCE, day, inputs[day], PORTFOLIOS_VERSION)
        ]
        for following in consecutive(changed):
            for day, portfolios in zip(following, _portfolios(lake, following), strict=True):
                last = portfolios
                writer.write(PORTFOLIO_PERFORMANCE, day, last, inputs[day], PORTFOLIOS_VERSION)
                rows += last.height
    return dg.MaterializeResult(metadata=written(last, rows, days_computed=len(changed)))


def _portfolios(lake: Lake, days: Sequence[date]) -> Iterator[pl.DataFrame]:
    """Rows of PORTFOLIO_PERFORMANCE_SCHEMA for each of the days, which follow each other."""
    day_before = days[0] - timedelta(days=1)
    before = lake.read(PORTFOLIO_PERFORMANCE, [day_before], PORTFOLIO_PERFORMANCE_SCHEMA)
    known, track = before["user_key"].to_numpy(), track_record_of(before, day_before)
    legs = lake.read_table(INVESTMENT_LEGS, INVESTMENT_LEGS_SCHEMA, ["user_key", "invested_on", "amount_usd"])
    contributions = Contributions.from_legs(legs.filter(pl.col("invested_on").is_between(days[0], days[-1])))
    valuations = lake.read_each(INVESTMENT_PERFORMANCE, days, INVESTMENT_PERFORMANCE_SCHEMA)
    for day, valued in zip(days, valuations, strict=True):
        portfolios = add_up(investments_of(valued))
        users = portfolios.user_key
        flow_in, flow_out = contributions.on(day, users), np.zeros(len(users))
        track = track.matched(known, users)
        counted, seen = track.of_what_was_seen(portfolios.invested_usd, flow_in)
        linked = chain_day(counted, (day - EPOCH).days, portfolios.complete_value_usd, seen, flow_out)
        known, track = users, linked.track
        yield frame_of_portfolios(portfolios, flow_in, flow_out, linked)


def _valued_before(lake: Lake, day: date) -> list[date]:
    return sorted(known for known in lake.days(INVESTMENT_PERFORMANCE) if known < day)


def _has_present_values(writer: PartitionWriter, day: date, made: str) -> bool:
    return writer.inputs(INVESTMENT_PERFORMANCE, day) == investment_inputs(writer, day, made)


def _has_present_portfolios(writer: PartitionWriter, day: date, made: str) -> bool:
    before = writer.inputs(PORTFOLIO_PERFORMANCE, day - timedelta(days=1))
    return writer.inputs(PORTFOLIO_PERFORMANCE, day) == portfolio_inputs(writer, day, made, before)


def _refuse_to_build_upon_others(lake: Lake, day: date, is_present: Callable[[date], bool]) -> None:
    """Refuse to value a day when the day before it was valued with other investments or prices than there are now.

    A purchase that was entered late would be a gain: it is worth something at this close, was nothing at the one
    before, and no money came in. A day whose day before was never valued begins a record of its own.

    Args:
        lake: Where the valuations are.
        day: The first day that is to be valued.
        is_present: Whether what is there of a valued day was made from what it rests on now.

    Raises:
        dg.Failure: It names the day on which the run must begin.
    """
    valued = _valued_before(lake, day)
    day_before = day - timedelta(days=1)
    if valued[-1:] != [day_before] or is_present(day_before):
        return
    first = next(known for known in valued if not is_present(known))
    if first < DAILY.start.date():
        what_to_do = f"No day before PORTFOLIO_FIRST_DAY is valued again: set it to {first}, then `portfolio run`."
    else:
        what_to_do = (
            "`portfolio run` brings the days before up to date first; so do the schedules. In Dagster, let the range "
            f"begin on {first}."
        )
    msg = (
        f"{day} cannot be valued upon {day_before}: that day was valued with other investments, prices or conversions "
        f"than there are now, so a purchase that was entered late would look like a gain. {what_to_do}"
    )
    raise dg.Failure(msg, allow_retries=False)


def investment_inputs(writer: PartitionWriter, day: date, made: str) -> str:
    """What the valuations of a day rest on; `made` is the fingerprint of `investments_made`."""
    return fingerprint(writer.content(PRICES, day), made, writer.content(SUCCESSIONS))


def portfolio_inputs(writer: PartitionWriter, day: date, made: str, before: str) -> str:
    """What the portfolios of a day rest on: its valuations, and the track record of the day before.

    Args:
        writer: Knows the valuations of the day.
        day: The day.
        made: The fingerprint of `investments_made`.
        before: These inputs of the day before, `writer.inputs`. They stand for its track record, which follows from
            them, and are known before it is computed: no day of a range waits until another is encoded.

    The version of the code is one of them: a day that follows one of an older version is made again when that one is.
    """
    return fingerprint(PORTFOLIOS_VERSION, writer.content(INVESTMENT_PERFORMANCE, day), made, before)


def investments_made(lake: Lake, days: Sequence[date]) -> dict[date, str]:
    """A fingerprint of all investments made up to each day."""
    made = lake.read_table(INVESTMENT_DAYS, INVESTMENT_DAYS_SCHEMA)
    return chained(made.iter_rows(), days)
