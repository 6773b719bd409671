"""When a delivery is tried again, and when not."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from portfolio_pipelines.delivery.dispatch_policy import MOST_ATTEMPTS, hold, next_attempt

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Middle(Random):
    """Chance that always falls in the middle."""

    def random(self) -> float:
        return 0.5


def test_the_schedule_is_that_of_the_convention() -> None:
    hours = [next_attempt(attempts, NOW, None, Middle()) for attempts in range(1, MOST_ATTEMPTS)]
    assert [(each - NOW).total_seconds() for each in hours if each is not None] == pytest.approx(
        [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
    )
    assert next_attempt(MOST_ATTEMPTS, NOW, None, Middle()) is None


def test_what_failed_together_does_not_come_back_together() -> None:
    draw = Random(1)  # noqa: S311
    delays = [(next_attempt(3, NOW, None, draw) or NOW) - NOW for _ in range(1_000)]
    assert timedelta(minutes=24) <= min(delays) < timedelta(minutes=25)
    assert timedelta(minutes=35) < max(delays) <= timedelta(minutes=36)


def test_a_receiver_that_asks_for_patience_gets_it() -> None:
    wait = timedelta(hours=1)
    assert next_attempt(1, NOW, wait, Middle()) == NOW + wait
    assert next_attempt(4, NOW, wait, Middle()) == NOW + timedelta(hours=2)
    assert hold(1, NOW, wait, Middle()) == NOW + wait


def test_a_channel_waits_longer_the_longer_its_receiver_is_silent_but_never_long() -> None:
    holds = [(hold(failures, NOW, None, Middle()) - NOW).total_seconds() for failures in (1, 2, 3, 4, 5, 6, 100)]
    assert holds == pytest.approx([1, 5, 30, 120, 300, 300, 300])
