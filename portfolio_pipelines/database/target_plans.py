"""Plans back to a target: keeping what was proposed, and what people decide about it.

How a plan is made is in `finance`; this is the ledger of proposals. A proposal is replaced by that of the next day, and
what was accepted or rejected stays for ever.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.allocation_tables import REBALANCING_PLANS_SCHEMA
from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.database.staging import copy_frame
from portfolio_pipelines.tables import UTC_TIME

VALID_FOR: Final = timedelta(hours=48)
"""After the close it rests on: a day for people, and hours for the next night's plans to come."""
KEPT_DAYS: Final = 7
"""How long proposals that nobody decided about are kept after they expired."""
SHORTEST_PREFIX: Final = 6

PROPOSALS: Final = pl.Schema(
    {
        "plan_id": pl.String(),
        "strategy_key": pl.Int32(),
        "version": pl.Int32(),
        "as_of": pl.Date(),
        "method": pl.String(),
        "status": pl.String(),  # proposed, not_suggested
        "portfolio_usd": pl.Float64(),
        "benefit_usd": pl.Float64(),
        "gas_usd": pl.Float64(),
        "slippage_usd": pl.Float64(),
        "is_complete": pl.Boolean(),
        "steps": pl.String(),  # JSON array
        "proposed_at": UTC_TIME,
        "expires_at": UTC_TIME,
    }
)
"""What is saved of a new plan."""

PLANS_STATE: Final = """
    select count(*) || '/' || count(*) filter (where status = 'expired') || '/' || coalesce(max(decided_at)::text, '')
        || '/' || coalesce(max(proposed_at)::text, '')
    from app.rebalancing_plans
"""

_ROWS: Final = """
    select p.plan_id::text as plan_id, u.user_id, x.name as strategy, p.version, p.as_of, p.method, p.status,
           p.portfolio_usd, p.benefit_usd, p.gas_usd as plan_gas_usd, p.slippage_usd as plan_slippage_usd,
           p.is_complete, p.expires_at, p.decided_at, s.step, s.action, s.asset_id, s.amount_tokens, s.amount_usd,
           s.into_asset_id, s.into_amount_tokens, s.into_amount_usd, s.gas_usd, s.slippage_usd, s.reason
    from (
        select *, as_of = max(as_of) over (partition by strategy_key) as is_newest from app.rebalancing_plans
    ) p
    join app.strategies x using (strategy_key) join app.users u using (user_key)
    cross join jsonb_to_recordset(p.steps) as s(
        step int, action text, asset_id text, amount_tokens float8, amount_usd float8, into_asset_id text,
        into_amount_tokens float8, into_amount_usd float8, gas_usd float8, slippage_usd float8, reason text
    )
    where (p.status <> 'expired' or p.is_newest)
"""


class PlanRefusedError(ValueError):
    """There is no such plan, or it can no longer be decided; the message says why."""


def save_proposals(engine: sa.Engine, proposals: pl.DataFrame, as_of: date, now: datetime | None = None) -> int:
    """Put the proposals of a night in the place of all earlier ones.

    Proposals of earlier days expire, and of the same day those that are no longer made; what a person asked for on that
    day stays. A plan that is known already is left as it is, whatever was decided.

    Args:
        engine: Engine of the operational database.
        proposals: Schema PROPOSALS, each plan_id once.
        as_of: The day of all of them.
        now: Time of the entry; the clock when not given.

    Returns:
        How many are new.
    """
    now = now or datetime.now(UTC)
    with engine.begin() as connection:
        connection.execute(sa.text("lock table app.rebalancing_plans in share row exclusive mode"))
        _stage(connection, proposals)
        connection.execute(
            sa.text("""
                update app.rebalancing_plans p set status = 'expired'
                where status = 'proposed' and not exists (select from staged s where s.plan_id = p.plan_id)
                  and (as_of < :as_of or method <> 'request')
            """),
            {"as_of": as_of},
        )
        connection.execute(
            sa.text("""
                delete from app.rebalancing_plans p
                where (status = 'not_suggested' and not exists (select from staged s where s.plan_id = p.plan_id))
                   or (status = 'expired' and expires_at < :kept_since
                       and as_of < (select max(as_of) from app.rebalancing_plans n
                                    where n.strategy_key = p.strategy_key))
            """),
            {"kept_since": now - timedelta(days=KEPT_DAYS)},
        )
        return _insert(connection)


