"""Operational tables of target allocations: strategies with all their versions, and the plans that were proposed.

Weights are exact percents. A plan keeps its steps as a document: what was accepted must stay readable as it was.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Numeric,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portfolio_pipelines.database.models import Base

PERCENT: Final = Numeric(9, 6)
STATUSES: Final = ("proposed", "accepted", "rejected", "expired", "not_suggested")
METHODS: Final = ("closed_form", "optimum", "request")


class Strategy(Base):
    """A named target allocation of a user."""

    __tablename__ = "strategies"
    __table_args__ = (
        UniqueConstraint("user_key", "name"),
        {"comment": "Named target allocations of users; what they say is in strategy_versions and strategy_targets"},
    )

    strategy_key: Mapped[int] = mapped_column(Identity(), primary_key=True, comment="Small key used inside the lake")
    user_key: Mapped[int] = mapped_column(ForeignKey("app.users.user_key"))
    name: Mapped[str] = mapped_column(comment="The name that people use, unique per user")


class StrategyVersion(Base):
    """What holds for a strategy as a whole, in one version."""

    __tablename__ = "strategy_versions"
    __table_args__ = (
        Index(
            "uq_strategy_versions_current", "strategy_key", unique=True, postgresql_where=text("superseded_at is null")
        ),
        CheckConstraint("min_trade_usd >= 0 and max_cost_pct >= 0", name="positive"),
        {"comment": "Rules of strategies, all versions; the current one has no superseded_at, a deleted strategy none"},
    )

    strategy_key: Mapped[int] = mapped_column(ForeignKey("app.strategies.strategy_key"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="1, 2, … per strategy")
    sells_others: Mapped[bool] = mapped_column(comment="Assets that it does not name have the target 0; else left out")
    buy_only: Mapped[bool] = mapped_column(comment="Nothing is sold; only new money moves the shares")
    min_trade_usd: Mapped[Decimal] = mapped_column(comment="Smallest trade, US dollars")
    max_cost_pct: Mapped[Decimal] = mapped_column(comment="Greatest costs of a plan, percent of its benefit")
    known_at: Mapped[datetime] = mapped_column(comment="Since when we know this version")
    superseded_at: Mapped[datetime | None] = mapped_column(comment="When a later version or the deletion ended it")
    set_by: Mapped[str]
    ended_by: Mapped[str | None] = mapped_column(comment="Who changed or deleted it")


class StrategyTarget(Base):
    """The share of one asset in one version of a strategy."""

    __tablename__ = "strategy_targets"
    __table_args__ = (
        ForeignKeyConstraint(
            ["strategy_key", "version"], ["app.strategy_versions.strategy_key", "app.strategy_versions.version"]
        ),
        CheckConstraint("weight_pct between 0 and 100 and band_pct between 0 and 100", name="percent"),
        {"comment": "Weights of strategies in percent; those of a version sum to exactly 100"},
    )

    strategy_key: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    asset_id: Mapped[str] = mapped_column(
        primary_key=True, comment="Asset whose price counts, such as coingecko:bitcoin"
    )
    weight_pct: Mapped[Decimal] = mapped_column(PERCENT)
    band_pct: Mapped[Decimal] = mapped_column(PERCENT, comment="Percentage points to either side")
    may_sell: Mapped[bool]
    may_buy: Mapped[bool]


class RebalancingPlan(Base):
    """A plan that was proposed, and what became of it."""

    __tablename__ = "rebalancing_plans"
    __table_args__ = (
        Index("ix_rebalancing_plans_strategy", "strategy_key", "as_of"),
        CheckConstraint(f"status in {STATUSES}", name="status"),
        CheckConstraint(f"method in {METHODS}", name="method"),
        CheckConstraint(
            "(status in ('accepted', 'rejected')) = (decided_at is not null and decided_by is not null)", name="decided"
        ),
        {"comment": "Plans back to a target; proposed, then accepted, rejected or expired"},
    )

    plan_id: Mapped[UUID] = mapped_column(primary_key=True, comment="Made of strategy, day and steps")
    strategy_key: Mapped[int] = mapped_column(ForeignKey("app.strategies.strategy_key"))
    version: Mapped[int] = mapped_column(comment="Version of the strategy")
    as_of: Mapped[date] = mapped_column(comment="UTC day whose close it rests on")
    method: Mapped[str] = mapped_column(comment="closed_form, optimum, or request: asked for by a person")
    status: Mapped[str] = mapped_column(comment="proposed, accepted, rejected, expired; not_suggested: see the step")
    portfolio_usd: Mapped[float | None] = mapped_column(comment="Worth of what the strategy covers, US dollars")
    benefit_usd: Mapped[float] = mapped_column(comment="By how much it comes nearer to the target, US dollars")
    gas_usd: Mapped[float]
    slippage_usd: Mapped[float]
    is_complete: Mapped[bool] = mapped_column(comment="Every share is inside its band afterwards")
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, comment="Swaps and purchases in their order")
    proposed_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(comment="Prices have moved on: nobody can accept it from then on")
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    decided_why: Mapped[str | None]
