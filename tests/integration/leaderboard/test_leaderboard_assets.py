"""The leaderboard in the lake: what it counts from when, what changes it, and what never does."""

import stat
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import SecretStr, ValidationError

from portfolio_pipelines.assets.counted_days import CountedDays
from portfolio_pipelines.assets.leaderboard import boards_of
from portfolio_pipelines.finance.leaderboard_privacy import pseudonym_numbers, pseudonyms
from portfolio_pipelines.leaderboard_tables import (
    COUNTED_RETURNS,
    HOLDING_VERSIONS,
    HOLDING_VERSIONS_SCHEMA,
    LEADERBOARD,
    LEADERBOARD_RANKS,
    LEADERBOARD_RANKS_SCHEMA,
    LEADERBOARD_SCHEMA,
)
from portfolio_pipelines.resources.leaderboard_rules import LeaderboardRules
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings
from portfolio_pipelines.tables import USERS, USERS_SCHEMA
from tests.daily_files import bytes_of
from tests.integration.leaderboard.conftest import (
    BTC,
    DAYS,
    ETH,
    FIRST,
    LAST,
    SECRET,
    TOLD_LATE,
    Ranked,
    bring_investments,
    bring_prices,
    run,
)

ENDS = [date(2024, 3, 31), date(2024, 4, 30), LAST]
TABLES = (COUNTED_RETURNS, LEADERBOARD, LEADERBOARD_RANKS)
SHORT = "fewer daily returns than the window since the holdings were entered, or a price is missing"


@pytest.fixture
def platform(ranked: Ranked) -> Platform:
    """The ranked platform, to be looked at."""
    return ranked.platform


def board(platform: Platform, day: date, window: int) -> list[dict[str, object]]:
    rows = platform.lake.read(LEADERBOARD, [day], LEADERBOARD_SCHEMA)
    return rows.filter(window_days=window).to_dicts()


def board_under(platform: Platform, **choices: object) -> list[dict[str, object]]:
    """The board of the last day over 30 days, as it would be under other rules."""
    rules = LeaderboardRules.of(platform.settings.model_copy(update=choices))
    users = platform.lake.read_table(USERS, USERS_SCHEMA)
    rows, _ = boards_of(CountedDays(platform.lake), LAST, users, rules)
    return rows.filter(window_days=30).to_dicts()


def standing(platform: Platform, day: date, window: int, user: str) -> dict[str, object]:
    keys = dict(platform.lake.read_table(USERS, USERS_SCHEMA).select("user_id", "user_key").iter_rows())
    rows = platform.lake.read(LEADERBOARD_RANKS, [day], LEADERBOARD_RANKS_SCHEMA)
    (row,) = rows.filter(user_key=keys[user], window_days=window).to_dicts()
    return row


def remove(platform: Platform) -> None:
    for table in TABLES:
        for day in platform.lake.days(table):
            platform.lake.path(table, day).unlink()


def growth(closes: dict[date, float], days: int) -> float:
    return closes[LAST] / closes[LAST - timedelta(days=days)] - 1


def test_the_board_ranks_by_return_and_names_nobody(platform: Platform) -> None:
    assert sorted(platform.lake.days(LEADERBOARD)) == ENDS
    first, second = board(platform, LAST, 30)
    returns = {"ann": growth(BTC, 30), "bob": growth(ETH, 30)}
    order = sorted(returns, key=lambda user: -returns[user])
    for row, user in zip((first, second), order, strict=True):
        assert row["roi_twr"] == pytest.approx(returns[user], abs=5.1e-5)
        (name,) = pseudonyms(pseudonym_numbers(SECRET.get_secret_value().encode(), "2024-05", 30, [user]))
        assert row["pseudonym"] == name
        own = standing(platform, LAST, 30, user)
        assert (own["rank"], own["pseudonym"], own["reason"]) == (row["rank"], name, None)
    assert (first["rank"], second["rank"], first["n_ranked"], first["n_began"]) == (1, 2, 2, 2)
    index = np.array([BTC[day] for day in DAYS[-31:]])
    ann = standing(platform, LAST, 30, "ann")
    assert ann["max_drawdown"] == pytest.approx((index / np.maximum.accumulate(index) - 1).min(), abs=5.1e-5)
    gain, peak = BTC[LAST] - BTC[DAYS[-31]], max(BTC[day] for day in DAYS[-31:-1])
    assert ann["pnl_over_peak_capital"] == pytest.approx(gain / peak, abs=5.1e-5)


