"""`portfolio run` and `portfolio backfill`: chains first, then prices, values, marts and publication."""

from collections.abc import Sequence

from portfolio_pipelines.commands.alerts import tell_alerts
from portfolio_pipelines.commands.console import CommandError, open_platform, parse_day, today, yesterday
from portfolio_pipelines.commands.onchain import OnchainReport, describe_chains, read_chains
from portfolio_pipelines.commands.progress import RunProgress
from portfolio_pipelines.commands.quickstart import last_day
from portfolio_pipelines.commands.running import RunReport, bring_up_to_date, describe, first_purchase, serve
from portfolio_pipelines.commands.summary import print_summary
from portfolio_pipelines.resources.platform import Platform


def run(
    start: str | None,
    end: str | None,
    users: Sequence[str],
    *,
    chains: bool,
    investments: bool,
    every_day: bool = False,
) -> None:
    """Bring everything up to date, or one part of it.

    Args:
        start: First day; the first purchase when not given.
        end: Last day; when not given the last one that prices are known of, up to yesterday, or today where wallets
            were read and somebody tells today's prices.
        users: Whose first purchase counts, and who is shown; empty for all.
        chains: Read chains.
        investments: Value investments.
        every_day: Compute metrics for every day, not for month ends and the last day alone.

    Raises:
        CommandError: If the days make no sense, or a run fails.
    """
    with RunProgress() as progress:
        platform = open_platform(progress.asked)
        first = first_purchase(platform, users)
        last = last_day(platform) if end is None and investments else parse_day(end, yesterday())
        read = read_chains(platform, progress) if chains else None
        if end is None and investments and read and read.read and last >= yesterday():
            last = today()
        if investments:
            begin = parse_day(start, min(first or last, last))
            report = bring_up_to_date(platform, progress, begin, last, every_day=every_day)
        else:
            report = _value_running_day(platform, progress)
            last = today()
    _describe(report, read, progress)
    tell_alerts(platform)
    print_summary(platform, last, users)


def backfill(start: str, end: str, *, only_missing: bool, chains: bool, again: bool) -> None:
    """Rebuild past days of investments, or of chains.

    Args:
        start: First day.
        end: Last day.
        only_missing: Only days without files.
        chains: Days of chains instead of investments.
        again: Of chains, also days that were read at their close.

    Raises:
        CommandError: If the days make no sense, or a run fails.
    """
    with RunProgress() as progress:
        platform = open_platform(progress.asked)
        first, last = parse_day(start, yesterday()), parse_day(end, yesterday())
        if first > last or last > today():
            msg = f"no days from {first} to {last}: choose days up to {today()}, the first one first"
            raise CommandError(msg)
        read = read_chains(platform, progress, between=(first, last), again=again) if chains else None
        report = bring_up_to_date(platform, progress, first, last, only_missing=only_missing)
    _describe(report, read, progress)
    tell_alerts(platform)


def _value_running_day(platform: Platform, progress: RunProgress) -> RunReport:
    """Today at today's prices where somebody tells them; else the marts at the newest prices there are."""
    if last_day(platform) < yesterday():
        return serve(platform, progress)
    return bring_up_to_date(platform, progress, today(), today())


def _describe(report: RunReport, read: OnchainReport | None, progress: RunProgress) -> None:
    describe(report, progress)
    if read is not None:
        describe_chains(read)
