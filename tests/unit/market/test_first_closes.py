"""Since when an asset has prices: what is known about the days before, and what is not."""

from datetime import date

import polars as pl

from portfolio_pipelines.market.first_closes import ABSENCES, known_absences

QUOTED = {"asset_id": pl.String, "date": pl.Date, "provider": pl.String, "source": pl.String, "outcome": pl.String}
NOTHING = pl.DataFrame(schema={"asset_id": pl.String, "date": pl.Date})


def quotes(*rows: tuple[str, str, str, str, str]) -> pl.LazyFrame:
    days = [(asset, date.fromisoformat(day), *rest) for asset, day, *rest in rows]
    return pl.LazyFrame(days, schema=QUOTED, orient="row")


def absent(known: pl.LazyFrame, asset: str = "new", overrides: pl.DataFrame = NOTHING) -> list[tuple[object, ...]]:
    found = known_absences(known, overrides, [asset])
    assert found.schema == ABSENCES
    return found.drop("asset_id").rows()


def test_a_file_that_prices_others_before_an_asset_says_that_it_had_no_price_yet() -> None:
    known = quotes(
        ("old", "2022-05-10", "file", "exchange", "ok"),
        ("new", "2023-03-25", "file", "exchange", "ok"),
        ("new", "2023-03-26", "file", "exchange", "ok"),
    )
    assert absent(known) == [("exchange", date(2022, 5, 10), date(2023, 3, 24), date(2023, 3, 25), "exchange")]


def test_a_source_that_begins_with_the_asset_or_after_it_says_nothing() -> None:
    known = quotes(("new", "2023-03-25", "file", "exchange", "ok"), ("old", "2023-03-25", "file", "exchange", "ok"))
    assert absent(known) == []
    assert absent(known, "old") == []


def test_a_long_file_of_other_assets_says_nothing_about_an_asset_that_only_a_short_file_prices() -> None:
    known = quotes(("index", "1990-01-02", "file", "index.csv", "ok"), ("new", "2024-01-01", "file", "mine.csv", "ok"))
    assert absent(known) == []


def test_the_first_close_of_any_source_ends_the_absence() -> None:
    known = quotes(
        ("old", "2020-01-01", "file", "one", "ok"),
        ("new", "2023-01-01", "file", "one", "ok"),
        ("new", "2021-01-01", "file", "two", "ok"),
    )
    assert absent(known) == [("one", date(2020, 1, 1), date(2020, 12, 31), date(2021, 1, 1), "two")]
    by_hand = pl.DataFrame({"asset_id": ["new"], "date": [date(2019, 6, 1)]})
    assert absent(known, overrides=by_hand) == []


def test_a_live_provider_that_was_never_asked_about_the_days_before_says_nothing() -> None:
    known = quotes(
        ("old", "2023-01-01", "coingecko", "range", "ok"),
        ("new", "2023-12-31", "coingecko", "range", "unauthorised"),
        ("new", "2024-01-01", "coingecko", "range", "ok"),
    )
    assert absent(known) == []


def test_a_live_provider_that_answered_that_there_was_no_price_is_believed_for_the_days_it_was_asked() -> None:
    known = quotes(
        ("old", "2023-01-01", "coingecko", "range", "ok"),
        ("new", "2023-06-01", "coingecko", "range", "no_data"),
        ("new", "2023-06-03", "coingecko", "range", "no_data"),
        ("new", "2024-01-01", "coingecko", "history", "ok"),
        ("new", "2024-01-05", "coingecko", "range", "no_data"),
    )
    assert absent(known) == [("coingecko", date(2023, 6, 1), date(2023, 6, 3), date(2024, 1, 1), "coingecko")]


def test_sample_prices_and_assets_without_any_price_say_nothing() -> None:
    known = quotes(
        ("old", "2020-01-01", "sample", "sample", "ok"),
        ("new", "2023-01-01", "sample", "sample", "ok"),
        ("other", "2020-01-01", "file", "exchange", "ok"),
        ("dead", "2021-01-01", "coingecko", "range", "no_data"),
    )
    assert absent(known) == []
    assert absent(known, "dead") == []
