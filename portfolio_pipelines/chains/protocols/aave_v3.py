"""What wallets have in Aave v3: supplies, debts, and how safe each account is.

Belongs here: reading wallets. The market is read by `aave_markets`, the arithmetic for projections is `aave_math`.

Amounts are `balanceOf` of the market's own tokens at the block, which include the interest up to it: the contract's
answer, to the wei, whatever version it is. Every supply and every debt is a position of its own, because each is
explained by one token in the wallet (`receipt_token`): an aToken is never counted beside its supply, a debt token is
never counted as something owned.
"""

from collections.abc import Sequence
from typing import Final

from portfolio_pipelines.chains.protocols.aave_markets import AaveMarket, ReserveToken, read_reserve_tokens
from portfolio_pipelines.chains.protocols.calls import Answer, Call, CallFailed, call_many, number, numbers, view
from portfolio_pipelines.chains.protocols.faults import Faults, PositionFault
from portfolio_pipelines.chains.protocols.held_tokens import Held, held_tokens
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.reader.balances import ReaderLimits
from portfolio_pipelines.chains.rpc.node import Block, Node

__all__ = ["PROTOCOL", "AaveMarket", "read_positions"]

PROTOCOL: Final = "aave_v3"
NO_DEBT: Final = 2**256 - 1  # the health factor of an account without debt


async def read_positions(
    node: Node,
    wallets: Sequence[str],
    block: Block,
    markets: Sequence[AaveMarket],
    *,
    multicall3: str | None = None,
    limits: ReaderLimits | None = None,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    """Supplies and debts of wallets in the markets of a chain, at a block.

    Args:
        node: The chain.
        wallets: Addresses.
        block: The block to read at.
        markets: The markets.
        multicall3: Address of Multicall3, where the chain has it.
        limits: What is known about the node, see `read_balances`.
        faults: Takes what could not be read, so that the rest is returned. When None, the first fault is raised.

    Returns:
        One position for each supply and debt that is not zero; `position_id` is "<pool>/<token>". Facts, where they
        could be read: `market` and `side` ("supply", "variable_debt", "stable_debt"); `rate_ray` (yearly) and
        `index_ray` at the block; for supplies `used_as_collateral` (0 or 1); of the whole account in the market
        `health_factor` (wad; absent without debt), `total_collateral_base`, `total_debt_base` and
        `available_borrows_base` (the market's base currency, mostly USD with 8 decimals),
        `liquidation_threshold` and `loan_to_value` (basis points).

    Raises:
        PositionFault: If `faults` is None and something could not be read.
        RpcError: If the node cannot be read.
    """
    noted = Faults(node.name, PROTOCOL, faults)
    tokens = await read_reserve_tokens(node, markets, block, noted, multicall3=multicall3)
    by_address = {token.token: token for token in tokens}
    held = await held_tokens(node, wallets, list(by_address), block, multicall3=multicall3, limits=limits)
    _note_failures(held, by_address, noted)
    accounts = list(dict.fromkeys((wallet, by_address[token].market) for wallet, token in held.amounts))
    facts = await _accounts(node, accounts, block, noted, multicall3)
    positions = []
    for (wallet, address), raw in held.amounts.items():
        token = by_address[address]
        account, configuration = facts[wallet, token.market]
        positions.append(_position(wallet, token, raw, account, configuration))
    return positions


def _position(
    wallet: str, token: ReserveToken, raw: int, account: dict[str, int], configuration: int | None
) -> Position:
    facts: dict[str, int | str] = {"market": token.market.name, "side": token.side, **account}
    if token.rate is not None:
        facts["rate_ray"] = token.rate
    if token.index is not None:
        facts["index_ray"] = token.index
    if token.side == "supply" and configuration is not None:
        facts["used_as_collateral"] = configuration >> (2 * token.reserve_id + 1) & 1
    return Position(
        protocol=PROTOCOL,
        position_id=f"{token.market.pool}/{token.token}",
        wallet=wallet,
        pool=token.market.pool,
        amounts=(Amount(token.underlying, "supply" if token.side == "supply" else "debt", raw),),
        receipt_token=token.token,
        receipt_raw=raw,
        facts=facts,
    )


async def _accounts(
    node: Node,
    accounts: Sequence[tuple[str, AaveMarket]],
    block: Block,
    faults: Faults,
    multicall3: str | None,
) -> dict[tuple[str, AaveMarket], tuple[dict[str, int], int | None]]:
    """Of each wallet in each market: the figures of its account, and the bits of its configuration."""
    data = [view(market.pool, "getUserAccountData(address)", wallet) for wallet, market in accounts]
    bits = [view(market.pool, "getUserConfiguration(address)", wallet) for wallet, market in accounts]
    answers = await call_many(node, [*data, *bits], block, multicall3=multicall3)
    read: dict[tuple[str, AaveMarket], tuple[dict[str, int], int | None]] = {}
    for place, (wallet, market) in enumerate(accounts):
        figures: dict[str, int] = {}
        configuration = None
        try:
            figures = _figures(data[place], answers[place])
            configuration = number(bits[place], answers[len(accounts) + place])
        except CallFailed as error:
            faults.add(
                market.pool, f"amounts are known, safety is not: {error.message}", name=market.name, wallet=wallet
            )
        read[wallet, market] = figures, configuration
    return read


def _figures(call: Call, answer: Answer) -> dict[str, int]:
    collateral, debt, available, threshold, loan_to_value, health = numbers(call, answer, least=6)[:6]
    figures = {
        "total_collateral_base": collateral,
        "total_debt_base": debt,
        "available_borrows_base": available,
        "liquidation_threshold": threshold,
        "loan_to_value": loan_to_value,
    }
    return figures if health == NO_DEBT else {**figures, "health_factor": health}


def _note_failures(held: Held, tokens: dict[str, ReserveToken], faults: Faults) -> None:
    for address in sorted(held.lying | held.unreadable):
        token = tokens[address]
        message = f"balances of {address} " + ("are lies" if address in held.lying else "cannot be read")
        faults.add(token.market.pool, message, name=token.market.name, token=token.underlying)
    for wallet, address in held.failed:
        token = tokens[address]
        message = f"the balance of {address} cannot be read"
        faults.add(token.market.pool, message, name=token.market.name, wallet=wallet, token=token.underlying)
