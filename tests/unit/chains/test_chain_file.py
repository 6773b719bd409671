from pathlib import Path
from typing import Protocol

import pytest

from portfolio_pipelines.chains.chain_file import RegistryRefusedError
from portfolio_pipelines.chains.deployments import BalancerV2, PairFactory, UniswapV3, load_deployments
from portfolio_pipelines.chains.registry import Registry, load_registry
from portfolio_pipelines.chains.tokens import load_tokens

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
OTHER = "0x27b1fdb04752bbc536007a920d24acb045561c26"
MINE = """
[chain.mine]
chain_id = 31338
name = "Mine"
native_symbol = "ETH"
category = "local"
endpoints = ["http://127.0.0.1:8545"]
enabled = true
"""


class Load(Protocol):
    def __call__(self, text: str, **environment: str) -> Registry: ...


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(text: str, **environment: str) -> Registry:
        file = tmp_path / "chains.toml"
        file.write_text(text, encoding="utf-8")
        return load_registry(file, environment)

    return read


def faults_of(load: Load, text: str, **environment: str) -> tuple[str, ...]:
    with pytest.raises(RegistryRefusedError) as refused:
        load(text, **environment)
    return refused.value.faults


def test_one_row_enables_a_chain_and_adds_an_endpoint_before_the_shipped_ones(load: Load) -> None:
    assert not load_registry().find("moonbeam").enabled
    registry = load(
        """
        [[chain]]
        slug = "moonbeam"
        enabled = true
        extra_endpoints = ["https://own.example/${MOON_KEY}"]
        requests_per_second = 25
        """,
        MOON_KEY="s3cret",
    )
    chain = registry.find("moonbeam")
    assert chain.enabled
    assert chain.endpoints == ("https://own.example/s3cret", "https://rpc.api.moonbeam.network")
    assert chain.requests_per_second == 25.0
    assert len(registry.enabled()) == len(load_registry().enabled()) + 1
    assert chain.native_symbol == "GLMR"  # what the row does not name stays


def test_rows_may_name_a_known_chain_by_its_id_and_replace_its_endpoints(load: Load) -> None:
    registry = load('[[chain]]\nchain_id = 8453\nendpoints = ["https://a.example", "https://b.example"]\n')
    assert registry.find("base").endpoints == ("https://a.example", "https://b.example")


def test_a_chain_of_ones_own_is_added(load: Load) -> None:
    registry = load(MINE + "native_decimals = 6\nblock_time_seconds = 2\nconfirmations = 0\n")
    chain = registry.find("Mine")
    assert registry.find(31338) is chain
    assert (chain.family, chain.native_decimals, chain.slip44, chain.block_time_seconds) == ("evm", 6, 60, 2.0)
    assert chain.confirmations == 0
    assert chain.native_asset_id == "eip155:31338/slip44:60"


def test_a_list_of_slugs_chooses_exactly_what_is_read(load: Load) -> None:
    registry = load('enabled = ["base", "moonbeam"]\n[chain.arbitrum]\nenabled = true\n' + MINE)
    assert {chain.slug for chain in registry.enabled()} == {"base", "moonbeam", "arbitrum", "mine"}


def test_a_missing_variable_is_named_but_only_where_the_chain_is_read(load: Load) -> None:
    text = '[chain.{}]\nendpoints = ["https://node.example/${{NODE_KEY}}", "${{NODE_URL}}"]\n'
    assert faults_of(load, text.format("base")) == (
        "[chain.base] endpoint 1: the environment variable NODE_KEY is not set",
        "[chain.base] endpoint 2: the environment variable NODE_URL is not set",
    )
    idle = load(text.format("moonbeam")).find("moonbeam")
    assert idle.endpoint_names == ("node.example", "${NODE_URL}")
    ready = load(text.format("base"), NODE_KEY="k", NODE_URL="https://other.example/key")
    assert ready.find("base").endpoints == ("https://node.example/k", "https://other.example/key")


