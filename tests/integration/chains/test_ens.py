"""ENS names on a local chain, with the public resolver that web3 ships and a registry of ours."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from ens.contract_data import resolver_abi, resolver_bytecode

from portfolio_pipelines.chains.ens import UnresolvedNameError, namehash, normalise, resolve_names
from portfolio_pipelines.chains.rpc.errors import Unreachable
from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy
from tests.contracts.plain_node import PlainNode
from tests.contracts.solidity import HERE, compiled

STAND_INS: Path = HERE / "stand_ins" / "NamesAndPools.sol"
HOLDER = "0xd8da6bf26964af9d7eed9e03e53415d37aa96045"


@pytest.fixture
def registry(chain: Anvil) -> Contract:
    """A registry in which vitalik.eth, empty.eth and far.eth have resolvers."""
    contracts = compiled([STAND_INS])
    registry = deploy(chain, contracts["NameRegistry"])
    resolver = deploy(chain, Artifact("PublicResolver", resolver_abi, resolver_bytecode), registry.address)
    offchain = deploy(chain, contracts["OffchainResolver"])
    owner = chain.accounts[0]
    for name, address in (("vitalik.eth", resolver), ("empty.eth", resolver), ("far.eth", offchain)):
        registry.send("set", namehash(name), owner, address.address)
    registry.send("set", namehash("lost.eth"), owner, HOLDER)  # nobody's code stands there
    resolver.send("setAddr(bytes32,address)", namehash("vitalik.eth"), HOLDER)
    return registry


def resolve(node: PlainNode, registry: Contract, names: Sequence[str]) -> dict[str, object]:
    return dict(asyncio.run(resolve_names(node, names, registry=registry.address)))


def test_a_name_stands_for_the_address_that_its_resolver_says(node: PlainNode, registry: Contract) -> None:
    assert resolve(node, registry, ["vitalik.eth", "VITALIK.eth", "vitalik.eth"]) == {
        "vitalik.eth": HOLDER,
        "VITALIK.eth": HOLDER,
    }
    assert node.requests == 3  # the newest block, all resolvers, all addresses


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody.eth", "'nobody.eth' is not registered, or has no resolver"),
        ("empty.eth", "'empty.eth' stands for no address"),
        ("far.eth", "'far.eth' keeps its address off chain: write the address it stands for"),
        ("lost.eth", "'lost.eth' has a resolver that gives no address: "),
        ("zoë.eth", "'zoë.eth' has characters beyond a-z, 0-9 and the hyphen"),
        ("a..eth", "'a..eth' is no name of ENS"),
        ("xn--zo-jka.eth", "'xn--zo-jka.eth' is no name of ENS"),
    ],
)
def test_a_name_without_an_address_says_why(node: PlainNode, registry: Contract, name: str, message: str) -> None:
    found = resolve(node, registry, ["vitalik.eth", name])
    assert found["vitalik.eth"] == HOLDER
    assert isinstance(found[name], UnresolvedNameError)
    assert message in str(found[name])


def test_where_there_is_no_registry_no_name_can_be_resolved(node: PlainNode) -> None:
    found = asyncio.run(resolve_names(node, ["vitalik.eth"]))["vitalik.eth"]
    assert isinstance(found, UnresolvedNameError)
    assert "'vitalik.eth' cannot be resolved on local: " in str(found)


def test_a_node_that_does_not_answer_is_no_verdict_on_a_name() -> None:
    gone = PlainNode("http://127.0.0.1:9")
    found = asyncio.run(resolve_names(gone, ["vitalik.eth", "a..eth"]))
    assert isinstance(found["vitalik.eth"], Unreachable)
    assert isinstance(found["a..eth"], UnresolvedNameError)


def test_the_hash_of_a_name_is_that_of_the_standard() -> None:
    """Vectors of EIP-137."""
    assert namehash(normalise("Foo.eth")).hex() == "de9b09fd7c5f901e23a3f19fecc54828e9c848539801e86591bd9801b019f84f"
    assert namehash("eth").hex() == "93cdeb708b7545dc668eb9280176169d1c33cfd8ed6f04690a0bcc88a93fc4ae"
