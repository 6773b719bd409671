"""Investments as people see them in a list, and taking one back that was entered by mistake."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.database.staging import lock_imports

LISTED_SCHEMA: Final = pl.Schema(
    {
        "user_id": pl.String(),
        "investment_id": pl.String(),
        "invested_at": pl.Datetime("us", "UTC"),
        "asset": pl.String(),  # its id, as files may name it
        "amount_usd": pl.String(),  # exact decimals
        "quantity": pl.String(),
        "quantity_source": pl.String(),  # given, derived
        "price_source": pl.String(),  # provider of the close that a derived one rests on
    }
)
MOST_NAMED: Final = 10


class NoInvestmentError(ValueError):
    """The user has no such investment, or no such coin in it, or it was taken back already."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What was taken back."""

    legs: int
    first_affected_day: date  # figures from this day on are new


def list_investments(engine: sa.Engine, user_id: str | None = None) -> pl.DataFrame:
    """The current coins of the investments of a user or of all, schema LISTED_SCHEMA, by user and moment."""
    query = """
        select user_id, investment_id, invested_at, asset_id as asset, trim_scale(amount_usd)::text as amount_usd,
               trim_scale(quantity)::text as quantity, quantity_source, price_source
        from app.investment_legs join app.investments using (investment_key) join app.users using (user_key)
        where superseded_at is null
    """
    if user_id is None:
        frame = read_frame(engine, query, LISTED_SCHEMA)
    else:
        frame = read_frame(engine, f"{query} and user_id = :user", LISTED_SCHEMA, {"user": user_id})
    return frame.sort("user_id", "invested_at", "investment_id", "asset")


def remove_investment(
    engine: sa.Engine,
    user_id: str,
    investment_id: str,
    *,
    who: str,
    asset_id: str | None = None,
    now: datetime | None = None,
) -> Removal:
    """Take an investment back, or one coin of it. Its versions stay readable; importing it again brings it back.

    Args:
        engine: Engine of the operational database.
        user_id: Whose investment.
        investment_id: The id that the user gave it.
        who: Who takes it back.
        asset_id: The one coin; all of them when not given.
        now: Time of the removal; the clock when not given.

    Raises:
        NoInvestmentError: If there is nothing to take back; the message names what there is. Nothing was changed.
    """
    query = """
        update app.investment_legs l set superseded_at = :now, ended_by = :who
        from app.investments i join app.users u using (user_key)
        where l.investment_key = i.investment_key and l.superseded_at is null and u.user_id = :user
          and i.investment_id = :id and l.asset_id = coalesce(cast(:asset as text), l.asset_id)
        returning (l.invested_at at time zone 'UTC')::date as day
    """
    values = {
        "now": (now or datetime.now(UTC)).astimezone(UTC),
        "who": who,
        "user": user_id,
        "id": investment_id,
        "asset": asset_id,
    }
    with engine.begin() as connection:
        lock_imports(connection)
        days = connection.scalars(sa.text(query), values).all()
    if not days:
        raise NoInvestmentError(_what_there_is(list_investments(engine, user_id), user_id, investment_id, asset_id))
    return Removal(len(days), min(days))


def _what_there_is(listed: pl.DataFrame, user_id: str, investment_id: str, asset_id: str | None) -> str:
    if listed.is_empty():
        return f"{user_id!r} has no investments"
    of_investment = listed.filter(investment_id=investment_id)
    if of_investment.is_empty():
        there, what = listed["investment_id"].unique(maintain_order=True).to_list(), f"no investment {investment_id!r}"
    else:
        there, what = of_investment["asset"].to_list(), f"no {asset_id} in investment {investment_id!r}"
    named = ", ".join(there[:MOST_NAMED])
    more = f" and {len(there) - MOST_NAMED} more" if len(there) > MOST_NAMED else ""
    return f"{user_id!r} has {what}; there is {named}{more}"
