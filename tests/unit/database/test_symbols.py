"""Which asset a name means on a day."""

from datetime import date

import polars as pl
import pytest

from portfolio_pipelines.database.assets import ASSET_SYMBOLS_SCHEMA
from portfolio_pipelines.database.symbols import explain, resolve

OLD, NEW = "coingecko:terra-luna", "coingecko:terra-luna-2"
SPLIT = date(2022, 5, 28)
SYMBOLS = pl.DataFrame(
    [
        ("LUNA", OLD, None, SPLIT),
        ("LUNA", NEW, SPLIT, None),
        ("UST", "coingecko:terrausd", None, SPLIT),
        ("GRT", "coingecko:the-graph", None, None),
        ("GRT", "coingecko:golden-ratio-token", None, None),
    ],
    schema=ASSET_SYMBOLS_SCHEMA,
    orient="row",
)
ASSETS = SYMBOLS.select("asset_id").unique()


def asset_of(name: str, day: date) -> str | None:
    found = resolve(pl.DataFrame({"name": [name], "day": [day]}), ASSETS, SYMBOLS)
    assert found.height == 1
    return found["asset_id"][0]


def reason(name: str, day: date) -> str:
    found = resolve(pl.DataFrame({"name": [name], "day": [day]}), ASSETS, SYMBOLS)
    return explain(name, day, found["candidates"][0].to_list(), ASSETS, SYMBOLS)


@pytest.mark.parametrize(
    ("name", "day", "asset_id"),
    [
        ("LUNA", date(2022, 5, 27), OLD),
        ("LUNA", date(2022, 5, 28), NEW),
        ("luna", date(2022, 5, 31), NEW),
        (OLD, date(2025, 1, 1), OLD),
        ("CoinGecko:Terra-Luna", date(2025, 1, 1), OLD),
        ("UST", date(2022, 5, 28), None),
        ("GRT", date(2022, 5, 28), None),
        ("BTX", date(2022, 5, 28), None),
    ],
)
def test_a_reused_ticker_means_what_it_meant_on_the_day(name: str, day: date, asset_id: str | None) -> None:
    assert asset_of(name, day) == asset_id


def test_an_ambiguous_ticker_is_answered_with_its_candidates() -> None:
    assert reason("GRT", SPLIT) == (
        "asset 'GRT' is ambiguous on 2022-05-28: write one of coingecko:golden-ratio-token, coingecko:the-graph"
    )


def test_a_ticker_that_meant_nothing_on_the_day_says_when_it_did() -> None:
    assert reason("UST", SPLIT) == (
        "asset 'UST' was no symbol on 2022-05-28: it means coingecko:terrausd until 2022-05-28"
    )


def test_an_unknown_name_is_answered_with_close_matches() -> None:
    assert reason("LUNAA", SPLIT) == "unknown asset 'LUNAA'; did you mean LUNA?"
    assert reason("the-grph", SPLIT) == "unknown asset 'the-grph'; did you mean coingecko:the-graph?"
    assert reason("grtt", SPLIT) == "unknown asset 'grtt'; did you mean GRT?"


@pytest.mark.parametrize("name", ["@@@@@@", "NOTACOIN", "the-giraffe", "lunatic"])
def test_what_is_close_to_nothing_gets_no_guess_but_the_list(name: str) -> None:
    assert reason(name, SPLIT) == f"unknown asset {name!r}: `portfolio assets list` shows those that are known"


def test_an_unknown_market_id_is_answered_with_the_command_that_makes_it_known() -> None:
    assert reason("coingecko:pendle", SPLIT) == (
        "unknown asset 'coingecko:pendle': `portfolio assets add coingecko:pendle --symbol TICKER --name NAME` makes "
        "it known"
    )
    assert reason("COINGECKO:TERRA-LUNAA", SPLIT) == (
        "unknown asset 'COINGECKO:TERRA-LUNAA'; did you mean coingecko:terra-luna or coingecko:terra-luna-2? "
        "`portfolio assets add coingecko:terra-lunaa --symbol TICKER --name NAME` makes it known"
    )


def test_that_ids_begin_alike_makes_no_two_coins_close() -> None:
    coins = pl.DataFrame({"asset_id": ["coingecko:bitcoin", "coingecko:pepe", "coingecko:ripple"]})
    assert "did you mean" not in explain("coingecko:pendle", SPLIT, [], coins, SYMBOLS)
    assert "did you mean" not in explain("NOTACOIN", SPLIT, [], coins, SYMBOLS)
    assert "did you mean coingecko:bitcoin?" in explain("bitcon", SPLIT, [], coins, SYMBOLS)
