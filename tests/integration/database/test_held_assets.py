"""What wallets held when: spans that grow."""

from datetime import date

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.held_assets import HELD_ASSETS_SCHEMA, held_assets_frame, record_held_assets

FIRST, MIDDLE, LAST = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)


def seen(asset: str, since: date, until: date, coingecko: str | None = None) -> pl.DataFrame:
    row = (asset, coingecko, f"ethereum:{asset}", since, until)
    return pl.DataFrame([row], schema=HELD_ASSETS_SCHEMA, orient="row")


def test_spans_grow_to_both_sides_and_never_shrink(database: sa.Engine) -> None:
    record_held_assets(database, seen("a", MIDDLE, MIDDLE))
    record_held_assets(database, seen("a", LAST, LAST))
    record_held_assets(database, seen("a", FIRST, FIRST))
    record_held_assets(database, seen("a", MIDDLE, MIDDLE))
    assert held_assets_frame(database).select("held_since", "held_until").rows() == [(FIRST, LAST)]


def test_the_newest_name_at_a_provider_counts(database: sa.Engine) -> None:
    record_held_assets(database, seen("a", FIRST, FIRST))
    record_held_assets(database, seen("a", LAST, LAST, "token-a"))
    assert held_assets_frame(database)["coingecko_symbol"].to_list() == ["token-a"]


def test_nothing_seen_changes_nothing(database: sa.Engine) -> None:
    record_held_assets(database, pl.DataFrame(schema=HELD_ASSETS_SCHEMA))
    assert held_assets_frame(database).is_empty()
