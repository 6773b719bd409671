"""Adding, verifying and rotating channels; who may read their secrets; the commands and the sensor."""

import re
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from typer.testing import CliRunner

from portfolio_pipelines.automation.delivery_sensors import outbox_dispatcher
from portfolio_pipelines.cli import app
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.delivery.channels.registered import (
    ChannelRefusedError,
    renew_code,
    rotate_secret,
    seal_again,
    verify_channel,
)
from portfolio_pipelines.delivery.outbox import put
from portfolio_pipelines.resources.bi_access import ROLE, grant_reading
from portfolio_pipelines.resources.sealing import SealingError
from portfolio_pipelines.settings import Settings
from tests.integration.delivery.conftest import KEY, Desk, Receiver, Reply, message

WRONG = "00000000"


def code_of(receiver: Receiver) -> str:
    code: str = receiver.got[-1].json["data"]["code"]
    return code


def test_nothing_is_sent_to_an_address_before_its_code_came_back(desk: Desk, receiver: Receiver) -> None:
    new = desk.add("webhook", receiver.url)
    desk.put(message("before"))
    verify_channel(desk.engine, desk.settings, new.channel_id, f" {new.code.get_secret_value()} ", desk.clock())
    desk.put(message("after"))
    desk.dispatch()
    assert [row["key"] for row in desk.deliveries()] == ["after"]


def test_a_code_is_guessed_five_times_at_most_and_holds_for_an_hour(desk: Desk, receiver: Receiver) -> None:
    new = desk.add("webhook", receiver.url)
    right = new.code.get_secret_value()

    def verify(code: str) -> None:
        verify_channel(desk.engine, desk.settings, new.channel_id, code, desk.clock())

    for left in (4, 3, 2, 1, 0):
        with pytest.raises(ChannelRefusedError, match=f"{left} tries are left"):
            verify(WRONG if right != WRONG else "1")
    with pytest.raises(ChannelRefusedError, match="5 wrong codes"):
        verify(right)
    again = renew_code(desk.engine, desk.settings, new.channel_id, desk.clock()).get_secret_value()
    desk.clock.move(hours=1)
    with pytest.raises(ChannelRefusedError, match="expired"):
        verify(again)
    again = renew_code(desk.engine, desk.settings, new.channel_id, desk.clock()).get_secret_value()
    if right != again:
        with pytest.raises(ChannelRefusedError, match="not the code"):
            verify(right)
    verify(again)
    with pytest.raises(ChannelRefusedError, match="is verified"):
        renew_code(desk.engine, desk.settings, new.channel_id, desk.clock())


def test_the_code_of_one_channel_does_not_open_another(desk: Desk, receiver: Receiver) -> None:
    first, second = desk.add("webhook", f"{receiver.url}/1"), desk.add("webhook", f"{receiver.url}/2")
    if first.code != second.code:
        with pytest.raises(ChannelRefusedError):
            verify_channel(desk.engine, desk.settings, second.channel_id, first.code.get_secret_value(), desk.clock())


def test_all_faults_are_told_at_once_and_secrets_not_repeated(desk: Desk) -> None:
    with pytest.raises(ChannelRefusedError) as refused:
        desk.add("webhook", "ftp://ann:hunter2@127.1/x", "nobody", least_severity="loud", time_zone="Mars/Olympus")
    text = str(refused.value)
    for part in ("severity", "Mars/Olympus", "https://", "user or password", "disguise", "no user 'nobody'"):
        assert part in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("kind", "address", "fault"),
    [
        ("pigeon", "x", "a channel is one of email, webhook, ntfy, apprise"),
        ("email", "ann@example.com", "set PORTFOLIO_SMTP_HOST"),
        ("email", "ann@example.com\r\nBcc: all@example.com", "no mail address"),
        ("email", "ann@example.com, bob@example.com", "no mail address"),
        ("email", "<ann@example.com>", "no mail address"),
        ("email", "ann@[127.0.0.1]", "no mail address"),
        ("ntfy", "a topic", "1 to 64 letters"),
        ("ntfy", "https://ntfy.sh/a/b", "looks like https://ntfy.example.com/topic"),
        ("ntfy", "https://ntfy.sh/a?x=1", "looks like https://ntfy.example.com/topic"),
        ("apprise", "json://127.0.0.1/", "begins with one of discord://"),
        ("apprise", "file:///etc/passwd", "begins with one of"),
        ("apprise", "https://discord.com/api/webhooks/1/x", "begins with one of"),
        ("apprise", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?template=/etc/passwd", "must not hold a ?"),
        ("apprise", "tgram://nonsense", "no complete tgram:// address"),
        ("webhook", "x" * 501, "at most 500 characters"),
    ],
)
def test_addresses_that_make_no_sense_are_refused(desk: Desk, kind: str, address: str, fault: str) -> None:
    with pytest.raises(ChannelRefusedError, match=re.escape(fault)):
        desk.add(kind, address)


