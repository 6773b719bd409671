"""What wallets have in Compound v3: the base token supplied or owed, collateral, rewards, and how safe it is.

Belongs here: reading wallets. Markets are read by `compound_markets`, the arithmetic is `compound_math`.

A wallet has one position in a market. Supplies and debts are the market's own `balanceOf` and `borrowBalanceOf` at
the block, which include the interest up to it. A supply of the base token shows in the wallet as the market's own
token, which is therefore the position's `receipt_token`; collateral and debts are no tokens.
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
    flag,
    number,
    numbers,
    view,
)
from portfolio_pipelines.chains.protocols.compound_markets import CompoundMarket, MarketState, read_markets
from portfolio_pipelines.chains.protocols.compound_math import Collateral, health_factor
from portfolio_pipelines.chains.protocols.faults import Faults, PositionFault
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.rpc.node import Block, Node

__all__ = ["PROTOCOL", "CompoundMarket", "read_positions"]

PROTOCOL: Final = "compound_v3"


@dataclass(frozen=True, slots=True, eq=False)  # each is itself: quick to look up
class _Account:
    """A wallet that has something in a market."""

    wallet: str
    state: MarketState
    principal: int


async def read_positions(
    node: Node,
    wallets: Sequence[str],
    block: Block,
    markets: Sequence[CompoundMarket],
    *,
    multicall3: str | None = None,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    """What wallets have in the markets of a chain, at a block.

    Args:
        node: The chain.
        wallets: Addresses.
        block: The block to read at.
        markets: The markets.
        multicall3: Address of Multicall3, where the chain has it.
        faults: Takes what could not be read, so that the rest is returned. When None, the first fault is raised.

    Returns:
        One position for each wallet and market with anything in it; `position_id` is the market's address. Roles:
        "supply" or "debt" of the base token, "collateral", "reward". Facts: `market`; `principal` (negative for a
        debt); with a debt `health_factor` (18 decimals; collateral weighted by the factors of liquidation),
        `is_liquidatable` and `is_borrow_collateralized` (0 or 1), where they could be read; `reward` is "unreadable"
        where the market has rewards and they could not be read.

    Raises:
        PositionFault: If `faults` is None and something could not be read.
        RpcError: If the node cannot be read.
    """
    noted = Faults(node.name, PROTOCOL, faults)
    states = await read_markets(node, markets, block, noted, multicall3=multicall3)
    accounts = await _accounts(node, wallets, states, block, noted, multicall3)
    amounts = await _amounts(node, accounts, block, noted, multicall3)
    safety = await _safety(node, amounts, block, noted, multicall3)
    rewards = await _rewards(node, list(amounts), block, multicall3)
    positions = []
    for account, found in amounts.items():
        facts: dict[str, int | str] = {
            "market": account.state.market.name,
            "principal": account.principal,
            **safety.get(account, {}),
        }
        reward = rewards.get(account)
        if isinstance(reward, CallFailed):
            facts["reward"] = "unreadable"
        elif reward is not None:
            found = (*found, reward)
        if owned := tuple(amount for amount in found if amount.raw):
            positions.append(_position(account, owned, facts))
    return positions


def _position(account: _Account, amounts: tuple[Amount, ...], facts: dict[str, int | str]) -> Position:
    supplied = sum(amount.raw for amount in amounts if amount.role == "supply")
    comet = account.state.market.comet
    return Position(
        protocol=PROTOCOL,
        position_id=comet,
        wallet=account.wallet,
        pool=comet,
        amounts=amounts,
        receipt_token=comet if supplied else None,
        receipt_raw=supplied,
        facts=facts,
    )


async def _accounts(
    node: Node,
    wallets: Sequence[str],
    states: Sequence[MarketState],
    block: Block,
    faults: Faults,
    multicall3: str | None,
) -> list[_Account]:
    """Wallets that have anything in a market: one view each, of which most say "nothing"."""
    pairs = [(state, wallet) for state in states for wallet in wallets]
    asked = [view(state.market.comet, "userBasic(address)", wallet) for state, wallet in pairs]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    accounts = []
    failed: dict[str, list[tuple[str, str]]] = {}
    for (state, wallet), call, answer in zip(pairs, asked, answers, strict=True):
        try:
            # principal, tracking index, tracking accrued, assets in, and bits of further assets
            words = numbers(call, answer, least=4)
            principal = _signed(call, words[0], 104)
        except CallFailed as error:
            failed.setdefault(state.market.comet, []).append((wallet, error.message))
            continue
        if any(words[:1] + words[2:]):
            accounts.append(_Account(wallet, state, principal))
    for state in states:
        several = failed.get(state.market.comet, [])
        if several and len(several) == len(wallets):
            faults.add(state.market.comet, f"no account can be read: {several[0][1]}", name=state.market.name)
            continue
        for wallet, message in several:
            faults.add(state.market.comet, f"the account: {message}", name=state.market.name, wallet=wallet)
    order = {wallet: place for place, wallet in enumerate(wallets)}
    return sorted(accounts, key=lambda account: order[account.wallet])


async def _amounts(
    node: Node, accounts: Sequence[_Account], block: Block, faults: Faults, multicall3: str | None
) -> dict[_Account, tuple[Amount, ...]]:
    asked: list[Call] = []
    ends: list[int] = []
    for account in accounts:
        comet = account.state.market.comet
        asked += [
            view(comet, "balanceOf(address)", account.wallet),
            view(comet, "borrowBalanceOf(address)", account.wallet),
        ]
        asked += [
            view(comet, "userCollateral(address,address)", account.wallet, asset.token)
            for asset in account.state.assets
        ]
        ends.append(len(asked))
    answers = await call_many(node, asked, block, multicall3=multicall3)
    amounts = {}
    for account, start, end in zip(accounts, [0, *ends], ends, strict=False):
        try:
            amounts[account] = _of_account(account, asked[start:end], answers[start:end])
        except CallFailed as error:
            market = account.state.market
            faults.add(market.comet, f"the account: {error.message}", name=market.name, wallet=account.wallet)
    return amounts


def _of_account(account: _Account, calls: Sequence[Call], answers: Sequence[Answer]) -> tuple[Amount, ...]:
    supplied, owed = (number(*pair) for pair in zip(calls[:2], answers[:2], strict=True))
    if (owed and account.principal >= 0) or (supplied and account.principal <= 0):
        raise CallFailed(calls[0].to, f"{supplied} supplied and {owed} owed at a principal of {account.principal}")
    base = account.state.base
    amounts = [Amount(base, "supply", supplied), Amount(base, "debt", owed)]
    for asset, call, answer in zip(account.state.assets, calls[2:], answers[2:], strict=True):
        raw = numbers(call, answer)[0]
        if raw >> 128:
            raise CallFailed(call.to, f"collateral of {raw:#x}")
        amounts.append(Amount(asset.token, "collateral", raw))
    return tuple(amounts)


async def _safety(
    node: Node,
    amounts: dict[_Account, tuple[Amount, ...]],
    block: Block,
    faults: Faults,
    multicall3: str | None,
) -> dict[_Account, dict[str, int]]:
    """Figures of the accounts with a debt."""
    borrowers = [account for account in amounts if account.principal < 0]
    views = ("isLiquidatable(address)", "isBorrowCollateralized(address)")
    asked = [view(account.state.market.comet, name, account.wallet) for account in borrowers for name in views]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    safety = {}
    for place, account in enumerate(borrowers):
        own = slice(2 * place, 2 * place + 2)
        try:
            liquidatable, collateralized = (flag(*pair) for pair in zip(asked[own], answers[own], strict=True))
            health = _health(account, amounts[account])
        except CallFailed as error:
            market = account.state.market
            message = f"amounts are known, safety is not: {error.message}"
            faults.add(market.comet, message, name=market.name, wallet=account.wallet)
            continue
        figures = {"is_liquidatable": int(liquidatable), "is_borrow_collateralized": int(collateralized)}
        safety[account] = figures if health is None else {**figures, "health_factor": health}
    return safety


def _health(account: _Account, amounts: Sequence[Amount]) -> int | None:
    state = account.state
    collaterals = []
    for asset, amount in zip(state.assets, amounts[2:], strict=True):
        if not amount.raw:
            continue
        if asset.price is None:
            raise CallFailed(state.market.comet, f"no price of {asset.token}")
        collaterals.append(Collateral(amount.raw, asset.price, asset.scale, asset.liquidate_factor))
    if state.price is None:
        raise CallFailed(state.market.comet, f"no price of {state.base}")
    return health_factor(collaterals, amounts[1].raw, state.price, state.scale)


async def _rewards(
    node: Node, accounts: Sequence[_Account], block: Block, multicall3: str | None
) -> dict[_Account, Amount | CallFailed]:
    """What each account may claim. The view brings the market up to date first, so nothing else is asked with it."""
    asked = {
        account: view(rewards, "getRewardOwed(address,address)", account.state.market.comet, account.wallet)
        for account in accounts
        if (rewards := account.state.market.rewards) is not None
    }
    answers = await call_many(node, list(asked.values()), block, multicall3=multicall3)
    owed: dict[_Account, Amount | CallFailed] = {}
    for (account, call), answer in zip(asked.items(), answers, strict=True):
        try:
            token, raw = numbers(call, answer, least=2)[:2]
            owed[account] = Amount(address(call, token), "reward", raw)
        except CallFailed as error:
            owed[account] = error
    return owed


def _signed(call: Call, word: int, bits: int) -> int:
    value = word - 2**256 if word >> 255 else word
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise CallFailed(call.to, f"not a number of {bits} bits: {word:#x}")
    return value
