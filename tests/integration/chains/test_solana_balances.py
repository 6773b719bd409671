"""Balances on Solana, read over HTTP from the real virtual machine with the real token programs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import polars as pl
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from portfolio_pipelines.chains.chain_reading import PAIRS_SCHEMA, ChainQuestion, ChainReading, PlainReader
from portfolio_pipelines.chains.families import BalanceSource
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from portfolio_pipelines.chains.rpc.errors import BadAnswer, RateLimited, StateUnavailable, Unreachable, Unsupported
from portfolio_pipelines.chains.rpc.pacing import Pacers
from portfolio_pipelines.chains.solana.client import SolanaClient
from portfolio_pipelines.chains.solana.source import SolanaSource
from portfolio_pipelines.chains.solana.token_accounts import WRAPPED_NATIVE_MINT
from tests.integration.chains.loopback import Answer, serving, virtual_clock
from tests.integration.chains.solana_cluster import SOL, TOKEN_2022, SolanaCluster

T = TypeVar("T")


def with_source(cluster: SolanaCluster, use: Callable[[SolanaSource], Awaitable[T]]) -> T:
    async def run() -> T:
        async with serving(cluster.handle) as url:
            endpoints = [EndpointSettings(f"{url}/v2/a-very-secret-key")]
            async with SolanaClient("solana", endpoints, clock=virtual_clock(), pacers=Pacers()) as client:
                return await use(SolanaSource(client))

    return asyncio.run(run())


def read(
    cluster: SolanaCluster,
    wallets: list[Pubkey],
    mints: list[Pubkey],
    *,
    discover: bool = False,
    more: Sequence[tuple[int, Pubkey]] = (),
) -> Any:
    async def use(source: BalanceSource) -> Any:
        return await source.balances(
            [str(wallet) for wallet in wallets],
            [str(mint) for mint in mints],
            await source.newest(),
            more=[(row, str(mint)) for row, mint in more],
            discover=range(len(wallets)) if discover else (),
        )

    return with_source(cluster, use)


def rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return [(*row[:2], int(row[2])) for row in frame.rows()]


def keys(*keypairs: Keypair) -> list[Pubkey]:
    return [keypair.pubkey() for keypair in keypairs]


@pytest.fixture
def cluster() -> SolanaCluster:
    return SolanaCluster()


def test_native_and_token_balances_of_both_token_programs_are_exact(cluster: SolanaCluster) -> None:
    rich, poor, empty = cluster.wallet(5 * SOL + 7), cluster.wallet(SOL), cluster.wallet()
    classic, modern = cluster.mint(6), cluster.mint(9, TOKEN_2022)
    cluster.mint_to(classic, cluster.associated(rich.pubkey(), classic), 2**64 - 1)
    cluster.mint_to(modern, cluster.associated(poor.pubkey(), modern, TOKEN_2022), 42, TOKEN_2022)
    cluster.associated(empty.pubkey(), classic)

    found = read(cluster, keys(rich, poor, empty), [classic, modern])

    assert rows(found.balances) == [(0, 0, 5 * SOL + 7), (0, 1, 2**64 - 1), (1, 0, SOL), (1, 2, 42)]
    assert found.failed.is_empty()
    assert found.discovered.is_empty()
    assert found.balances.schema["raw"] == pl.Decimal(38, 0)


def test_reading_by_owner_gives_the_same_balances_and_finds_other_tokens(cluster: SolanaCluster) -> None:
    wallet = cluster.wallet(SOL)
    asked, unasked = cluster.mint(6), cluster.mint(0, TOKEN_2022)
    cluster.mint_to(asked, cluster.associated(wallet.pubkey(), asked), 10)
    cluster.mint_to(unasked, cluster.associated(wallet.pubkey(), unasked, TOKEN_2022), 1, TOKEN_2022)

    by_owner = read(cluster, keys(wallet), [asked], discover=True)

    assert by_owner.balances.equals(read(cluster, keys(wallet), [asked]).balances)
    assert rows(by_owner.discovered) == [(0, str(unasked), 1)]


def test_reading_by_owner_adds_up_accounts_beside_the_associated_one(cluster: SolanaCluster) -> None:
    wallet, mint = cluster.wallet(SOL), cluster.mint(6)
    cluster.mint_to(mint, cluster.associated(wallet.pubkey(), mint), 10)
    cluster.mint_to(mint, cluster.another_account(wallet.pubkey(), mint), 5)

    assert rows(read(cluster, keys(wallet), [mint], discover=True).balances)[1] == (0, 1, 15)
    assert rows(read(cluster, keys(wallet), [mint]).balances)[1] == (0, 1, 10)


def test_a_frozen_balance_is_still_the_wallets(cluster: SolanaCluster) -> None:
    wallet, mint = cluster.wallet(), cluster.mint(6)
    account = cluster.associated(wallet.pubkey(), mint)
    cluster.mint_to(mint, account, 10)
    cluster.freeze(mint, account)
    assert rows(read(cluster, keys(wallet), [mint]).balances) == [(0, 1, 10)]


def test_what_is_in_an_account_that_was_given_away_belongs_to_its_new_owner(cluster: SolanaCluster) -> None:
    giver, taker, mint = cluster.wallet(), cluster.wallet(), cluster.mint(6)
    account = cluster.associated(giver.pubkey(), mint)
    cluster.mint_to(mint, account, 10)
    cluster.give_away(account, giver, taker.pubkey())
    assert rows(read(cluster, keys(giver, taker), [mint]).balances) == []
    assert rows(read(cluster, keys(giver, taker), [mint], discover=True).balances) == [(1, 1, 10)]


def test_coins_sent_to_a_token_account_that_does_not_exist_are_no_tokens(cluster: SolanaCluster) -> None:
    wallet, mint = cluster.wallet(), cluster.mint(6)
    account = cluster.associated(wallet.pubkey(), mint)
    other = cluster.wallet()
    from solders.token.associated import get_associated_token_address

    cluster.pay(cluster.payer, get_associated_token_address(other.pubkey(), mint), SOL)
    cluster.mint_to(mint, account, 3)
    assert rows(read(cluster, keys(wallet, other), [mint]).balances) == [(0, 1, 3)]


def test_fees_withheld_from_a_transfer_are_not_part_of_the_balance(cluster: SolanaCluster) -> None:
    sender, receiver = cluster.wallet(), cluster.wallet()
    mint = cluster.mint(6, TOKEN_2022, fee_basis_points=100)
    source = cluster.associated(sender.pubkey(), mint, TOKEN_2022)
    target = cluster.associated(receiver.pubkey(), mint, TOKEN_2022)
    cluster.mint_to(mint, source, 10_000, TOKEN_2022)
    cluster.transfer_with_fee(mint, source, sender, target, 1_000, 6)
    assert rows(read(cluster, keys(sender, receiver), [mint]).balances) == [(0, 1, 9_000), (1, 1, 990)]


def test_wrapped_coins_are_a_token_without_the_rent_of_their_account(cluster: SolanaCluster) -> None:
    wallet, native = cluster.wallet(10 * SOL), Pubkey.from_string(WRAPPED_NATIVE_MINT)
    cluster.wrap(wallet, native, 3 * SOL)
    assert rows(read(cluster, keys(wallet), [native]).balances) == [(0, 0, 7 * SOL), (0, 1, 3 * SOL)]


def test_a_token_that_is_no_mint_is_missing_for_every_wallet_and_harms_no_other(cluster: SolanaCluster) -> None:
    wallets = [cluster.wallet(SOL), cluster.wallet()]
    mint = cluster.mint(6)
    account = cluster.associated(wallets[0].pubkey(), mint)
    cluster.mint_to(mint, account, 1)
    for discover in (False, True):
        found = read(cluster, keys(*wallets), [Keypair().pubkey(), account, mint], discover=discover)
        assert rows(found.balances) == [(0, 0, SOL), (0, 3, 1)]
        assert found.failed.select("wallet", "column").rows() == [(0, 1), (0, 2), (1, 1), (1, 2)]
        assert found.failed["why"].str.contains("no such mint").all()


def test_many_wallets_take_a_request_for_each_hundred_accounts(cluster: SolanaCluster) -> None:
    mints = [cluster.mint(6) for _ in range(4)]
    wallets = [cluster.wallet() for _ in range(130)]
    for place in (0, 19, 20, 129):
        cluster.mint_to(mints[place % 4], cluster.associated(wallets[place].pubkey(), mints[place % 4]), place + 1)
    found = read(cluster, keys(*wallets), mints)
    assert rows(found.balances) == [(0, 1, 1), (19, 4, 20), (20, 1, 21), (129, 2, 130)]
    asked = [len(request["params"][0]) for request in cluster.requests if request["method"] == "getMultipleAccounts"]
    assert sorted(asked) == [4, 50, *[100] * 6]  # 4 mints, then 130 wallets of 5 accounts each


def test_an_endpoint_that_takes_fewer_accounts_a_request_is_asked_for_fewer(cluster: SolanaCluster) -> None:
    wallet, mints = cluster.wallet(SOL), [cluster.mint(6) for _ in range(6)]
    cluster.mint_to(mints[5], cluster.associated(wallet.pubkey(), mints[5]), 8)
    cluster.most_accounts = 3
    assert rows(read(cluster, keys(wallet), mints).balances) == [(0, 0, SOL), (0, 6, 8)]


def test_the_newest_slot_has_the_hash_and_time_of_the_chain(cluster: SolanaCluster) -> None:
    for keeps_ledger in (True, False):
        cluster.keeps_ledger = keeps_ledger
        block = with_source(cluster, lambda source: source.newest())
        assert block.number == cluster.slot
        assert block.hash == str(cluster.svm.latest_blockhash())
        assert block.timestamp == 1_700_000_000


def test_past_days_cannot_be_read(cluster: SolanaCluster) -> None:
    assert with_source(cluster, lambda source: source.at_close(datetime(2024, 1, 1, tzinfo=UTC))) is None


def test_the_newest_slot_among_the_answers_is_reported(cluster: SolanaCluster) -> None:
    wallet = cluster.wallet(SOL)

    async def use(source: SolanaSource) -> Any:
        block = await source.newest()
        cluster.svm.warp_to_slot(block.number + 9)
        return block, await source.balances([str(wallet.pubkey())], [], block)

    block, found = with_source(cluster, use)
    assert found.block == block
    assert found.newest_number == block.number + 9


def test_a_node_behind_the_pinned_slot_is_never_believed(cluster: SolanaCluster) -> None:
    wallet = cluster.wallet(SOL)

    async def use(source: SolanaSource) -> None:
        block = await source.newest()
        cluster.svm.warp_to_slot(block.number - 1)
        await source.balances([str(wallet.pubkey())], [], block)

    with pytest.raises(StateUnavailable, match=r"solana at 127\.0\.0\.1:\d+: Minimum context slot"):
        with_source(cluster, use)

    def lie(request: dict[str, Any], result: Any) -> Any:
        if request["method"] != "getMultipleAccounts":
            return result
        value = cluster._answer("getMultipleAccounts", [request["params"][0], {}])["result"]["value"]
        return {"result": {"context": {"slot": 5}, "value": value}}

    cluster.spoil = lie
    with pytest.raises(BadAnswer, match="of slot 5, older than"):
        read(cluster, keys(wallet), [])


FAULTS = {
    "429": (Answer("slow down", 429, {"Retry-After": "2"}), RateLimited),
    "500": (Answer("oops /v2/a-very-secret-key", 500), Unreachable),
    "html": (Answer("<html>maintenance a-very-secret-key</html>"), Unreachable),
    "truncated": (Answer({"result": [1] * 100}, cut_after=20), Unreachable),
    "half": (Answer('{"jsonrpc":"2.0","result":{"conte'), Unreachable),
    "other": (Answer({"jsonrpc": "2.0", "id": 999, "result": None}), BadAnswer),
    "empty": (Answer({}), BadAnswer),
    "list": (Answer([]), BadAnswer),
    "behind": (Answer({"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "behind"}}), StateUnavailable),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_tried_again_and_a_lasting_one_named_without_the_key(
    cluster: SolanaCluster, fault: str
) -> None:
    answer, kind = FAULTS[fault]
    wallet = cluster.wallet(SOL)
    faults = [answer, answer]
    cluster.spoil = lambda _, result: faults.pop() if faults else result
    assert rows(read(cluster, keys(wallet), []).balances) == [(0, 0, SOL)]

    cluster.spoil = lambda *_: answer
    with pytest.raises(kind, match=r"^solana at 127\.0\.0\.1:\d+: ") as caught:
        read(cluster, keys(wallet), [])
    assert "secret" not in str(caught.value)


def test_an_endpoint_that_is_down_is_replaced_by_another(cluster: SolanaCluster) -> None:
    wallet = cluster.wallet(SOL)

    async def run() -> Any:
        async with serving(cluster.handle) as url:
            endpoints = [EndpointSettings("http://127.0.0.1:9/"), EndpointSettings(url)]
            async with SolanaClient("solana", endpoints, clock=virtual_clock(), pacers=Pacers()) as client:
                source = SolanaSource(client)
                return await source.balances([str(wallet.pubkey())], [], await source.newest())

    assert rows(asyncio.run(run()).balances) == [(0, 0, SOL)]


def test_an_account_that_its_program_could_not_have_written_is_refused(cluster: SolanaCluster) -> None:
    wallet, mint, other = cluster.wallet(), cluster.mint(6), cluster.mint(6)
    for each in (mint, other):
        cluster.mint_to(each, cluster.associated(wallet.pubkey(), each), 10)

    def swap(request: dict[str, Any], result: Any) -> Any:
        if request["method"] == "getMultipleAccounts" and len(request["params"][0]) == 3:
            result["result"]["value"][1:] = result["result"]["value"][:0:-1]
        return result

    cluster.spoil = swap
    with pytest.raises(BadAnswer, match=rf"holds mint {other} in the place of {mint}"):
        read(cluster, keys(wallet), [mint, other])


def test_an_address_of_another_chain_is_refused_before_anything_is_asked(cluster: SolanaCluster) -> None:
    async def use(source: SolanaSource) -> None:
        block = await source.newest()
        cluster.requests.clear()
        await source.balances(["0xd8da6bf26964af9d7eed9e03e53415d37aa96045"], [], block)

    with pytest.raises(ValueError, match="EVM chain"):
        with_source(cluster, use)
    assert cluster.requests == []


def test_further_tokens_of_single_wallets_cost_an_account_each(cluster: SolanaCluster) -> None:
    one, two = cluster.wallet(SOL), cluster.wallet()
    listed, mine, gone = cluster.mint(6), cluster.mint(6), Keypair().pubkey()
    for mint in (listed, mine):
        for place, wallet in enumerate((one, two)):
            cluster.mint_to(mint, cluster.associated(wallet.pubkey(), mint), 5 + place)
    column = {mint: 2 + place for place, mint in enumerate(sorted((mine, gone), key=str))}
    for discover in (False, True):
        cluster.requests.clear()
        found = read(cluster, keys(one, two), [listed], more=[(0, mine), (0, gone)], discover=discover)
        expected = [(0, 0, SOL), (0, 1, 5), (0, column[mine], 5), (1, 1, 6)]
        assert rows(found.balances) == expected
        assert found.failed.select("wallet", "column").rows() == ([] if discover else [(0, column[gone])])
        assert rows(found.discovered) == ([(1, str(mine), 6)] if discover else [])
        methods = [request["method"] for request in cluster.requests]
        assert methods.count("getTokenAccountsByOwner") == (4 if discover else 0)


def reading_of(cluster: SolanaCluster, wallets: list[Pubkey], **question: Any) -> ChainReading:
    frame = pl.DataFrame(
        {"wallet_key": range(1, 1 + len(wallets)), "address": [str(wallet) for wallet in wallets]},
        schema_overrides={"wallet_key": pl.Int32},
    )
    asked = {"due": frozenset(frame["wallet_key"]), "tokens": [], "pairs": pl.DataFrame(schema=PAIRS_SCHEMA)}

    async def use(source: SolanaSource) -> ChainReading:
        reader = PlainReader(source)
        return await reader.read(ChainQuestion(wallets=frame, **(asked | question)), await reader.newest())

    return with_source(cluster, use)


def test_tokens_are_looked_for_of_some_wallets_and_then_read_again_without_looking(cluster: SolanaCluster) -> None:
    one, two = cluster.wallet(SOL), cluster.wallet(SOL)
    mint = cluster.mint(6)
    for wallet in (one, two):
        cluster.mint_to(mint, cluster.associated(wallet.pubkey(), mint), 5)
    first = reading_of(cluster, keys(one, two), discover=frozenset({1}))
    assert first.pairs.rows() == [(1, str(mint))]
    assert first.balances.select("wallet_key", "token").rows() == [(1, str(mint)), (1, "native"), (2, "native")]

    cluster.mint_to(mint, cluster.associated(one.pubkey(), mint), 4)
    cluster.requests.clear()
    later = reading_of(cluster, keys(one, two), pairs=first.pairs)
    assert rows(later.balances.filter(pl.col("token") != "native")) == [(1, str(mint), 9)]
    assert later.pairs.rows() == first.pairs.rows()
    assert later.tokens == ["native"]
    assert "getTokenAccountsByOwner" not in [request["method"] for request in cluster.requests]


def test_blocks_that_are_final_are_not_compared(cluster: SolanaCluster) -> None:
    with pytest.raises(Unsupported, match="solana at all endpoints: blocks are final"):
        with_source(cluster, lambda source: PlainReader(source).hash_of(1))
