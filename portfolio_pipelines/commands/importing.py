"""`portfolio import …`: files of investments, prices, wallets and liquidity positions."""

import getpass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portfolio_pipelines.commands.console import OUT
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.wording import counted

if TYPE_CHECKING:
    import polars as pl

SAMPLE_FILE: Final = Path(__file__).parent.parent / "sample" / "investments.csv"
SAMPLE_WALLETS: Final = SAMPLE_FILE.with_name("wallets.csv")
"""Wallets of the sample users on a local chain: the accounts that every such chain gives coins to."""


def whoami() -> str:
    """The name that imports and overrides are signed with."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "unknown"


def import_price_files(platform: Platform, files: list[Path], *, runs_next: bool = False) -> None:
    """Import price files one after the other; each is taken whole or refused whole.

    Args:
        platform: The installation.
        files: Files that are there.
        runs_next: Whether the caller runs the days itself, so that nobody must be told to.
    """
    from portfolio_pipelines.database.price_import import import_prices

    differing: list[int] = []
    is_new = False

    def store(quotes: "pl.DataFrame") -> None:
        differing.append(platform.ledger.differing(quotes))
        platform.ledger.append(quotes)

    for path in files:
        report = import_prices(platform.database.engine, path, store=store, who=whoami())
        if report.already_imported is not None:
            OUT.print(f"{report.file_name}: imported before ({report.already_imported:%Y-%m-%d %H:%M} UTC), no change")
            continue
        OUT.print(
            f"{report.file_name}: {counted(report.n_quotes, 'close')} of {counted(report.n_assets, 'asset')}, "
            f"{report.first_day} to {report.last_day}"
        )
        is_new = True
        if differing[-1]:
            verb = "differs from one" if differing[-1] == 1 else "differ from those"
            OUT.print(f"  {counted(differing[-1], 'close')} {verb} that a file brought before: the newer price counts")
        if report.new_assets:
            OUT.print(f"  assets that only price files know: {', '.join(report.new_assets)}")
        for note in report.notes:
            OUT.print(f"  {note}", style="dim", markup=False)
    if is_new and not runs_next:
        OUT.print("`portfolio run` brings the figures up to date.")


def import_investment_file(platform: Platform, source: Path | bytes, name: str | None = None) -> None:
    """Import one file of investments, whole or not at all."""
    from portfolio_pipelines.database.investment_import import import_investments

    report = import_investments(
        platform.database.engine,
        source,
        closes=platform.market.purchase_closes,
        absences=platform.market.known_absences,
        first_day=platform.settings.first_day,
        who=whoami(),
        name=name,
    )
    OUT.print(
        f"{report.file_name}: {counted(report.inserted, 'new leg')}, {report.corrected:,} corrected, "
        f"{report.unchanged:,} unchanged"
    )
    if report.first_affected_day is not None:
        OUT.print(f"  figures from {report.first_affected_day} on are affected: `portfolio run` brings them up to date")
    if platform.market.is_sample:
        OUT.print("  empty quantities were derived from the SAMPLE market: no provider answered", style="yellow")


def import_wallet_file(platform: Platform, path: Path, *, notes: bool = True) -> None:
    """Import one file of wallets, whole or not at all; `notes` says whether its notes are shown."""
    from portfolio_pipelines.chains.registry import load_registry
    from portfolio_pipelines.commands.chain_questions import name_resolver
    from portfolio_pipelines.database.wallet_import import import_wallets

    registry = load_registry(platform.settings.chain_overrides, platform.settings.environment)
    report = import_wallets(
        platform.database.engine, path, chains=registry, who=whoami(), resolve=name_resolver(registry)
    )
    OUT.print(
        f"{report.file_name}: {counted(report.added, 'new wallet')}, {report.changed:,} changed, "
        f"{report.unchanged:,} unchanged",
        markup=False,
    )
    for note in report.notes if notes else ():
        OUT.print(f"  {note}", style="yellow", markup=False)


def import_liquidity_file(platform: Platform, path: Path, *, unchecked: bool) -> None:
    """Import one file of liquidity positions, whole or not at all."""
    from portfolio_pipelines.chains.registry import load_registry
    from portfolio_pipelines.commands.chain_questions import pool_checker
    from portfolio_pipelines.database.liquidity_import import import_liquidity

    registry = load_registry(platform.settings.chain_overrides, platform.settings.environment)
    report = import_liquidity(
        platform.database.engine,
        path,
        chains=registry,
        first_day=platform.settings.first_day,
        who=whoami(),
        check=None if unchecked else pool_checker(registry),
    )
    OUT.print(
        f"{report.file_name}: {counted(report.added, 'new position')}, {report.changed:,} changed, "
        f"{report.unchanged:,} unchanged",
        markup=False,
    )
    for chain, pool in report.unchecked:
        OUT.print(
            f"  {pool} on {chain} is unchecked: import the file again when its chain can be asked", style="yellow"
        )
    for chain, pool in report.unverified:
        OUT.print(f"  {pool} on {chain} answers like a pool, but no factory that we know confirms it", style="yellow")


def sample_investments(last_day: date) -> bytes:
    """The shipped sample as an importable CSV, its purchases counted back from `last_day`."""
    import polars as pl

    frame = pl.read_csv(SAMPLE_FILE, infer_schema=False)
    bought = [(last_day - timedelta(days=int(days))).isoformat() for days in frame["days_ago"]]
    rows = frame.with_columns(invested_at=pl.Series(bought)).select(
        "user_id", "investment_id", "invested_at", "asset", "amount_usd", "quantity"
    )
    return rows.write_csv().encode()