def test_a_past_that_was_told_later_does_not_count(platform: Platform) -> None:
    cid = standing(platform, LAST, 30, "cid")
    assert (cid["rank"], cid["pseudonym"], cid["value_bucket"], cid["reason"]) == (None, None, None, SHORT)
    assert cid["n_obs"] == (LAST - TOLD_LATE).days
    assert standing(platform, LAST, 90, "ann")["reason"] == SHORT, "nobody has ninety days"
    assert board(platform, LAST, 90) == []


def test_names_change_with_the_month(platform: Platform) -> None:
    april = {row["pseudonym"] for row in board(platform, date(2024, 4, 30), 30)}
    may = {row["pseudonym"] for row in board(platform, LAST, 30)}
    assert len(april) == len(may) == 2
    assert not april & may


def test_another_key_gives_other_names_and_the_same_ranks(platform: Platform) -> None:
    before = board(platform, LAST, 30)
    after = board_under(platform, leaderboard_key=SecretStr("another key for tests that nobody could guess"))
    assert [row["roi_twr"] for row in before] == [row["roi_twr"] for row in after]
    assert not {row["pseudonym"] for row in before} & {row["pseudonym"] for row in after}


def test_buckets_are_withheld_until_enough_users_share_them(platform: Platform) -> None:
    assert [row["value_bucket"] for row in board_under(platform, leaderboard_bucket_users=2)] == ["any worth"] * 2
    assert [row["value_bucket"] for row in board_under(platform, leaderboard_bucket_users=3)] == [None] * 2


def test_no_file_of_the_lake_holds_the_key_or_leads_from_the_board_to_a_user(platform: Platform) -> None:
    frame = platform.lake.read(LEADERBOARD, ENDS, LEADERBOARD_SCHEMA)
    assert "user_key" not in frame.columns
    texts = set(frame.select(pl.col(pl.String)).unpivot()["value"].drop_nulls())
    assert not texts & {"ann", "bob", "cid"}
    secret = SECRET.get_secret_value().encode()
    files = list(platform.settings.home.rglob("*.parquet"))
    assert files
    assert not any(secret in path.read_bytes() for path in files)


def test_a_second_run_writes_nothing(copied: Platform) -> None:
    before = {key: copied.lake.path(*key).stat().st_mtime_ns for key in bytes_of(copied, TABLES)}
    run(copied, DAYS[-5], LAST)
    assert {key: copied.lake.path(*key).stat().st_mtime_ns for key in bytes_of(copied, TABLES)} == before


def test_an_operator_may_trust_what_users_say_of_the_past(copied: Platform) -> None:
    trusting = Platform.of(copied.settings.model_copy(update={"leaderboard_counts_from": "purchase"}))
    run(trusting, LAST, LAST)
    assert [row["n_ranked"] for row in board(trusting, LAST, 30)] == [3, 3, 3]
    worth = {day: 0.02 * BTC[day] + ETH[day] for day in DAYS}
    assert standing(trusting, LAST, 30, "cid")["roi_twr"] == pytest.approx(
        worth[LAST] / worth[DAYS[-31]] - 1, abs=5.1e-5
    )


def test_one_source_is_not_enough_unless_the_operator_says_so(copied: Platform) -> None:
    strict = Platform.of(copied.settings.model_copy(update={"leaderboard_least_sources": 2}))
    run(strict, LAST, LAST)
    assert board(strict, LAST, 30) == []
    assert standing(strict, LAST, 30, "ann")["reason"] == "less than 95 % of the worth rests on confirmed prices"


