"""Absurd jumps are blocked until somebody confirms them. LUNA in May 2022 is the case to get right."""

import os
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.market.consensus import OVERRIDES, STATE, ConsensusPolicy, decide_prices
from portfolio_pipelines.market.quotes import QUOTES, Outcome

ROOT = Path(__file__).parents[3]
PRICES = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data") / "prices_daily_dev.csv").resolve()
DAY = date(2024, 3, 6)
POLICY = ConsensusPolicy()


def imported(closes: dict[date, float], provider: str = "file") -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "asset_id": "coin",
                "date": day,
                "provider": provider,
                "source": provider,
                "close_usd": close,
                "outcome": Outcome.OK,
                "requested_at": datetime.combine(day, time(), UTC) + timedelta(days=3),
                "known_at": datetime.combine(day, time(), UTC) + timedelta(days=3),
            }
            for day, close in closes.items()
        ],
        schema_overrides={name: QUOTES[name] for name in ("date", "requested_at", "known_at", "close_usd")},
    ).select(
        [
            pl.col(name)
            if name in {"asset_id", "date", "provider", "source", "close_usd", "outcome", "requested_at", "known_at"}
            else pl.lit(None, QUOTES[name]).alias(name)
            for name in QUOTES.names()
        ]
    )


def confirmed(closes: dict[date, float]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "asset_id": "coin",
                "date": day,
                "close_usd": close,
                "who": "ann",
                "known_at": datetime(2024, 5, 1, tzinfo=UTC),
            }
            for day, close in closes.items()
        ],
        schema=OVERRIDES,
    )


