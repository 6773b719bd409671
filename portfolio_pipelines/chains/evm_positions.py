"""Positions of wallets and states of pools on an EVM chain: all at the same block, none able to spoil another.

Belongs here: which protocols a chain has, what each is asked, and what its failure costs. How a protocol is read is in
`protocols`, the order of a reading in `evm_reading`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from portfolio_pipelines.chains.chain_reading import NATIVE, PAIRS_SCHEMA
from portfolio_pipelines.chains.deployments import Deployments
from portfolio_pipelines.chains.protocols import (
    aave_v3,
    balancer,
    compound_v3,
    curve,
    curve_registry,
    erc721,
    uniswap_v2,
    uniswap_v3,
)
from portfolio_pipelines.chains.protocols.faults import PositionFault
from portfolio_pipelines.chains.protocols.pool_states import CURVE, PoolRequest, PoolState, read_pool_states
from portfolio_pipelines.chains.protocols.positions import Position
from portfolio_pipelines.chains.reader.balances import ReaderLimits
from portfolio_pipelines.chains.rpc.errors import RpcError
from portfolio_pipelines.chains.rpc.node import Block, Node

COIN_OF_CURVE: Final = "0x" + "e" * 40  # how Curve writes a chain's own coin
SHOWN_FAULTS: Final = 3  # of a protocol; there may be one for every wallet

_Read = Callable[[list[PositionFault]], Awaitable[list[Position]]]


@dataclass(frozen=True, slots=True)
class PositionQuestion:
    """What to look for.

    Attributes:
        wallets: Columns wallet_key and address.
        shares: Tokens that may be shares of pools of Uniswap v2, Sushiswap, Curve or Balancer; factory and registry
            decide.
        curve_pools: Pools of Curve whose shares are looked for whatever the registry says.
        weighted_pools: Pools of Balancer v2 whose shares are looked for whatever the factories say.
        counted: Wallets and the collections of NFTs that they had at the last read (PAIRS_SCHEMA).
        collections: Wallets and contracts that moved something like an NFT to or from them (PAIRS_SCHEMA).
    """

    wallets: pl.DataFrame
    shares: Collection[str] = ()
    curve_pools: Sequence[str] = ()
    weighted_pools: Sequence[str] = ()
    counted: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PAIRS_SCHEMA))
    collections: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PAIRS_SCHEMA))


@dataclass(frozen=True)
class PositionReader:
    """Reads the positions of one chain.

    Args:
        node: The chain.
        known: Where protocols stand on it.
        block: The block to read at.
        multicall3: Address of Multicall3, where the chain has it at that block.
        limits: What the node was found to take; learned in place.
        coin_tokens: Contracts that only show the chain's own coin: amounts of them are amounts of the coin.
    """

    node: Node
    known: Deployments
    block: Block
    multicall3: str | None
    limits: ReaderLimits
    coin_tokens: frozenset[str] = frozenset()

    async def read(self, question: PositionQuestion) -> tuple[list[Position], dict[str, str]]:
        """Positions of every protocol, and why protocols that could not be read could not."""
        if question.wallets.is_empty():
            return [], {}
        readings = self._readings(question)
        collected: dict[str, list[PositionFault]] = {protocol: [] for protocol in readings}
        answers = await asyncio.gather(
            *(read(collected[protocol]) for protocol, read in readings.items()), return_exceptions=True
        )
        positions: list[Position] = []
        unread = {protocol: "; ".join(map(str, some[:SHOWN_FAULTS])) for protocol, some in collected.items() if some}
        for protocol, answer in zip(readings, answers, strict=True):
            if isinstance(answer, RpcError | PositionFault):
                unread[protocol] = str(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                positions += answer
        coins = {COIN_OF_CURVE, *self.coin_tokens}
        return [_of_the_coin(position, coins) for position in positions], unread

    def _readings(self, question: PositionQuestion) -> Mapping[str, _Read]:
        known, node, block = self.known, self.node, self.block
        owners = question.wallets["address"].unique(maintain_order=True).to_list()
        shares = sorted(set(question.shares))
        readings: dict[str, _Read] = {}
        if (manager := known.uniswap_v3) is not None:
            readings["uniswap_v3"] = lambda faults: uniswap_v3.read_positions(
                node, owners, block, manager, multicall3=self.multicall3, faults=faults
            )
        if known.uniswap_v2_factories and shares:
            factories = {pair.factory: pair.protocol for pair in known.uniswap_v2_factories}
            readings["uniswap_v2"] = lambda faults: uniswap_v2.read_positions(
                node, owners, block, factories, shares,
                multicall3=self.multicall3, limits=self.limits, faults=faults,
            )  # fmt: skip
        if known.aave_v3:
            markets = [aave_v3.AaveMarket(market.market, market.pool) for market in known.aave_v3]
            readings["aave_v3"] = lambda faults: aave_v3.read_positions(
                node, owners, block, markets, multicall3=self.multicall3, limits=self.limits, faults=faults
            )
        if known.compound_v3:
            comets = [compound_v3.CompoundMarket(market.market, market.comet) for market in known.compound_v3]
            readings["compound_v3"] = lambda faults: compound_v3.read_positions(
                node, owners, block, comets, multicall3=self.multicall3, faults=faults
            )
        if question.curve_pools or (known.curve_address_provider is not None and shares):
            readings[curve.PROTOCOL] = lambda faults: self._curve(owners, shares, question.curve_pools, faults)
        if question.weighted_pools or (known.balancer_v2 is not None and shares):
            readings[balancer.PROTOCOL] = lambda faults: balancer.read_positions(
                node, owners, block, known.balancer_v2, shares, named=question.weighted_pools,
                multicall3=self.multicall3, limits=self.limits, faults=faults,
            )  # fmt: skip
        if question.counted.height + question.collections.height:
            readings[erc721.PROTOCOL] = lambda faults: self._collections(question, faults)
        return readings

    async def read_pools(self, pools: Sequence[PoolRequest], faults: list[str]) -> list[PoolState]:
        """The states of pools; why one could not be read is put into `faults`. The chain's coin is called NATIVE."""
        if not pools:
            return []
        noted: list[PositionFault] = []
        try:
            provider = self.known.curve_address_provider if any(pool.protocol == CURVE for pool in pools) else None
            registry = await curve_registry.registry_at(self.node, provider, self.block) if provider else None
            states = await read_pool_states(
                self.node, pools, self.block, multicall3=self.multicall3, curve_registry=registry, faults=noted
            )
        except RpcError as error:
            faults.append(f"pools: {error}")
            return []
        faults += map(str, noted)
        coins = {COIN_OF_CURVE, *self.coin_tokens}
        return [
            replace(state, tokens=tuple(NATIVE if token in coins else token for token in state.tokens))
            for state in states
        ]

    async def _curve(
        self, owners: Sequence[str], shares: Sequence[str], named: Sequence[str], faults: list[PositionFault]
    ) -> list[Position]:
        provider = self.known.curve_address_provider
        registry = await curve_registry.registry_at(self.node, provider, self.block) if provider else None
        pools = (
            await curve_registry.pools_of(self.node, shares, self.block, registry, multicall3=self.multicall3)
            if registry
            else []
        )
        found = {pool.pool for pool in pools}
        pools += [curve.CurvePool("", pool, registry=registry) for pool in dict.fromkeys(named) if pool not in found]
        if not pools:
            return []
        return await curve.read_positions(
            self.node, owners, self.block, pools, multicall3=self.multicall3, limits=self.limits, faults=faults
        )

    async def _collections(self, question: PositionQuestion, faults: list[PositionFault]) -> list[Position]:
        """Counts of NFTs. A contract that was never counted and cannot be now is no collection: anybody may log."""
        manager = self.known.uniswap_v3.position_manager if self.known.uniswap_v3 else None
        pairs = (
            pl.concat([question.counted, question.collections])
            .filter(pl.col("token").ne_missing(manager))  # its NFTs are positions already
            .join(question.wallets, on="wallet_key")
            .select("address", "token")
            .unique()
            .sort("address", "token")
        )
        noted: list[PositionFault] = []
        positions = await erc721.read_counts(
            self.node,
            [(address, erc721.Collection("", token)) for address, token in pairs.iter_rows()],
            self.block,
            multicall3=self.multicall3,
            faults=noted,
        )
        counted = set(question.counted["token"])
        faults += [fault for fault in noted if fault.place in counted]
        return positions


