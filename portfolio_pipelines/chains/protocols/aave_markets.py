"""What an Aave v3 market consists of at a block: its reserves, their tokens, indices and rates.

Belongs here: the market itself. What wallets have in it is `aave_v3`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portfolio_pipelines.chains.protocols.aave_math import RAY, normalized_income, normalized_variable_debt
from portfolio_pipelines.chains.protocols.calls import (
    Answer,
    Call,
    CallFailed,
    address,
    addresses,
    call_many,
    number,
    numbers,
    view,
)
from portfolio_pipelines.chains.protocols.faults import Faults
from portfolio_pipelines.chains.rpc.node import Block, Node

NOWHERE: Final = "0x" + "0" * 40

# Words of getReserveData: v3.0 to v3.5 answer 15 in this order (stable fields empty since v3.2), others may append.
_LIQUIDITY_INDEX, _LIQUIDITY_RATE, _BORROW_INDEX, _BORROW_RATE = 1, 2, 3, 4
_UPDATED, _ID, _SUPPLY_TOKEN, _STABLE_TOKEN, _VARIABLE_TOKEN = 6, 7, 8, 9, 10
_LEAST_WORDS: Final = 11


@dataclass(frozen=True, slots=True)
class AaveMarket:
    """One market: its name for people, and the address of its pool."""

    name: str
    pool: str


@dataclass(frozen=True, slots=True)
class ReserveToken:
    """A token that stands for a supply or a debt in a reserve.

    Attributes:
        market: Where.
        token: Its address.
        underlying: The asset supplied or owed.
        side: Which of the three tokens of the reserve it is.
        reserve_id: Place of the reserve in a wallet's configuration.
        rate: Yearly rate in ray; None for stable debts, where each borrower has an own one.
        index: Index at the block in ray, for supplies and variable debts.
    """

    market: AaveMarket
    token: str
    underlying: str
    side: str  # "supply", "variable_debt", "stable_debt"
    reserve_id: int
    rate: int | None
    index: int | None


async def read_reserve_tokens(
    node: Node, markets: Sequence[AaveMarket], block: Block, faults: Faults, *, multicall3: str | None
) -> list[ReserveToken]:
    """All tokens of all markets at a block; a market or reserve that cannot be read becomes a fault.

    A token counts only if it says itself that it stands for the reserve's asset: an answer of a layout that is not
    known cannot turn another address into a supply.

    Raises:
        RpcError: If the node cannot be read.
    """
    asked = [view(market.pool, "getReservesList()") for market in markets]
    reserves: list[tuple[AaveMarket, str]] = []
    for market, call, answer in zip(
        markets, asked, await call_many(node, asked, block, multicall3=multicall3), strict=True
    ):
        try:
            reserves += [(market, underlying) for underlying in addresses(call, answer)]
        except CallFailed as error:
            faults.add(market.pool, f"the list of reserves: {error.message}", name=market.name)
    asked = [view(market.pool, "getReserveData(address)", underlying) for market, underlying in reserves]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    tokens: list[ReserveToken] = []
    for (market, underlying), call, answer in zip(reserves, asked, answers, strict=True):
        try:
            tokens += _tokens(market, underlying, block, call, answer)
        except CallFailed as error:
            faults.add(market.pool, f"the data of the reserve: {error.message}", name=market.name, token=underlying)
    return await _true_ones(node, tokens, block, faults, multicall3)


def _tokens(market: AaveMarket, underlying: str, block: Block, call: Call, answer: Answer) -> list[ReserveToken]:
    words = numbers(call, answer, least=_LEAST_WORDS)
    elapsed = block.timestamp - words[_UPDATED]
    if elapsed < 0 or words[_LIQUIDITY_INDEX] < RAY or words[_BORROW_INDEX] < RAY or words[_ID] >= 128:
        raise CallFailed(call.to, "an answer of an unknown layout")
    sides = [
        (
            "supply",
            _SUPPLY_TOKEN,
            words[_LIQUIDITY_RATE],
            normalized_income(words[_LIQUIDITY_INDEX], words[_LIQUIDITY_RATE], elapsed),
        ),
        (
            "variable_debt",
            _VARIABLE_TOKEN,
            words[_BORROW_RATE],
            normalized_variable_debt(words[_BORROW_INDEX], words[_BORROW_RATE], elapsed),
        ),
        ("stable_debt", _STABLE_TOKEN, None, None),
    ]
    tokens = [
        ReserveToken(market, address(call, words[word]), underlying, side, words[_ID], rate, index)
        for side, word, rate, index in sides
    ]
    return [token for token in tokens if token.token != NOWHERE]


async def _true_ones(
    node: Node, tokens: list[ReserveToken], block: Block, faults: Faults, multicall3: str | None
) -> list[ReserveToken]:
    asked = [view(token.token, "UNDERLYING_ASSET_ADDRESS()") for token in tokens]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    true = []
    for token, call, answer in zip(tokens, asked, answers, strict=True):
        try:
            underlying = address(call, number(call, answer))
        except CallFailed as error:
            faults.add(token.market.pool, f"its {token.side}: {error}", name=token.market.name, token=token.underlying)
            continue
        if underlying == token.underlying:
            true.append(token)
        else:
            message = f"its {token.side} token {token.token} says that it stands for {underlying}"
            faults.add(token.market.pool, message, name=token.market.name, token=token.underlying)
    return true
