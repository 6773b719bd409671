from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.market.quotes import QUOTES, SeriesRequest
from portfolio_pipelines.market.sample import FIRST_DAY, SampleMarket

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
TODAY = date(2026, 3, 3)


def ask(asset_id: str, start: date, end: date, now: datetime = NOW, **options: object):
    return SampleMarket(**options).fetch([SeriesRequest(asset_id, asset_id, start, end)], now)


@given(st.integers(500, 5000), st.integers(0, 400), st.integers(1, 400))
def test_the_close_of_a_day_does_not_depend_on_the_range_that_is_asked_for(
    offset: int, before: int, after: int
) -> None:
    day = FIRST_DAY + timedelta(days=offset)
    alone = ask("coingecko:bitcoin", day, day + timedelta(days=1))["close_usd"][0]
    within = ask("coingecko:bitcoin", day - timedelta(days=before), day + timedelta(days=after))
    assert within.filter(pl.col("date") == day)["close_usd"].to_list() == [alone]


def test_the_market_is_the_same_on_every_machine() -> None:
    closes = ask("coingecko:bitcoin", date(2026, 3, 1), date(2026, 3, 3))["close_usd"].to_list()
    assert closes == [77481.147, 83684.494]


def test_asking_later_gives_the_same_bytes_for_closed_days() -> None:
    start, end = date(2026, 2, 1), TODAY
    assert ask("coingecko:solana", start, end).equals(ask("coingecko:solana", start, end, NOW + timedelta(days=40)))


def test_every_row_says_that_it_is_made_up() -> None:
    frame = ask("coingecko:solana", date(2026, 2, 1), TODAY)
    assert frame.schema == QUOTES
    assert set(frame["provider"]) == set(frame["source"]) == {"sample"}


def test_a_close_is_known_from_24_00_and_the_running_price_from_the_start_of_its_day() -> None:
    frame = ask("coingecko:solana", date(2026, 3, 2), date(2026, 3, 4))
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    assert frame["known_at"].to_list() == [midnight, midnight]


def test_the_index_has_no_close_on_weekends() -> None:
    frame = ask("yahoo:^GSPC", date(2026, 2, 23), date(2026, 3, 2))
    assert frame["outcome"].to_list() == ["ok"] * 5 + ["no_data"] * 2


@pytest.mark.parametrize(
    ("asset_id", "level"),
    [("coingecko:bitcoin", 94_000), ("coingecko:ethereum", 3_350), ("coingecko:solana", 190), ("yahoo:^GSPC", 5_880)],
)
def test_well_known_assets_have_their_level(asset_id: str, level: float) -> None:
    assert ask(asset_id, date(2025, 1, 1), date(2025, 1, 2))["close_usd"][0] == level


def test_a_stable_coin_stays_near_one() -> None:
    closes = ask("coingecko:usd-coin", date(2020, 1, 1), TODAY)["close_usd"]
    assert closes.is_between(0.99, 1.01).all()


def test_no_day_jumps_and_assets_go_their_own_ways() -> None:
    paths = [
        np.log(ask(asset, date(2022, 1, 1), TODAY)["close_usd"].to_numpy())
        for asset in ("coingecko:bitcoin", "coingecko:ethereum", "coingecko:some-other-coin", "file:STETH")
    ]
    moves = np.diff(np.array(paths))
    assert np.abs(moves).max() < 0.15
    together = np.corrcoef(moves)[np.triu_indices(4, 1)]
    assert together.max() < 0.7
    assert together.min() > 0.1


def test_another_seed_is_another_market() -> None:
    start, end = date(2026, 2, 1), TODAY
    other = ask("coingecko:bitcoin", start, end, seed=1)["close_usd"]
    assert not ask("coingecko:bitcoin", start, end)["close_usd"].equals(other)


def test_before_its_first_day_the_market_has_no_data() -> None:
    frame = ask("coingecko:bitcoin", FIRST_DAY - timedelta(days=1), FIRST_DAY + timedelta(days=1))
    assert frame["outcome"].to_list() == ["no_data", "ok"]
