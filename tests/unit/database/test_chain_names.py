"""Lists of chains as people write them."""

import pytest

from portfolio_pipelines.chains.registry import Chain, Registry
from portfolio_pipelines.database.chain_names import find_chains

CHAINS = Registry(
    [
        Chain(1, "ethereum", "Ethereum", "ETH", "layer1"),
        Chain(42161, "arbitrum-one", "Arbitrum One", "ETH", "layer2"),
    ]
)


@pytest.mark.parametrize("text", ["ethereum;arbitrum one", "Arbitrum One | 1 |", "1,42161,ethereum"])
def test_a_list_of_chains_is_sorted_and_each_is_there_once(text: str) -> None:
    found, problems = find_chains(CHAINS, text)
    assert [chain.slug for chain in found] == ["arbitrum-one", "ethereum"]
    assert problems == []


def test_every_unknown_chain_of_a_list_is_told() -> None:
    found, problems = find_chains(CHAINS, "ethereum;etherum;zzzz")
    assert [chain.slug for chain in found] == ["ethereum"]
    assert problems == ["there is no chain 'etherum'; did you mean ethereum?", "there is no chain 'zzzz'"]


def test_no_list_is_no_chain() -> None:
    assert find_chains(CHAINS, " ; ") == ([], [])
