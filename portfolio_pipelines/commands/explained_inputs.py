"""Numbers that marts serve and that nothing works out: what was read, entered, chosen or numbered, and why.

Belongs here: one reason a column. A column that is neither here nor explained is a figure that somebody forgot: a test
compares both with the columns of all marts.
"""

from collections.abc import Mapping
from typing import Final

KEY: Final = "it tells rows apart"
READ: Final = "it was read on the chain"
ENTERED: Final = "it was entered"
CHOSEN: Final = "the user chose it with `portfolio targets set`"
QUOTED: Final = "a provider said so"
ACCEPTED: Final = "it is a quote that was accepted, or why none was: of an asset and of no user"
AS_SERVED: Final = "it is kept as it was served then"
IN_THE_BOOK: Final = "it is an entry of the ledger"

ANYWHERE: Final[Mapping[str, str]] = {
    "window_days": KEY,
    "token_key": KEY,
    "strategy_key": KEY,
    "leg": KEY,
    "part": KEY,
    "step": KEY,
    "version": KEY,
    "block_number": READ,
}
"""By column, in whatever mart."""
INPUTS: Final[Mapping[str, Mapping[str, str]]] = {
    "portfolio_performance_daily": {
        "flow_out_usd": "0: nobody enters what an investment paid out, so nothing is taken out of one",
    },
    "wallet_balances": {"unexplained_amount": "found by the read: what no position in a protocol stands for"},
    "balance_reconciliation": dict.fromkeys(("opening", "received", "sent", "gas", "observed"), READ),
    "impermanent_loss": {
        "entry_price": "the user gave it, or it was the pool's price at the first read",
        **dict.fromkeys(("price", "lower_price", "upper_price"), READ),
    },
    "pool_states": {
        "fee": READ,
        **dict.fromkeys(("provider_tvl_usd", "volume_usd_1d", "volume_usd_7d", "fee_apr", "reward_apr"), QUOTED),
    },
    "pool_states_daily": {
        "position": KEY,
        **dict.fromkeys(("tick", "fee", "weight", "amplification", "virtual_price"), READ),
    },
    "prices_daily": dict.fromkeys(("close_usd", "n_quotes", "disagreement", "last_close_usd"), ACCEPTED),
    "benchmarks_daily": {"close_usd": ACCEPTED},
    "benchmark_returns_daily": {"close_usd": ACCEPTED},
    "price_restatements": dict.fromkeys(("old_close_usd", "new_close_usd"), AS_SERVED),
    "ledger_restatements": {
        **{
            f"{age}_{figure}": "profit_and_loss by what was known then: the newest is explained there"
            for age in ("old", "new")
            for figure in ("realised_usd", "unrealised_usd", "pnl_usd")
        },
        "transactions": "how many were changed at that time",
    },
    "data_quality_scorecard": {"value": "it counts over everybody; the description beside it says what"},
    "ledger_transactions": {
        **dict.fromkeys(("in_quantity", "out_quantity", "fee_quantity"), ENTERED),
        "value_usd": "its one value: value_source beside it says by what",
        **dict.fromkeys(("fee_usd", "income_usd", "expense_usd"), "its one value, as its type takes it"),
    },
    "ledger_questions": {"quantity": ENTERED},
    "disposals": dict.fromkeys(("quantity", "cost_usd", "proceeds_usd"), IN_THE_BOOK),
    "allocation_drift": dict.fromkeys(("target", "band", "min_trade_usd", "max_cost_share"), CHOSEN),
    "rebalancing_plan": {
        **dict.fromkeys(("amount_usd", "into_amount_usd"), "the plan decides it; the reason beside it says why"),
        "gas_usd": "by the fees of the chain when the plan was made",
    },
}
"""By mart and column."""


def why_not(metric: str) -> str | None:
    """Why a column is no figure, as a sentence; None where it is one, or nobody knows it.

    Args:
        metric: Name of the column, with its mart before it or without.
    """
    mart, _, column = metric.rpartition(".")
    found = [(name, reasons[column]) for name, reasons in INPUTS.items() if column in reasons and mart in {"", name}]
    if not found and column in ANYWHERE:
        return f"{column} is not worked out: {ANYWHERE[column]}"
    return "; ".join(f"{name}.{column} is not worked out: {why}" for name, why in found) or None
