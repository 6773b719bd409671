"""Tokens with their keys, quarantine, whitelist and cursors on a real database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from portfolio_pipelines.chains.asset_ids import token_asset_id
from portfolio_pipelines.database.chain_cursors import ChainCursor, load_cursor, save_cursor
from portfolio_pipelines.database.chain_tokens import (
    CHAIN_TOKENS_SCHEMA,
    TOKEN_KEYS,
    TokenRefusedError,
    chain_tokens_frame,
    ensure_tokens,
    token_key,
)
from portfolio_pipelines.database.connection import create_engine
from portfolio_pipelines.database.token_trust import (
    QUARANTINE_SCHEMA,
    VERDICTS,
    WHITELIST_SCHEMA,
    WhitelistRefusedError,
    quarantine_frame,
    set_quarantine,
    whitelist_frame,
    whitelist_token,
    withdraw_whitelisting,
)

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def address(number: int) -> str:
    return f"0x{number + 1:040x}"


def tokens(*numbers: int, chain_id: int = 1, **columns: object) -> pl.DataFrame:
    rows = [
        {"chain_id": chain_id, "address": address(number), "asset_id": token_asset_id(chain_id, address(number))}
        for number in numbers
    ]
    return pl.DataFrame(rows).with_columns(**{name: pl.lit(value) for name, value in columns.items()})


def history(database: sa.Engine, table: str) -> list[dict[str, object]]:
    with database.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(f"select * from app.{table} order by 1")).mappings()]


def test_tokens_get_keys_once_and_in_the_order_asked(database: sa.Engine) -> None:
    assert chain_tokens_frame(database).schema == CHAIN_TOKENS_SCHEMA
    keys = ensure_tokens(database, tokens(2, 0, 1), source="discovered", now=NOW)
    assert keys.schema == TOKEN_KEYS
    assert dict(keys.select("address", "token_key").iter_rows()) == {address(0): 1, address(1): 2, address(2): 3}
    assert keys["address"].to_list() == [address(2), address(0), address(1)]
    again = ensure_tokens(database, tokens(1, 5), source="discovered")
    assert again["token_key"].to_list() == [2, 4]
    assert ensure_tokens(database, tokens(), source="discovered").is_empty()
    assert token_key(database, 1, address(5)) == 4


def test_one_address_on_two_chains_is_two_tokens(database: sa.Engine) -> None:
    pair = pl.concat([tokens(0), tokens(0, chain_id=11297108109)])
    assert ensure_tokens(database, pair, source="shipped")["token_key"].to_list() == [1, 2]


def test_the_coin_of_a_chain_and_tokens_of_other_families_have_keys_too(database: sa.Engine) -> None:
    rows = pl.DataFrame(
        {
            "chain_id": [1, 900],
            "address": ["native", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"],
            "asset_id": ["eip155:1/slip44:60", "solana:mainnet/token:EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"],
        }
    )
    assert ensure_tokens(database, rows, source="shipped")["token_key"].to_list() == [1, 2]


def test_what_a_list_or_a_person_says_stands_above_what_the_contract_says(database: sa.Engine) -> None:
    ensure_tokens(database, tokens(0, symbol="SPAM", decimals=0), source="discovered", now=NOW)
    ensure_tokens(database, tokens(0, symbol="GOOD", decimals=6, is_rebasing=True), source="shipped")
    ensure_tokens(database, tokens(0, symbol="BAD"), source="discovered")
    row = chain_tokens_frame(database).row(0, named=True)
    assert (row["symbol"], row["decimals"], row["is_rebasing"], row["source"]) == ("GOOD", 6, True, "shipped")
    ensure_tokens(database, tokens(0, symbol="MINE", decimals=8), source="user", who="ann")
    ensure_tokens(database, tokens(0, symbol="GOOD", decimals=6), source="shipped")
    row = chain_tokens_frame(database).row(0, named=True)
    assert (row["symbol"], row["decimals"], row["source"]) == ("MINE", 8, "user")
    assert history(database, "chain_tokens")[0]["added_by"] == "ann"


def test_the_first_sight_of_a_token_stays_the_first(database: sa.Engine) -> None:
    for block in (50, 40, 60):
        at = NOW + timedelta(seconds=block)
        ensure_tokens(database, tokens(0, first_seen_block=block, first_seen_at=at), source="discovered")
    row = chain_tokens_frame(database).row(0, named=True)
    assert (row["first_seen_block"], row["first_seen_at"]) == (40, NOW + timedelta(seconds=40))


def test_a_hostile_name_is_kept_as_far_as_it_can_be(database: sa.Engine) -> None:
    ensure_tokens(database, tokens(0, symbol='"; drop\0 table,\n', name="x" * 5_000), source="discovered")
    row = chain_tokens_frame(database).row(0, named=True)
    assert row["symbol"] == '"; drop table,\n'
    assert row["name"] == "x" * 255


def test_a_token_that_is_there_twice_or_unknown_is_refused(database: sa.Engine) -> None:
    with pytest.raises(TokenRefusedError, match=f"token {address(1)} of chain 1 is there twice"):
        ensure_tokens(database, tokens(1, 1), source="discovered")
    with pytest.raises(TokenRefusedError, match="is not known"):
        token_key(database, 1, address(1))
    with pytest.raises(sa.exc.IntegrityError):
        ensure_tokens(database, tokens(1).with_columns(address=pl.lit("0xABC")), source="discovered")


def test_processes_that_ask_at_once_get_the_same_keys(database: sa.Engine) -> None:
    engines = [create_engine(database.url) for _ in range(4)]
    asked = tokens(*range(500))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda engine: ensure_tokens(engine, asked, source="discovered"), engines))
    for engine in engines:
        engine.dispose()
    assert all(answer.equals(answers[0]) for answer in answers)
    assert chain_tokens_frame(database).height == 500


@pytest.fixture
def known(database: sa.Engine) -> sa.Engine:
    """A database that knows tokens 1 to 3 and user ann."""
    ensure_tokens(database, tokens(0, 1, 2, symbol="X"), source="discovered")
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('ann')"))
    return database


def verdicts(*rows: tuple[int, float, list[str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=VERDICTS, orient="row")


def test_quarantine_follows_the_last_look(known: sa.Engine) -> None:
    assert quarantine_frame(known).schema == QUARANTINE_SCHEMA
    judged = pl.Series([1, 2, 3])
    found = verdicts((1, 0.9, ["lure", "no_price"]), (2, 0.7, ["same_symbol"]))
    assert set_quarantine(known, found, judged, now=NOW) == (2, 0)
    frame = quarantine_frame(known)
    assert frame.schema == QUARANTINE_SCHEMA
    assert frame.row(0) == (1, 1, address(0), "X", None, 0.9, ["lure", "no_price"], NOW)
    again = verdicts((1, 0.95, ["lure"]), (3, 0.8, []))
    assert set_quarantine(known, again, judged, now=LATER) == (1, 1)
    assert list(quarantine_frame(known).select("token_key", "score", "reasons", "since").iter_rows()) == [
        (1, 0.95, ["lure"], NOW),
        (3, 0.8, [], LATER),
    ]
    assert [row["until"] for row in history(known, "token_quarantine")] == [None, LATER, None]


def test_a_token_that_was_not_judged_stays_as_it_is(known: sa.Engine) -> None:
    set_quarantine(known, verdicts((1, 0.9, [])), pl.Series([1]), now=NOW)
    assert set_quarantine(known, verdicts((2, 0.9, [])), pl.Series([2, 3]), now=LATER) == (1, 0)
    assert set_quarantine(known, verdicts(), pl.Series([], dtype=pl.Int32), now=LATER) == (0, 0)
    assert quarantine_frame(known)["token_key"].to_list() == [1, 2]


def test_vouching_for_everyone_releases_a_token_for_one_user_does_not(known: sa.Engine) -> None:
    set_quarantine(known, verdicts((1, 0.9, []), (2, 0.9, [])), pl.Series([1, 2]), now=NOW)
    whitelist_token(known, 1, who=" ann ", why="our own token", now=LATER)
    whitelist_token(known, 2, who="ann", why="I bought it", user_id="ann", now=LATER)
    assert quarantine_frame(known)["token_key"].to_list() == [2]
    frame = whitelist_frame(known)
    assert frame.schema == WHITELIST_SCHEMA
    assert frame.rows() == [
        (1, 1, address(0), "X", None, None, "ann", "our own token", LATER),
        (2, 1, address(1), "X", 1, "ann", "ann", "I bought it", LATER),
    ]


def test_an_entry_is_replaced_or_withdrawn_never_deleted(known: sa.Engine) -> None:
    whitelist_token(known, 1, who="ann", why="first", now=NOW)
    whitelist_token(known, 1, who="bob", why="second", now=LATER)
    whitelist_token(known, 1, who="bob", why="for ann", user_id="ann", now=LATER)
    withdraw_whitelisting(known, 1, who="cy", why="it was a trap", now=LATER)
    assert whitelist_frame(known)["user_id"].to_list() == ["ann"]
    first, second, _ = history(known, "token_whitelist")
    assert (first["withdrawn_at"], first["withdrawn_by"], first["withdrawn_why"]) == (
        LATER, "bob", "replaced by another entry",
    )  # fmt: skip
    assert (second["withdrawn_by"], second["withdrawn_why"]) == ("cy", "it was a trap")


def test_an_entry_that_makes_no_sense_is_refused(known: sa.Engine) -> None:
    with pytest.raises(WhitelistRefusedError, match="say who and why"):
        whitelist_token(known, 1, who="ann", why=" ")
    with pytest.raises(WhitelistRefusedError, match="there is no user 'zoe'"):
        whitelist_token(known, 1, who="ann", why="x", user_id="zoe")
    with pytest.raises(WhitelistRefusedError, match="token 99 is not known"):
        whitelist_token(known, 99, who="ann", why="x")
    with pytest.raises(WhitelistRefusedError, match="nobody vouches for token 1 for 'ann'"):
        withdraw_whitelisting(known, 1, who="ann", why="x", user_id="ann")
    with pytest.raises(WhitelistRefusedError, match="say who and why"):
        withdraw_whitelisting(known, 1, who="", why="x")


def test_a_cursor_stands_where_it_was_put_also_further_back(database: sa.Engine) -> None:
    assert load_cursor(database, 1, "transfers") is None
    for number in (100, 200, 150):
        save_cursor(database, 1, "transfers", ChainCursor(number, f"0x{number:064x}"), now=NOW)
    save_cursor(database, 10, "transfers", ChainCursor(7, "0x07"))
    assert load_cursor(database, 1, "transfers") == ChainCursor(150, f"0x{150:064x}")
    assert load_cursor(database, 1, "pools") is None