def save_request(engine: sa.Engine, proposal: pl.DataFrame) -> int:
    """Keep a plan that a person asked for, beside what was proposed at night; 0 when it is there already."""
    with engine.begin() as connection:
        _stage(connection, proposal)
        return _insert(connection)


def decide(
    engine: sa.Engine, plan: str, status: str, *, who: str, why: str | None = None, now: datetime | None = None
) -> str:
    """Accept or reject a proposed plan. Accepting one ends the other proposals for the same strategy.

    Args:
        engine: Engine of the operational database.
        plan: Its id, or the beginning of it.
        status: accepted or rejected.
        who: Who decides.
        why: The reason, where one is given.
        now: Time of the decision; the clock when not given.

    Returns:
        The id of the plan.

    Raises:
        PlanRefusedError: If there is none or several, or it is no longer a proposal.
    """
    now = now or datetime.now(UTC)
    with engine.begin() as connection:
        found = connection.execute(
            sa.text("""
                select plan_id::text as plan_id, strategy_key, status, expires_at from app.rebalancing_plans
                where starts_with(plan_id::text, lower(:plan)) limit 2 for update
            """),
            {"plan": plan.strip()},
        ).all()
        if len(plan.strip()) < SHORTEST_PREFIX or len(found) != 1:
            msg = f"no single plan begins with {plan!r}: `portfolio plans list` shows their ids"
            raise PlanRefusedError(msg)
        row = found[0]
        current = "expired" if row.status == "proposed" and row.expires_at <= now else row.status
        if current != "proposed":
            msg = f"plan {row.plan_id} is {current.replace('_', ' ')}, it can no longer be {status}"
            raise PlanRefusedError(msg)
        connection.execute(
            sa.text("""
                update app.rebalancing_plans
                set status = :status, decided_at = :now, decided_by = :who, decided_why = :why where plan_id = :id
            """),
            {"status": status, "now": now, "who": who, "why": why, "id": row.plan_id},
        )
        if status == "accepted":
            connection.execute(
                sa.text("""
                    update app.rebalancing_plans set status = 'expired'
                    where strategy_key = :key and status = 'proposed'
                """),
                {"key": row.strategy_key},
            )
    return str(row.plan_id)


def plans_frame(engine: sa.Engine, user_id: str | None = None) -> pl.DataFrame:
    """One row a step, of one user or of all, REBALANCING_PLANS_SCHEMA: what is proposed or decided, newest expired."""
    if user_id is not None:
        query = f"{_ROWS} and u.user_id = :user"
        frame = read_frame(engine, query, REBALANCING_PLANS_SCHEMA, {"user": user_id})
    else:
        frame = read_frame(engine, _ROWS, REBALANCING_PLANS_SCHEMA)
    return frame.sort("plan_id", "step")


def _stage(connection: sa.Connection, proposals: pl.DataFrame) -> None:
    connection.execute(
        sa.text("""
            create temporary table staged (
                plan_id uuid, strategy_key int, version int, as_of date, method text, status text, portfolio_usd float8,
                benefit_usd float8, gas_usd float8, slippage_usd float8, is_complete boolean, steps jsonb,
                proposed_at timestamptz, expires_at timestamptz
            ) on commit drop
        """)
    )
    copy_frame(connection, "staged", proposals.select(PROPOSALS.names()))
    connection.execute(sa.text("analyze staged"))


def _insert(connection: sa.Connection) -> int:
    columns = ", ".join(PROPOSALS.names())
    done = connection.execute(
        sa.text(f"""
            insert into app.rebalancing_plans ({columns})
            select {columns} from staged s
            where exists (
                select from app.strategy_versions v
                where v.strategy_key = s.strategy_key and v.version = s.version and v.superseded_at is null
            )
            on conflict (plan_id) do nothing
        """)  # noqa: S608 (names of our own)
    )
    return int(done.rowcount)