def test_an_empty_variable_is_a_missing_one_and_its_value_is_checked(load: Load) -> None:
    text = '[chain.base]\nendpoints = ["${NODE_URL}"]\n'
    assert faults_of(load, text, NODE_URL=" ")[0].endswith("NODE_URL is not set")
    (fault,) = faults_of(load, text, NODE_URL="wss://node.example/s3cret")
    assert "websocket" in fault
    assert "s3cret" not in fault


def test_all_faults_of_a_file_are_told_at_once_and_no_key_with_them(load: Load) -> None:
    faults = faults_of(
        load,
        f"""
        chian = 1
        enabled = ["base", "arbitrun"]

        [chain.base]
        endpoint = ["https://a.example"]
        native_decimals = 99
        category = "layer-2"
        enabled = "yes"
        multicall3 = "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
        explorer = "basescan.org"
        requests_per_second = 0
        name = ""

        [chain.optimism]
        endpoints = ["mainnet.example/s3cret-key", "https://", "https://exa mple/s3cret-key", "http://h:99999/s3cret-key"]
        chain_id = 11

        [chain.bse]
        enabled = true

        [chain.My_Chain]
        chain_id = 5

        [chain.copy]
        chain_id = 1
        name = "Copy"
        native_symbol = "ETH"
        category = "layer1"

        [chain.bare]
        chain_id = 77777777
        name = "Bare"
        native_symbol = "ETH"
        category = "local"
        enabled = true

        [chain.polygon]
        uniswap_v3 = {{ factory = "{ADDRESS}" }}
        compound_v3 = [{{ market = "usdc", comet = "0x12", extra = 1 }}]

        [[token]]
        chain = "nowhere"
        address = "{ADDRESS}"
        symbol = "ABC"
        decimals = 256

        [[token]]
        chain = "base"
        adress = "{ADDRESS}"
        """,
    )
    told = "\n".join(faults)
    for expected in (
        "there is no 'chian' at the top; did you mean chain?",
        "enabled: 'arbitrun' is no known chain; did you mean arbitrum?",
        "[chain.base]: there is no field 'endpoint'; did you mean endpoints?",
        "[chain.base] native_decimals: 99 is no whole number from 0 to 36",
        "[chain.base] category: 'layer-2' is none of layer1, layer2, layer3, sidechain, local; did you mean layer2?",
        "[chain.base] enabled: 'yes' is neither true nor false",
        "[chain.base] multicall3: '0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed' has a wrong checksum",
        f"should be spelled {ADDRESS}",
        "[chain.base] explorer: 'basescan.org' is no address of a page",
        "[chain.base] requests_per_second: 0 is no number above 0",
        "[chain.base] name: '' is no text",
        "[chain.optimism] chain_id: optimism is 10; another chain needs another slug",
        "[chain.bse]: bse is no known chain; did you mean",
        "[chain.My_Chain]: 'My_Chain' is no slug",
        "[chain.copy] chain_id: 1 is ethereum already; change [chain.ethereum]",
        "[chain.bare]: it is enabled but has no endpoint",
        "[chain.polygon] uniswap_v3: position_manager is missing",
        "[chain.polygon] compound_v3: there is no field 'extra'",
        "[[token]] 1 decimals: 256 is no whole number from 0 to 255",
        "[[token]] 1 chain: 'nowhere' is no known chain",
        "[[token]] 2: there is no field 'adress'; did you mean address?",
        "[[token]] 2: address, symbol, decimals missing",
    ):
        assert expected in told
    assert "s3cret" not in told


