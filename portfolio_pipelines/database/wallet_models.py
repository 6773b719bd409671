"""Operational tables of what people watch on chains: wallets and liquidity positions, with all their versions.

An address of an EVM chain is 0x and 40 lower-case hex digits here and everywhere; the spelling with capitals is for
showing. How many a user may have is a rule of the table (`slot`), so that no two writers at once can pass it.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portfolio_pipelines.database.models import QUANTITY_DIGITS, Base

WALLETS_A_USER: Final = 20
POSITIONS_A_USER: Final = 50
EVM_ADDRESS: Final = "^0x[0-9a-f]{40}$"


class Wallet(Base):
    """An address that a user watches."""

    __tablename__ = "wallets"
    __table_args__ = (
        UniqueConstraint("user_key", "address"),
        UniqueConstraint("user_key", "slot"),
        CheckConstraint(f"slot between 1 and {WALLETS_A_USER}", name="slot"),
        CheckConstraint("(slot is null) = (removed_at is not null)", name="removed"),
        CheckConstraint("family in ('evm', 'solana', 'bitcoin')", name="family"),
        CheckConstraint(f"(family = 'evm') = (address ~ '{EVM_ADDRESS}')", name="address"),
        {"comment": "Addresses that users watch; label and chains are in wallet_versions"},
    )

    wallet_key: Mapped[int] = mapped_column(Identity(), primary_key=True, comment="Small key used inside the lake")
    user_key: Mapped[int] = mapped_column(ForeignKey("app.users.user_key"))
    address: Mapped[str] = mapped_column(comment="EVM: 0x and 40 lower-case hex digits; else as its network spells it")
    family: Mapped[str] = mapped_column(comment="evm, solana or bitcoin: the kind of chains the address lives on")
    slot: Mapped[int | None] = mapped_column(
        SmallInteger, comment=f"Place among the user's {WALLETS_A_USER} wallets; null when removed"
    )
    added_at: Mapped[datetime] = mapped_column(comment="When it was added first")
    added_by: Mapped[str]
    removed_at: Mapped[datetime | None] = mapped_column(comment="Null while it is watched")
    removed_by: Mapped[str | None]


class WalletVersion(Base):
    """What a user says about a wallet, in one version."""

    __tablename__ = "wallet_versions"
    __table_args__ = (
        Index("uq_wallet_versions_current", "wallet_key", unique=True, postgresql_where=text("superseded_at is null")),
        {"comment": "Label and chains of wallets, all versions; the current one has no superseded_at"},
    )

    wallet_key: Mapped[int] = mapped_column(ForeignKey("app.wallets.wallet_key"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="1, 2, … per wallet")
    label: Mapped[str | None] = mapped_column(comment="Name that the user gave it")
    chains: Mapped[list[str]] = mapped_column(
        ARRAY(Text), comment="Slugs of the chains to read, sorted; empty for all that are enabled"
    )
    known_at: Mapped[datetime] = mapped_column(comment="Since when we know this version")
    superseded_at: Mapped[datetime | None] = mapped_column(comment="When a later version or the removal ended it")
    import_id: Mapped[int | None] = mapped_column(ForeignKey("app.imports.import_id"), comment="File it came from")
    row_number: Mapped[int | None] = mapped_column(comment="Row of that file")
    reason: Mapped[str] = mapped_column(comment="imported, or what the new version changed")


class LiquidityPool(Base):
    """A pool of a decentralised exchange, and what its contract said about itself."""

    __tablename__ = "liquidity_pools"
    __table_args__ = (
        UniqueConstraint("chain", "address"),
        CheckConstraint(f"address ~ '{EVM_ADDRESS}'", name="address"),
        CheckConstraint(
            "(checked_at is null) = (protocol is null) and (checked_at is null) = (is_verified is null)", name="checked"
        ),
        {"comment": "Pools that liquidity positions name; what never changes about them, read from the chain"},
    )

    pool_key: Mapped[int] = mapped_column(Identity(), primary_key=True)
    chain: Mapped[str] = mapped_column(comment="Slug of the chain")
    address: Mapped[str] = mapped_column(comment="0x and 40 lower-case hex digits")
    protocol: Mapped[str | None] = mapped_column(
        comment="uniswap_v2, sushiswap, uniswap_v3, curve or balancer_v2, by how its contract answers; null until it "
        "is checked"
    )
    tokens: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="Its coins in the order of the contract")
    facts: Mapped[dict[str, Any]] = mapped_column(
        JSONB, comment="What else it said: factory, fee, tick spacing, weights …"
    )
    is_verified: Mapped[bool | None] = mapped_column(
        comment="A factory that we know confirms the pool; false when its factory is not known"
    )
    checked_at: Mapped[datetime | None] = mapped_column(comment="When the chain was asked; null when it was not yet")


class LiquidityPosition(Base):
    """Liquidity that a user put into a pool."""

    __tablename__ = "liquidity_positions"
    __table_args__ = (
        UniqueConstraint("user_key", "pool_key", "wallet_key", "entry_date", postgresql_nulls_not_distinct=True),
        UniqueConstraint("user_key", "slot"),
        CheckConstraint(f"slot between 1 and {POSITIONS_A_USER}", name="slot"),
        CheckConstraint("(slot is null) = (removed_at is not null)", name="removed"),
        {"comment": "Liquidity positions that users entered; price and amounts are in liquidity_position_versions"},
    )

    position_key: Mapped[int] = mapped_column(Identity(), primary_key=True, comment="Small key used inside the lake")
    user_key: Mapped[int] = mapped_column(ForeignKey("app.users.user_key"))
    pool_key: Mapped[int] = mapped_column(ForeignKey("app.liquidity_pools.pool_key"), index=True)
    wallet_key: Mapped[int | None] = mapped_column(
        ForeignKey("app.wallets.wallet_key"), index=True, comment="Wallet that holds it, where the user said which"
    )
    entry_date: Mapped[date] = mapped_column(comment="UTC day of the deposit")
    slot: Mapped[int | None] = mapped_column(
        SmallInteger, comment=f"Place among the user's {POSITIONS_A_USER} positions; null when removed"
    )
    added_at: Mapped[datetime] = mapped_column(comment="When it was added first")
    added_by: Mapped[str]
    removed_at: Mapped[datetime | None] = mapped_column(comment="Null while it is followed")
    removed_by: Mapped[str | None]


class LiquidityPositionVersion(Base):
    """What a user says about a liquidity position, in one version."""

    __tablename__ = "liquidity_position_versions"
    __table_args__ = (
        Index(
            "uq_liquidity_position_versions_current",
            "position_key",
            unique=True,
            postgresql_where=text("superseded_at is null"),
        ),
        CheckConstraint("entry_price > 0 and entry_price < 'Infinity'", name="entry_price"),
        CheckConstraint("price_of in ('token0', 'token1')", name="price_of"),
        CheckConstraint("(amount0 is null) = (amount1 is null)", name="both_amounts"),
        CheckConstraint("amount0 >= 0 and amount1 >= 0 and amount0 + amount1 > 0", name="amounts"),
        {"comment": "Price and amounts of liquidity positions, all versions; the current one has no superseded_at"},
    )

    position_key: Mapped[int] = mapped_column(
        ForeignKey("app.liquidity_positions.position_key"), primary_key=True, autoincrement=False
    )
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="1, 2, … per position")
    label: Mapped[str | None] = mapped_column(comment="Name that the user gave it")
    entry_price: Mapped[Decimal] = mapped_column(
        comment="On entry, units of the pool's other token for one whole unit of the token in price_of"
    )
    price_of: Mapped[str] = mapped_column(comment="token0 or token1: the token that entry_price is the price of")
    amount0: Mapped[Decimal | None] = mapped_column(
        QUANTITY_DIGITS, comment="Whole units of the first token that were put in; null when not said"
    )
    amount1: Mapped[Decimal | None] = mapped_column(
        QUANTITY_DIGITS, comment="Whole units of the second token that were put in; null when not said"
    )
    known_at: Mapped[datetime] = mapped_column(comment="Since when we know this version")
    superseded_at: Mapped[datetime | None] = mapped_column(comment="When a later version or the removal ended it")
    import_id: Mapped[int | None] = mapped_column(ForeignKey("app.imports.import_id"), comment="File it came from")
    row_number: Mapped[int | None] = mapped_column(comment="Row of that file")
    reason: Mapped[str] = mapped_column(comment="imported, or what the new version changed")
