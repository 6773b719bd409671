"""Reading chains from the command line: what is due, as one Dagster run, and what became of each chain."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from portfolio_pipelines.assets.chain_works import wallets_of
from portfolio_pipelines.automation.chain_planning import chain_days_between, due_chain_days
from portfolio_pipelines.automation.jobs import ONCHAIN_JOB_NAME, RANGE_END, RANGE_START
from portfolio_pipelines.chain_tables import CHAIN_READS, CHAIN_READS_SCHEMA
from portfolio_pipelines.chains.local_chain import CHAIN_ID as LOCAL_CHAIN_ID
from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.progress import RunProgress
from portfolio_pipelines.commands.running import execute
from portfolio_pipelines.database.wallets import wallets_frame
from portfolio_pipelines.resources.platform import Platform

MOST_SHOWN = 12


@dataclass(frozen=True)
class OnchainReport:
    """What a command read of chains.

    Attributes:
        read: Day and chain that were read well.
        failed: Day and chain that were not, with the reason.
        skipped: Why nothing was read; None when something was due.
    """

    read: Sequence[tuple[date, str]] = ()
    failed: Sequence[tuple[date, str, str]] = field(default_factory=tuple)
    skipped: str | None = None


def read_chains(
    platform: Platform,
    progress: RunProgress,
    until: date | None = None,
    *,
    between: tuple[date, date] | None = None,
    again: bool = False,
) -> OnchainReport:
    """Read what is due on every chain that somebody watches; a chain that fails is told and stops nothing.

    Args:
        platform: The platform.
        progress: Bars.
        until: The last day; the running one when not given.
        between: Every day in this range, both ends included, instead of what is due.
        again: Also days that were read at their close.

    Raises:
        CommandError: If the run failed for another reason than a chain.
    """
    if between is not None:
        earliest = platform.settings.first_chain_day
        if between[0] < earliest:
            msg = f"chains are read from {earliest} on; PORTFOLIO_FIRST_CHAIN_DAY sets an earlier day"
            raise CommandError(msg)
        due = chain_days_between(platform.database, platform.chains, *between)
    else:
        due = due_chain_days(platform.lake, platform.database, platform.chains, datetime.now(UTC), until)
    if not due:
        return OnchainReport(skipped=_why_nothing(platform))
    from portfolio_pipelines.assets.chain_days import box
    from portfolio_pipelines.assets.onchain import READ_AGAIN

    first, last = box((day for day, _ in due), (chain for _, chain in due))
    tags = {RANGE_START: first, RANGE_END: last, **({READ_AGAIN: "true"} if again else {})}
    try:
        execute(platform, progress, ONCHAIN_JOB_NAME, tags)
    except CommandError:
        report = _report(platform, due)
        if not report.failed:
            raise
        return report
    return _report(platform, due)


def describe_chains(report: OnchainReport) -> None:
    """Say what was read of chains, and what was not."""
    if report.skipped is not None:
        OUT.print(f"On chain: {report.skipped}", markup=False)
    chains = {chain for _, chain in report.read}
    if chains:
        days = sorted({day for day, _ in report.read})
        span = str(days[0]) if len(days) == 1 else f"{days[0]} to {days[-1]}"
        OUT.print(f"On chain: {len(chains)} {'chain' if len(chains) == 1 else 'chains'} read for {span}.")
    for day, chain, why in report.failed[:MOST_SHOWN]:
        OUT.print(
            f"  {chain} on {day} could not be read, its last balances stand as stale: {why}",
            style="yellow",
            markup=False,
        )
    if len(report.failed) > MOST_SHOWN:
        OUT.print(f"  … {len(report.failed) - MOST_SHOWN} more: `portfolio chains --check` asks every endpoint")


def names_local_chain(platform: Platform) -> bool:
    """Whether a wallet is watched on a local chain that nothing else would read."""
    local = platform.chains.registry.by_id[LOCAL_CHAIN_ID]
    if local in platform.chains.readable:
        return False
    return wallets_of(wallets_frame(platform.database.engine), local, asked_for=True).height > 0


def _why_nothing(platform: Platform) -> str:
    if wallets_frame(platform.database.engine).is_empty():
        return "no wallet is watched; `portfolio import wallets FILE` adds some."
    return "nothing is due: no watched wallet is on a chain that can be read, or every day was read at its close."


def _report(platform: Platform, due: Sequence[tuple[date, str]]) -> OnchainReport:
    """What the newest read of each day and chain says."""
    read, failed = [], []
    for day, chain in due:
        rows = platform.lake.read_chain(CHAIN_READS, day, chain, CHAIN_READS_SCHEMA, ["status", "reason"])
        status, reason = rows.row(-1) if rows.height else ("failed", "its run ended before it was read")
        if status == "failed":
            failed.append((day, chain, reason))
        else:
            read.append((day, chain))
    return OnchainReport(read, failed)
