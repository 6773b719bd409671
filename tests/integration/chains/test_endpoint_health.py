"""Endpoints are asked over real HTTP on loopback; each server misbehaves in its own way."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from portfolio_pipelines.chains.endpoint_health import (
    BITCOIN_GENESIS,
    SOLANA_GENESIS,
    EndpointHealth,
    check_endpoints,
)
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.cli import app

NOW = 1_780_000_000
Answer = tuple[int, str, bytes]  # status, content type, body
Behaviour = Callable[[str, Any], Answer]  # of path and question; the question of a GET is None


def node(chain_id: int = 1, height: int = 1_000, block_time: int = NOW - 12) -> Behaviour:
    results = {
        "eth_chainId": hex(chain_id),
        "eth_getBlockByNumber": {"number": hex(height), "timestamp": hex(block_time), "hash": "0x" + "11" * 32},
    }
    return lambda _path, question: result(results[question["method"]])


def result(value: object) -> Answer:
    return 200, "application/json", json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode()


def always(status: int, body: bytes = b"", kind: str = "text/html") -> Behaviour:
    return lambda _path, _question: (status, kind, body)


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_GET(self) -> None:
            self._answer(None)

        def _answer(self, question: Any) -> None:
            status, kind, body = behaviour(self.path, question)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_message: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def ask(*behaviours: Behaviour | str, path: str = "", **fields: Any) -> list[EndpointHealth]:
    with ExitStack() as servers:
        urls = [one if isinstance(one, str) else servers.enter_context(serving(one)) + path for one in behaviours]
        settings: dict[str, Any] = {"chain_id": 1, "block_time_seconds": 12.0, "category": "layer1", **fields}
        chain = Chain(slug="ethereum", name="Ethereum", native_symbol="ETH", endpoints=tuple(urls), **settings)
        return asyncio.run(check_endpoints([chain], timeout_seconds=5, clock=lambda: NOW))


def test_a_good_endpoint_tells_height_age_and_latency() -> None:
    (health,) = ask(node())
    assert (health.status, health.detail) == ("ok", "")
    assert (health.chain, health.chain_id, health.height, health.block_age_seconds) == ("ethereum", 1, 1_000, 12.0)
    assert health.latency_seconds is not None
    assert health.endpoint.startswith("127.0.0.1:")


def test_each_endpoint_of_a_chain_is_judged_by_itself_in_their_order() -> None:
    with serving(node()) as good:
        dead = f"http://127.0.0.1:{dead_port()}/v3/s3cret-key-0123"
        found = ask(good, node(chain_id=56), always(200, b"<html>maintenance</html>"), dead, always(429), always(503))
    assert [health.status for health in found] == [
        "ok", "wrong_chain", "no_node", "unreachable", "rate_limited", "unreachable",
    ]  # fmt: skip
    assert found[1].detail == "it is chain 56, not 1"
    assert found[2].detail == "it answers a web page"
    assert found[5].detail == "its server has a fault (HTTP 503)"
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("behaviour", "status", "detail"),
    [
        (always(401), "refused", "the key is missing, wrong or used up (HTTP 401)"),
        (always(404), "no_node", "there is no node at this path (HTTP 404)"),
        (always(301), "no_node", "there is no node at this path (HTTP 301)"),
        (always(200, b""), "no_node", "it answers nothing"),
        (always(200, b"hello"), "no_node", "it answers something that is no JSON"),
        (always(200, b"[1]"), "no_node", "it answers JSON, but no JSON-RPC"),
        (always(200, b'{"result": 1}'), "no_node", "its eth_chainId is no hex number"),
        (always(200, b'{"result": "0xzz"}'), "no_node", "its eth_chainId is no hex number"),
        (always(200, b'{"result": "0x1"}'), "no_node", "it has no newest block"),
        (always(200, b" " * (9 << 20)), "no_node", "its answer is longer than 8 MB"),
    ],
)
def test_what_is_no_answer_is_told_in_words(behaviour: Behaviour, status: str, detail: str) -> None:
    (health,) = ask(behaviour)
    assert (health.status, health.detail) == (status, detail)


def test_an_error_of_the_node_is_repeated_without_the_key() -> None:
    error = b'{"error": {"code": -32000, "message": "project s3cret-key-0123 is suspended"}}'
    (health,) = ask(always(200, error), path="/v3/s3cret-key-0123")
    assert health.status == "refused"
    assert "is suspended" in health.detail
    assert "s3cret" not in health.detail


def test_an_endpoint_that_stands_still_is_stale_unless_the_chain_is_local() -> None:
    old = node(block_time=NOW - 7_200)
    (health,) = ask(old)
    assert (health.status, health.detail) == ("stale", "its newest block is 2 hours old")
    assert ask(old, category="local")[0].status == "ok"
    assert ask(old, block_time_seconds=600.0)[0].status == "ok"  # twenty blocks of Bitcoin are 3 hours


def test_an_endpoint_behind_the_others_lags() -> None:
    near = ask(node(height=1_000), node(height=998, block_time=NOW - 36))
    assert [health.status for health in near] == ["ok", "ok"]
    found = ask(node(height=1_000), node(height=975, block_time=NOW - 312))
    assert [health.status for health in found] == ["ok", "lagging"]
    assert found[1].detail == f"25 blocks (5 minutes) behind {found[0].endpoint}"


def test_solana_and_bitcoin_are_asked_in_their_own_words() -> None:
    solana = {"getGenesisHash": SOLANA_GENESIS, "getSlot": 400_000_000, "getBlockTime": NOW - 3}
    (health,) = ask(lambda _path, question: result(solana[question["method"]]), family="solana")
    assert (health.status, health.height, health.block_age_seconds) == ("ok", 400_000_000, 3.0)
    (other,) = ask(lambda _path, _question: result("devnet"), family="solana")
    assert (other.status, other.detail) == ("wrong_chain", "it is another cluster than mainnet")

    pages = {
        "/api/block-height/0": f"{BITCOIN_GENESIS}4f763ae46a2a6c172b3f1b60a8ce26f".encode(),
        "/api/blocks": json.dumps([{"height": 960_000, "timestamp": NOW - 900}]).encode(),
    }
    (health,) = ask(
        lambda path, _question: (200, "text/plain", pages[path]),
        path="/api",
        family="bitcoin",
        block_time_seconds=600.0,
    )
    assert (health.status, health.height, health.block_age_seconds) == ("ok", 960_000, 900.0)
    (other,) = ask(always(200, b"<html>"), family="bitcoin")
    assert other.status == "no_node"


def test_a_silent_endpoint_is_given_up() -> None:
    with socket.socket() as silent:  # takes connections, never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        chain = Chain(1, "ethereum", "Ethereum", "ETH", "layer1", endpoints=(url,))
        (health,) = asyncio.run(check_endpoints([chain], timeout_seconds=0.05))
    assert (health.status, health.detail) == ("unreachable", "no answer in time")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTFOLIO_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def write_chains(home: Path, **urls: str) -> None:
    tables = [
        f'[chain.{slug}]\nchain_id = {number}\nname = "Chain {slug}"\nnative_symbol = "ETH"\ncategory = "local"\n'
        f'endpoints = ["{url}"]\n'
        for number, (slug, url) in enumerate(urls.items(), 9_000_001)
    ]
    (home / "chains.toml").write_text(f"enabled = {json.dumps(list(urls))}\n" + "\n".join(tables))


def test_the_command_checks_the_enabled_chains_and_ends_with_1_when_one_cannot_be_read(home: Path) -> None:
    with serving(node(9_000_001)) as good:
        write_chains(home, good=good)
        sound = CliRunner().invoke(app, ["chains", "--check", "--format", "json"])
        write_chains(home, good=good, dead=f"http://127.0.0.1:{dead_port()}")
        unsound = CliRunner().invoke(app, ["chains", "--check"])
    assert sound.exit_code == 0, sound.output
    (record,) = json.loads(sound.stdout)
    assert (record["chain"], record["native_asset_id"]) == ("good", "eip155:9000001/slip44:60")
    assert [(one["status"], one["height"]) for one in record["health"]] == [("ok", 1_000)]
    assert unsound.exit_code == 1
    assert "1 of 2 endpoints are well; no endpoint is well on dead" in " ".join(unsound.stdout.split())


def test_the_command_lists_what_is_enabled_all_or_what_is_named(home: Path) -> None:
    def listed(*arguments: str) -> list[str]:
        outcome = CliRunner().invoke(app, ["chains", "--format", "json", *arguments])
        assert outcome.exit_code == 0, outcome.output
        return [record["chain"] for record in json.loads(outcome.stdout)]

    assert "ethereum" in listed()
    assert "tron" not in listed()
    assert len(listed("--all")) == 394
    assert listed("tron", "OP Mainnet", "10") == ["tron", "optimism"]
    table = CliRunner().invoke(app, ["chains", "ethereum"]).stdout
    assert "│ ethereum │ 1  │ Ethereum │ ETH" in table


def test_the_command_tells_faults_of_the_file_and_unknown_chains_without_a_traceback(home: Path) -> None:
    unknown = CliRunner().invoke(app, ["chains", "etherium"])
    (home / "chains.toml").write_text("[chain.base]\nenabld = true\n")
    refused = CliRunner().invoke(app, ["chains"])
    assert (unknown.exit_code, refused.exit_code) == (1, 1)
    assert "did you mean ethereum" in unknown.stderr
    assert "there is no field 'enabld'; did you mean enabled?" in refused.stderr


def test_a_chain_whose_variable_is_not_set_is_shown_and_not_asked(home: Path) -> None:
    (home / "chains.toml").write_text('[chain.moonbeam]\nendpoints = ["${MOON_URL}/key"]\n')
    outcome = CliRunner().invoke(app, ["chains", "moonbeam", "--check"])
    assert outcome.exit_code == 1
    assert "a variable of its URL is not set" in outcome.stdout


def test_lines_of_the_env_file_fill_the_placeholders(home: Path) -> None:
    with serving(node(9_000_001)) as good:
        write_chains(home, good="${GOOD_NODE}")
        (home / ".env").write_text(f"GOOD_NODE={good}\n")
        outcome = CliRunner().invoke(app, ["chains", "--check"])
    assert outcome.exit_code == 0, outcome.output
