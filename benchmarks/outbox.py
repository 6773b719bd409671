"""The outbox beside a plain loop: messages to one web server on loopback, from the tables until they are recorded.

Run by itself: `python -m benchmarks.outbox [--messages 3000]`. The peer is httpx posting the same bodies to the same
server, one after the other over one connection, and the same 16 at once: it keeps nothing, orders nothing and forgets
what fails. Times are wall clock of one machine; trust the ratios.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import httpx
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from portfolio_pipelines.database import embedded
from portfolio_pipelines.delivery.channels.registered import add_channel, verify_channel
from portfolio_pipelines.delivery.dispatch import dispatch, utc_now
from portfolio_pipelines.delivery.outbox import Message, Severity, put
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.settings import Settings

CHANNELS = 8
AT_ONCE = 16
TARGETS = "half as fast as the plain loop, which keeps nothing; 10,000 messages stored in 2 s"
SERVER = """
import asyncio, sys
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = next(line for line in head.lower().split(b"\\r\\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            writer.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=__doc__)
    parser.add_argument("--messages", type=int, default=3_000)
    messages = parser.parse_args().messages
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table(title=f"{messages:,} messages to {CHANNELS} webhooks of one server on loopback")
    for column in ("what", "seconds", "a second", "times httpx in a row"):
        table.add_column(column, justify="left" if column == "what" else "right")
    with receiver() as url, installation() as database:
        in_a_row = seconds_of_httpx(url, messages, 1)
        at_once = seconds_of_httpx(url, messages, AT_ONCE)
        stored, sent = seconds_of_outbox(database, url, messages)
    for what, seconds in (
        ("httpx, one after the other", in_a_row),
        (f"httpx, {AT_ONCE} at once", at_once),
        ("outbox: stored and fanned out", stored),
        ("outbox: signed, sent in order, recorded", sent),
    ):
        table.add_row(what, f"{seconds:.2f}", f"{messages / seconds:,.0f}", f"{in_a_row / seconds:.2f}")
    console.print(table)
    console.print(f"Target: {TARGETS}")


def body_of(number: int) -> bytes:
    """What the peer posts: as long as the outbox's."""
    data = {"value_usd": number, "severity": "warning", "title": f"Alert {number}", "text": "It fell. " * 20}
    return json.dumps({"type": "alert", "timestamp": "2026-03-01T00:00:00+00:00", "data": data}).encode()


def seconds_of_httpx(url: str, messages: int, at_once: int) -> float:
    """Seconds of a plain loop."""

    async def post(client: httpx.AsyncClient, numbers: range) -> None:
        for number in numbers:
            (await client.post(f"{url}/0", content=body_of(number))).raise_for_status()

    async def run() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await asyncio.gather(*(post(client, range(each, messages, at_once)) for each in range(at_once)))

    started = time.perf_counter()
    asyncio.run(run())
    return time.perf_counter() - started


def seconds_of_outbox(database: Database, url: str, messages: int) -> tuple[float, float]:
    """Seconds to store and to send; each message is of a subject of its own among hundreds, and goes to one channel."""
    engine, settings, now = database.engine, database.settings, utc_now()
    with engine.begin() as connection:
        for number in range(CHANNELS):
            connection.execute(sa.text("insert into app.users (user_id) values (:user)"), {"user": f"user {number}"})
    for number in range(CHANNELS):
        new = add_channel(
            engine, settings, f"user {number}", "webhook", f"{url}/{number}",
            least_severity="info", time_zone=None, now=now,
        )  # fmt: skip
        verify_channel(engine, settings, new.channel_id, new.code.get_secret_value(), now)
    alerts = [
        Message(
            key=f"alert {number}", user_id=f"user {number % CHANNELS}", subject=f"subject {number % 997}", kind="alert",
            severity=Severity.WARNING, title=f"Alert {number}", text="It fell. " * 20, data={"value_usd": number},
        )
        for number in range(messages)
    ]  # fmt: skip
    started = time.perf_counter()
    with engine.begin() as connection:
        assert put(connection, alerts) == messages
    stored = time.perf_counter()
    counts = dispatch(database)
    sent = time.perf_counter()
    assert counts.delivered == messages, counts
    return stored - started, sent - stored


@contextmanager
def receiver() -> Iterator[str]:
    """A web server in a process of its own that takes everything."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def installation() -> Iterator[Database]:
    """An installation with an embedded Postgres that may reach loopback."""
    home = Path(tempfile.mkdtemp(prefix="portfolio-bench-"))
    settings = Settings(home=home, database_url=None, webhook_allow_networks=(ip_network("127.0.0.0/8"),))
    database = Database(settings)
    try:
        database.prepare()
        yield database
    finally:
        database.engine.dispose()
        embedded.stop(settings.postgres)
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
