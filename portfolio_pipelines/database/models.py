"""The operational tables, schema `app`: what people and processes change. Queries live in the modules by subject.

Amounts and quantities are exact (NUMERIC), times are UTC, validity ranges half-open with null for open. The marts
(schema `marts`) are made by publishing and are not described here. Wallets are in `wallet_models`, chains in
`chain_models`, ledgers in `transaction_models`.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    Numeric,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA: Final = "app"
QUANTITY_DIGITS: Final = Numeric(78, 18)
"""60 digits before the point, 18 after it: every amount that a chain or an exchange can name."""


class Base(DeclarativeBase):
    """Common naming, so that migrations can name what they change."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
    type_annotation_map = {str: Text, datetime: TIMESTAMP(timezone=True), Decimal: Numeric}  # noqa: RUF012 (SQLAlchemy)


class User(Base):
    """A person or account, known by an opaque id."""

    __tablename__ = "users"
    __table_args__ = {"comment": "Users, known by an opaque text id"}  # noqa: RUF012 (SQLAlchemy's own form)

    user_key: Mapped[int] = mapped_column(Identity(), primary_key=True, comment="Small key used inside the lake")
    user_id: Mapped[str] = mapped_column(unique=True, comment="The id that people use")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="First seen")


class Import(Base):
    """One file that was imported."""

    __tablename__ = "imports"
    __table_args__ = (
        CheckConstraint(
            "kind in ('investments', 'prices', 'wallets', 'liquidity_positions', 'transactions')", name="kind"
        ),
        # A price file says nothing new the second time; an investment file may undo a later correction.
        Index("uq_imports_price_file", "file_hash", unique=True, postgresql_where=text("kind = 'prices'")),
        {"comment": "Files that were imported; a file that changed nothing leaves no row"},
    )

    import_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(comment="investments, prices, wallets, liquidity_positions or transactions")
    file_name: Mapped[str] = mapped_column(comment="Name without folder")
    file_hash: Mapped[str] = mapped_column(comment="SHA-256 of the content, hexadecimal")
    n_rows: Mapped[int] = mapped_column(comment="Data rows in the file")
    imported_at: Mapped[datetime]
    imported_by: Mapped[str] = mapped_column(comment="Who ran the import")


class Asset(Base):
    """Something that has a price."""

    __tablename__ = "assets"
    __table_args__ = (
        CheckConstraint("kind in ('crypto', 'index', 'file')", name="kind"),
        CheckConstraint("calendar in ('daily', 'weekdays')", name="calendar"),
        {"comment": "Everything that has a price, by market id; a ticker is never a key"},
    )

    asset_id: Mapped[str] = mapped_column(primary_key=True, comment="Market id, such as coingecko:bitcoin")
    symbol: Mapped[str] = mapped_column(comment="Ticker shown to people; see asset_symbols for what it meant when")
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(comment="crypto, index, or file: known from price files alone")
    calendar: Mapped[str] = mapped_column(comment="Days with a close: daily or weekdays")
    coingecko_symbol: Mapped[str | None] = mapped_column(comment="CoinGecko's name; null where it has none")
    defillama_symbol: Mapped[str | None] = mapped_column(comment="DefiLlama's name; null where it has none")
    yahoo_symbol: Mapped[str | None] = mapped_column(comment="Yahoo's name; null where it has none or is unclear")


class AssetSymbol(Base):
    """What a ticker meant, and when: tickers are reused."""

    __tablename__ = "asset_symbols"
    __table_args__ = (
        UniqueConstraint("symbol", "asset_id", "valid_from", postgresql_nulls_not_distinct=True),
        CheckConstraint("symbol = upper(symbol)", name="upper"),
        CheckConstraint("valid_from < valid_to", name="range"),
        {"comment": "What a ticker meant on which days, half-open [valid_from, valid_to)"},
    )

    symbol_key: Mapped[int] = mapped_column(Identity(), primary_key=True)
    symbol: Mapped[str] = mapped_column(comment="Upper case")
    asset_id: Mapped[str] = mapped_column(ForeignKey("app.assets.asset_id"), index=True)
    valid_from: Mapped[date | None] = mapped_column(comment="First day; null for since ever")
    valid_to: Mapped[date | None] = mapped_column(comment="First day on which it no longer holds; null for still")


class AssetSuccession(Base):
    """A holding that became another one."""

    __tablename__ = "asset_successions"
    __table_args__ = (
        CheckConstraint("units_before > 0 and units_after > 0", name="units"),
        {"comment": "Migrations: units_before of the asset became units_after of the successor"},
    )

    asset_id: Mapped[str] = mapped_column(ForeignKey("app.assets.asset_id"), primary_key=True)
    successor_id: Mapped[str] = mapped_column(ForeignKey("app.assets.asset_id"))
    units_before: Mapped[Decimal]
    units_after: Mapped[Decimal]
    effective_on: Mapped[date] = mapped_column(comment="From this day on the holding is the successor")


class Investment(Base):
    """A purchase of several assets at one moment."""

    __tablename__ = "investments"
    __table_args__ = (
        UniqueConstraint("user_key", "investment_id"),
        {"comment": "Investments; their coins are investment_legs"},
    )

    investment_key: Mapped[int] = mapped_column(Identity(), primary_key=True, comment="Small key used inside the lake")
    user_key: Mapped[int] = mapped_column(ForeignKey("app.users.user_key"))
    investment_id: Mapped[str] = mapped_column(comment="The id that people use, unique per user")


