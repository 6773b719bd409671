"""The local chain of the samples: started on the wished day, or why there is none."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest

from portfolio_pipelines.commands import local_node
from portfolio_pipelines.commands.local_node import NoLocalChainError, local_chain
from portfolio_pipelines.settings import Settings
from tests.contracts.install import installed

DAY = date(2025, 3, 14)


def ask(url: str, method: str, *params: object) -> dict[str, str] | str:
    answer = httpx.post(
        url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}, trust_env=False
    )
    return answer.json()["result"]  # type: ignore[no-any-return]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, _env_file=None)  # type: ignore[call-arg]


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_node, "find_anvil", lambda _folders: None)


def npm_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """The only npm of the machine is this script."""
    for name in ("npm", "node"):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin{os.pathsep}/usr/bin")


def test_its_clock_stands_on_noon_of_the_day_and_its_accounts_have_some_coins(settings: Settings) -> None:
    installed()
    with local_chain(settings, DAY) as chain:
        block = ask(chain.url, "eth_getBlockByNumber", "latest", False)
        (account, *_) = ask(chain.url, "eth_accounts")
        balance = ask(chain.url, "eth_getBalance", account, "latest")
        url = chain.url
    assert isinstance(block, dict)
    assert isinstance(balance, str)
    assert datetime.fromtimestamp(int(block["timestamp"], 16), UTC) == datetime(2025, 3, 14, 12, tzinfo=UTC)
    assert int(balance, 16) == 4 * 10**18
    with pytest.raises(httpx.ConnectError):
        ask(url, "eth_chainId")


@pytest.mark.usefixtures("no_program")
def test_what_npm_says_when_it_cannot_install_is_passed_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm_that(tmp_path, monkeypatch, "echo 'no network here' >&2; exit 7")
    with (
        pytest.raises(NoLocalChainError, match="npm could not install it: no network here"),
        local_chain(settings, DAY),
    ):
        pass
    pins = sorted(path.name for path in (tmp_path / "tools" / "local_chain").iterdir())
    assert pins == [".npmrc", "package-lock.json", "package.json"], "the versions are pinned, with their hashes"


@pytest.mark.usefixtures("no_program")
def test_an_npm_that_hangs_is_given_up(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_that(tmp_path, monkeypatch, "exec sleep 600")
    monkeypatch.setattr(local_node, "INSTALL_SECONDS", 0.2)
    with pytest.raises(NoLocalChainError, match=r"npm did not install it within 0\.2 s"), local_chain(settings, DAY):
        pass
