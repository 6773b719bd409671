"""Which tokens count in no total (quarantine), and which ones somebody vouches for (whitelist).

Belongs here: keeping both, with their history. How suspicious a token is, is decided in `chains.spam`.
"""

import json
from datetime import UTC, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.database.staging import copy_frame

UTC_TIME: Final = pl.Datetime("us", "UTC")
QUARANTINE_SCHEMA: Final = pl.Schema(
    {
        "token_key": pl.Int32(),
        "chain_id": pl.Int64(),
        "address": pl.String(),
        "symbol": pl.String(),
        "name": pl.String(),
        "score": pl.Float64(),  # 0..1, at the last look
        "reasons": pl.List(pl.String()),  # strongest first
        "since": UTC_TIME,
    }
)
WHITELIST_SCHEMA: Final = pl.Schema(
    {
        "token_key": pl.Int32(),
        "chain_id": pl.Int64(),
        "address": pl.String(),
        "symbol": pl.String(),
        "user_key": pl.Int32(),  # null for everyone
        "user_id": pl.String(),
        "who": pl.String(),
        "why": pl.String(),
        "created_at": UTC_TIME,
    }
)
VERDICTS: Final = pl.Schema({"token_key": pl.Int32(), "score": pl.Float64(), "reasons": pl.List(pl.String())})


class WhitelistRefusedError(ValueError):
    """The entry makes no sense; the message says why."""


def quarantine_frame(engine: sa.Engine) -> pl.DataFrame:
    """The tokens that are quarantined now, schema QUARANTINE_SCHEMA, sorted by token_key."""
    query = """
        select token_key, chain_id, address, symbol, name, score::double precision as score,
               array(select jsonb_array_elements_text(reasons)) as reasons, since
        from app.token_quarantine join app.chain_tokens using (token_key) where "until" is null
    """
    return read_frame(engine, query, QUARANTINE_SCHEMA).sort("token_key")


def set_quarantine(
    engine: sa.Engine, verdicts: pl.DataFrame, judged: pl.Series, *, now: datetime | None = None
) -> tuple[int, int]:
    """Bring the quarantine to what was found at the last look.

    A token that is quarantined again keeps its `since`, with the newest score and reasons. A judged token without a
    verdict is released; one that was not judged stays as it is.

    Args:
        engine: Engine of the operational database.
        verdicts: Schema VERDICTS: the tokens to quarantine, each once.
        judged: Keys of all tokens that were looked at.
        now: Time of the look; the clock when not given.

    Returns:
        How many tokens were newly quarantined, and how many released.
    """
    at = now or datetime.now(UTC)
    reasons = pl.Series([json.dumps(row) for row in verdicts["reasons"].to_list()], dtype=pl.String)
    rows = verdicts.select("token_key", "score").with_columns(reasons.alias("reasons"))
    looked = pl.DataFrame({"token_key": judged.unique()}, schema={"token_key": pl.Int32})
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(hashtextextended('token_quarantine', 0))"))
        connection.execute(
            sa.text("create temporary table verdicts (token_key int, score numeric, reasons jsonb) on commit drop")
        )
        connection.execute(sa.text("create temporary table judged (token_key int) on commit drop"))
        copy_frame(connection, "verdicts", rows)
        copy_frame(connection, "judged", looked)
        released = connection.execute(
            sa.text("""
                update app.token_quarantine q set "until" = :now
                from judged j
                where q.token_key = j.token_key and q."until" is null
                  and not exists (select from verdicts v where v.token_key = q.token_key)
            """),
            {"now": at},
        )
        connection.execute(
            sa.text("""
                update app.token_quarantine q set score = v.score, reasons = v.reasons from verdicts v
                where q.token_key = v.token_key and q."until" is null
                  and (q.score, q.reasons) is distinct from (v.score, v.reasons)
            """)
        )
        added = connection.execute(
            sa.text("""
                insert into app.token_quarantine (token_key, score, reasons, since)
                select token_key, score, reasons, :now from verdicts v
                where not exists (
                    select from app.token_quarantine q where q.token_key = v.token_key and q."until" is null
                )
                order by token_key
            """),
            {"now": at},
        )
    return added.rowcount, released.rowcount


