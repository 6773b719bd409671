"""Local chains for the tests of this folder. Contracts that take long to deploy belong on a `module_chain`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Artifact, place_multicall3
from tests.contracts.install import installed
from tests.contracts.plain_node import PlainNode
from tests.contracts.solidity import compiled


@pytest.fixture(scope="session")
def contracts_folder() -> Path:
    """The folder whose node_modules holds the pinned packages; installed on first use."""
    return installed()


@pytest.fixture(scope="session")
def sources(contracts_folder: Path) -> dict[str, Artifact]:
    """The compiled contracts of tests/contracts/sources, by name."""
    return compiled()


@pytest.fixture(scope="session")
def session_chain(contracts_folder: Path) -> Iterator[Anvil]:
    """One chain, with Multicall3, for all tests; take `chain` to change something on it."""
    with Anvil() as chain:
        place_multicall3(chain)
        yield chain


@pytest.fixture
def chain(session_chain: Anvil) -> Iterator[Anvil]:
    """A chain whose changes are gone after the test."""
    with session_chain.reverted():
        yield session_chain


@pytest.fixture(scope="module")
def module_chain(contracts_folder: Path) -> Iterator[Anvil]:
    """A chain, with Multicall3, for the tests of one file alone."""
    with Anvil() as chain:
        place_multicall3(chain)
        yield chain


@pytest.fixture
def node(chain: Anvil) -> PlainNode:
    """`chain` as readers see it."""
    return PlainNode(chain.url, chain.chain_id)


@pytest.fixture
def module_node(module_chain: Anvil) -> PlainNode:
    """`module_chain` as readers see it."""
    return PlainNode(module_chain.url, module_chain.chain_id)
