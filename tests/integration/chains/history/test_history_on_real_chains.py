"""Transfers, closing blocks, reorganisations, reconciliation and receipt tokens on a real machine."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pytest

from portfolio_pipelines.chains.addresses import address_array
from portfolio_pipelines.chains.block_at import last_block_before
from portfolio_pipelines.chains.discovery import NOBODY, Cursor, Scanned, scan_transfers
from portfolio_pipelines.chains.raw_amounts import integers, raw_columns
from portfolio_pipelines.chains.receipt_tokens import Kind, Ratio, ReceiptToken, read_ratios
from portfolio_pipelines.chains.reconciliation import NATIVE, fee_of, movements_of, reconcile
from portfolio_pipelines.chains.reorganisations import canonical_hashes, find_fork, to_read_again
from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import JsonRpcNode, open_node
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from portfolio_pipelines.chains.token_facts import token_facts
from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Artifact, Contract, artifact, deploy
from tests.contracts.solidity import compiled
from tests.contracts.uniswap import WETH, add_liquidity, deploy_uniswap_v2_factory, new_pair, swap_in_pair, two_tokens

DAY = date(2027, 3, 1)
WAD = 10**18
T = TypeVar("T")


@pytest.fixture(scope="module")
def tokens(contracts_folder: Path) -> dict[str, Artifact]:
    return compiled([Path(__file__).parent / "Tokens.sol"])


def using(chain: Anvil, use: Callable[[JsonRpcNode], Coroutine[Any, Any, T]]) -> T:
    """What a use of the real client on this chain gives."""

    async def main() -> T:
        endpoint = EndpointSettings(chain.url, 10_000.0)
        async with open_node(chain.chain_id, "local", [endpoint], capabilities=MemoryCapabilityStore()) as node:
            return await use(node)

    return asyncio.run(main())


def scan(chain: Anvil, wallets: list[str], cursor: Cursor | None = None, **settings: Any) -> list[Scanned]:
    async def use(node: JsonRpcNode) -> list[Scanned]:
        found = scan_transfers(node, address_array(wallets), await node.block(), cursor=cursor, **settings)
        return [part async for part in found]

    return using(chain, use)


def test_every_kind_of_token_that_moves_is_found(
    chain: Anvil, sources: dict[str, Artifact], tokens: dict[str, Artifact]
) -> None:
    me, you, stranger = chain.accounts[1:4]
    start = chain.height + 1
    coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 6)
    art, weth = deploy(chain, tokens["Collectible"]), deploy(chain, artifact(WETH))
    coin.send("mint", me, 2**200)
    coin.send("transfer", you, 5, sender=me)
    coin.send("mint", stranger, 5)
    art.send("mint", me, 2**255 + 7)
    art.send("transferFrom", me, stranger, 2**255 + 7, sender=me)
    weth.send("deposit", sender=you, value=9)
    weth.send("withdraw", 4, sender=you)
    parts = scan(chain, [me, you], first_block=start, wrapped_native=[weth.address], window=3)
    found = pl.concat([part.transfers for part in parts])
    rows = zip(found["token"], found["sender"], found["receiver"], integers(found), found["kind"], strict=True)
    assert list(rows) == [
        (coin.address, NOBODY, me, 2**200, "erc20"),
        (coin.address, me, you, 5, "erc20"),
        (art.address, NOBODY, me, 2**255 + 7, "erc721"),
        (art.address, me, stranger, 2**255 + 7, "erc721"),
        (weth.address, NOBODY, you, 9, "erc20"),
        (weth.address, you, NOBODY, 4, "erc20"),
    ]
    assert parts[-1].last == chain.height
    assert scan(chain, [me, you], parts[-1].cursor) == []


def test_a_real_reorganisation_is_noticed_and_only_its_blocks_are_read_again(
    contracts_folder: Path, sources: dict[str, Artifact]
) -> None:
    with Anvil() as chain:
        me = chain.accounts[1]
        coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 6)
        for amount in range(1, 11):
            coin.send("mint", me, amount)
        parts = scan(chain, [me], window=2)
        stored = pl.concat([part.transfers for part in parts])
        assert integers(stored) == list(range(1, 11))
        known = [using(chain, lambda node, n=number: node.block(n)) for number in range(4, chain.height + 1)]
        partitions = pl.DataFrame(
            {
                "chain_id": [chain.chain_id] * len(known),
                "block_number": [block.number for block in known],
                "block_hash": [block.hash for block in known],
            }
        )

        replacement = {
            "from": me,
            "to": coin.address,
            "data": "0x" + coin.encode("mint", me, 777).hex(),
            "gas": "0x30000",
        }
        chain.rpc("anvil_reorg", 3, [[replacement, 0]])
        chain.mine()

        canonical = using(chain, lambda node: canonical_hashes(node, partitions["block_number"].to_list()))
        again = to_read_again(partitions, canonical)
        assert again["block_number"].to_list() == [block.number for block in known[-3:]]

        async def forked(node: JsonRpcNode) -> Any:
            return await find_fork(node, known, await node.block())

        fork = using(chain, forked)
        assert (fork.ancestor, fork.abandoned) == (known[-4], tuple(known[-3:]))
        assert fork.adopted[-1].number == chain.height
        assert fork.adopted[0].parent_hash == known[-4].hash

        for part in scan(chain, [me], parts[-1].cursor, window=2):
            assert part.first > known[-4].number - 2, "an older range is not read again"
            stored = pl.concat([stored.filter(pl.col("block_number") < part.first), part.transfers])
        fresh = pl.concat([part.transfers for part in scan(chain, [me])])
        assert stored.equals(fresh)
        assert 777 in integers(stored)
        assert 10 not in integers(stored)


def test_the_last_block_before_each_moment(chain: Anvil) -> None:
    random = np.random.default_rng(7)
    for pause in random.choice([0, 1, 2, 12, 400, 90_000], 60):
        chain.rpc("evm_setNextBlockTimestamp", chain.now + int(pause))
        chain.rpc("evm_mine")
    times = [int(chain.rpc("eth_getBlockByNumber", hex(n), False)["timestamp"], 16) for n in range(chain.height + 1)]

    async def use(node: JsonRpcNode) -> None:
        newest = await node.block()
        for moment in [times[0], times[0] + 1, *random.integers(times[0], times[-1] + 2, 30).tolist(), times[-1]]:
            found = await last_block_before(node, moment, newest)
            expected = max((n for n, time in enumerate(times) if time < moment), default=None)
            assert (found.number if found else None) == expected

    using(chain, use)


def test_what_real_contracts_say_of_themselves(
    chain: Anvil, sources: dict[str, Artifact], tokens: dict[str, Artifact]
) -> None:
    coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 6)
    others = [deploy(chain, tokens[name]) for name in ("EarlyToken", "LyingToken", "Collectible")]
    asked = [coin.address, *(contract.address for contract in others), chain.accounts[1]]
    frame = using(chain, lambda node: token_facts(node, asked, chain.height))
    assert frame.drop("token", "fault").rows() == [
        ("ok", "COIN", "Coin", 6),
        ("ok", "MKR", "Maker", 18),
        ("incomplete", None, None, None),
        ("incomplete", "COL", "Collectible", None),
        ("no_code", None, None, None),
    ]
    faults = frame["fault"].to_list()
    assert (faults[0], faults[1]) == (None, None)
    assert faults[2] == "symbol: unreadable; name: used up its gas; decimals: unreadable"


def balances(amounts: dict[tuple[str, str], int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "day": [DAY] * len(amounts),
            "chain_id": [31337] * len(amounts),
            "wallet": [wallet for wallet, _ in amounts],
            "token": [token for _, token in amounts],
            "is_stale": [False] * len(amounts),
        },
        schema_overrides={"chain_id": pl.Int64},
    ).hstack(list(raw_columns(amounts.values())))


def test_a_real_day_is_reconciled_to_the_wei(
    chain: Anvil, sources: dict[str, Artifact], tokens: dict[str, Artifact]
) -> None:
    me, you, stranger = chain.accounts[1:4]
    coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 6)
    fee, rebasing = deploy(chain, tokens["FeeToken"]), deploy(chain, tokens["RebasingToken"])
    weth, forwarder = deploy(chain, artifact(WETH)), deploy(chain, tokens["Forwarder"])
    for wallet in (me, you):
        for token in (coin, fee, rebasing):
            token.send("mint", wallet, 10**24 + 1)
    contracts = [coin, fee, rebasing, weth]

    def held() -> dict[tuple[str, str], int]:
        held_coins = {(w, NATIVE): int(chain.rpc("eth_getBalance", w, "latest"), 16) for w in (me, you)}
        return held_coins | {(w, token.address): token.call("balanceOf", w) for w in (me, you) for token in contracts}

    opening, start = held(), chain.height + 1
    sent: list[tuple[str, int, dict[str, Any]]] = [
        (me, 0, coin.send("transfer", you, 7, sender=me)),
        (me, 0, fee.send("transfer", you, 10**20, sender=me)),
        (you, 5 * WAD, weth.send("deposit", sender=you, value=5 * WAD)),
        (you, 0, weth.send("withdraw", WAD, sender=you)),
        (me, 3 * WAD, chain.send(stranger, sender=me, value=3 * WAD)),
    ]
    coin.send("mint", me, 100)
    rebasing.send("rebase", WAD * 101 // 100)
    forwarder.send("forward", me, sender=stranger, value=2 * WAD)
    transfers = pl.concat(
        [part.transfers for part in scan(chain, [me, you], first_block=start, wrapped_native=[weth.address])]
    ).with_columns(day=pl.lit(DAY), chain_id=pl.lit(31337, dtype=pl.Int64))
    fees = [fee_of(receipt) for *_, receipt in sent]
    transactions = pl.DataFrame(
        {"day": [DAY] * len(sent), "chain_id": [31337] * len(sent), "wallet": [wallet for wallet, *_ in sent]},
        schema_overrides={"chain_id": pl.Int64},
    ).hstack([*raw_columns([value for _, value, _ in sent], "value_raw"), *raw_columns(fees, "fee_raw")])
    frame = reconcile(
        balances(opening),
        balances(held()),
        movements_of(transfers, [me, you]),
        transactions=transactions,
        traced_chains=[31337],
        rebasing=pl.DataFrame({"chain_id": [31337], "token": [rebasing.address]}),
    )
    rows = zip(frame["wallet"], frame["token"], integers(frame, "difference"), frame["reason"], strict=True)
    grown = (10**24 + 1) * 101 // 100 - (10**24 + 1)
    assert {(wallet, token): (difference, reason) for wallet, token, difference, reason in rows} == {
        (me, coin.address): (0, "ok"),
        (you, coin.address): (0, "ok"),
        (me, fee.address): (0, "ok"),
        (you, fee.address): (-(10**19), "fee_on_transfer"),
        (me, rebasing.address): (grown, "rebase"),
        (you, rebasing.address): (grown, "rebase"),
        (me, weth.address): (0, "ok"),
        (you, weth.address): (0, "ok"),
        (me, NATIVE): (2 * WAD, "internal_transfer"),
        (you, NATIVE): (WAD, "internal_transfer"),
    }


def ratios(chain: Anvil, *asked: ReceiptToken) -> list[Any]:
    return using(chain, lambda node: read_ratios(node, asked, chain.height))


def test_a_share_of_a_real_vault_is_worth_what_redeeming_it_gives(
    chain: Anvil, sources: dict[str, Artifact], tokens: dict[str, Artifact]
) -> None:
    me = chain.accounts[1]
    coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 6)
    vault = deploy(chain, tokens["Vault"], coin.address)
    coin.send("mint", me, 10**15)
    coin.send("approve", vault.address, 2**256 - 1, sender=me)
    vault.send("deposit", 10**15 - 12_345, me, sender=me)
    coin.send("mint", vault.address, 123_456_789)
    (ratio,) = ratios(chain, ReceiptToken(vault.address, "erc4626", vault.call("decimals"), (coin.address,)))
    shares = vault.call("balanceOf", me)
    redeemed = vault.call("redeem", shares, me, me, sender=me)
    assert abs(ratio.underlying_of(shares) - redeemed) <= 1, "the contract rounds down twice"
    assert redeemed > 10**15 - 12_345


def test_a_share_of_a_real_pair_is_worth_what_burning_it_gives(chain: Anvil, sources: dict[str, Artifact]) -> None:
    me = chain.accounts[1]
    two = two_tokens(chain, sources)
    pair = new_pair(deploy_uniswap_v2_factory(chain), two)
    add_liquidity(pair, two, (10**18 + 11, 3 * 10**9 + 7), me)
    swap_in_pair(pair, two, 0, 10**17)
    found = ratios(chain, ReceiptToken(pair.address, "uniswap_v2", 18, tuple(token.address for token in two)))
    held = pair.call("balanceOf", me)
    pair.send("transfer", pair.address, held, sender=me)
    burnt = pair.call("burn", me)
    assert [ratio.underlying_of(held) for ratio in found] == list(burnt)
    assert [ratio.underlying for ratio in found] == [token.address for token in two]


@pytest.mark.parametrize("kind", ["wsteth", "reth", "ctoken"])
def test_a_rate_is_read_at_its_block(chain: Anvil, tokens: dict[str, Artifact], kind: Kind) -> None:
    rates: Contract = deploy(chain, tokens["Rates"])
    rates.send("set", 1_234_567_890_123_456_789)
    before = chain.height
    rates.send("set", 2 * WAD)
    token = ReceiptToken(rates.address, kind, 18, (chain.accounts[1],))
    assert ratios(chain, token) == [Ratio(rates.address, chain.accounts[1], 2 * WAD, WAD)]
    (earlier,) = using(chain, lambda node: read_ratios(node, [token], before))
    assert isinstance(earlier, Ratio)
    assert earlier.underlying_of(10 * WAD) == 12_345_678_901_234_567_890