def decide(quotes: pl.DataFrame, confirmations: dict[date, float] | None = None) -> dict[date, dict[str, Any]]:
    first, last = quotes["date"].min(), quotes["date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    frame = decide_prices(quotes, confirmed(confirmations or {}), pl.DataFrame(schema=STATE), frozenset(), days, POLICY)
    return {row["date"]: row for row in frame.iter_rows(named=True)}


def closes(*pairs: tuple[int, float]) -> pl.DataFrame:
    return imported({DAY + timedelta(days=after): close for after, close in pairs})


@pytest.mark.parametrize("jump", [50.0, 2.0], ids=["five times up", "five times down"])
def test_a_jump_by_five_is_blocked_and_the_last_close_carried(jump: float) -> None:
    row = decide(closes((0, 10.0), (1, jump)))[DAY + timedelta(days=1)]
    assert (row["close_usd"], row["status"], row["is_final"]) == (10.0, "stale", False)
    assert row["refused_since"] == DAY + timedelta(days=1)
    assert row["reason"].startswith(f"jump from 10 (2024-03-06) to {jump:.6g} (x{jump / 10:.3g}) is blocked")


@pytest.mark.parametrize("move", [49.9, 2.01])
def test_a_smaller_move_is_the_market(move: float) -> None:
    row = decide(closes((0, 10.0), (1, move)))[DAY + timedelta(days=1)]
    assert (row["close_usd"], row["status"], row["refused_since"]) == (move, "ok", None)


@pytest.mark.parametrize(("after", "blocked"), [(3, False), (4, True)])
def test_after_a_gap_of_more_than_three_days_a_doubling_is_a_jump(after: int, blocked: bool) -> None:
    row = decide(closes((0, 10.0), (after, 20.0)))[DAY + timedelta(days=after)]
    assert (row["status"] == "stale") == blocked


def test_a_provider_that_did_not_jump_is_believed_against_one_that_did() -> None:
    both = pl.concat(
        [
            closes((0, 10.0)),
            *(
                imported({DAY + timedelta(days=1): close}, name)
                for name, close in [("coingecko", 500.0), ("yahoo", 10.5)]
            ),
        ]
    )
    row = decide(both)[DAY + timedelta(days=1)]
    assert (row["close_usd"], row["status"], row["provider"]) == (10.5, "disagreement", "yahoo")


def test_providers_that_agree_on_a_jump_are_blocked_all_the_same() -> None:
    both = pl.concat(
        [closes((0, 10.0)), *(imported({DAY + timedelta(days=1): 500.0}, name) for name in ("coingecko", "yahoo"))]
    )
    assert decide(both)[DAY + timedelta(days=1)]["status"] == "stale"


def test_a_spike_heals_itself_when_the_old_level_returns() -> None:
    row = decide(closes((0, 10.0), (1, 500.0), (2, 10.5)))[DAY + timedelta(days=2)]
    assert (row["close_usd"], row["status"], row["refused_since"]) == (10.5, "ok", None)


def test_a_refusal_that_stands_for_more_than_three_days_opens_for_an_override_only() -> None:
    quotes = closes((0, 10.0), *((n, 500.0) for n in range(1, 5)), (5, 10.5))
    fifth = DAY + timedelta(days=5)
    assert decide(quotes)[fifth]["status"] == "stale"
    assert "is blocked since 2024-03-07" in decide(quotes)[fifth]["reason"]
    assert decide(quotes, {fifth: 10.5})[fifth]["status"] == "manual"


def test_an_override_confirms_the_new_level_for_the_days_after_it() -> None:
    rows = decide(closes((0, 10.0), (1, 500.0), (2, 510.0)), {DAY + timedelta(days=1): 500.0})
    assert [row["status"] for row in rows.values()] == ["ok", "manual", "ok"]
    assert rows[DAY + timedelta(days=2)]["close_usd"] == 510.0


def test_the_very_first_quote_cannot_be_a_jump() -> None:
    assert decide(closes((0, 1e9)))[DAY]["status"] == "ok"


# Terra: the old coin fell from 86 USD to 0.00005 and stopped; another coin took its name on 2022-05-31.
CRASH = [date(2022, 5, 11), date(2022, 5, 12), date(2022, 5, 13)]
NEW_COIN = date(2022, 5, 31)
real = pytest.mark.skipif(not PRICES.is_file(), reason="needs prices_daily_dev.csv in PORTFOLIO_SHARED_DATA")


@cache
def luna() -> pl.DataFrame:
    rows = pl.read_csv(PRICES, try_parse_dates=True).filter(
        (pl.col("symbol") == "LUNA") & pl.col("date").is_between(date(2022, 4, 1), date(2022, 7, 31))
    )
    return imported(dict(rows.select("date", "close_usd").iter_rows()))


def quoted(day: date) -> float:
    return float(luna().filter(pl.col("date") == day)["close_usd"][0])


@real
def test_the_real_crash_of_luna_is_blocked_until_it_is_confirmed() -> None:
    rows = decide(luna())
    assert rows[date(2022, 5, 10)]["status"] == "ok"  # 30.29 to 17.46 is the market
    assert [rows[day]["status"] for day in CRASH] == ["stale"] * 3
    assert {rows[day]["close_usd"] for day in CRASH} == {17.46}
    assert "jump from 17.46 (2022-05-10) to 1.0769" in rows[CRASH[0]]["reason"]


@real
def test_after_overrides_the_crash_counts_day_by_day() -> None:
    rows = decide(luna(), {day: quoted(day) for day in CRASH})
    assert [(rows[day]["close_usd"], rows[day]["status"]) for day in CRASH] == [
        (quoted(day), "manual") for day in CRASH
    ]


@real
def test_the_new_coin_at_177400_times_the_last_close_of_the_old_one_is_blocked() -> None:
    rows = decide(luna(), {day: quoted(day) for day in CRASH})
    assert quoted(NEW_COIN) / quoted(CRASH[-1]) == pytest.approx(177_400)
    after = [row for day, row in rows.items() if day >= NEW_COIN]
    assert {(row["close_usd"], row["status"]) for row in after} == {(None, "no_source")}
    assert "x1.77e+05" in after[0]["reason"]


@real
def test_the_new_coin_is_blocked_as_well_when_nobody_has_confirmed_the_crash() -> None:
    rows = decide(luna())
    assert quoted(NEW_COIN) / 17.46 > 0.5  # by itself no jump, even after a gap
    assert {row["close_usd"] for day, row in rows.items() if day >= NEW_COIN} == {None}


@real
def test_an_override_of_its_first_day_lets_the_new_coin_in() -> None:
    rows = decide(luna(), {NEW_COIN: quoted(NEW_COIN)})
    assert rows[NEW_COIN]["status"] == "manual"
    assert rows[date(2022, 6, 1)]["close_usd"] == quoted(date(2022, 6, 1)) == 6.5295
