"""What an operator may choose about ledgers: how lots are made, and when two halves are one transfer.

Belongs here: choices as the assets see them. What they do is in `finance.lot_movements` and `finance.transactions`.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from portfolio_pipelines.finance.inventory import InventoryRules
from portfolio_pipelines.finance.lot_movements import LedgerPolicy
from portfolio_pipelines.finance.transactions import TransferMatching
from portfolio_pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class LedgerRules:
    """The choices of one installation."""

    policy: LedgerPolicy = field(default_factory=LedgerPolicy)
    matching: TransferMatching = field(default_factory=TransferMatching)

    @classmethod
    def of(cls, settings: Settings) -> "LedgerRules":
        """The choices that the settings hold."""
        return cls(
            LedgerPolicy(
                wraps_keep_basis=settings.ledger_wraps_keep_basis,
                liquidity_keeps_basis=settings.ledger_liquidity_keeps_basis,
                forks_are_income=settings.ledger_forks_are_income,
                shorts_allowed=settings.ledger_shorts_allowed,
            ),
            TransferMatching(
                window=timedelta(hours=settings.transfer_window_hours),
                skew=timedelta(minutes=settings.transfer_skew_minutes),
                tolerance=settings.transfer_tolerance,
            ),
        )


def inventory_rules(settings: Settings) -> InventoryRules:
    """What an import counts as being there. No figure rests on the scope, so it is no part of LedgerRules."""
    rules = LedgerRules.of(settings)
    return InventoryRules(settings.ledger_inventory_scope, rules.policy, rules.matching)
