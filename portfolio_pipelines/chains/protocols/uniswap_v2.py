"""Positions in Uniswap v2 and its unchanged copies (Sushiswap): what burning a wallet's pair tokens would give.

Equal to the pair's own `burn` to the wei: shares of what the pair really holds, after the protocol's fee that `burn`
would mint first. What the fees have earned is inside of the shares; a pair keeps no separate account of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
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
from portfolio_pipelines.chains.protocols.faults import Faults, PositionFault
from portfolio_pipelines.chains.protocols.held_tokens import held_tokens
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.reader.balances import ReaderLimits
from portfolio_pipelines.chains.rpc.node import Block, Node

_QUESTIONS: Final = ("factory()", "token0()", "token1()", "getReserves()", "totalSupply()", "kLast()")
_FEE_WEIGHT: Final = 5  # the protocol takes 1/6 of the growth of sqrt(k): 1 / (5 + 1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair at one block."""

    address: str
    protocol: str
    token0: str
    token1: str
    held0: int  # what the pair's balances in its tokens are; more than its reserves if somebody sent it some
    held1: int
    reserve0: int
    reserve1: int
    supply: int
    k_last: int  # product of the reserves after the last change of liquidity; 0 without a protocol fee
    fee_is_on: bool

    @property
    def supply_when_burning(self) -> int:
        """Supply after the protocol's fee, which every change of liquidity mints first.

        Source: UniswapV2Pair.sol, `_mintFee`.
        """
        if not self.fee_is_on or self.k_last == 0:
            return self.supply
        root, root_last = isqrt(self.reserve0 * self.reserve1), isqrt(self.k_last)
        if root <= root_last:
            return self.supply
        return self.supply + self.supply * (root - root_last) // (root * _FEE_WEIGHT + root_last)

    def share(self, raw: int) -> tuple[int, int]:
        """Tokens 0 and 1 that burning so many pair tokens gives."""
        supply = self.supply_when_burning
        if supply == 0:
            return 0, 0
        return raw * self.held0 // supply, raw * self.held1 // supply