def test_a_correction_counts_from_its_own_day_and_leaves_older_boards_alone(copied: Platform) -> None:
    """On April 30th Ann says that it had been five bitcoin all along, and not a twentieth."""
    before = bytes_of(copied, TABLES)
    entered = date(2024, 4, 30)
    bring_investments(copied, f"ann,first,{FIRST},BTC,1000,5\n", entered)
    run(copied, date(2024, 4, 29), LAST)
    after = bytes_of(copied, TABLES)
    changed = {day for table, day in before if before[table, day] != after[table, day]}
    assert changed == {entered + timedelta(days=n) for n in range(4)}
    ann = standing(copied, LAST, 30, "ann")
    assert ann["roi_twr"] == pytest.approx(growth(BTC, 30), abs=5.1e-5), "a hundred times as much is no gain"
    versions = copied.lake.read_table(HOLDING_VERSIONS, HOLDING_VERSIONS_SCHEMA).filter(quantity=0.05)
    assert versions["known_to"].to_list() == [entered]


def test_a_price_that_somebody_says_to_have_paid_counts_nowhere(copied: Platform) -> None:
    """Dan entered a purchase at a fiftieth of the price."""
    bring_investments(copied, "dan,cheap,2024-04-02,BTC,50,0.05\n", date(2024, 4, 2))
    run(copied, LAST, LAST)
    dan, ann = (standing(copied, LAST, 30, user) for user in ("dan", "ann"))
    assert dan["n_obs"] == 30
    assert dan["roi_twr"] == ann["roi_twr"]
    assert abs(int(str(dan["rank"])) - int(str(ann["rank"]))) == 1, "the same holdings tie, and the lot decides"


def test_a_late_price_changes_the_boards_that_rest_on_it(copied: Platform) -> None:
    before = bytes_of(copied, TABLES)
    changed = date(2024, 4, 20)
    bring_prices(copied, "ETH", {changed: ETH[changed] * 1.3})
    run(copied, changed, LAST)
    after = bytes_of(copied, TABLES)
    different = {key for key in before if before[key] != after[key]}
    assert {day for table, day in different if table == COUNTED_RETURNS} == {changed, changed + timedelta(days=1)}
    assert {day for table, day in different if table == LEADERBOARD_RANKS} == {ENDS[1], ENDS[2]}
    remove(copied)
    run(copied)
    assert bytes_of(copied, TABLES) == after, "incremental equals full"


def test_days_that_an_older_installation_never_counted_are_counted_with_the_next_run(copied: Platform) -> None:
    wanted = bytes_of(copied, TABLES)
    remove(copied)
    run(copied, DAYS[10], DAYS[10])
    assert copied.lake.days(COUNTED_RETURNS) == set(DAYS[:11])
    run(copied, LAST, LAST)
    found = bytes_of(copied, TABLES)
    assert {day: found[COUNTED_RETURNS, day] for day in DAYS} == {day: wanted[COUNTED_RETURNS, day] for day in DAYS}
    assert found[LEADERBOARD, LAST] == wanted[LEADERBOARD, LAST]


# The key


def test_a_key_is_made_once_and_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    rules = LeaderboardRules.of(Settings(home=tmp_path / "home"))
    assert not (tmp_path / "home").exists(), "nothing is made before it is used"
    key = rules.key.get_secret_value()
    path = tmp_path / "home" / "leaderboard_key"
    assert path.read_text() == key
    assert len(bytes.fromhex(key)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = LeaderboardRules.of(Settings(home=tmp_path / "home"))
    assert again.key_bytes == rules.key_bytes
    assert key not in repr(rules)
    assert key not in rules.key_fingerprint


def test_an_emptied_key_file_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "leaderboard_key").write_text("\n")
    with pytest.raises(ValueError, match="holds no key: delete it"):
        _ = LeaderboardRules.of(Settings(home=tmp_path)).key


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValidationError, match="shorter than 32 signs") as refused:
        Settings(leaderboard_key=SecretStr("password"))
    assert "password" not in str(refused.value)
