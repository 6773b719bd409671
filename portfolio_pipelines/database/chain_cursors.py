"""How far each scan of each chain has come. What is scanned, and what a reorganisation undoes, is in `chains`."""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class ChainCursor:
    """The last block that a scan has seen; the hash shows whether it is still that block."""

    block_number: int
    block_hash: str


def load_cursor(engine: sa.Engine, chain_id: int, purpose: str) -> ChainCursor | None:
    """Where a scan stands; None before the first."""
    query = sa.text("""
        select block_number, block_hash from app.chain_cursors where chain_id = :chain_id and purpose = :purpose
    """)
    with engine.connect() as connection:
        row = connection.execute(query, {"chain_id": chain_id, "purpose": purpose}).one_or_none()
    return None if row is None else ChainCursor(row.block_number, row.block_hash)


def save_cursor(
    engine: sa.Engine, chain_id: int, purpose: str, cursor: ChainCursor, *, now: datetime | None = None
) -> None:
    """Remember where a scan stands; backwards, too: a reorganisation sets it back."""
    statement = sa.text("""
        insert into app.chain_cursors (chain_id, purpose, block_number, block_hash, updated_at)
        values (:chain_id, :purpose, :number, :hash, :now)
        on conflict (chain_id, purpose) do update set block_number = excluded.block_number,
            block_hash = excluded.block_hash, updated_at = excluded.updated_at
    """)
    values = {"number": cursor.block_number, "hash": cursor.block_hash, "now": now or datetime.now(UTC)}
    with engine.begin() as connection:
        connection.execute(statement, {"chain_id": chain_id, "purpose": purpose, **values})
