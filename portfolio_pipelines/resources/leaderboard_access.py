"""Who reads the leaderboard in Postgres: a role that sees the board, and of the ranks those of one user.

Belongs here: that role and its rights. BI reads neither table: it knows users by their ids with their figures, so that
the board beside them would tell whom a pseudonym belongs to. What BI may read is `bi_access`.
"""

from typing import Any, Final

import psycopg
from psycopg import sql

from portfolio_pipelines.resources.bi_access import grant_to

ROLE: Final = "portfolio_leaderboard"
BOARD: Final = "leaderboard"
RANKS: Final = "leaderboard_ranks"
USER_SETTING: Final = "portfolio.user_id"
"""Names the user of a session: `set local portfolio.user_id = 'ann'`. Without it no rank is seen."""
POLICY: Final = "own_rank"


def grant_leaderboard(database: psycopg.Connection[Any], schema: str) -> str | None:
    """Let the role, made without a login when missing, read the board, and the ranks of the session's user.

    A service that shows the board to people logs in as a role of its own that is granted this one, and sets the user of
    each transaction.

    Args:
        database: An open transaction; nothing is committed here.
        schema: Where the marts are; tables that are not there (yet) are passed over.

    Returns:
        The role's name; None when we are not allowed to make it.
    """
    tables = [name for name in (BOARD, RANKS) if _exists(database, schema, name)]
    if RANKS in tables:
        _protect(database, schema)
    return grant_to(database, ROLE, schema, tables)


def _protect(database: psycopg.Connection[Any], schema: str) -> None:
    """Rows of the ranks only for the user that the session names. The owner, who publishes, sees all."""
    known = database.execute(
        "select 1 from pg_policies where schemaname = %s and tablename = %s and policyname = %s",
        (schema, RANKS, POLICY),
    ).fetchone()
    if known is not None:
        return
    table = sql.Identifier(schema, RANKS)
    database.execute(sql.SQL("alter table {} enable row level security").format(table))
    database.execute(
        sql.SQL("create policy {} on {} for select using (user_id = nullif(current_setting({}, true), ''))").format(
            sql.Identifier(POLICY), table, sql.Literal(USER_SETTING)
        )
    )


def _exists(database: psycopg.Connection[Any], schema: str, table: str) -> bool:
    return database.execute("select to_regclass(%s)", (f"{schema}.{table}",)).fetchone() != (None,)
