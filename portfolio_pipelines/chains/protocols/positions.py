"""A position: what a wallet has inside a protocol, in tokens.

Belongs here: the form that every protocol's reader answers in. Not here: prices, and how each protocol counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["supply", "debt", "collateral", "principal", "fee", "reward"]


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of one token, and as what.

    Attributes:
        token: Address of the token, 0x and 40 lower-case hex digits.
        role: "debt" is owed, everything else is owned. Principal and fees of one pool are two amounts.
        raw: In the token's smallest unit; never negative, also for a debt.
    """

    token: str
    role: Role
    raw: int


@dataclass(frozen=True, slots=True)
class Position:
    """What one wallet has in one place of one protocol at one block.

    Attributes:
        protocol: "uniswap_v3", "uniswap_v2", "sushiswap", "aave_v3", "compound_v3", "curve", "balancer_v2",
            "erc721".
        position_id: "<contract>/<token id>", or the address of the pool or market.
        wallet: Its owner, lower-case.
        pool: Address of the pool or market.
        amounts: What it is made of; zeros are left out, so that an emptied position has none.
        receipt_token: The ERC-20 in the wallet that this position explains and that is not counted beside it (pair
            token, aToken); None where there is none.
        receipt_raw: How much of it.
        facts: What else is worth keeping: ticks, liquidity, health factor …
    """

    protocol: str
    position_id: str
    wallet: str
    pool: str
    amounts: tuple[Amount, ...]
    receipt_token: str | None = None
    receipt_raw: int = 0
    facts: Mapping[str, int | str] = field(default_factory=dict)