def test_impossible_endpoints_are_told_by_their_number_alone(load: Load) -> None:
    faults = faults_of(
        load,
        """
        [chain.base]
        endpoints = ["https://fine.example", "node.example/s3cret", "https://exa mple/s3cret", "http://h:99999/s3cret",
                     "https://x/${}", "ws://node.example/s3cret"]
        """,
    )
    assert [fault.split(":")[0] for fault in faults] == [
        f"[chain.base] endpoint {number}" for number in (2, 3, 4, 5, 6)
    ]
    assert "s3cret" not in "".join(faults)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[chain.base", "it is no TOML"),
        ("chain = 5", "neither tables"),
        ("[chain]\nbase = 5", "[chain.base] is no table"),
        ("[[chain]]\nenabled = true", "[[chain]] 1: slug or the chain_id of a known chain is missing"),
        ('[[chain]]\nslug = "base"\n[[chain]]\nchain_id = 8453', "[[chain]] 2: base is there twice"),
        ('[chain.base]\nslug = "bas"', "leave slug out"),
        ("enabled = true", "enabled: it is no list of slugs"),
        ("[token]\nx = 1", "token is no list of rows"),
        ('[chain.base]\nendpoints = "https://a.example"', "[chain.base] endpoints: it is no list of URLs"),
        ("[chain.new-one]\nchain_id = 5", "a new one needs name, native_symbol, category"),
    ],
)
def test_a_file_of_another_form_is_refused_with_the_reason(load: Load, text: str, fault: str) -> None:
    assert any(fault in told for told in faults_of(load, text))


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryRefusedError, match="No such file"):
        load_registry(tmp_path / "chains.toml")
    (tmp_path / "chains.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RegistryRefusedError, match="not in UTF-8"):
        load_registry(tmp_path / "chains.toml")


def test_tokens_of_ones_own_join_the_shipped_ones_and_replace_them(load: Load) -> None:
    usdc = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
    registry = load(
        MINE
        + f"""
        [[token]]
        chain = "mine"
        address = "{ADDRESS}"
        symbol = "ABC"
        decimals = 9
        is_rebasing = true

        [[token]]
        chain = "base"
        address = "{usdc}"
        symbol = "USDC"
        decimals = 6
        name = "Ours"
        """
    )
    tokens = load_tokens(registry.added_tokens)
    (own,) = tokens.of(31338)
    assert (own.address, own.symbol, own.name, own.decimals) == (ADDRESS.lower(), "ABC", "ABC", 9)
    assert own.is_rebasing
    assert own.asset_id == f"eip155:31338/erc20:{ADDRESS.lower()}"
    replaced = tokens.get(8453, usdc.lower())
    assert replaced is not None
    assert replaced.name == "Ours"
    assert len(tokens) == len(load_tokens()) + 1


def test_the_same_token_twice_is_a_fault(load: Load) -> None:
    row = f'[[token]]\nchain = "base"\naddress = "{ADDRESS}"\nsymbol = "A"\ndecimals = 1\n'
    assert faults_of(load, row * 2) == (f"[[token]] 2: {ADDRESS.lower()} on base is there twice",)


def test_contracts_of_ones_own_replace_those_of_the_same_protocol(load: Load) -> None:
    registry = load(
        MINE
        + f"""
        uniswap_v3 = {{ factory = "{ADDRESS}", position_manager = "{OTHER}" }}
        aave_v3 = [{{ market = "Mine", pool = "{ADDRESS}", data_provider = "{OTHER}", oracle = "{OTHER}" }}]
        compound_v3 = [{{ market = "usdc", comet = "{ADDRESS}" }}]
        balancer_v2 = {{ vault = "{ADDRESS}", factories = ["{OTHER}"] }}

        [chain.base]
        sushiswap = ["{ADDRESS}"]
        """
    )
    found = load_deployments(registry.added_deployments)
    mine, base, shipped = found.of(31338), found.of(8453), load_deployments().of(8453)
    assert mine.uniswap_v3 == UniswapV3(ADDRESS.lower(), OTHER)
    assert (mine.aave_v3[0].pool, mine.aave_v3[0].reserves) == (ADDRESS.lower(), ())
    assert mine.compound_v3[0].comet == ADDRESS.lower()
    assert mine.balancer_v2 == BalancerV2(ADDRESS.lower(), (OTHER,))
    assert mine.uniswap_v2_factories == ()
    assert base.uniswap_v2_factories == (shipped.uniswap_v2_factories[0], PairFactory("sushiswap", ADDRESS.lower()))
    assert base.aave_v3 == shipped.aave_v3