def whitelist_frame(engine: sa.Engine) -> pl.DataFrame:
    """The entries that hold, schema WHITELIST_SCHEMA, sorted by token_key and user_key, everyone's first."""
    query = """
        select token_key, chain_id, address, symbol, w.user_key, user_id, who, why, w.created_at
        from app.token_whitelist w join app.chain_tokens using (token_key) left join app.users using (user_key)
        where withdrawn_at is null
    """
    return read_frame(engine, query, WHITELIST_SCHEMA).sort("token_key", "user_key", nulls_last=False)


def whitelist_token(
    engine: sa.Engine, token_key: int, *, who: str, why: str, user_id: str | None = None, now: datetime | None = None
) -> None:
    """Vouch for a token, for one user or for everyone; one that is vouched for already gets the new name and reason.

    For everyone it is released from quarantine at once.

    Args:
        engine: Engine of the operational database.
        token_key: The token.
        who: Who vouches for it.
        why: The reason, for those who ask later.
        user_id: For whom; None for everyone.
        now: Time of the entry; the clock when not given.

    Raises:
        WhitelistRefusedError: If nobody stands for it, or the user or token is not known.
    """
    values = {"token": token_key, "who": who.strip(), "why": why.strip(), "now": now or datetime.now(UTC)}
    if not values["who"] or not values["why"]:
        msg = "say who and why: somebody must stand for a token that counts"
        raise WhitelistRefusedError(msg)
    with engine.begin() as connection:
        values["user"] = _user_key(connection, user_id)
        _withdraw(connection, {**values, "why": "replaced by another entry"})
        try:
            connection.execute(
                sa.text("""
                    insert into app.token_whitelist (token_key, user_key, who, why, created_at)
                    values (:token, :user, :who, :why, :now)
                """),
                values,
            )
        except sa.exc.IntegrityError as error:
            msg = f"token {token_key} is not known, or somebody vouches for it at this moment"
            raise WhitelistRefusedError(msg) from error
        if user_id is None:
            connection.execute(
                sa.text('update app.token_quarantine set "until" = :now where token_key = :token and "until" is null'),
                {"now": values["now"], "token": token_key},
            )


def withdraw_whitelisting(
    engine: sa.Engine, token_key: int, *, who: str, why: str, user_id: str | None = None, now: datetime | None = None
) -> None:
    """No longer vouch for a token; the entry stays in the history.

    Raises:
        WhitelistRefusedError: If nobody vouches for it there, or nobody stands for the withdrawal.
    """
    values = {"token": token_key, "who": who.strip(), "why": why.strip(), "now": now or datetime.now(UTC)}
    if not values["who"] or not values["why"]:
        msg = "say who and why: somebody must stand for the withdrawal"
        raise WhitelistRefusedError(msg)
    with engine.begin() as connection:
        values["user"] = _user_key(connection, user_id)
        if not _withdraw(connection, values):
            msg = f"nobody vouches for token {token_key} {f'for {user_id!r}' if user_id else 'for everyone'}"
            raise WhitelistRefusedError(msg)


def _withdraw(connection: sa.Connection, values: dict[str, object]) -> bool:
    done = connection.execute(
        sa.text("""
            update app.token_whitelist set withdrawn_at = :now, withdrawn_by = :who, withdrawn_why = :why
            where token_key = :token and user_key is not distinct from :user and withdrawn_at is null
        """),
        values,
    )
    return bool(done.rowcount)


def _user_key(connection: sa.Connection, user_id: str | None) -> int | None:
    if user_id is None:
        return None
    key = connection.scalar(sa.text("select user_key from app.users where user_id = :user"), {"user": user_id})
    if key is None:
        msg = f"there is no user {user_id!r}"
        raise WhitelistRefusedError(msg)
    return int(key)
