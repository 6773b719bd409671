"""The assets that the platform knows from the start: CSV files in `seeds`, loaded after every migration.

Safe to repeat: known assets are brought up to date, rows that people added stay.
"""

import csv
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from portfolio_pipelines.database.models import Asset, AssetSuccession, AssetSymbol, Base

SEEDS: Final = Path(__file__).parent / "seeds"


def seed(connection: sa.Connection) -> None:
    """Insert or update the seeded assets, their symbols and successions, within the caller's transaction."""
    _upsert(connection, Asset, ["asset_id"])
    _upsert(connection, AssetSymbol, ["symbol", "asset_id", "valid_from"])
    _upsert(connection, AssetSuccession, ["asset_id"])


def _upsert(connection: sa.Connection, model: type[Base], key: list[str]) -> None:
    rows = _read(SEEDS / f"{model.__tablename__}.csv")
    statement = insert(model).values(rows)
    others = [name for name in rows[0] if name not in key]
    newer = {name: statement.excluded[name] for name in others}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=newer))


def _read(path: Path) -> list[dict[str, str | None]]:
    """Rows of a seed file; an empty cell is null. Postgres turns the text into dates and numbers."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(file)]
