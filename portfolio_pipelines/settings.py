"""Every setting of the platform, typed, in one place: environment variables PORTFOLIO_* or a .env file.

Nothing else reads the environment. Secrets are SecretStr and come from here only.
"""

import os
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROJECT_ROOT = Path(__file__).parent.parent


class Settings(BaseSettings):
    """What an operator can choose. Every default works on a laptop without any account."""

    model_config = SettingsConfigDict(env_prefix="PORTFOLIO_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(default=Path(".portfolio"), description="Folder of everything the platform writes.")
    database_url: SecretStr | None = Field(
        default=None, description="External Postgres, postgresql://…; the embedded server is used without it."
    )
    bi_password: SecretStr | None = Field(
        default=None, description="Password of the read-only BI role; generated when unset."
    )
    bi_port: int = Field(
        default=5433, ge=1024, le=65535, description="Port on 127.0.0.1 where the embedded server lets BI in."
    )

    chains_file: Path | None = Field(
        default=None,
        description="File with chains, endpoints and tokens of your own; chains.toml in the home folder when unset.",
    )

    first_chain_day: date = Field(
        default=date(2025, 1, 1), description="First day x chain partition; wallets are not rebuilt further back."
    )
    discovery_days: int = Field(
        default=30, ge=0, description="Days before a wallet's first read whose transfers are searched for its tokens."
    )
    price_days_after_sale: int = Field(
        default=7, ge=0, description="Days a token is still priced after the last wallet let it go."
    )

    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis that holds the last good balances in front of the lake, redis://…; none is needed.",
    )

    first_day: date = Field(default=date(2013, 1, 1), description="First daily partition; no investment can be older.")
    tolerance: float = Field(default=0.03, gt=0, lt=1, description="Relative spread within which quotes agree.")
    max_stale_days: int = Field(
        default=7, ge=0, description="Days a last known price is carried before it counts as missing."
    )
    jump_factor: float = Field(
        default=5.0, gt=1, description="A close this many times up or down is blocked until confirmed."
    )
    gap_days: int = Field(default=3, ge=1, description="A gap longer than this makes the guard stricter.")
    gap_jump_factor: float = Field(default=2.0, gt=1, description="Jump that is blocked after such a gap.")
    final_after_hours: int = Field(
        default=24, ge=0, description="A quote asked for this long after the close is final."
    )

    risk_free_rate: float = Field(
        default=0.0, gt=-1, lt=1, description="A year, 0.04 = 4 %; taken off by Sharpe and Sortino ratios."
    )
    benchmark_assets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Asset ids to compare portfolios with beside BTC, ETH and the S&P 500, comma separated."
    )

    ledger_wraps_keep_basis: bool = Field(
        default=True, description="Wrapping, bridging and staking for receipts keep basis and day; else they are swaps."
    )
    ledger_liquidity_keeps_basis: bool = Field(
        default=True, description="Liquidity takes the basis of what goes in; else adding it is a swap at market."
    )
    ledger_forks_are_income: bool = Field(
        default=False, description="A forked asset is income at its close, and costs it; else it costs nothing."
    )
    ledger_shorts_allowed: bool = Field(
        default=False, description="Selling what was never bought opens a short position; else it is a question."
    )
    ledger_inventory_scope: Literal["universal", "per_venue"] = Field(
        default="universal",
        description="Where an import looks for what goes: in all venues of a user (universal) or one (per_venue).",
    )
    transfer_window_hours: float = Field(
        default=24, gt=0, le=720, description="Hours after a withdrawal within which a deposit may be its other half."
    )
    transfer_skew_minutes: float = Field(
        default=10, ge=0, le=1440, description="Minutes that a deposit may be before its withdrawal: clocks differ."
    )
    transfer_tolerance: float = Field(
        default=0.02, ge=0, lt=1, description="Share of a transfer that may be lost on the way, 0.02 = 2 %."
    )

    leaderboard_key: SecretStr | None = Field(
        default=None, description="Key of the leaderboard's pseudonyms, 32 signs or more; generated when unset."
    )
    leaderboard_counts_from: Literal["entry", "purchase"] = Field(
        default="entry",
        description="Holdings count on the leaderboard from the day they were entered, or from their purchase: entry "
        "or purchase. The latter trusts what users say of the past.",
    )
    leaderboard_least_sources: int = Field(
        default=2, ge=1, description="Price sources that must agree before a price counts as confirmed there."
    )
    leaderboard_bucket_users: int = Field(
        default=10, ge=2, description="Ranked users that share each published bucket of worth, at least."
    )

    price_providers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("coingecko", "defillama", "yahoo"),
        description="Live providers in order of priority, comma separated; empty for price files alone.",
    )
    coingecko_api_key: SecretStr | None = Field(
        default=None, description="Key of a CoinGecko plan; without one its public access (365 days back) is used."
    )
    coingecko_plan: str = Field(default="demo", pattern="^(demo|pro)$", description="Plan of the key: demo or pro.")
    coingecko_url: str = Field(default="", description="Other base URL of the CoinGecko API; empty for the real one.")
    coingecko_per_minute: float = Field(default=25, gt=0, description="Requests a minute to CoinGecko at most.")
    defillama_url: str = Field(default="https://coins.llama.fi", description="Base URL of DefiLlama's price service.")
    defillama_per_minute: float = Field(default=90, gt=0, description="Requests a minute to DefiLlama at most.")
    defillama_yields_url: str = Field(
        default="", description="Other base URL of DefiLlama's list of pools; empty for the real one."
    )
    yahoo_url: str = Field(default="", description="Other base URL of Yahoo's chart service; empty for the real one.")
    yahoo_per_minute: float = Field(default=60, gt=0, description="Requests a minute to Yahoo at most.")
    request_timeout_seconds: float = Field(default=15, gt=0, description="Seconds until a provider counts as silent.")

    secrets_key: SecretStr | None = Field(
        default=None,
        description="32 bytes in base64 that encrypt stored secrets; several behind commas: the first encrypts, all "
        "decrypt; made once in the home folder when unset.",
    )
    smtp_host: str = Field(default="", description="Mail server that messages are sent through; no mail without one.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_security: str = Field(
        default="starttls",
        pattern="^(starttls|tls|none)$",
        description="starttls, tls (from the first byte, port 465), or none for a server next door.",
    )
    smtp_user: str = Field(default="", description="Login at the mail server; empty for none.")
    smtp_password: SecretStr | None = Field(default=None, description="Password of that login.")
    smtp_from: str = Field(default="", description="Sender of messages, such as Portfolio <alerts@example.com>.")
    ntfy_url: str = Field(
        default="https://ntfy.sh", description="Push server of ntfy channels that name a topic alone."
    )
    ntfy_token: SecretStr | None = Field(default=None, description="Access token of that push server.")
    apprise_schemes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("discord", "gchat", "opsgenie", "pagerduty", "pbul", "pover", "slack", "tgram", "wxteams"),
        description="Kinds of Apprise addresses that channels may use, comma separated.",
    )
    webhook_allow_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(),
        description="Networks of your own that webhooks may reach, such as 10.1.0.0/16, comma separated; without it "
        "public addresses on port 443 alone.",
    )
    delivery_timeout_seconds: float = Field(
        default=15, gt=0, le=60, description="Seconds until a receiver of messages counts as silent."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file with certificate authorities of your own, for receivers of messages."
    )

    export_days: int = Field(default=90, ge=1, description="Days that files of scheduled exports are kept.")

    duckdb_memory: str = Field(default="2GB", description="Memory limit of the warehouse build.")

    @field_validator("chains_file", "ca_file", mode="before")
    @classmethod
    def _none_when_empty(cls, value: object) -> object:
        return value or None

    @field_validator("leaderboard_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            msg = "the key of the leaderboard is shorter than 32 signs: it could be guessed. Unset it to have one made"
            raise ValueError(msg)
        return value

    @field_validator("price_providers", "benchmark_assets", "apprise_schemes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("webhook_allow_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        parts = cls._split(value)
        return tuple(map(ip_network, parts)) if isinstance(parts, tuple) else parts

    @field_validator("price_providers")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - {"coingecko", "defillama", "yahoo"})
        if unknown:
            msg = f"unknown price providers {unknown}; choose from coingecko, defillama, yahoo"
            raise ValueError(msg)
        return value

    @cached_property
    def chain_overrides(self) -> Path | None:
        """The user's chains.toml; None when there is none. One that is set has to be there, which its reader tells."""
        usual = self.home.absolute() / "chains.toml"
        return self.chains_file or (usual if usual.is_file() else None)

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """What ${NAME} in chains.toml may stand for: the environment, and the lines of .env that it lacks."""
        from dotenv import dotenv_values

        lines = dotenv_values(".env")
        return {**{name: value for name, value in lines.items() if value is not None}, **os.environ}

    @cached_property
    def lake(self) -> Path:
        """Root of the lake."""
        return self.home.absolute() / "lake"

    @cached_property
    def warehouse(self) -> Path:
        """The DuckDB file with the marts."""
        return self.home.absolute() / "warehouse.duckdb"

    @cached_property
    def exports(self) -> Path:
        """Folder of exports."""
        return self.home.absolute() / "exports"

    @cached_property
    def postgres(self) -> Path:
        """Data folder of the embedded Postgres."""
        return self.home.absolute() / "postgres"

    @cached_property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME: logs and local artefacts of Dagster."""
        return self.home.absolute() / "dagster"
