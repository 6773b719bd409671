"""`portfolio doctor`: what works, what does not, and what to do about it."""

import platform as machine
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final

from rich.markup import escape

from portfolio_pipelines.commands.console import OUT, yesterday
from portfolio_pipelines.commands.running import sample_remedy, sample_rest
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings
from portfolio_pipelines.wording import counted

LEAST_PYTHON: Final = (3, 11)
PACKAGES: Final = ("dagster", "dbt-core", "duckdb", "polars", "sqlalchemy")
MARKS: Final = {True: "[green]ok[/green]  ", False: "[red]bad[/red] ", None: "[yellow]note[/yellow]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `good` None is worth knowing and no fault."""

    good: bool | None
    what: str
    remedy: str = ""


def examine(settings: Settings) -> bool:
    """Print all findings; whether nothing is bad."""
    platform = Platform.of(settings)
    sound = True
    for look in (_python, _home, _database, _market, _sample, _chains, _days, _warehouse):
        try:
            findings = list(look(platform))
        except Exception as error:  # a doctor reports what breaks
            findings = [Finding(False, f"{look.__name__.strip('_')}: {error}")]
        for finding in findings:
            OUT.print(f"{MARKS[finding.good]} {escape(finding.what)}", soft_wrap=True)
            if finding.remedy:
                OUT.print(f"      → {finding.remedy}", markup=False, soft_wrap=True)
            sound = sound and finding.good is not False
        if look is _database and not sound:
            break  # everything further rests on its tables
    return sound


def _python(_platform: Platform) -> Iterator[Finding]:
    good = sys.version_info >= LEAST_PYTHON
    yield Finding(good, f"Python {machine.python_version()}", "" if good else "install Python 3.11 or newer")
    yield Finding(True, ", ".join(f"{name} {version(name)}" for name in PACKAGES))


def _home(platform: Platform) -> Iterator[Finding]:
    settings = platform.settings
    where = "external Postgres" if settings.database_url else "embedded Postgres"
    yield Finding(True, f"home {settings.home.absolute()}, {where}")
    if settings.first_day.year < 2009:
        yield Finding(None, f"PORTFOLIO_FIRST_DAY is {settings.first_day}: older than any coin")


def _database(platform: Platform) -> Iterator[Finding]:
    import sqlalchemy as sa

    with platform.database.engine.connect() as connection:
        server = connection.scalar(sa.text("show server_version"))
        made = connection.scalar(sa.text("select to_regclass('app.users') is not null"))
    yield Finding(True, f"database answers (Postgres {server})")
    yield Finding(bool(made), "tables are there" if made else "tables are missing", "" if made else "portfolio init")


def _market(platform: Platform) -> Iterator[Finding]:
    settings, now = platform.settings, datetime.now(UTC)
    if not settings.price_providers:
        yield Finding(None, "no live provider is set: prices come from files alone")
    wanted = platform.market.benchmark_days([yesterday() - timedelta(days=1)])
    answers = platform.market.probe(wanted, now)
    for provider, outcome in answers.items():
        good = outcome == "ok" or None
        remedy = "" if good else "check the network, or import price files: portfolio import prices FILE"
        yield Finding(good, f"{provider}: {outcome}", remedy)
    if "coingecko" in settings.price_providers and settings.coingecko_api_key is None:
        yield Finding(None, "no CoinGecko key: days older than a year come from the other providers",
                      "PORTFOLIO_COINGECKO_API_KEY, with PORTFOLIO_COINGECKO_PLAN=demo or pro")  # fmt: skip
    if platform.market.is_sample:
        yield Finding(None, "nobody ever gave a price: the SAMPLE market stands in", "portfolio import prices FILE")


def _sample(platform: Platform) -> Iterator[Finding]:
    rest = platform.database.sample_legs()
    if rest.legs and not platform.market.is_sample:
        yield Finding(None, sample_rest(rest), sample_remedy(rest))


def _chains(platform: Platform) -> Iterator[Finding]:
    from portfolio_pipelines.assets.chain_works import watched_chains
    from portfolio_pipelines.chain_tables import CHAIN_READS, CHAIN_READS_SCHEMA
    from portfolio_pipelines.database.wallets import wallets_frame

    watched = watched_chains(platform.database, platform.chains)
    readable = len(platform.chains.readable)
    wallets = wallets_frame(platform.database.engine).height
    if wallets and not watched:
        what = "1 wallet is" if wallets == 1 else f"{wallets} wallets are"
        yield Finding(None, f"{readable} chains can be read, but {what} watched on none of them",
                      "portfolio chains --all shows the others; the sample wallets are on a local chain")  # fmt: skip
    else:
        yield Finding(True, f"{readable} chains can be read, wallets or pools are watched on {len(watched)}")
    failing = []
    for slug in watched:
        days = platform.lake.days_of_chain(CHAIN_READS, slug)
        if days:
            reads = platform.lake.read_chain(CHAIN_READS, max(days), slug, CHAIN_READS_SCHEMA, ["status", "reason"])
            status, reason = reads.row(-1)
            failing += [f"{slug}: {reason}"] if status == "failed" else []
    for fault in failing:
        yield Finding(None, f"newest read failed, balances are stale: {fault}", "portfolio chains --check")


def _days(platform: Platform) -> Iterator[Finding]:
    from portfolio_pipelines.checks.performance import missing_days

    missing = missing_days(platform.lake, yesterday())
    remedy = f"portfolio backfill --from {missing[0]} --to {missing[-1]} --only-missing" if missing else ""
    days = counted(len(missing), "day is", "days are")
    yield Finding(None if missing else True, f"{days} missing since the first purchase", remedy)


def _warehouse(platform: Platform) -> Iterator[Finding]:
    try:
        with platform.warehouse.connect() as warehouse:
            row = warehouse.execute("select max(date) from marts.portfolio_performance_daily").fetchone()
    except FileNotFoundError as error:
        yield Finding(None, str(error))
        return
    newest = row[0] if row else None
    if newest is None:
        yield Finding(None, f"warehouse {platform.settings.warehouse}: no investment is valued yet", "portfolio run")
    else:
        yield Finding(True, f"warehouse {platform.settings.warehouse}: valued up to {newest}")
