"""Receivers on loopback, and an installation with channels that lead to them."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.delivery.channels.registered import NewChannel, add_channel, verify_channel
from portfolio_pipelines.delivery.dispatch import Counts, dispatch
from portfolio_pipelines.delivery.outbox import Message, Severity, put
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.settings import Settings

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = base64.b64encode(bytes(range(32))).decode()


@dataclass(frozen=True)
class Request:
    """What a receiver got."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What a receiver answers; `ends` says how it misbehaves."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    ends: str = "well"  # well, hangs: never answers, dies: takes the message and closes without a word


class Receiver:
    """A web server on loopback that writes down what it gets and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[Request] = []
        self.answer: Callable[[Request], Reply] = lambda _: Reply()
        self._over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                receiver.got.append(request)
                reply = receiver.answer(request)
                if reply.ends == "hangs":
                    receiver._over.wait(60)
                if reply.ends != "well":
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """A client that goes away is part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


class Middle(Random):
    """Chance that always falls in the middle: delays as they are written."""

    def random(self) -> float:
        return 0.5


class Desk:
    """An installation that may reach loopback, with users ann and bob."""

    def __init__(self, engine: sa.Engine, home: Path, **settings: Any) -> None:
        self.engine = engine
        self.clock = Clock()
        self.settings = Settings(
            home=home,
            database_url=SecretStr(url_text(engine.url)),
            secrets_key=SecretStr(KEY),
            webhook_allow_networks=(ip_network("127.0.0.0/8"),),
            **{"delivery_timeout_seconds": 5, **settings},
        )
        self.database = Database(self.settings)
        with engine.begin() as connection:
            connection.execute(
                sa.text("insert into app.users (user_id) values ('ann'), ('bob') on conflict do nothing")
            )

    def add(self, kind: str, address: str, user: str | None = "ann", **options: Any) -> NewChannel:
        """A channel that is not verified."""
        wanted = {"least_severity": "info", "time_zone": None, "now": self.clock(), **options}
        return add_channel(self.engine, self.settings, user, kind, address, **wanted)

    def channel(self, kind: str, address: str, user: str | None = "ann", **options: Any) -> NewChannel:
        """A verified channel."""
        new = self.add(kind, address, user, **options)
        verify_channel(self.engine, self.settings, new.channel_id, new.code.get_secret_value(), self.clock())
        return new

    def put(self, *messages: Message) -> None:
        with self.engine.begin() as connection:
            put(connection, messages, now=self.clock())

    def dispatch(self, **options: Any) -> Counts:
        return dispatch(self.database, **{"clock": self.clock, "draw": Middle(), **options})

    def rows(self, query: str) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query)).mappings()]

    def deliveries(self) -> list[dict[str, Any]]:
        return self.rows("""
            select m.key, m.user_key, d.* from app.outbox_deliveries d join app.outbox_messages m using (message_id)
            order by d.delivery_id
        """)


def message(key: str, subject: str = "s", user: str | None = "ann", **changes: Any) -> Message:
    """An alert about anything."""
    made = Message(key, user, subject, "alert", Severity.WARNING, f"Title of {key}", "Text.", {"value_usd": 1.5})
    return replace(made, **changes)


@pytest.fixture
def desk(database: sa.Engine, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(database, tmp_path / "home")
    yield made
    made.database.engine.dispose()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()
