"""Operational tables of chains: tokens with their keys, which of them are distrusted, and what we know of endpoints.

Balances and positions are in the lake. A chain itself is a row of the chain registry, not of a table here.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portfolio_pipelines.database.models import Base

NATIVE: Final = "native"
"""Stands for the address of a chain's own coin."""


class ChainToken(Base):
    """A token of a chain, or a chain's own coin."""

    __tablename__ = "chain_tokens"
    __table_args__ = (
        UniqueConstraint("chain_id", "address"),
        CheckConstraint("source in ('shipped', 'user', 'discovered')", name="source"),
        CheckConstraint("decimals between 0 and 255", name="decimals"),
        CheckConstraint("address !~* '^0x' or address ~ '^0x[0-9a-f]{40}$'", name="address"),
        CheckConstraint(
            "receipt_kind in ('erc4626', 'wsteth', 'reth', 'ctoken', 'none', 'refused')", name="receipt_kind"
        ),
        CheckConstraint(
            "(receipt_underlying is not null) = (receipt_kind is not null and receipt_kind not in ('none', 'refused')) "
            "and receipt_underlying is distinct from address",
            name="receipt_underlying",
        ),
        CheckConstraint(
            "(receipt_refusal is not null) = (receipt_kind is not distinct from 'refused')", name="receipt_refusal"
        ),
        {"comment": "Tokens that were ever met, by chain and address; a symbol is never a key"},
    )

    token_key: Mapped[int] = mapped_column(Identity(), primary_key=True, comment="Small key used inside the lake")
    chain_id: Mapped[int] = mapped_column(BigInteger, comment="Id of the chain in the registry")
    address: Mapped[str] = mapped_column(
        comment="EVM: 0x and 40 lower-case hex digits; else as the chain spells it; 'native' for the chain's own coin"
    )
    asset_id: Mapped[str] = mapped_column(unique=True, comment="Chain-qualified id, such as eip155:1/erc20:0x…")
    symbol: Mapped[str | None] = mapped_column(comment="As the contract or a list says; anyone can write anything here")
    name: Mapped[str | None]
    decimals: Mapped[int | None] = mapped_column(SmallInteger, comment="Null when the contract does not say")
    is_rebasing: Mapped[bool] = mapped_column(comment="Balances change without transfers: read it every time")
    coingecko_id: Mapped[str | None] = mapped_column(comment="CoinGecko's name for it; null where it has none")
    source: Mapped[str] = mapped_column(comment="shipped: from the token list; user: added by hand; discovered: met")
    first_seen_block: Mapped[int | None] = mapped_column(BigInteger, comment="Block of the transfer that showed it")
    first_seen_at: Mapped[datetime | None] = mapped_column(comment="Time of that block")
    added_at: Mapped[datetime]
    added_by: Mapped[str | None] = mapped_column(comment="Who added it by hand; null for the other sources")
    receipt_kind: Mapped[str | None] = mapped_column(
        comment="How its ratio is read; none: it is no receipt; refused: it claims what cannot be; null: never asked"
    )
    receipt_underlying: Mapped[str | None] = mapped_column(
        comment="Address of what a receipt stands for, 'native' for the chain's own coin; null unless it is one"
    )
    receipt_refusal: Mapped[str | None] = mapped_column(comment="Why it is refused as a receipt; null unless it is")


class HeldAsset(Base):
    """An asset that wallets hold, or held, as price providers call it."""

    __tablename__ = "held_assets"
    __table_args__ = (
        CheckConstraint("held_since <= held_until", name="span"),
        {"comment": "Assets that wallets hold, and the days on which they did: they need a price then"},
    )

    asset_id: Mapped[str] = mapped_column(
        primary_key=True, comment="Whose price counts: coingecko:<id>, or the id of the token itself"
    )
    coingecko_symbol: Mapped[str | None] = mapped_column(comment="CoinGecko's name; null where it has none")
    defillama_symbol: Mapped[str | None] = mapped_column(comment="DefiLlama's name; null where it has none")
    held_since: Mapped[date] = mapped_column(comment="First day on which a wallet was seen to hold it")
    held_until: Mapped[date] = mapped_column(comment="Last day on which a wallet was seen to hold it")


class TokenQuarantine(Base):
    """A span of time in which a token counts in no total."""

    __tablename__ = "token_quarantine"
    __table_args__ = (
        Index("uq_token_quarantine_current", "token_key", unique=True, postgresql_where=text('"until" is null')),
        CheckConstraint('since <= "until"', name="span"),
        {"comment": "Tokens that look like spam and count in no total; ended, never deleted"},
    )

    quarantine_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    token_key: Mapped[int] = mapped_column(ForeignKey("app.chain_tokens.token_key"), index=True)
    score: Mapped[Decimal] = mapped_column(comment="How suspicious, 0 to 1, at the last look")
    reasons: Mapped[list[Any]] = mapped_column(JSONB, comment="What spoke against it, at the last look")
    since: Mapped[datetime]
    until: Mapped[datetime | None] = mapped_column(comment="Null while it holds")


class TokenWhitelist(Base):
    """A token that somebody vouches for."""

    __tablename__ = "token_whitelist"
    __table_args__ = (
        Index(
            "uq_token_whitelist_current",
            "token_key",
            "user_key",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("withdrawn_at is null"),
        ),
        CheckConstraint("who <> '' and why <> ''", name="answerable"),
        {"comment": "Tokens that count although they look like spam; withdrawn, never deleted"},
    )

    whitelist_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    token_key: Mapped[int] = mapped_column(ForeignKey("app.chain_tokens.token_key"))
    user_key: Mapped[int | None] = mapped_column(
        ForeignKey("app.users.user_key"), index=True, comment="For whom; null for everyone"
    )
    who: Mapped[str]
    why: Mapped[str]
    created_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None] = mapped_column(comment="Null while it holds")
    withdrawn_by: Mapped[str | None]
    withdrawn_why: Mapped[str | None]


class EndpointCapabilities(Base):
    """What an endpoint was found able to do."""

    __tablename__ = "endpoint_capabilities"
    __table_args__ = {"comment": "What each endpoint of each chain can do, as probed; asked again when too old"}  # noqa: RUF012

    chain_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    endpoint: Mapped[str] = mapped_column(primary_key=True, comment="Its name, never its URL: that may hold a key")
    capabilities: Mapped[dict[str, Any]] = mapped_column(JSONB)
    probed_at: Mapped[datetime]


class EndpointHealth(Base):
    """How an endpoint answered lately."""

    __tablename__ = "endpoint_health"
    __table_args__ = (
        CheckConstraint("failures >= 0", name="failures"),
        {"comment": "When each endpoint of each chain last answered or failed"},
    )

    chain_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    endpoint: Mapped[str] = mapped_column(primary_key=True, comment="Its name, never its URL: that may hold a key")
    last_ok_at: Mapped[datetime | None]
    last_error_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(comment="What went wrong then")
    failures: Mapped[int] = mapped_column(comment="Failures since it last answered")


class ChainCursor(Base):
    """How far a scan of a chain has come."""

    __tablename__ = "chain_cursors"
    __table_args__ = {"comment": "Last block that each scan of each chain has seen; the hash shows reorganisations"}  # noqa: RUF012

    chain_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    purpose: Mapped[str] = mapped_column(primary_key=True, comment="What is scanned, such as transfers")
    block_number: Mapped[int] = mapped_column(BigInteger)
    block_hash: Mapped[str]
    updated_at: Mapped[datetime]
