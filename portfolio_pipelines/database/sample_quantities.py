"""Quantities that rest on the sample market: how many there still are, and which closes would replace them.

Belongs here: reading them for people. Replacing them is `investment_import`, keeping them apart from real prices is
`investments`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import sqlalchemy as sa

MOST_CLOSES: Final = 5
_COUNTS: Final = """
    select count(*) as legs, count(distinct user_key) as users
    from app.investment_legs join app.investments using (investment_key)
    where superseded_at is null and price_source = 'sample'
"""
_CLOSES: Final = """
    select coalesce(symbol, asset_id) as name, (invested_at at time zone 'UTC')::date as day
    from app.investment_legs join app.assets using (asset_id)
    where superseded_at is null and price_source = 'sample'
    group by asset_id, symbol, day order by day, asset_id
"""


@dataclass(frozen=True, slots=True)
class SampleLegs:
    """Current legs whose quantity was derived from a close of the sample market."""

    legs: int
    users: int
    closes: Sequence[tuple[str, date]]  # symbol and day of the real closes that would replace them, by day

    @property
    def wanted(self) -> str:
        """The first of those closes in words, and how many more."""
        named = ", ".join(f"{name} of {day}" for name, day in self.closes[:MOST_CLOSES])
        more = len(self.closes) - MOST_CLOSES
        return f"{named} and {more} more" if more > 0 else named


def sample_legs(engine: sa.Engine) -> SampleLegs:
    """Count them, and name the closes that are wanted."""
    with engine.connect() as connection:
        counts = connection.execute(sa.text(_COUNTS)).one()
        closes = connection.execute(sa.text(_CLOSES)).all() if counts.legs else []
    return SampleLegs(counts.legs, counts.users, [(row.name, row.day) for row in closes])
