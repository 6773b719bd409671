"""Wallets as frames, and taking one off the list. Importing them from files is `wallet_import`."""

from datetime import UTC, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.database.staging import lock_imports

WALLETS_SCHEMA: Final = pl.Schema(
    {
        "wallet_key": pl.Int32(),
        "user_key": pl.Int32(),
        "user_id": pl.String(),
        "address": pl.String(),  # EVM: 0x and 40 lower-case hex digits
        "family": pl.String(),  # evm, solana, bitcoin
        "label": pl.String(),  # null when the user gave none
        "chains": pl.List(pl.String()),  # slugs, sorted; empty for all that are enabled
    }
)


class NotWatchedError(ValueError):
    """The user does not watch that wallet."""


def wallets_frame(engine: sa.Engine) -> pl.DataFrame:
    """The wallets that are watched, schema WALLETS_SCHEMA, sorted by wallet_key."""
    wallets = read_frame(
        engine,
        """
        select wallet_key, user_key, address, family, label, chains
        from app.wallets join app.wallet_versions using (wallet_key)
        where removed_at is null and superseded_at is null
        """,
        pl.Schema({name: kind for name, kind in WALLETS_SCHEMA.items() if name != "user_id"}),
    )
    users = read_frame(
        engine,
        "select user_key, user_id from app.users where user_key in (select user_key from app.wallets)",
        pl.Schema({name: WALLETS_SCHEMA[name] for name in ("user_key", "user_id")}),
    )
    return wallets.join(users, on="user_key").select(WALLETS_SCHEMA.names()).sort("wallet_key")


def every_wallet_frame(engine: sa.Engine) -> pl.DataFrame:
    """Every wallet that was ever watched, with what was said of it last; sorted by wallet_key.

    Columns of WALLETS_SCHEMA with `chains` as a list, and is_watched, added_on, removed_on (UTC days).
    """
    query = """
        select distinct on (wallet_key) wallet_key, user_key, user_id, address, family, label, chains,
               removed_at is null as is_watched,
               (added_at at time zone 'UTC')::date as added_on, (removed_at at time zone 'UTC')::date as removed_on
        from app.wallets join app.users using (user_key) join app.wallet_versions using (wallet_key)
        order by wallet_key, version desc
    """
    more = {"is_watched": pl.Boolean(), "added_on": pl.Date(), "removed_on": pl.Date()}
    return read_frame(engine, query, pl.Schema({**WALLETS_SCHEMA, **more})).sort("wallet_key")


def remove_wallet(engine: sa.Engine, user_id: str, address: str, *, who: str, now: datetime | None = None) -> int:
    """Stop watching a wallet; what is known of it stays. Importing it again watches it under the same key.

    Args:
        engine: Engine of the operational database.
        user_id: Whose wallet.
        address: As it is stored.
        who: Who removes it.
        now: Time of the removal; the clock when not given.

    Returns:
        The key of the wallet.

    Raises:
        NotWatchedError: If the user does not watch it.
    """
    values = {"user_id": user_id, "address": address, "who": who, "now": now or datetime.now(UTC)}
    with engine.begin() as connection:
        lock_imports(connection)
        key = connection.scalar(
            sa.text("""
                update app.wallets w set removed_at = :now, removed_by = :who, slot = null
                from app.users u
                where u.user_id = :user_id and w.user_key = u.user_key and w.address = :address
                  and w.removed_at is null
                returning w.wallet_key
            """),
            values,
        )
        if key is None:
            msg = f"{user_id!r} watches no wallet {address}"
            raise NotWatchedError(msg)
        connection.execute(
            sa.text("""
                update app.wallet_versions set superseded_at = :now where wallet_key = :key and superseded_at is null
            """),
            {"key": key, "now": values["now"]},
        )
    return int(key)
