"""`portfolio quickstart`: everything that `make run` does, in one process."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from portfolio_pipelines.chain_tables import CHAIN_READS, CHAIN_READS_SCHEMA
from portfolio_pipelines.chains.local_chain import CHAIN_ID as LOCAL_CHAIN_ID
from portfolio_pipelines.commands.console import OUT, open_platform, yesterday
from portfolio_pipelines.commands.importing import (
    SAMPLE_WALLETS,
    import_investment_file,
    import_price_files,
    import_wallet_file,
    sample_investments,
)
from portfolio_pipelines.commands.local_node import NoLocalChainError, local_chain
from portfolio_pipelines.commands.onchain import OnchainReport, describe_chains, names_local_chain, read_chains
from portfolio_pipelines.commands.progress import RunProgress
from portfolio_pipelines.commands.running import bring_up_to_date, describe, first_purchase
from portfolio_pipelines.commands.summary import print_summary
from portfolio_pipelines.database.wallets import wallets_frame
from portfolio_pipelines.resources.platform import Platform

PROBED_DAYS: Final = 2


def quickstart(price_files: list[Path], days: int) -> None:
    """Set up, load the samples when there is no investment yet, value the last `days` days, print the summary."""
    with RunProgress() as progress:
        platform = open_platform(progress.asked)
        if price_files:
            import_price_files(platform, price_files, runs_next=True)
        last = last_day(platform)
        if first_purchase(platform) is None:
            import_investment_file(platform, sample_investments(last), "sample investments")
            if wallets_frame(platform.database.engine).is_empty():
                import_wallet_file(platform, SAMPLE_WALLETS, notes=False)
        read = _read_chains(platform, progress, last)
        report = bring_up_to_date(platform, progress, last - timedelta(days=days - 1), last)
    describe(report, progress)
    describe_chains(read)
    print_summary(platform, last)


def _read_chains(platform: Platform, progress: RunProgress, last: date) -> OnchainReport:
    """The chains that are configured; for wallets of the samples a local chain, when there is one to be had."""
    read = read_chains(platform, progress)
    if not names_local_chain(platform):
        return read
    local = platform.chains.registry.by_id[LOCAL_CHAIN_ID]
    if not platform.lake.read_chain(CHAIN_READS, last, local.slug, CHAIN_READS_SCHEMA).is_empty():
        return read if read.skipped is None else OnchainReport(skipped=f"the local chain was read for {last} already.")
    try:
        with local_chain(platform.settings, last) as chain:
            connections = replace(platform.chains, local_url=chain.url)
            of_samples = read_chains(replace(platform, chains=connections), progress, between=(last, last))
    except NoLocalChainError as error:
        why = f"skipped for the sample wallets: {error}. `portfolio import wallets FILE` reads your own."
        return OnchainReport(read.read, read.failed, why)
    OUT.print("The sample wallets are accounts of a local chain: their coins are not real.", style="bold yellow")
    return OnchainReport([*read.read, *of_samples.read], [*read.failed, *of_samples.failed])


def last_day(platform: Platform) -> date:
    """The newest day that can be valued: yesterday, or without the network the last day that price files know."""
    last = yesterday()
    known = platform.ledger.last_day()
    if known is None or known >= last:
        return last
    wanted = platform.market.benchmark_days([last - timedelta(days=back) for back in range(PROBED_DAYS)])
    platform.market.ask(wanted, datetime.now(UTC))
    known = platform.ledger.last_day() or known
    if known < last:
        OUT.print(
            f"No live provider answers; price files end on {known}: valuing up to that day. "
            f"`portfolio run --to {last}` values later days with carried prices and falling coverage.",
            style="yellow",
        )
    return min(known, last)
