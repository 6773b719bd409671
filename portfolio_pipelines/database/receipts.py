"""Which tokens are receipts, as their contracts said when they were asked.

Belongs here: remembering it. Asking is `chains.receipt_probe`; ratios are in the lake, day by day.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame

RECEIPTS_SCHEMA: Final = pl.Schema(
    {
        "token_key": pl.Int32(),
        "chain_id": pl.Int64(),
        "address": pl.String(),
        "decimals": pl.Int16(),
        "receipt_kind": pl.String(),  # none: it is no receipt; refused: it claims what cannot be; null: never asked
        "receipt_underlying": pl.String(),
        "receipt_refusal": pl.String(),
    }
)
LONGEST_REASON: Final = 500


def receipts_frame(engine: sa.Engine) -> pl.DataFrame:
    """All tokens with what is known of them as receipts, schema RECEIPTS_SCHEMA, sorted by token_key."""
    return read_frame(engine, "select * from app.chain_tokens", RECEIPTS_SCHEMA).sort("token_key")


def remember_receipts(
    engine: sa.Engine, chain_id: int, findings: Sequence[tuple[str, str, str | None, str | None]]
) -> None:
    """Keep what tokens are, so that they are asked once; one that was asked already is left as it is.

    Args:
        engine: Engine of the operational database.
        chain_id: Their chain.
        findings: Contract, kind, underlying, and why it is refused; see the columns of RECEIPTS_SCHEMA. Contracts that
            have no key are left out.
    """
    if not findings:
        return
    statement = sa.text("""
        update app.chain_tokens
        set receipt_kind = :kind, receipt_underlying = :underlying, receipt_refusal = :reason
        where chain_id = :chain_id and address = :address and receipt_kind is null
    """)
    rows = [
        {"chain_id": chain_id, "address": address, "kind": kind, "underlying": underlying, "reason": reason}
        for address, kind, underlying, reason in sorted(findings)
    ]
    for row in rows:
        row["reason"] = None if row["reason"] is None else str(row["reason"])[:LONGEST_REASON]
    with engine.begin() as connection:
        connection.execute(statement, rows)
