"""Which chain a person means."""

from dataclasses import dataclass

import pytest

from portfolio_pipelines.database.chain_names import ChainNames


@dataclass(frozen=True)
class Chain:
    chain_id: int
    slug: str
    name: str
    family: str = "evm"
    enabled: bool = True


CHAINS = ChainNames(
    [
        Chain(1, "ethereum", "Ethereum"),
        Chain(42161, "arbitrum-one", "Arbitrum One"),
        Chain(7, "twin-a", "Twin"),
        Chain(8, "twin-b", "Twin"),
        Chain(9, "ten", "Nine"),
        Chain(10, "nine", "Ten"),
    ]
)


@pytest.mark.parametrize("text", ["arbitrum-one", "ARBITRUM-ONE", "Arbitrum  one", " 42161 "])
def test_a_chain_is_known_by_slug_name_and_id_in_any_case(text: str) -> None:
    found = CHAINS.find(text)
    assert found is not None
    assert found.slug == "arbitrum-one"


def test_a_slug_wins_over_the_name_of_another_chain() -> None:
    found = CHAINS.find("ten")
    assert found is not None
    assert found.chain_id == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("etherum", "unknown chain 'etherum'; did you mean ethereum?"),
        ("Twin", "chain 'Twin' is ambiguous: write one of twin-a, twin-b"),
        ("zzzz", "unknown chain 'zzzz'; `portfolio chains` lists those that are known"),
    ],
)
def test_what_is_no_chain_is_explained(text: str, message: str) -> None:
    assert CHAINS.find(text) is None
    assert CHAINS.explain(text) == message


@pytest.mark.parametrize("text", ["ethereum;arbitrum one", "Arbitrum One | 1 |", "1,42161,ethereum"])
def test_a_list_of_chains_is_sorted_and_each_is_there_once(text: str) -> None:
    found, problems = CHAINS.find_all(text)
    assert [chain.slug for chain in found] == ["arbitrum-one", "ethereum"]
    assert problems == []


def test_every_unknown_chain_of_a_list_is_told() -> None:
    found, problems = CHAINS.find_all("ethereum;etherum;zzzz")
    assert [chain.slug for chain in found] == ["ethereum"]
    assert len(problems) == 2
