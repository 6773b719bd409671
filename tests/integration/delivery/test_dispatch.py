"""The dispatcher against real receivers on loopback, with all the ways in which they fail."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from standardwebhooks.webhooks import Webhook

from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.delivery import following
from portfolio_pipelines.delivery.channels.letters import DELIVERED, Outcome, Result
from portfolio_pipelines.delivery.channels.registered import (
    delete_channel,
    pause_channel,
    resume_channel,
    rotate_secret,
)
from portfolio_pipelines.delivery.dispatch import Counts, utc_now
from portfolio_pipelines.delivery.dispatch_queue import Ended, next_due, take
from portfolio_pipelines.delivery.dispatch_results import record
from portfolio_pipelines.delivery.outbox import WAKE, Attachment, Severity, idempotency_id, put
from portfolio_pipelines.delivery.outbox_reading import deliveries_frame, retry
from portfolio_pipelines.resources.sealing import Sealer
from tests.integration.delivery.conftest import Desk, Middle, Receiver, Reply, Request, message


def test_what_arrives_verifies_with_the_library_of_the_convention(desk: Desk, receiver: Receiver) -> None:
    new = desk.channel("webhook", f"{receiver.url}/hook?key=value")
    desk.clock.now = utc_now()  # the library compares with the clock of the machine
    desk.put(message("a", data={"value_usd": 90000.0, "name": "<script>"}))
    assert desk.dispatch() == Counts(delivered=1)
    (got,) = receiver.got
    assert got.path == "/hook?key=value"
    assert got.message_id == idempotency_id("a")
    assert new.signing_secret is not None
    verified = Webhook(new.signing_secret.get_secret_value()).verify(got.body, dict(got.headers))
    assert verified["type"] == "alert"
    assert verified["data"] == {
        "value_usd": 90000.0, "name": "<script>", "severity": "warning", "title": "Title of a", "text": "Text.",
    }  # fmt: skip


def test_while_a_secret_rotates_receivers_with_either_verify(desk: Desk, receiver: Receiver) -> None:
    new = desk.channel("webhook", receiver.url)
    desk.clock.now = utc_now()
    assert new.signing_secret is not None
    old, later = new.signing_secret, rotate_secret(desk.engine, desk.settings, new.channel_id, desk.clock())
    desk.put(message("a"))
    desk.dispatch()
    for secret in (old, later):
        Webhook(secret.get_secret_value()).verify(receiver.got[0].body, dict(receiver.got[0].headers))
    desk.clock.move(hours=25)
    desk.put(message("b"))
    desk.dispatch()
    assert len(receiver.got[0].headers["webhook-signature"].split()) == 2
    assert len(receiver.got[1].headers["webhook-signature"].split()) == 1


def test_a_file_arrives_inside_the_webhook(desk: Desk, receiver: Receiver, tmp_path: Path) -> None:
    desk.channel("webhook", receiver.url)
    file = tmp_path / "export.csv"
    file.write_text("a,b\n1,2\n")
    desk.put(message("a", attachments=(Attachment("export.csv", "text/csv", file),)))
    assert desk.dispatch() == Counts(delivered=1)
    assert receiver.got[0].json["data"]["attachments"][0]["name"] == "export.csv"
    file.unlink()
    desk.put(message("b", attachments=(Attachment("export.csv", "text/csv", file),)))
    assert desk.dispatch() == Counts(dead=1)
    assert "cannot be read" in desk.deliveries()[1]["last_error"]


def test_a_lost_answer_brings_the_same_id_again(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    receiver.answer = lambda _: Reply(ends="dies") if len(receiver.got) == 1 else Reply()
    desk.put(message("a"))
    assert desk.dispatch() == Counts(failed=1)
    assert desk.dispatch() == Counts()
    desk.clock.move(seconds=5)
    assert desk.dispatch() == Counts(delivered=1)
    assert [got.message_id for got in receiver.got] == [idempotency_id("a")] * 2
    assert receiver.got[0].body == receiver.got[1].body


@pytest.mark.parametrize("reply", [Reply(500), Reply(404), Reply(302, {"Location": "http://127.0.0.1:9/"}), Reply(199)])
def test_what_is_no_2xx_is_tried_again_by_the_schedule_and_given_up_at_last(
    desk: Desk, receiver: Receiver, reply: Reply
) -> None:
    desk.channel("webhook", receiver.url)
    receiver.answer = lambda _: reply if reply.status != 199 else Reply(400)
    desk.put(message("a"))
    due: list[timedelta] = []
    while (at := next_due(desk.engine)) is not None:
        due.append(at - desk.clock.now)
        desk.clock.now = at
        desk.dispatch()
    assert [round(each.total_seconds()) for each in due] == [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    (row,) = desk.deliveries()
    assert (row["status"], row["attempts"]) == ("dead", 10)
    assert f"status {reply.status if reply.status != 199 else 400}" in row["last_error"]
    assert len(receiver.got) == 10


def test_a_receiver_that_is_gone_is_left_alone_and_its_owner_told_by_another_way(
    desk: Desk, receiver: Receiver
) -> None:
    gone = desk.channel("webhook", f"{receiver.url}/gone")
    desk.channel("webhook", f"{receiver.url}/other")
    desk.channel("webhook", f"{receiver.url}/operators", user=None)
    receiver.answer = lambda got: Reply(410 if got.path == "/gone" else 204)
    desk.put(*(message(f"k{number}") for number in range(3)))
    desk.dispatch()
    assert [got.path for got in receiver.got].count("/gone") == 1
    told = [got for got in receiver.got if got.json["type"] == "operations.delivery"]
    assert sorted(got.path for got in told) == ["/operators", "/other"]
    assert all(got.json["data"]["channel_id"] == gone.channel_id for got in told)
    of_gone = [row for row in desk.deliveries() if row["channel_id"] == gone.channel_id]
    assert {row["status"] for row in of_gone} == {"abandoned"}
    desk.put(message("later"))
    desk.dispatch()
    assert [got.path for got in receiver.got].count("/gone") == 1


def test_retry_after_is_honoured_for_the_whole_channel(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    receiver.answer = lambda _: Reply(429, {"Retry-After": "3600"}) if len(receiver.got) == 1 else Reply()
    desk.put(message("a", "one"))
    desk.dispatch()
    desk.put(message("b", "two"))
    desk.clock.move(minutes=59)
    assert desk.dispatch() == Counts()
    desk.clock.move(minutes=1)
    assert desk.dispatch() == Counts(delivered=2)


def test_retry_after_as_a_date(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    later = utc_now() + timedelta(hours=1)
    receiver.answer = lambda _: Reply(503, {"Retry-After": f"{later:%a, %d %b %Y %H:%M:%S} GMT"})
    desk.put(message("a"))
    desk.dispatch()
    due = next_due(desk.engine)
    assert due is not None
    assert timedelta(minutes=59) < due - desk.clock() <= timedelta(hours=1)


def test_a_hanging_receiver_costs_one_time_limit_and_holds_nobody_else_up(
    database: sa.Engine, receiver: Receiver, tmp_path: Path
) -> None:
    desk = Desk(database, tmp_path, delivery_timeout_seconds=1.5)
    desk.channel("webhook", f"{receiver.url}/slow")
    desk.channel("webhook", f"{receiver.url}/quick", user="bob")
    receiver.answer = lambda got: Reply(ends="hangs" if got.path == "/slow" else "well")
    desk.put(*(message(f"slow {number}", f"s{number}") for number in range(100)))
    desk.put(*(message(f"quick {number}", f"s{number}", "bob") for number in range(50)))
    assert desk.dispatch() == Counts(delivered=50, failed=8)
    assert [got.path for got in receiver.got].count("/slow") == 8  # the others wait until one of them gets through
    (row, *_) = desk.deliveries()
    assert row["last_error"] == "no answer within 1.5 seconds"


def test_when_a_receiver_is_back_after_an_outage_all_that_waits_is_due_at_once(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    receiver.answer = lambda _: Reply(503)
    desk.put(message("old", "old"))
    for _ in range(5):  # the sixth attempt would be in five hours
        desk.dispatch()
        due = next_due(desk.engine)
        assert due is not None
        desk.clock.now = due
    desk.clock.now -= timedelta(hours=1)
    receiver.answer = lambda _: Reply()
    desk.put(message("new", "new"))
    assert desk.dispatch() == Counts(delivered=2)
    assert [got.message_id for got in receiver.got[-2:]] == [idempotency_id("new"), idempotency_id("old")]


def test_nothing_waits_for_ever_for_a_receiver_that_stays_silent(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    desk.channel("webhook", f"{receiver.url}/operators", user=None)
    receiver.answer = lambda got: Reply(204 if got.path == "/operators" else 503)
    desk.put(*(message(f"k{number}", f"s{number}") for number in range(30)))
    while (at := next_due(desk.engine)) is not None:
        desk.clock.now = max(at, desk.clock.now) + timedelta(hours=6)  # a dispatcher that looks rarely
        desk.dispatch()
    assert {row["status"] for row in desk.deliveries() if row["user_key"] is not None} == {"dead"}
    told = [got.json for got in receiver.got if got.path == "/operators"]
    assert 1 <= len(told) <= 3  # once a day
    assert all("channel 1" in each["data"]["title"] for each in told)


def test_a_dispatcher_that_was_off_for_weeks_gives_nothing_up_at_once(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    desk.put(*(message(f"k{number}", f"s{number}") for number in range(30)))
    desk.clock.move(days=30)
    receiver.answer = lambda _: Reply(503)
    assert desk.dispatch() == Counts(failed=8)
    assert {row["status"] for row in desk.deliveries()} == {"pending"}
    desk.clock.move(hours=1)
    receiver.answer = lambda _: Reply()
    assert desk.dispatch() == Counts(delivered=30)


def test_later_messages_of_a_subject_wait_for_earlier_ones_and_others_do_not(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    fails = {idempotency_id("a1")}
    receiver.answer = lambda got: Reply(500 if got.message_id in fails else 204)
    desk.put(message("a1", "a"), message("a2", "a"), message("b1", "b"), message("a3", "a"))
    assert desk.dispatch() == Counts(delivered=1, failed=1)
    fails.clear()
    desk.clock.move(seconds=5)
    assert desk.dispatch() == Counts(delivered=3)
    arrived = [got.message_id for got in receiver.got]
    assert [each for each in arrived if each != idempotency_id("b1")] == [
        idempotency_id(key) for key in ("a1", "a1", "a2", "a3")
    ]
    assert idempotency_id("b1") in arrived[:2]


def test_a_dead_message_lets_the_next_of_its_subject_go_and_comes_back_when_asked(
    desk: Desk, receiver: Receiver
) -> None:
    desk.channel("webhook", receiver.url)
    receiver.answer = lambda got: Reply(500 if got.message_id == idempotency_id("a1") else 204)
    desk.put(message("a1", "a"), message("a2", "a"))
    while (at := next_due(desk.engine)) is not None:
        desk.clock.now = at
        desk.dispatch()
    assert [row["status"] for row in desk.deliveries() if row["user_key"] is not None] == ["dead", "delivered"]
    listed = deliveries_frame(desk.engine, status="dead").row(0, named=True)
    assert (listed["user_id"], listed["channel"], listed["attempts"]) == ("ann", 1, 10)
    receiver.answer = lambda _: Reply()
    assert retry(desk.engine, desk.clock(), deliveries=[listed["delivery"]]) == 1
    assert desk.dispatch() == Counts(delivered=1)
    assert retry(desk.engine, desk.clock()) == 0


def test_two_dispatchers_at_once_send_nothing_twice_and_keep_the_order(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    desk.put(*(message(f"k{number}", f"s{number % 20}") for number in range(200)))
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda _: desk.dispatch(), range(2)))
    while (more := desk.dispatch()) != Counts():
        counts.append(more)
    assert sum(each.delivered for each in counts) == 200
    ids = [got.message_id for got in receiver.got]
    assert len(ids) == len(set(ids)) == 200
    for subject in range(20):
        wanted = [idempotency_id(f"k{number}") for number in range(subject, 200, 20)]
        assert [each for each in ids if each in set(wanted)] == wanted


def test_what_another_dispatcher_is_about_to_take_is_not_waited_for(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    desk.put(message("a"), message("b", "other"))
    impatient = sa.create_engine(desk.engine.url, connect_args={"options": "-c timezone=UTC -c lock_timeout=5000"})
    with desk.engine.begin() as other:
        other.execute(sa.text("select from app.outbox_deliveries order by delivery_id limit 1 for update"))
        taken = take(impatient, Sealer.of(desk.settings), desk.clock(), most=10)
    impatient.dispose()
    assert [each.letter.title for each in taken] == ["Title of b"]


def test_a_lease_keeps_others_away_until_it_ends(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    desk.put(message("a"))
    sealer = Sealer.of(desk.settings)
    (taken,) = take(desk.engine, sealer, desk.clock(), most=10)  # and this dispatcher dies
    assert desk.dispatch() == Counts()
    desk.clock.move(seconds=121)
    assert desk.dispatch() == Counts(delivered=1)
    assert taken.letter.idempotency_id == receiver.got[0].message_id


def test_a_message_that_kills_whoever_sends_it_is_given_up(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    desk.put(message("a"))
    sealer = Sealer.of(desk.settings)
    for _ in range(50):
        assert len(take(desk.engine, sealer, desk.clock(), most=10)) == 1
        desk.clock.move(seconds=121)
    assert desk.dispatch() == Counts(dead=1)
    assert receiver.got == []


def test_a_paused_channel_gets_what_names_it_once_it_goes_on_and_nothing_else(desk: Desk, receiver: Receiver) -> None:
    number = desk.channel("webhook", receiver.url).channel_id
    pause_channel(desk.engine, number, desk.clock())
    desk.put(message("alert"), message("export", channel_ids=(number,)))
    assert desk.dispatch() == Counts()
    resume_channel(desk.engine, number)
    assert desk.dispatch() == Counts(delivered=1)
    assert receiver.got[0].message_id == idempotency_id("export")


def test_a_deleted_channel_gets_nothing_and_its_address_is_forgotten(desk: Desk, receiver: Receiver) -> None:
    number = desk.channel("webhook", receiver.url).channel_id
    desk.put(message("a"))
    delete_channel(desk.engine, number, desk.clock())
    assert desk.dispatch() == Counts()
    assert desk.deliveries()[0]["status"] == "abandoned"
    (row,) = desk.rows("select * from app.notification_channels")
    assert (row["sealed_address"], row["sealed_secret"]) == (None, None)
    assert receiver.got == []


def test_a_channel_whose_key_is_lost_says_so_and_loses_nothing(
    desk: Desk, database: sa.Engine, receiver: Receiver, tmp_path: Path
) -> None:
    desk.channel("webhook", receiver.url)
    desk.put(message("a"))
    other = Desk(database, tmp_path / "other")
    other.database = type(other.database)(other.settings.model_copy(update={"secrets_key": None}))
    assert other.dispatch() == Counts(failed=1)
    (row,) = desk.deliveries()
    assert "add that key to PORTFOLIO_SECRETS_KEY" in row["last_error"]
    desk.clock.move(minutes=1)
    assert desk.dispatch() == Counts(delivered=1)


def test_an_ntfy_server_gets_title_priority_and_text_whatever_the_names_hold(
    database: sa.Engine, receiver: Receiver, tmp_path: Path
) -> None:
    desk = Desk(database, tmp_path, ntfy_url=receiver.url, ntfy_token="tk_secret")
    desk.channel("ntfy", "my-topic", time_zone="Europe/Berlin")
    desk.channel("ntfy", f"{receiver.url}/other-topic")
    hostile = "<b>\r\nX-Evil: 1 \u202e" + "🚀" * 5_000
    desk.put(message("a", title=hostile, text=hostile, severity=Severity.CRITICAL))
    assert desk.dispatch() == Counts(delivered=2)
    first, second = sorted(receiver.got, key=lambda got: got.json["topic"])
    assert first.headers["authorization"] == "Bearer tk_secret"
    assert "authorization" not in second.headers  # the token is for the operator's server alone
    assert {got.path for got in receiver.got} == {"/"}
    assert (first.json["topic"], second.json["topic"]) == ("my-topic", "other-topic")
    assert first.json["priority"] == 5
    assert "x-evil" not in first.headers
    assert len(first.json["message"].encode()) < 4_000
    assert "\n" not in first.json["title"]


def test_apprise_sends_to_kinds_that_the_operator_allows(
    database: sa.Engine, receiver: Receiver, tmp_path: Path
) -> None:
    desk = Desk(database, tmp_path, apprise_schemes=("json",))
    desk.channel("apprise", receiver.url.replace("http://", "json://") + "/path")
    desk.put(message("a", title="<b>Ü</b>"))
    assert desk.dispatch() == Counts(delivered=1)
    assert receiver.got[0].path == "/path"
    assert receiver.got[0].json["title"] == "<b>Ü</b>"
    narrow = Desk(database, tmp_path, apprise_schemes=("tgram",))
    desk.put(message("b"))
    assert narrow.dispatch() == Counts(dead=1)
    shut = Desk(database, tmp_path, apprise_schemes=("json",))
    shut.database = type(shut.database)(shut.settings.model_copy(update={"webhook_allow_networks": ()}))
    desk.put(message("c"))
    assert shut.dispatch() == Counts(failed=1)
    assert len(receiver.got) == 1


def test_apprise_follows_no_redirect(database: sa.Engine, receiver: Receiver, tmp_path: Path) -> None:
    desk = Desk(database, tmp_path, apprise_schemes=("json",))
    receiver.answer = lambda got: Reply(307, {"Location": f"{receiver.url}/elsewhere"}) if got.path == "/a" else Reply()
    desk.channel("apprise", receiver.url.replace("http://", "json://") + "/a")
    desk.put(message("a"))
    assert desk.dispatch() == Counts(failed=1)
    assert [got.path for got in receiver.got] == ["/a"]


def test_receivers_side_by_side_do_not_wait_for_each_other(desk: Desk, receiver: Receiver) -> None:
    """Eight requests are open at once: each is answered only when all eight have come."""
    everybody = threading.Barrier(8, timeout=20)

    def wait_for_all(_: Request) -> Reply:
        everybody.wait()
        return Reply()

    receiver.answer = wait_for_all
    desk.channel("webhook", receiver.url)
    desk.put(*(message(f"k{number}", f"s{number}") for number in range(8)))
    assert desk.dispatch() == Counts(delivered=8)


def test_a_success_counts_whoever_brings_it_and_a_failure_only_from_the_last_who_took_it(
    desk: Desk, receiver: Receiver
) -> None:
    desk.channel("webhook", receiver.url)
    desk.put(message("a"), message("b", "other"))
    sealer = Sealer.of(desk.settings)
    slow = take(desk.engine, sealer, desk.clock(), most=10)
    desk.clock.move(seconds=121)
    quick = take(desk.engine, sealer, desk.clock(), most=10)
    failed = Outcome(Result.FAILED, "it answered with status 500")
    record(desk.engine, [Ended(slow[0], DELIVERED), Ended(slow[1], failed)], desk.clock(), Middle())
    assert [row["status"] for row in desk.deliveries()] == ["delivered", "sending"]
    record(desk.engine, [Ended(quick[0], failed), Ended(quick[1], DELIVERED)], desk.clock(), Middle())
    assert [row["status"] for row in desk.deliveries()] == ["delivered", "delivered"]


def test_what_is_given_back_without_an_attempt_is_due_at_once_and_was_not_taken_in_vain(
    desk: Desk, receiver: Receiver
) -> None:
    desk.channel("webhook", receiver.url)
    desk.put(message("a"))
    for _ in range(60):
        (taken,) = take(desk.engine, Sealer.of(desk.settings), desk.clock(), most=10)
        record(desk.engine, [Ended(taken, None)], desk.clock(), Middle())
    assert desk.dispatch() == Counts(delivered=1)
    assert desk.deliveries()[0]["attempts"] == 1


def test_what_fails_after_its_channel_was_deleted_is_abandoned(desk: Desk, receiver: Receiver) -> None:
    number = desk.channel("webhook", receiver.url).channel_id

    def delete_then_fail(_: Request) -> Reply:
        delete_channel(desk.engine, number, desk.clock())
        return Reply(500)

    receiver.answer = delete_then_fail
    desk.put(message("a"))
    assert desk.dispatch() == Counts()
    assert desk.deliveries()[0]["status"] == "abandoned"
    assert next_due(desk.engine) is None


def test_dispatchers_hear_of_what_is_committed_and_of_nothing_else(desk: Desk, receiver: Receiver) -> None:
    url = url_text(desk.engine.url.set(drivername="postgresql"))
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"listen {WAKE}")
        with desk.engine.connect() as connection, connection.begin() as transaction:
            put(connection, [message("a")], now=desk.clock())
            transaction.rollback()
        assert list(listener.notifies(timeout=0)) == []
        desk.put(message("a"))
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1


def test_a_dispatcher_that_goes_on_sends_what_comes(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LONGEST_SLEEP", timedelta())
    desk.channel("webhook", receiver.url)
    rounds = following.follow(desk.database)
    assert next(rounds) == Counts()
    desk.put(message("a"))
    assert next(rounds) == Counts(delivered=1)
    receiver.answer = lambda _: Reply(500)
    desk.put(message("b"))
    assert next(rounds) == Counts(failed=1)
    rounds.close()
