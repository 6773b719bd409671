"""Storing messages in the outbox, on a real Postgres."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from portfolio_pipelines.delivery.outbox import Attachment, Message, OutboxError, Severity, idempotency_id, put

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALERT = Message(
    key="alert:17:coingecko:bitcoin:2026-03-01",
    user_id="ann",
    subject="alert:17:coingecko:bitcoin",
    kind="alert",
    severity=Severity.WARNING,
    title="Bitcoin fell by 10 %",
    text="It is 90,000 USD now.",
    data={"value_usd": 90000.0, "change_pct": -10.0},
)


def users_and_channels(engine: sa.Engine, *channels: str) -> None:
    """Users ann and bob; each channel is 'user severity state', numbered from 1 in their order."""
    with engine.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('ann'), ('bob')"))
        for channel in channels:
            user, severity, state = channel.split()
            connection.execute(
                sa.text("""
                    insert into app.notification_channels
                        (user_key, kind, shown_address, sealed_address, least_severity, code_tries, failures,
                         created_at, verified_at, paused_at, disabled_at, disabled_why, deleted_at)
                    select (select user_key from app.users where user_id = :user), 'webhook', 'https://…',
                        case when :state <> 'deleted' then 'sealed' end, :severity, 0, 0, :now,
                        case when :state <> 'unverified' then :now end, case when :state = 'paused' then :now end,
                        case when :state = 'disabled' then :now end, case when :state = 'disabled' then 'gone' end,
                        case when :state = 'deleted' then :now end
                """),
                {"user": user, "severity": severity, "state": state, "now": NOW},
            )


def deliveries(engine: sa.Engine) -> Sequence[tuple[str, int]]:
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("select key, channel_id from app.outbox_deliveries join app.outbox_messages using (message_id)")
        )
        return sorted(map(tuple, rows))


def test_a_message_goes_to_every_verified_channel_of_its_user_and_to_no_other(database: sa.Engine) -> None:
    users_and_channels(
        database, "ann info active", "ann info active", "ann info unverified", "ann info paused", "ann info disabled",
        "ann info deleted", "bob info active", "operators info active", "ann warning active", "ann critical active",
    )  # fmt: skip
    with database.begin() as connection:
        assert put(connection, [ALERT, replace(ALERT, key="down", user_id=None)], now=NOW) == 2
    assert deliveries(database) == [(ALERT.key, 1), (ALERT.key, 2), (ALERT.key, 9), ("down", 8)]


def test_a_message_for_named_channels_goes_there_alone_and_waits_while_they_are_paused(database: sa.Engine) -> None:
    users_and_channels(
        database, "ann info active", "ann critical active", "ann info paused", "ann info unverified", "bob info active"
    )
    with database.begin() as connection:
        put(connection, [replace(ALERT, channel_ids=(2, 3, 4, 5))], now=NOW)
        put(connection, [replace(ALERT, key="nobody", channel_ids=())], now=NOW)
    assert deliveries(database) == [(ALERT.key, 2), (ALERT.key, 3)]


def test_a_known_key_changes_nothing_also_within_one_call(database: sa.Engine) -> None:
    users_and_channels(database, "ann info active")
    with database.begin() as connection:
        assert put(connection, [ALERT, replace(ALERT, title="again")], now=NOW) == 1
        assert put(connection, [replace(ALERT, title="and again", user_id="bob")], now=NOW) == 0
    assert deliveries(database) == [(ALERT.key, 1)]
    with database.connect() as connection:
        assert connection.scalars(sa.text("select title from app.outbox_messages")).all() == [ALERT.title]


def test_a_transaction_that_is_rolled_back_leaves_no_message(database: sa.Engine) -> None:
    users_and_channels(database, "ann info active")
    with database.connect() as connection, connection.begin() as transaction:
        put(connection, [ALERT], now=NOW)
        transaction.rollback()
    assert deliveries(database) == []


def test_numbers_ascend_in_the_order_that_was_given(database: sa.Engine) -> None:
    users_and_channels(database, "ann info active")
    keys = [f"k{(index * 7919) % 12007}" for index in range(12_000)]
    with database.begin() as connection:
        assert put(connection, (replace(ALERT, key=key) for key in keys), now=NOW) == len(keys)
    with database.connect() as connection:
        assert connection.scalars(sa.text("select key from app.outbox_messages order by message_id")).all() == keys
        assert connection.scalar(sa.text("select count(*) from app.outbox_deliveries")) == len(keys)


def test_an_unknown_user_and_a_figure_that_is_no_json_are_refused_by_name(database: sa.Engine) -> None:
    users_and_channels(database)
    with database.begin() as connection:
        with pytest.raises(OutboxError, match=r"unknown: 'carl', 'dora'"):
            put(connection, [replace(ALERT, key="a", user_id="dora"), replace(ALERT, key="b", user_id="carl"), ALERT])
        with pytest.raises(OutboxError, match=r"'alert:17:coingecko:bitcoin:2026-03-01' of ann .* no JSON"):
            put(connection, [replace(ALERT, data={"value_usd": float("nan")})])
        assert connection.scalar(sa.text("select count(*) from app.outbox_messages")) == 0


def test_hostile_names_are_stored_readable(database: sa.Engine) -> None:
    users_and_channels(database, "ann info active")
    hostile = "<script>\x00\ud800\r\nBcc: all@example.com"
    file = Attachment("a\x00.csv", "text/csv", Path("/home/exports/a.csv"))
    with database.begin() as connection:
        put(connection, [replace(ALERT, title=hostile, text=hostile, data={hostile: [hostile]}, attachments=(file,))])
        row = connection.execute(sa.text("select title, text, data, attachments from app.outbox_messages")).one()
    assert row.title == "<script> � Bcc: all@example.com"
    assert row.text == "<script>��\r\nBcc: all@example.com"
    assert row.data == {row.text: [row.text]}
    assert row.attachments == [{"name": "a�.csv", "media_type": "text/csv", "path": "/home/exports/a.csv"}]


def test_the_idempotency_id_fits_a_header_and_differs_by_key() -> None:
    ids = {idempotency_id(key) for key in ("a", "b", "a.b", "ä\r\n", "\ud800")}
    assert len(ids) == 5
    assert all(each.isascii() and each.replace("_", "").isalnum() for each in ids)
