"""`portfolio quickstart`: everything that `make run` does, in one process."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from portfolio_pipelines.commands.console import OUT, open_platform, yesterday
from portfolio_pipelines.commands.importing import import_investment_file, import_price_files, sample_investments
from portfolio_pipelines.commands.progress import RunProgress
from portfolio_pipelines.commands.running import bring_up_to_date, describe, first_purchase
from portfolio_pipelines.commands.summary import print_summary
from portfolio_pipelines.resources.platform import Platform

PROBED_DAYS: Final = 2


def quickstart(price_files: list[Path], days: int) -> None:
    """Set up, load the samples when there is no investment yet, value the last `days` days, print the summary."""
    with RunProgress() as progress:
        platform = open_platform(progress.asked)
        if price_files:
            import_price_files(platform, price_files)
        last = last_day(platform)
        if first_purchase(platform) is None:
            import_investment_file(platform, sample_investments(last), "sample investments")
        report = bring_up_to_date(platform, progress, last - timedelta(days=days - 1), last)
    describe(report, progress)
    print_summary(platform, last)


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
