"""The commands that import and list what is watched, against a real database and a local chain in Ethereum's place."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from click.testing import Result
from ens.contract_data import resolver_abi, resolver_bytecode
from typer.testing import CliRunner

from portfolio_pipelines.chains.ens import REGISTRY, namehash
from portfolio_pipelines.cli import app
from portfolio_pipelines.database.chain_tokens import ensure_tokens
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.token_trust import VERDICTS, set_quarantine
from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Artifact, Contract, artifact, deploy, place_multicall3
from tests.contracts.solidity import HERE, SETTINGS, compiled, runtime_code

STAND_INS = HERE / "stand_ins" / "NamesAndPools.sol"
HOLDER = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
NOBODY = "0x" + "77" * 20
COINS = ["0x" + "a" * 40, "0x" + "b" * 40]


@pytest.fixture(scope="module")
def mainnet(contracts_folder: Path) -> Iterator[Anvil]:
    """A chain with Ethereum's id, and vitalik.eth in a registry at the address of the real one."""
    with Anvil(chain_id=1) as chain:
        place_multicall3(chain)
        chain.set_code(REGISTRY, runtime_code(STAND_INS, "NameRegistry", settings=SETTINGS))
        names = Contract(chain, REGISTRY, compiled([STAND_INS])["NameRegistry"].abi)
        resolver = deploy(chain, Artifact("PublicResolver", resolver_abi, resolver_bytecode), REGISTRY)
        names.send("set", namehash("vitalik.eth"), chain.accounts[0], resolver.address)
        resolver.send("setAddr(bytes32,address)", namehash("vitalik.eth"), HOLDER)
        for _ in range(3):  # readers stay some blocks below the head
            chain.mine()
        yield chain


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: sa.Engine) -> Path:
    """An installation whose database is the test's own and that reads no chain."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTFOLIO_HOME", str(tmp_path))
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", url_text(database.url))
    (tmp_path / "chains.toml").write_text("enabled = []\n")
    return tmp_path


@pytest.fixture
def connected(home: Path, mainnet: Anvil) -> Path:
    """The installation, reading the local chain as Ethereum."""
    (home / "chains.toml").write_text(f'enabled = ["ethereum"]\n[chain.ethereum]\nendpoints = ["{mainnet.url}"]\n')
    return home


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert result.exit_code == 1, result.output
    return " ".join(result.output.split())


def rows(*arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done(*arguments, "--format", "csv"))))


def file(home: Path, text: str) -> Path:
    path = home / "file.csv"
    path.write_text(text)
    return path


def test_wallets_come_in_are_listed_and_go(connected: Path) -> None:
    path = file(connected, "user_id,address,label,chains\nann,vitalik.eth,main,1\nbob,vitalik.eth,,\n")
    assert "no wallet is watched; `portfolio import wallets FILE` brings some" in done("wallets")
    assert "file.csv: 2 new wallets, 0 changed, 0 unchanged" in done("import", "wallets", path)
    assert "file.csv: 0 new wallets, 0 changed, 2 unchanged" in done("import", "wallets", path)
    ann = {"wallet_key": "1", "user_id": "ann", "address": HOLDER, "family": "evm", "label": "main"}
    assert rows("wallets", "--user", "ann") == [{**ann, "chains": "ethereum"}]
    assert "all enabled" in done("wallets", "--user", "bob")
    assert "is no longer watched" in done("wallets", "remove", "ann", HOLDER)
    assert [row["user_id"] for row in rows("wallets")] == ["bob"]
    assert "'ann' watches no wallet" in refused("wallets", "remove", "ann", HOLDER)
    assert "has a wrong checksum" in refused("wallets", "remove", "bob", HOLDER.replace("dA", "Da"))
    assert "is a name: write the address" in refused("wallets", "remove", "bob", "vitalik.eth")


def test_a_name_without_a_node_of_ethereum_is_refused(home: Path) -> None:
    message = refused("import", "wallets", file(home, "user_id,address\nann,vitalik.eth\n"))
    assert "row 2: 'vitalik.eth' is an ENS name, and no node of Ethereum is configured to resolve it" in message


def test_wallets_on_chains_that_are_not_read_come_in_with_a_note(home: Path) -> None:
    output = done("import", "wallets", file(home, f"user_id,address,chains\nann,{HOLDER},base;Ethereum\n"))
    assert "1 new wallet," in output
    assert "base is not enabled: nothing is read there until it is" in output


def test_pools_are_asked_whether_they_are_pools(connected: Path, mainnet: Anvil) -> None:
    with mainnet.reverted():
        factory = deploy(mainnet, artifact("@uniswap/v2-core/build/UniswapV2Factory.json"), NOBODY)
        factory.send("createPair", *COINS)
        pair = str(factory.call("getPair", *COINS))
        for _ in range(3):
            mainnet.mine()
        head = "user_id,pool,chain,entry_price,entry_date\n"
        good = f"ann,{pair},ethereum,1.5,2025-01-01\n"
        message = refused(
            "import", "liquidity-positions", file(connected, f"{head}{good}ann,{NOBODY},1,1,2025-01-01\n")
        )
        assert f"row 3: {NOBODY} is no pool: there is no contract on ethereum" in message
        assert "there is no liquidity position" in done("liquidity")
        output = done("import", "liquidity-positions", file(connected, head + good))
    assert "1 new position," in output
    assert f"{pair.lower()} on ethereum answers like a pool, but no factory that we know confirms it" in output
    (position,) = rows("liquidity", "--user", "ann")
    assert (position["pool"], position["protocol"], position["entry_price"]) == (pair.lower(), "uniswap_v2", "1.5")
    assert "no longer followed" in done("liquidity", "remove", "ann", "1")
    assert "'ann' has no liquidity position 1" in refused("liquidity", "remove", "ann", "1")


def test_pools_of_chains_without_a_node_need_the_word_unchecked(home: Path) -> None:
    path = file(home, f"user_id,pool,chain,entry_price,entry_date\nann,{NOBODY},base,1,2025-01-01\n")
    message = refused("import", "liquidity-positions", path)
    assert (
        f"row 2: {NOBODY} could not be checked: no node of base is configured (enable it in chains.toml, with an "
        "endpoint); try again, or import with --unchecked"
    ) in message
    assert f"{NOBODY} on base is unchecked" in done("import", "liquidity-positions", path, "--unchecked")


def test_a_token_is_added_as_its_contract_says(connected: Path, mainnet: Anvil, sources: dict[str, Artifact]) -> None:
    with mainnet.reverted():
        token = deploy(mainnet, sources["TestToken"], "Six Coin", "SIX", 6).address
        for _ in range(3):
            mainnet.mine()
        assert f"{token} on ethereum has 6 decimals, not 18" in refused("tokens", "add", "1", token, "--decimals", "18")
        assert "SIX with 6 decimals, eip155:1/erc20:0x" in done("tokens", "add", "ethereum", token)
    listed = {"token_key": "1", "chain_id": "1", "address": token, "symbol": "SIX", "name": "Six Coin"}
    assert rows("tokens", "list") == [{**listed, "decimals": "6", "source": "user"}]
    assert "does not answer like a token" in refused("tokens", "add", "ethereum", NOBODY)
    assert "the zero address is no token" in refused("tokens", "add", "ethereum", "0x" + "00" * 20)


def test_without_a_node_a_token_needs_all_that_is_known_of_it(home: Path) -> None:
    assert "could not be asked: no node of base is configured" in refused("tokens", "add", "base", NOBODY)
    assert "give --symbol and --decimals" in refused("tokens", "add", "base", NOBODY, "--unchecked")
    done("tokens", "add", "base", NOBODY, "--unchecked", "--symbol", "S", "--decimals", "9")
    mint = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    assert f"solana:mainnet/token:{mint}" in done(
        "tokens", "add", "solana", mint, "--symbol", "USDC", "--decimals", "6"
    )
    assert "bitcoin has no tokens" in refused("tokens", "add", "bitcoin", mint)


def test_quarantined_tokens_are_listed_and_somebody_may_vouch_for_them(home: Path, database: sa.Engine) -> None:
    token = {"chain_id": [1], "address": [NOBODY], "asset_id": [f"eip155:1/erc20:{NOBODY}"], "symbol": ["[red]CLAIM"]}
    ensure_tokens(database, pl.DataFrame(token), source="discovered")
    verdict = pl.DataFrame([(1, 0.91, ["lure"])], schema=VERDICTS, orient="row")
    set_quarantine(database, verdict, pl.Series([1]))
    assert "[red]CLAIM" in done("tokens", "quarantined")
    assert "nobody vouches for a token" in done("tokens", "whitelisted")
    done("tokens", "whitelist", "ethereum", NOBODY, "--why", "we made it")
    assert "no token is quarantined" in done("tokens", "quarantined")
    (entry,) = json.loads(done("tokens", "whitelisted", "--format", "json"))
    assert (entry["address"], entry["user_id"], entry["why"]) == (NOBODY, None, "we made it")
    assert "there is no user 'ann'" in refused("tokens", "whitelist", "1", NOBODY, "--why", "x", "--user", "ann")
    done("tokens", "distrust", "1", NOBODY, "--why", "it was a trap")
    assert "nobody vouches for token 1 for everyone" in refused("tokens", "distrust", "1", NOBODY, "--why", "x")
    assert "is not known; `portfolio tokens add` adds it" in refused("tokens", "distrust", "1", HOLDER, "--why", "x")


@pytest.mark.parametrize(
    "command",
    [
        "import wallets", "import liquidity-positions", "wallets", "wallets remove", "liquidity", "liquidity remove",
        "tokens add", "tokens list", "tokens quarantined", "tokens whitelisted", "tokens whitelist", "tokens distrust",
    ],
)  # fmt: skip
def test_every_command_shows_an_example(command: str) -> None:
    assert f"Example: portfolio {command}" in " ".join(done(*command.split(), "--help").split())
