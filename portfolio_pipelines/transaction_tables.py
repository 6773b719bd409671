"""The columns of the core tables of ledgers: transactions, their lots, profit and loss.

Belongs here: names and types. The day is the folder, as in `tables`; what the columns mean is said in `finance`.
"""

from typing import Final

import polars as pl

from portfolio_pipelines.finance.ledger_restatements import RESTATED
from portfolio_pipelines.finance.lots_ledger import ENTRIES, TRANSACTION_VALUES, USES
from portfolio_pipelines.finance.lots_totals import TOTALS
from portfolio_pipelines.finance.transactions import ORDERED
from portfolio_pipelines.tables import columns


def _by_day(schema: pl.Schema) -> pl.Schema:
    """A schema of `finance` whose day is the day of the file."""
    return columns({"date" if name == "day" else name: kind for name, kind in schema.items()})


TRANSACTIONS: Final = "core/transactions"
TRANSACTION_DAYS: Final = "core/transaction_days"
TRANSACTION_VALUES_TABLE: Final = "core/transaction_values"
LOT_ENTRIES: Final = "core/lot_entries"
LOT_USES: Final = "core/lot_uses"
PROFIT_AND_LOSS: Final = "core/profit_and_loss"
LEDGER_RESTATEMENTS: Final = "core/ledger_restatements"

TRANSACTIONS_SCHEMA: Final = ORDERED
"""One file, in the order in which things happened; current versions only."""
TRANSACTION_DAYS_SCHEMA: Final = columns({"day": pl.Date, "fingerprint": pl.String})
TRANSACTION_VALUES_SCHEMA: Final = _by_day(TRANSACTION_VALUES)
LOT_ENTRIES_SCHEMA: Final = _by_day(ENTRIES)
LOT_USES_SCHEMA: Final = _by_day(USES)
"""Values, entries and uses have a file for each day on which something happened."""
PROFIT_AND_LOSS_SCHEMA: Final = columns({"date": pl.Date, **TOTALS, "is_final": pl.Boolean})
"""Sorted by user_key, scope, method; one row a ledger and day since its first transaction."""
LEDGER_RESTATEMENTS_SCHEMA: Final = columns({"date": pl.Date, **RESTATED})
"""Sorted by user_key, scope, method, restated_day; a file for each day on which something became known late."""