def with_known_tokens(
    positions: Sequence[Position], known: Collection[str], facts: pl.DataFrame
) -> tuple[list[Position], dict[str, str]]:
    """The positions all of whose tokens are known, and why protocols lack others.

    Args:
        positions: As they were read.
        known: Tokens whose facts were known before.
        facts: Of the others (`token_facts.TOKEN_FACTS`). Where nothing stands at an address, as anybody can make a
            pool of, there is no token: such amounts are left out. A token that was not read leaves out the position.
    """
    empty = set(facts.filter(pl.col("status") == "no_code")["token"])
    named = {NATIVE, *known, *facts.filter(pl.col("status") != "unread")["token"]}
    kept: list[Position] = []
    unread: dict[str, str] = {}
    for position in positions:
        used = [*(amount.token for amount in position.amounts), position.receipt_token or NATIVE]
        nameless = next((token for token in used if token not in named), None)
        if nameless is not None:
            unread.setdefault(position.protocol, f"position {position.position_id}: what {nameless} is was not read")
        elif empty.isdisjoint(used):
            kept.append(position)
        else:
            kept.append(replace(position, amounts=tuple(each for each in position.amounts if each.token not in empty)))
    return kept, unread


def _of_the_coin(position: Position, coins: Collection[str]) -> Position:
    """Amounts of a token that only shows the chain's own coin are amounts of the coin."""
    if all(amount.token not in coins for amount in position.amounts):
        return position
    amounts = (replace(each, token=NATIVE) if each.token in coins else each for each in position.amounts)
    return replace(position, amounts=tuple(amounts))