def test_a_user_has_each_address_once_and_twenty_channels_at_most(desk: Desk, receiver: Receiver) -> None:
    for number in range(20):
        desk.add("webhook", f"{receiver.url}/{number}")
    with pytest.raises(ChannelRefusedError, match="20 channels already"):
        desk.add("webhook", f"{receiver.url}/20")
    desk.add("webhook", f"{receiver.url}/0", "bob")
    with pytest.raises(ChannelRefusedError, match="is channel 21 already"):
        desk.add("webhook", f"{receiver.url}/0", "bob")


def test_neither_address_nor_secret_stands_in_the_database_as_it_is(desk: Desk, receiver: Receiver) -> None:
    new = desk.channel("webhook", f"{receiver.url}/path-token?key=secret-key")
    desk.channel("ntfy", "secret-topic")
    rotate_secret(desk.engine, desk.settings, new.channel_id, desk.clock())
    stored = str(desk.rows("select c::text as row from app.notification_channels c"))
    assert new.signing_secret is not None
    for secret in ("path-token", "secret-key", "secret-topic", new.signing_secret.get_secret_value(), "whsec_"):
        assert secret not in stored
    assert f"{receiver.url}/…" in stored


def test_a_sealed_address_moved_to_another_channel_does_not_open(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", f"{receiver.url}/ann")
    desk.channel("webhook", f"{receiver.url}/bob", "bob")
    with desk.engine.begin() as connection:
        connection.execute(
            sa.text("""
                update app.notification_channels set sealed_address = (
                    select sealed_address from app.notification_channels where channel_id = 1
                ) where channel_id = 2
            """)
        )
    desk.put(message("b", user="bob"))
    desk.dispatch()
    assert receiver.got == []
    assert "sealed for another place" in desk.deliveries()[0]["last_error"]


def test_after_sealing_again_the_old_key_can_go(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    new_key = "A" * 43 + "="
    both = desk.settings.model_copy(update={"secrets_key": SecretStr(f"{new_key},{KEY}")})
    alone = desk.settings.model_copy(update={"secrets_key": SecretStr(new_key)})
    with pytest.raises(SealingError):
        seal_again(desk.engine, alone)
    assert (seal_again(desk.engine, both), seal_again(desk.engine, both)) == (1, 0)
    desk.database = type(desk.database)(alone)
    desk.put(message("a"))
    assert desk.dispatch().delivered == 1


def test_the_role_of_bi_tools_reads_neither_channels_nor_the_outbox(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    url = url_text(desk.engine.url.set(drivername="postgresql"))
    with psycopg.connect(url) as connection:
        connection.execute("create schema if not exists marts")
        grant_reading(connection, "marts")
    for table in ("notification_channels", "outbox_messages", "outbox_deliveries"):
        with psycopg.connect(url) as connection:
            connection.execute(f"set role {ROLE}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from app.{table}")


@pytest.fixture
def cli(database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.setenv("PORTFOLIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", url_text(database.url))
    monkeypatch.setenv("PORTFOLIO_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('ann')"))
    return CliRunner()


def said(cli: CliRunner, *words: str, status: int = 0) -> str:
    result = cli.invoke(app, list(words))
    assert result.exit_code == status, result.output
    return " ".join(result.output.split())


def test_the_life_of_a_channel_at_the_terminal(cli: CliRunner, database: sa.Engine, receiver: Receiver) -> None:
    added = said(cli, "channels", "add", "ann", "webhook", f"{receiver.url}/token")
    assert "Signing secret, shown this once: whsec_" in added
    assert "/token" not in added
    assert "not the code" in said(cli, "channels", "verify", "1", "wrong", status=1)
    said(cli, "channels", "test", "1")  # another code
    assert "is verified" in said(cli, "channels", "verify", "1", code_of(receiver))
    assert "took the test message" in said(cli, "channels", "test", "1")
    assert receiver.got[-1].json["type"] == "channel.test"
    said(cli, "channels", "rotate-secret", "1")
    said(cli, "channels", "add", "@operators", "webhook", f"{receiver.url}/ops", "--from-severity", "warning")
    listed = said(cli, "channels", "list", "--format", "csv")
    assert f"1,ann,webhook,{receiver.url}/…,active" in listed
    assert f"2,@operators,webhook,{receiver.url}/…,unverified,warning" in listed
    with database.begin() as connection:
        put(connection, [message("a"), message("b", "other")])
    receiver.answer = lambda _: Reply(500)
    assert "0 delivered, 2 to be tried again" in said(cli, "outbox", "dispatch")
    with database.begin() as connection:
        connection.execute(sa.text("update app.outbox_deliveries set status = 'dead'"))
    assert "status 500" in said(cli, "outbox", "list", "--status", "dead", "--user", "ann", "--format", "json")
    receiver.answer = lambda _: Reply()
    assert "say which" in said(cli, "outbox", "retry", status=1)
    assert "2 deliveries are due again" in said(cli, "outbox", "retry", "--channel", "1")
    assert "nothing of that is dead" in said(cli, "outbox", "retry", "--all", status=1)
    assert "2 delivered" in said(cli, "outbox", "dispatch")
    said(cli, "channels", "pause", "1")
    assert ",paused," in said(cli, "channels", "list", "--user", "ann", "--format", "csv")
    said(cli, "channels", "resume", "1")
    said(cli, "channels", "delete", "1")
    assert "no channel 1" in said(cli, "channels", "pause", "1", status=1)
    assert "no channel 1" in said(cli, "channels", "test", "1", status=1)
    assert "a status is one of" in said(cli, "outbox", "list", "--status", "lost", status=1)


def test_a_code_that_cannot_be_sent_is_told_with_what_to_do(
    cli: CliRunner, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTFOLIO_WEBHOOK_ALLOW_NETWORKS", "")
    told = said(cli, "channels", "add", "ann", "webhook", receiver.url, status=1)
    assert "leads to an address that is not public" in told
    assert "portfolio channels test 1" in told
    assert receiver.got == []


def test_the_sensor_sends_what_is_due(desk: Desk, receiver: Receiver) -> None:
    desk.channel("webhook", receiver.url)
    desk.put(message("a"))
    for expected in ("1 delivered", "nothing is due"):
        context = dg.build_sensor_context(resources={"database": desk.database})
        skipped: Any = outbox_dispatcher(context)
        assert expected in skipped.skip_message
    assert len(receiver.got) == 1


def test_settings_refuse_networks_that_are_none() -> None:
    assert Settings(webhook_allow_networks="10.0.0.0/8, fd00::/8").webhook_allow_networks == (  # type: ignore[arg-type]
        ip_network("10.0.0.0/8"), ip_network("fd00::/8"),
    )  # fmt: skip
    with pytest.raises(ValueError, match="host bits"):
        Settings(webhook_allow_networks="10.0.0.1/8")  # type: ignore[arg-type]


def test_a_held_channel_is_listed_with_its_reason(desk: Desk, receiver: Receiver) -> None:
    from portfolio_pipelines.delivery.channels.listing import channels_frame

    desk.channel("webhook", receiver.url)
    receiver.answer = lambda _: Reply(503, {"Retry-After": "60"})
    desk.put(message("a"))
    desk.dispatch()
    row = channels_frame(desk.engine, desk.clock()).row(0, named=True)
    assert (row["state"], row["waiting"], row["note"]) == ("held", 1, "it answered with status 503")
    later = desk.clock() + timedelta(minutes=1)
    assert channels_frame(desk.engine, later).row(0, named=True)["state"] == "active"
