import pytest

from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import open_node
from portfolio_pipelines.chains.rpc.endpoints import Address, EndpointSettings, names_of

KEY = "0123456789abcdef0123456789abcdef"
SECRET_URLS = [
    f"https://mainnet.infura.io/v3/{KEY}",
    f"https://node.example/?apikey={KEY}",
    f"https://user:{KEY}@node.example/",
    f"https://{KEY}.rpc.example/",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_an_address_shows_its_host_but_never_a_key(url: str) -> None:
    address = Address(url)
    assert KEY not in repr(address) + str(address) + address.host
    assert KEY not in repr(EndpointSettings(url))
    assert address.reveal() == url


@pytest.mark.parametrize("url", SECRET_URLS)
def test_a_key_is_taken_out_of_what_a_node_says(url: str) -> None:
    said = f"project {KEY} has no credits, see {url}"
    assert KEY not in Address(url).hide(said)
    assert "has no credits" in Address(url).hide(said)


def test_a_key_that_is_escaped_in_the_url_is_hidden_in_both_spellings() -> None:
    address = Address("https://node.example/?key=pass%2Fword%21long")
    assert address.hide("pass/word!long and pass%2Fword%21long") == "*** and ***"


def test_endpoints_are_named_by_host_and_numbered_where_they_share_one() -> None:
    urls = ["https://a.example/x", "https://b.example/one", "https://b.example/two", "http://127.0.0.1:8545"]
    assert names_of([Address(url) for url in urls]) == [
        "a.example",
        "b.example#1",
        "b.example#2",
        "127.0.0.1:8545",
    ]


@pytest.mark.parametrize("url", ["", "node.example", "ftp://node.example", "https://", "https://x:abc/"])
def test_a_url_that_is_none_is_refused_when_the_node_is_opened(url: str) -> None:
    with pytest.raises(ValueError, match="somechain: an endpoint"):
        open_node(1, "somechain", [EndpointSettings(url)], capabilities=MemoryCapabilityStore())


def test_a_chain_without_an_endpoint_or_with_one_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="somechain: a chain without an endpoint"):
        open_node(1, "somechain", [], capabilities=MemoryCapabilityStore())
    with pytest.raises(ValueError, match="somechain: the same endpoint stands twice"):
        open_node(1, "somechain", [EndpointSettings("https://a.example")] * 2, capabilities=MemoryCapabilityStore())


def test_a_pace_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="somechain: requests a second must be a positive number"):
        open_node(1, "somechain", [EndpointSettings("https://pace.example", 0)], capabilities=MemoryCapabilityStore())


def test_only_nodes_of_this_machine_are_local() -> None:
    assert Address("http://localhost:8545").is_local
    assert Address("http://[::1]:8545").is_local
    assert not Address("https://127.example").is_local
