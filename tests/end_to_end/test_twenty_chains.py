"""A user on twenty chains, five of which misbehave: what the command line says, and what people read afterwards."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from portfolio_pipelines.chains.registry import load_registry
from tests.contracts.anvil import Anvil
from tests.contracts.faulty_proxy import (
    FaultyProxies,
    FaultyProxy,
    held,
    html,
    lying_height,
    most_in_a_second,
    refusing,
)

# Chains without protocols and listed tokens of ours: a local node in their place lacks nothing.
SLUGS = (
    "flare", "songbird", "cronos", "xdc", "syscoin", "viction", "velas", "shibarium", "shimmer", "manta",
    "opbnb", "kcc", "pulsechain", "astar", "conflux", "sei", "abstract", "iotex", "canto", "mode",
)  # fmt: skip
KILLED, REFUSING, SLOW, LYING, PAGE = SLUGS[:5]
FAILING = {KILLED, REFUSING, LYING, PAGE}
ANN, BEN = "0x" + "a1" * 20, "0x" + "b2" * 20
COIN = 10**18
PER_SECOND = 100


class World:
    """Twenty local chains, a server in front of each, and an installation that watches two wallets on all of them."""

    def __init__(self, chains: dict[str, Anvil], proxies: dict[str, FaultyProxy], home: Any) -> None:
        self.chains, self.proxies, self.home = chains, proxies, home
        rows = [f'[chain.{slug}]\nendpoints = ["{proxy.url}"]\nconfirmations = 0\n' for slug, proxy in proxies.items()]
        names = ", ".join(f'"{slug}"' for slug in SLUGS)
        (home.home / "chains.toml").write_text(f"enabled = [{names}]\n" + "".join(rows))
        path = home.write("wallets.csv", f"user_id,address,label,chains\nann,{ANN},main,\nben,{BEN},,{SLUGS[-1]}\n")
        home.does("import", "wallets", path)

    def give(self, coins: int) -> None:
        """Ann gets so many coins on each chain, times its place; Ben twice as many on the last one."""
        for place, chain in enumerate(self.chains.values(), 1):
            chain.set_balance(ANN, coins * place * COIN)
        self.chains[SLUGS[-1]].set_balance(BEN, 2 * coins * COIN)

    def read(self) -> str:
        return str(self.home.does("run", "--only", "onchain"))

    def balances(self, user: str = "ann") -> dict[str, tuple[float, bool]]:
        """Of each chain the units held, and whether they are stale."""
        rows = self.home.rows(f"select chain, amount, is_stale from marts.wallet_balances where user_id = '{user}'")
        return {row["chain"]: (row["amount"], row["is_stale"]) for row in rows}

    def total(self, user: str = "ann") -> dict[str, Any]:
        row = self.home.row(
            "select total_value_usd::double as value, coverage from marts.portfolio_snapshots "
            f"where user_id = '{user}' order by snapshot_timestamp desc limit 1"
        )
        return dict(row)

    def verdict(self, check: str) -> tuple[bool, str]:
        """The newest verdict of a check, and what it says."""
        rows = self.home.sql(
            f"select passed, details::text from app.check_results where check_name = '{check}' "
            "order by checked_at desc limit 1"
        )
        return rows[0][0], str(rows[0][1])


@pytest.fixture(scope="module")
def world(install: Callable[..., Any]) -> Iterator[World]:
    registry = load_registry()
    with ExitStack() as stack:
        chains = {slug: stack.enter_context(Anvil(registry.by_slug[slug].chain_id)) for slug in SLUGS}
        servers = stack.enter_context(FaultyProxies())
        proxies = {slug: servers.in_front_of(chain.url) for slug, chain in chains.items()}
        yield World(chains, proxies, install("twenty-chains"))


def prices(world: World) -> dict[str, float]:
    """The price of each chain's coin on the newest day."""
    rows = world.home.rows(
        "select chain, price_usd from marts.wallet_balances where user_id = 'ann' and token_address = 'native'"
    )
    return {row["chain"]: row["price_usd"] for row in rows}


def test_twenty_chains_five_of_which_misbehave(world: World) -> None:
    world.give(1)
    assert "20 chains read" in world.read()
    assert world.balances() == {slug: (float(place), False) for place, slug in enumerate(SLUGS, 1)}
    assert world.balances("ben") == {SLUGS[-1]: (2.0, False)}
    worth = prices(world)
    value = sum(place * worth[slug] for place, slug in enumerate(SLUGS, 1))
    assert world.total() == {"value": pytest.approx(value), "coverage": pytest.approx(1.0)}
    assert world.verdict("chains_are_fresh")[0] is True

    world.give(2)
    world.chains[KILLED].kill()
    world.proxies[REFUSING].fault = refusing(429, retry_after="1")
    world.proxies[SLOW].fault = held
    world.proxies[LYING].fault = lying_height()
    world.proxies[PAGE].fault = html
    slow = threading.Thread(target=_let_through, args=(world.proxies[SLOW],))
    slow.start()
    said = world.read()
    slow.join()

    assert "16 chains read" in said
    for slug in FAILING:
        assert f"{slug} on " in said, "a chain that was not read is named"
    expected = {
        slug: (float(place), True) if slug in FAILING else (2.0 * place, False) for place, slug in enumerate(SLUGS, 1)
    }
    assert world.balances() == expected, "what failed is what it was, stale; the slow one came late and whole"
    stale = sum(amount * worth[slug] for slug, (amount, is_stale) in expected.items() if is_stale)
    value = sum(amount * worth[slug] for slug, (amount, _) in expected.items())
    assert world.total() == {"value": pytest.approx(value), "coverage": pytest.approx(1 - stale / value)}
    assert world.total("ben")["coverage"] == pytest.approx(1.0), "who is on no failing chain notices nothing"
    passed, details = world.verdict("chains_are_fresh")
    assert passed is False
    assert all(slug in details for slug in FAILING)
    assert not any(slug in details for slug in set(SLUGS) - FAILING)

    by_chain = {
        row["key"]: row
        for row in world.home.rows(
            "select * from marts.portfolio_breakdown where dimension = 'chain' and user_id = 'ann'"
        )
    }
    assert {slug for slug, row in by_chain.items() if row["coverage"] < 1} == FAILING
    assert sum(row["share"] for row in by_chain.values()) == pytest.approx(1.0)

    for slug in FAILING - {KILLED}:
        world.proxies[slug].fault = None
    said = world.read()
    assert "19 chains read" in said
    healed = {slug: (2.0 * place, False) for place, slug in enumerate(SLUGS, 1)} | {KILLED: (1.0, True)}
    assert world.balances() == healed
    assert KILLED in world.verdict("chains_are_fresh")[1]
    for proxy in world.proxies.values():
        assert most_in_a_second(proxy.arrivals) <= PER_SECOND


def _let_through(proxy: FaultyProxy) -> None:
    proxy.wait_until_held()
    proxy.release()
