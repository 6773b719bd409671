"""What commands share: the console, the opened platform, and errors that people can read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Final

import typer
from rich.console import Console

from portfolio_pipelines.market.fetch import Progress
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

# Without emoji: `a:x:0` is a text of somebody, not a picture.
OUT: Final = Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)
ERR: Final = Console(stderr=True, highlight=False, emoji=False)


class CommandError(Exception):
    """Something a person can put right; the message says how."""


@contextmanager
def readable_errors() -> Iterator[None]:
    """Print what can be put right as a message, exit status 1; everything else keeps its traceback."""
    from portfolio_pipelines.chains.chain_file import RegistryRefusedError
    from portfolio_pipelines.chains.registry import UnknownChainError
    from portfolio_pipelines.database.chain_tokens import TokenRefusedError
    from portfolio_pipelines.database.connection import DatabaseUnavailableError
    from portfolio_pipelines.database.investment_removal import NoInvestmentError
    from portfolio_pipelines.database.liquidity import NoPositionError
    from portfolio_pipelines.database.overrides import OverrideRefusedError
    from portfolio_pipelines.database.postgres_programs import EmbeddedPostgresError
    from portfolio_pipelines.database.token_trust import WhitelistRefusedError
    from portfolio_pipelines.database.wallets import NotWatchedError
    from portfolio_pipelines.market.file_faults import FileRefusedError

    try:
        yield
    except (
        CommandError,
        DatabaseUnavailableError,
        EmbeddedPostgresError,
        FileRefusedError,
        NoInvestmentError,
        NoPositionError,
        NotWatchedError,
        OverrideRefusedError,
        RegistryRefusedError,
        TokenRefusedError,
        UnknownChainError,
        WhitelistRefusedError,
        FileNotFoundError,
    ) as error:
        ERR.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


def open_platform(progress: Progress | None = None) -> Platform:
    """The platform of the settings, its database migrated."""
    platform = Platform.of(Settings(), progress)
    platform.database.prepare()
    return platform


def today() -> date:
    """The running UTC day."""
    return datetime.now(UTC).date()


def yesterday() -> date:
    """The newest closed UTC day."""
    return today() - timedelta(days=1)


def parse_day(text: str | None, default: date) -> date:
    """A day as YYYY-MM-DD.

    Raises:
        CommandError: If it is anything else.
    """
    if text is None:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is no day: write it as YYYY-MM-DD, such as 2026-03-01"
        raise CommandError(msg) from None
