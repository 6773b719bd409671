"""What a Compound v3 market (a Comet) consists of at a block: base token, collateral assets, their prices and factors.

Belongs here: the market itself. What wallets have in it is `compound_v3`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portfolio_pipelines.chains.protocols.calls import (
    Answer,
    Call,
    CallFailed,
    address,
    call_many,
    number,
    numbers,
    view,
)
from portfolio_pipelines.chains.protocols.faults import Faults
from portfolio_pipelines.chains.rpc.node import Block, Node

MOST_ASSETS: Final = 64  # the contract packs them into 24 bits


@dataclass(frozen=True, slots=True)
class CompoundMarket:
    """One market.

    Attributes:
        name: For people.
        comet: Address of the market's contract, which is also the token of its supplies.
        rewards: Address of the chain's CometRewards, where there is one.
    """

    name: str
    comet: str
    rewards: str | None = None


@dataclass(frozen=True, slots=True)
class CollateralAsset:
    """An asset that a market takes as collateral. `price` is None where its feed does not answer."""

    token: str
    scale: int
    liquidate_factor: int
    price: int | None


@dataclass(frozen=True, slots=True)
class MarketState:
    """A market at a block. `price` is None where the feed of the base token does not answer."""

    market: CompoundMarket
    base: str
    scale: int
    price: int | None
    assets: tuple[CollateralAsset, ...]


@dataclass(frozen=True, slots=True)
class _Asset:
    token: str
    feed: str
    scale: int
    liquidate_factor: int


async def read_markets(
    node: Node, markets: Sequence[CompoundMarket], block: Block, faults: Faults, *, multicall3: str | None
) -> list[MarketState]:
    """The markets that can be read; each of the others becomes a fault.

    Raises:
        RpcError: If the node cannot be read.
    """
    views = ("baseToken()", "baseTokenPriceFeed()", "baseScale()", "numAssets()")
    asked = [view(market.comet, signature) for market in markets for signature in views]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    heads: dict[CompoundMarket, tuple[_Asset, int]] = {}
    for place, market in enumerate(markets):
        own = slice(place * len(views), (place + 1) * len(views))
        try:
            heads[market] = _head(list(zip(asked[own], answers[own], strict=True)))
        except CallFailed as error:
            faults.add(market.comet, f"the market: {error.message}", name=market.name)
    assets = await _assets(node, {market: count for market, (_, count) in heads.items()}, block, faults, multicall3)
    feeds = [(market, asset.feed) for market in assets for asset in (heads[market][0], *assets[market])]
    asked = [view(market.comet, "getPrice(address)", feed) for market, feed in feeds]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    prices = {feed: _price(call, answer) for feed, call, answer in zip(feeds, asked, answers, strict=True)}
    return [
        MarketState(
            market=market,
            base=heads[market][0].token,
            scale=heads[market][0].scale,
            price=prices[market, heads[market][0].feed],
            assets=tuple(
                CollateralAsset(each.token, each.scale, each.liquidate_factor, prices[market, each.feed])
                for each in found
            ),
        )
        for market, found in assets.items()
    ]


def _head(answers: Sequence[tuple[Call, Answer]]) -> tuple[_Asset, int]:
    base, feed = (address(call, number(call, answer)) for call, answer in answers[:2])
    scale, count = (number(call, answer, bits=64) for call, answer in answers[2:])
    if not scale or count > MOST_ASSETS:
        raise CallFailed(answers[0][0].to, f"a base scale of {scale} and {count} assets")
    return _Asset(base, feed, scale, 0), count


async def _assets(
    node: Node, counts: dict[CompoundMarket, int], block: Block, faults: Faults, multicall3: str | None
) -> dict[CompoundMarket, list[_Asset]]:
    places = [(market, place) for market, count in counts.items() for place in range(count)]
    asked = [view(market.comet, "getAssetInfo(uint8)", place) for market, place in places]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    assets: dict[CompoundMarket, list[_Asset]] = {market: [] for market in counts}
    for (market, place), call, answer in zip(places, asked, answers, strict=True):
        try:
            asset = _asset(call, answer)
        except CallFailed as error:
            if market in assets:  # without one of its assets, what is in the market is not known
                faults.add(market.comet, f"collateral asset {place}: {error.message}", name=market.name)
                del assets[market]
        else:
            if market in assets:
                assets[market].append(asset)
    return assets


def _asset(call: Call, answer: Answer) -> _Asset:
    # offset, asset, priceFeed, scale, borrowCollateralFactor, liquidateCollateralFactor, liquidationFactor, supplyCap
    _, token, feed, scale, _, liquidate_factor = numbers(call, answer, least=8)[:6]
    if not 0 < scale < 2**64 or liquidate_factor >= 2**64:
        raise CallFailed(call.to, f"a scale of {scale} and a factor of {liquidate_factor}")
    return _Asset(address(call, token), address(call, feed), scale, liquidate_factor)


def _price(call: Call, answer: Answer) -> int | None:
    try:
        return number(call, answer)
    except CallFailed:
        return None  # safety is unknown then, which `compound_v3` reports for whom it concerns
