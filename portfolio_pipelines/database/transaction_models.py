"""Operational tables of transactions: ledgers that people hand in, with all their versions.

Quantities and money are exact. What transactions did to lots is computed from them and lives in the lake.
"""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Numeric, SmallInteger, UniqueConstraint
from sqlalchemy import text as sql_text
from sqlalchemy.orm import Mapped, mapped_column

from portfolio_pipelines.database.models import Base
from portfolio_pipelines.finance.transactions import Type

LEDGER_QUANTITY = Numeric(38, 18)
LEDGER_USD = Numeric(38, 12)
TYPES = ", ".join(f"'{kind.value}'" for kind in Type)


class Transaction(Base):
    """One leg of a transaction of a user, whatever its versions say."""

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("user_key", "transaction_id", "leg"),
        CheckConstraint("leg > 0", name="leg"),
        {"comment": "Legs of transactions of users; what they say is in transaction_versions"},
    )

    transaction_key: Mapped[int] = mapped_column(
        BigInteger, Identity(), primary_key=True, comment="Small key used inside the lake"
    )
    user_key: Mapped[int] = mapped_column(ForeignKey("app.users.user_key"))
    transaction_id: Mapped[str] = mapped_column(comment="The id that people use, unique per user; legs share it")
    leg: Mapped[int] = mapped_column(SmallInteger, comment="1, 2, … where one transaction has several rows")


class TransactionVersion(Base):
    """What one leg says, in one version."""

    __tablename__ = "transaction_versions"
    __table_args__ = (
        Index(
            "uq_transaction_versions_current",
            "transaction_key",
            unique=True,
            postgresql_where=sql_text("superseded_at is null"),
        ),
        CheckConstraint(f"type in ({TYPES})", name="type"),
        CheckConstraint("in_quantity > 0 and out_quantity > 0 and fee_quantity > 0", name="positive"),
        CheckConstraint("value_usd >= 0 and fee_value_usd >= 0", name="money"),
        CheckConstraint(
            "(in_asset is null) = (in_quantity is null) and (out_asset is null) = (out_quantity is null)"
            " and (fee_asset is null) = (fee_quantity is null)"
            " and coalesce(in_asset, out_asset, fee_asset) is not null",
            name="legs",
        ),
        {"comment": "Transactions with all their versions; the current one has no superseded_at, a removed one none"},
    )

    transaction_key: Mapped[int] = mapped_column(ForeignKey("app.transactions.transaction_key"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="1, 2, … per leg")
    at: Mapped[datetime] = mapped_column(comment="Moment of the transaction, UTC")
    type: Mapped[str] = mapped_column(comment="What happened; see the docs of transaction files")
    venue: Mapped[str] = mapped_column(comment="Wallet or exchange")
    to_venue: Mapped[str | None] = mapped_column(comment="Where a transfer arrived")
    in_asset: Mapped[str | None] = mapped_column(comment="Asset that came; money is fiat:usd and the like")
    in_quantity: Mapped[Decimal | None] = mapped_column(LEDGER_QUANTITY)
    out_asset: Mapped[str | None] = mapped_column(comment="Asset that went")
    out_quantity: Mapped[Decimal | None] = mapped_column(LEDGER_QUANTITY, comment="Without the fee")
    fee_asset: Mapped[str | None] = mapped_column(comment="Asset that the fee was paid in")
    fee_quantity: Mapped[Decimal | None] = mapped_column(LEDGER_QUANTITY, comment="On top of in and out")
    value_usd: Mapped[Decimal | None] = mapped_column(LEDGER_USD, comment="Worth, where the file says it")
    fee_value_usd: Mapped[Decimal | None] = mapped_column(
        LEDGER_USD, comment="Worth of the fee, where the file says it"
    )
    tx_hash: Mapped[str | None] = mapped_column(comment="Hash on the chain")
    chain: Mapped[str | None] = mapped_column(comment="Chain that the block belongs to")
    block_number: Mapped[int | None] = mapped_column(BigInteger)
    transaction_index: Mapped[int | None] = mapped_column(comment="Place in the block")
    log_index: Mapped[int | None] = mapped_column(comment="Place of its event in the block")
    known_at: Mapped[datetime] = mapped_column(comment="Since when we know this version")
    superseded_at: Mapped[datetime | None] = mapped_column(comment="When a later version or its removal ended it")
    import_id: Mapped[int] = mapped_column(ForeignKey("app.imports.import_id"), comment="File it came from")
    row_number: Mapped[int] = mapped_column(comment="Row of that file")
    ended_by: Mapped[str | None] = mapped_column(comment="Who removed it; null while it holds or was corrected")
