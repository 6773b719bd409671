"""Tokens of chains and their keys: asking for keys, telling what is known, adding one by hand.

Belongs here: the table of tokens. Which of them are distrusted is `token_trust`; the shipped list is `chains.tokens`.
"""

from datetime import UTC, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.database.staging import copy_frame, read_rows

SOURCES: Final = ("discovered", "shipped", "user")
"""Weakest first: what a list or a person says replaces what the contract says of itself, never the other way."""
LONGEST_TEXT: Final = 255
"""Characters of a symbol or name that are kept; contracts may say anything."""

TOKEN_ROWS: Final = pl.Schema(
    {
        "chain_id": pl.Int64(),
        "address": pl.String(),  # as it is stored; 'native' for the chain's own coin
        "asset_id": pl.String(),
        "symbol": pl.String(),
        "name": pl.String(),
        "decimals": pl.Int16(),  # null when nobody says
        "is_rebasing": pl.Boolean(),
        "coingecko_id": pl.String(),
        "first_seen_block": pl.Int64(),  # null where it was not found on chain
        "first_seen_at": pl.Datetime("us", "UTC"),
    }
)
"""What `ensure_tokens` takes; columns that are left out are null, is_rebasing false."""

CHAIN_TOKENS_SCHEMA: Final = pl.Schema({"token_key": pl.Int32(), **TOKEN_ROWS, "source": pl.String()})
TOKEN_KEYS: Final = pl.Schema({"chain_id": pl.Int64(), "address": pl.String(), "token_key": pl.Int32()})

STAGED: Final = """
    create temporary table staged_tokens (
        chain_id bigint, address text, asset_id text, symbol text, name text, decimals smallint, is_rebasing boolean,
        coingecko_id text, first_seen_block bigint, first_seen_at timestamptz
    ) on commit drop
"""
# Keys go by (chain, address), so that equal questions on two machines give equal keys.
ADDED: Final = """
    insert into app.chain_tokens (
        chain_id, address, asset_id, symbol, name, decimals, is_rebasing, coingecko_id, source, first_seen_block,
        first_seen_at, added_at, added_by
    )
    select chain_id, address, asset_id, symbol, name, decimals, is_rebasing, coingecko_id, :source, first_seen_block,
           first_seen_at, :now, :who
    from staged_tokens s
    where not exists (select from app.chain_tokens t where t.chain_id = s.chain_id and t.address = s.address)
    order by chain_id, address
"""
# A list that says nothing of a fact leaves what is known; the first sight of a token stays the first.
CHANGED: Final = """
    update app.chain_tokens t
    set symbol = coalesce(s.symbol, t.symbol), name = coalesce(s.name, t.name),
        decimals = coalesce(s.decimals, t.decimals), is_rebasing = s.is_rebasing,
        coingecko_id = coalesce(s.coingecko_id, t.coingecko_id), source = :source,
        added_by = coalesce(:who, t.added_by)
    from staged_tokens s
    where t.chain_id = s.chain_id and t.address = s.address
      and array_position(:sources, t.source) <= array_position(:sources, :source)
      and (t.symbol, t.name, t.decimals, t.is_rebasing, t.coingecko_id, t.source) is distinct from
          (coalesce(s.symbol, t.symbol), coalesce(s.name, t.name), coalesce(s.decimals, t.decimals), s.is_rebasing,
           coalesce(s.coingecko_id, t.coingecko_id), :source)
"""
SEEN: Final = """
    update app.chain_tokens t set first_seen_block = s.first_seen_block, first_seen_at = s.first_seen_at
    from staged_tokens s
    where t.chain_id = s.chain_id and t.address = s.address and s.first_seen_block is not null
      and (t.first_seen_block is null or s.first_seen_block < t.first_seen_block)
"""


class TokenRefusedError(ValueError):
    """The token makes no sense, or nobody knows it; the message says why."""


def chain_tokens_frame(engine: sa.Engine) -> pl.DataFrame:
    """All tokens that were ever met, schema CHAIN_TOKENS_SCHEMA, sorted by token_key."""
    return read_frame(engine, "select * from app.chain_tokens", CHAIN_TOKENS_SCHEMA).sort("token_key")


def ensure_tokens(
    engine: sa.Engine, tokens: pl.DataFrame, *, source: str, who: str | None = None, now: datetime | None = None
) -> pl.DataFrame:
    """Give a key to each token, a new one where it has none, and keep what is said about it.

    Tokens that are known stay under their key. What is said replaces what a weaker source said (see SOURCES). Texts
    are cut to LONGEST_TEXT and lose the characters that Postgres cannot hold. Any number of processes may ask at once.

    Args:
        engine: Engine of the operational database.
        tokens: Columns chain_id, address and asset_id, and those of TOKEN_ROWS that are known; one row a token.
        source: One of SOURCES.
        who: Who adds it, for source user.
        now: Time of the entry; the clock when not given.

    Returns:
        Schema TOKEN_KEYS, in the order of `tokens`.

    Raises:
        TokenRefusedError: If a token is there twice.
    """
    rows = _complete(tokens)
    keys = ["chain_id", "address"]
    if rows.select(pl.struct(keys).is_duplicated().any()).item():
        twice = rows.filter(pl.struct(keys).is_duplicated()).row(0)
        msg = f"token {twice[1]} of chain {twice[0]} is there twice"
        raise TokenRefusedError(msg)
    values = {"source": source, "who": who, "now": now or datetime.now(UTC), "sources": list(SOURCES)}
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(hashtextextended('chain_tokens', 0))"))
        connection.execute(sa.text(STAGED))
        copy_frame(connection, "staged_tokens", rows)
        connection.execute(sa.text("analyze staged_tokens"))
        for statement in (CHANGED, SEEN, ADDED):
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(sa.text(statement), used)
        query = "select t.chain_id, t.address, t.token_key from app.chain_tokens t join staged_tokens using {}"
        found = read_rows(connection, query.format("(chain_id, address)")).cast(TOKEN_KEYS)
    return rows.select(keys).join(found, on=keys, how="left", maintain_order="left")


def token_key(engine: sa.Engine, chain_id: int, address: str) -> int:
    """The key of a token.

    Raises:
        TokenRefusedError: If nobody has met it.
    """
    query = sa.text("select token_key from app.chain_tokens where chain_id = :chain_id and address = :address")
    with engine.connect() as connection:
        key = connection.scalar(query, {"chain_id": chain_id, "address": address})
    if key is None:
        msg = f"token {address} of chain {chain_id} is not known; `portfolio tokens add` adds it"
        raise TokenRefusedError(msg)
    return int(key)


def _complete(tokens: pl.DataFrame) -> pl.DataFrame:
    """The rows with all columns, and texts that Postgres can hold."""
    absent = [pl.lit(None, kind).alias(name) for name, kind in TOKEN_ROWS.items() if name not in tokens.columns]
    texts = [pl.col(name).str.replace_all("\0", "", literal=True).str.head(LONGEST_TEXT) for name in ("symbol", "name")]
    return (
        tokens.with_columns(absent)
        .select(TOKEN_ROWS.names())
        .cast(TOKEN_ROWS)
        .with_columns(*texts, pl.col("is_rebasing").fill_null(value=False))
    )