async def read_positions(
    node: Node,
    wallets: Sequence[str],
    block: Block,
    factories: Mapping[str, str],
    pairs: Sequence[str],
    *,
    multicall3: str | None = None,
    limits: ReaderLimits | None = None,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    """What wallets have in pairs at a block.

    Args:
        node: The chain.
        wallets: Addresses of owners; one that comes twice is read once.
        block: The block to read at.
        factories: Protocol ("uniswap_v2", "sushiswap") by the address of its factory.
        pairs: Tokens that may be pairs; those that are not of one of the factories are left out, and stay ordinary
            tokens of the wallet.
        multicall3: Address of Multicall3, where the chain has it.
        limits: What is known about the node, see `read_balances`.
        faults: Takes what could not be read, so that the rest is returned. When None, the first fault is raised.

    Returns:
        One position for each wallet and pair that is not zero. Facts: `token0`, `token1`, and as decimal text
        `supply` (after the protocol's fee), `held0` and `held1` of the whole pair.

    Raises:
        PositionFault: If `faults` is None and something could not be read.
        RpcError: If the node cannot be read.
    """
    found = await read_pairs(node, pairs, block, factories, multicall3=multicall3, faults=faults)
    owners = list(dict.fromkeys(wallets))
    held = await held_tokens(node, owners, list(found), block, multicall3=multicall3, limits=limits)
    for pair in sorted(held.lying | held.unreadable):
        _faults(node, found[pair].protocol, faults).add(pair, "balances cannot be read")
    for wallet, pair in held.failed:
        _faults(node, found[pair].protocol, faults).add(pair, "its balance cannot be read", wallet=wallet)
    return [_position(found[pair], wallet, raw) for (wallet, pair), raw in held.amounts.items()]


async def read_pairs(
    node: Node,
    addresses: Sequence[str],
    block: Block,
    factories: Mapping[str, str],
    *,
    multicall3: str | None = None,
    faults: list[PositionFault] | None = None,
) -> dict[str, Pair]:
    """The pairs among these addresses, by address: those that their factory confirms.

    Args:
        node: The chain.
        addresses: Any contracts, lower-case.
        block: The block to read at.
        factories: Protocol by the address of its factory.
        multicall3: Address of Multicall3, where the chain has it.
        faults: Takes pairs of which something is unknown. When None, the first fault is raised.

    Raises:
        PositionFault: If `faults` is None and something could not be read.
        RpcError: If the node cannot be read.
    """
    claims = await _claims(node, list(dict.fromkeys(addresses)), block, factories, multicall3)
    confirming = [view(claim.factory, "getPair(address,address)", claim.token0, claim.token1) for claim in claims]
    confirmed = await call_many(node, confirming, block, multicall3=multicall3)
    genuine = [
        claim
        for claim, call, answer in zip(claims, confirming, confirmed, strict=True)
        if _confirms(call, answer, claim.pair)
    ]
    questions = [
        (
            view(claim.factory, "feeTo()"),
            view(claim.token0, "balanceOf(address)", claim.pair),
            view(claim.token1, "balanceOf(address)", claim.pair),
        )
        for claim in genuine
    ]
    distinct = list(dict.fromkeys(call for calls in questions for call in calls))
    answers = dict(zip(distinct, await call_many(node, distinct, block, multicall3=multicall3), strict=True))
    pairs = {}
    for claim, calls in zip(genuine, questions, strict=True):
        protocol = factories[claim.factory]
        try:
            fee_to, held0, held1 = (number(call, answers[call]) for call in calls)
        except CallFailed as error:
            _faults(node, protocol, faults).add(claim.pair, f"what the pair holds is unknown: {error}")
            continue
        pairs[claim.pair] = Pair(
            address=claim.pair,
            protocol=protocol,
            token0=claim.token0,
            token1=claim.token1,
            held0=held0,
            held1=held1,
            reserve0=claim.reserve0,
            reserve1=claim.reserve1,
            supply=claim.supply,
            k_last=claim.k_last,
            fee_is_on=fee_to != 0,
        )
    return pairs


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a contract says of itself; any contract can say this."""

    pair: str
    factory: str
    token0: str
    token1: str
    reserve0: int
    reserve1: int
    supply: int
    k_last: int


async def _claims(
    node: Node, candidates: Sequence[str], block: Block, factories: Mapping[str, str], multicall3: str | None
) -> list[_Claim]:
    """Who claims to be a pair of one of the factories."""
    calls = [view(candidate, question) for candidate in candidates for question in _QUESTIONS]
    answers = await call_many(node, calls, block, multicall3=multicall3)
    claims = []
    for place, candidate in enumerate(candidates):
        own = slice(place * len(_QUESTIONS), (place + 1) * len(_QUESTIONS))
        try:
            values = [numbers(call, answer) for call, answer in zip(calls[own], answers[own], strict=True)]
            factory, token0, token1 = (address(calls[0], value[0]) for value in values[:3])
            (reserve0, reserve1, _), (supply,), (k_last,) = values[3:]
        except (CallFailed, ValueError):
            continue  # it does not even claim to be one
        if factory in factories:
            claims.append(_Claim(candidate, factory, token0, token1, reserve0, reserve1, supply, k_last))
    return claims


def _confirms(call: Call, answer: Answer, pair: str) -> bool:
    try:
        return address(call, number(call, answer)) == pair
    except CallFailed:
        return False


def _faults(node: Node, protocol: str, collected: list[PositionFault] | None) -> Faults:
    return Faults(node.name, protocol, collected)


def _position(pair: Pair, wallet: str, raw: int) -> Position:
    amounts = zip((pair.token0, pair.token1), pair.share(raw), strict=True)
    return Position(
        protocol=pair.protocol,
        position_id=pair.address,
        wallet=wallet,
        pool=pair.address,
        amounts=tuple(Amount(token, "principal", share) for token, share in amounts if share),
        receipt_token=pair.address,
        receipt_raw=raw,
        facts={
            "token0": pair.token0,
            "token1": pair.token1,
            "supply": str(pair.supply_when_burning),
            "held0": str(pair.held0),
            "held1": str(pair.held1),
        },
    )
