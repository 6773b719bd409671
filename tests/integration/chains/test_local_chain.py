import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from portfolio_pipelines.chains.local_chain import CHAIN_ID, LocalChain, LocalChainError, find_anvil
from tests.contracts.anvil import chains
from tests.contracts.artifacts import deploy
from tests.contracts.install import PINS, installed
from tests.contracts.solidity import compiled

ROOT = Path(__file__).parents[3]


@pytest.fixture
def anvil(contracts_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", "/nowhere")
    program = find_anvil([contracts_folder])
    assert program is not None
    return program


def ask(url: str, method: str) -> str:
    answer = httpx.post(url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": []}, trust_env=False)
    return str(answer.json()["result"])


def ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for somebody to take note of that."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_it_answers_as_long_as_it_is_open_and_is_gone_afterwards(anvil: Path) -> None:
    with LocalChain(anvil) as chain:
        url, pid = chain.url, chain.pid
        assert int(ask(url, "eth_chainId"), 16) == CHAIN_ID
    with pytest.raises(httpx.ConnectError):
        ask(url, "eth_chainId")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(LocalChainError, match="not running"):
        _ = chain.url


def test_two_at_once_take_different_ports_and_the_chain_id_they_were_given(anvil: Path) -> None:
    with LocalChain(anvil, chain_id=7) as one, LocalChain(anvil, chain_id=8) as two:
        assert one.url != two.url
        assert [int(ask(each.url, "eth_chainId"), 16) for each in (one, two)] == [7, 8]


def test_one_that_cannot_start_says_why(anvil: Path) -> None:
    with (
        pytest.raises(LocalChainError, match="unexpected argument '--nonsense'"),
        LocalChain(anvil, arguments=["--nonsense"]),
    ):
        pass
    with pytest.raises(LocalChainError, match="ended at once"), LocalChain(Path("/nowhere/anvil")):
        pass


def test_it_can_be_killed_and_closed_after_that(anvil: Path) -> None:
    with LocalChain(anvil) as chain:
        chain.kill()
        with pytest.raises(httpx.TransportError):
            ask(chain.url, "eth_chainId")
        chain.kill()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see a process end")
def test_it_ends_with_the_process_that_started_it_even_if_that_is_killed(anvil: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from portfolio_pipelines.chains.local_chain import LocalChain\n"
        "with LocalChain(pathlib.Path(sys.argv[1])) as chain:\n"
        "    print(chain.pid, chain.url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code, os.fspath(anvil)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    with starter:
        pid, url = starter.stdout.readline().split()
        assert ask(url, "eth_chainId") == hex(CHAIN_ID)
        starter.send_signal(signal.SIGKILL)
    process = os.pidfd_open(int(pid)) if not ended(int(pid)) else None
    if process is not None:
        _wait_for(process)
    assert ended(int(pid))


def _wait_for(process: int) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    assert poll.poll(30_000), "the local chain outlives its starter"
    os.close(process)


def test_the_program_on_the_path_goes_first(
    contracts_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "anvil"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert find_anvil([contracts_folder]) == own


def test_npms_own_command_leads_to_the_program_beside_it(
    contracts_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "anvil").symlink_to(contracts_folder / "node_modules" / "@foundry-rs" / "anvil" / "bin.mjs")
    (contracts_folder / "node_modules" / "@foundry-rs" / "anvil" / "bin.mjs").chmod(0o755)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert find_anvil() == find_anvil([contracts_folder])


def test_folders_and_their_parents_are_searched_and_nothing_is_no_error(
    anvil: Path, contracts_folder: Path, tmp_path: Path
) -> None:
    assert find_anvil([tmp_path, contracts_folder]) == anvil
    assert find_anvil([contracts_folder.parent]) is not None
    assert find_anvil([tmp_path, tmp_path / "absent"]) is None


def test_many_chains_run_at_once_with_ids_that_follow_one_another(contracts_folder: Path) -> None:
    with chains(3, first_chain_id=100) as several:
        assert [chain.rpc("eth_chainId") for chain in several] == ["0x64", "0x65", "0x66"]
        token = deploy(several[1], compiled()["TestToken"], "Coin", "COIN", 6)
        token.send("mint", several[1].accounts[3], 5)
        assert token.call("balanceOf", several[1].accounts[3]) == 5
        assert several[0].rpc("eth_getCode", token.address, "latest") == "0x"


def test_what_is_installed_is_not_installed_again(contracts_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert installed() == contracts_folder


def test_the_pins_name_no_host_and_every_package_has_one_exact_version() -> None:
    folder = ROOT / "tests" / "contracts"
    assert not [name for name in PINS if "://" in (folder / name).read_text()]
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    versions = {name: locked[f"node_modules/{name}"]["version"] for name in wanted}
    assert {name: version.rpartition("@")[2] for name, version in wanted.items()} == versions