class InvestmentLeg(Base):
    """One coin of an investment, in one version."""

    __tablename__ = "investment_legs"
    __table_args__ = (
        Index(
            "uq_investment_legs_current",
            "investment_key",
            "asset_id",
            unique=True,
            postgresql_where=text("superseded_at is null"),
        ),
        Index(
            "ix_investment_legs_held_since",
            "asset_id",
            "invested_at",
            postgresql_where=text("superseded_at is null"),
        ),
        Index(
            "ix_investment_legs_sample",
            "asset_id",
            "invested_at",
            postgresql_where=text("price_source = 'sample'"),
        ),
        CheckConstraint("amount_usd > 0 and quantity > 0 and price_usd > 0", name="positive"),
        CheckConstraint(
            "(quantity_source = 'given' and price_source is null)"
            " or (quantity_source = 'derived' and price_usd is not null and price_source is not null)",
            name="quantity_source",
        ),
        {
            "comment": "Coins of investments with all their versions; the current one has no superseded_at, one that "
            "was taken back none"
        },
    )

    investment_key: Mapped[int] = mapped_column(ForeignKey("app.investments.investment_key"), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("app.assets.asset_id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="1, 2, … per leg")
    invested_at: Mapped[datetime] = mapped_column(comment="Moment of the purchase, UTC")
    amount_usd: Mapped[Decimal] = mapped_column(comment="Money spent on this coin, US dollars, exact")
    quantity: Mapped[Decimal] = mapped_column(QUANTITY_DIGITS, comment="Coins bought")
    quantity_source: Mapped[str] = mapped_column(comment="given by the file, or derived: amount / close of the day")
    price_usd: Mapped[Decimal | None] = mapped_column(comment="Close that a derived quantity rests on, US dollars")
    price_source: Mapped[str | None] = mapped_column(comment="Provider of that close; null when the quantity is given")
    known_at: Mapped[datetime] = mapped_column(comment="Since when we know this version")
    superseded_at: Mapped[datetime | None] = mapped_column(
        comment="When a later version replaced it or it was taken back; null = current"
    )
    import_id: Mapped[int | None] = mapped_column(
        ForeignKey("app.imports.import_id"), comment="File it came from; null when the platform corrected it"
    )
    row_number: Mapped[int | None] = mapped_column(comment="Row of that file")
    reason: Mapped[str] = mapped_column(comment="imported, or what the correction changed")
    ended_by: Mapped[str | None] = mapped_column(comment="Who took it back; null while it holds or was corrected")


class PriceOverride(Base):
    """A price that a person stands for. Append-only: withdrawn, never changed."""

    __tablename__ = "price_overrides"
    __table_args__ = (
        Index(
            "uq_price_overrides_active",
            "asset_id",
            "day",
            unique=True,
            postgresql_where=text("withdrawn_at is null"),
        ),
        CheckConstraint("kind in ('manual', 'confirm_jump')", name="kind"),
        CheckConstraint("close_usd > 0 and close_usd < 'Infinity'", name="positive"),
        CheckConstraint("who <> '' and why <> ''", name="answerable"),
        {"comment": "Prices that a person stands for, or jumps that a person confirmed; withdrawn, never changed"},
    )

    override_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("app.assets.asset_id"))
    day: Mapped[date] = mapped_column(comment="UTC day of the close")
    close_usd: Mapped[Decimal] = mapped_column(comment="The close, US dollars")
    who: Mapped[str]
    why: Mapped[str]
    kind: Mapped[str] = mapped_column(comment="manual: use this price; confirm_jump: the jump to this price is real")
    created_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None] = mapped_column(comment="Null while it holds")
    withdrawn_by: Mapped[str | None]
    withdrawn_why: Mapped[str | None]


class PartitionLog(Base):
    """Which run wrote a partition of the lake, from what."""

    __tablename__ = "partition_log"
    __table_args__ = {"comment": "Who wrote which partition last, with which code, from which input"}  # noqa: RUF012

    table_name: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[str] = mapped_column(primary_key=True, comment="Day, or empty for a table without partitions")
    run_id: Mapped[str]
    code_version: Mapped[str]
    input_hash: Mapped[str]
    content_hash: Mapped[str]
    written_at: Mapped[datetime] = mapped_column(index=True)


class CheckResult(Base):
    """The verdict of one quality check in one run."""

    __tablename__ = "check_results"
    __table_args__ = (
        CheckConstraint("severity in ('ERROR', 'WARN')", name="severity"),
        {"comment": "Verdicts of quality checks, all runs"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    check_name: Mapped[str]
    asset: Mapped[str]
    severity: Mapped[str] = mapped_column(comment="ERROR or WARN")
    passed: Mapped[bool]
    run_id: Mapped[str]
    checked_at: Mapped[datetime] = mapped_column(index=True)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="Counts behind the verdict")


class RateReservation(Base):
    """When a provider may be asked next, shared by all processes."""

    __tablename__ = "rate_reservations"
    __table_args__ = {"comment": "Pace of requests to each provider, shared by all processes"}  # noqa: RUF012

    provider: Mapped[str] = mapped_column(primary_key=True)
    next_free_at: Mapped[datetime] = mapped_column(comment="The next request may be sent at this time")
    blocked_until: Mapped[datetime | None] = mapped_column(comment="The provider asked us to wait until then")
