"""A small lake with liquidity that can be checked by hand: a pair, a range and a pool of three pegged coins.

Ether costs 2,000 USD on the first two days, 8,000 on the third and 2,200 on the fourth. Ann has shares of the pair, Bob
a range from 1,500 to 2,500 and shares of the pool of three.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from portfolio_pipelines import chain_tables as ct
from portfolio_pipelines import tables
from portfolio_pipelines.chains.pool_rows import pool_rows
from portfolio_pipelines.chains.position_rows import position_rows
from portfolio_pipelines.chains.protocols.concentrated_liquidity import amounts_of_liquidity
from portfolio_pipelines.chains.protocols.pool_states import PoolState
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.protocols.tick_math import sqrt_price_at_tick
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.resources.lake import Lake

D1, D2, D3, D4 = DAYS = [date(2025, 1, 30) + timedelta(days=n) for n in range(4)]
ETHER_USD = dict(zip(DAYS, (2000.0, 2000.0, 8000.0, 2200.0), strict=True))
WETH, USDC, DAI, USDT, PAIR, SHARE = ("0x" + two * 20 for two in ("a0", "c0", "d0", "e0", "f0", "f2"))
KEYS = {WETH: 1, USDC: 2, DAI: 3, USDT: 4, PAIR: 5, SHARE: 6}
DECIMALS = {WETH: 18, USDC: 6, DAI: 18, USDT: 6, PAIR: 18, SHARE: 18}
PRICED = {WETH: "coingecko:ethereum", USDC: "coingecko:usd-coin", DAI: "coingecko:dai", USDT: "coingecko:tether"}
RANGE_POOL, THREE_POOL = "0x" + "30" * 20, "0x" + "31" * 20
ANN, BOB = "0x" + "a1" * 20, "0x" + "b1" * 20
WALLETS = pl.DataFrame({"wallet_key": [1, 2], "address": [ANN, BOB]}, schema_overrides={"wallet_key": pl.Int32})
SUPPLY = 10**18
HALF = SUPPLY // 2
LOWER, UPPER = -201_000, -196_000
"""Ticks of about 1,864 and 3,073 USDC for an ether, in smallest units of 18 and 6 places."""
LIQUIDITY = 10**17


def tick_of(price: float) -> int:
    return math.floor(math.log(price * 1e-12) / math.log(1.0001))


@dataclass
class LiquidityLake:
    """What the readers of chains and prices would have written."""

    lake: Lake
    growth: dict[date, float] = field(default_factory=lambda: dict(zip(DAYS, (1.0, 1.0, 1.1, 1.1), strict=True)))
    fees: dict[date, int] = field(default_factory=lambda: dict(zip(DAYS, (0, 5 * 10**6, 7 * 10**6, 0), strict=True)))
    shares: dict[date, int] = field(default_factory=lambda: dict.fromkeys(DAYS, HALF))
    prices: dict[date, float] = field(default_factory=lambda: dict(ETHER_USD))
    watched: tuple[tuple[int, str, date | None], ...] = ((1, "ann", None), (2, "bob", None))

    def write(self) -> None:
        self.write_dimensions()
        for day in DAYS:
            self.write_day(day)

    def write_dimensions(self) -> None:
        wallets = [
            (key, key, user, WALLETS["address"][key - 1], "evm", None, "", removed is None, D1, removed)
            for key, user, removed in self.watched
        ]
        self.lake.replace_table(ct.WALLETS, pl.DataFrame(wallets, schema=ct.WALLETS_SCHEMA, orient="row"))
        chain = (1, "ethereum", "Ethereum", "evm", "layer1", "ETH", None, True)
        self.lake.replace_table(ct.CHAINS, pl.DataFrame([chain], schema=ct.CHAINS_SCHEMA, orient="row"))
        users = pl.DataFrame({"user_key": [1, 2], "user_id": ["ann", "bob"]}, schema=tables.USERS_SCHEMA)
        self.lake.replace_table(tables.USERS, users)
        tokens = [
            {
                "token_key": key, "chain_id": 1, "address": token, "asset_id": f"eip155:1/erc20:{token}",
                "price_asset_id": PRICED.get(token), "symbol": token[2:4], "decimals": DECIMALS[token],
                "category": "token", "source": "shipped", "is_rebasing": False, "is_quarantined": False,
            }
            for token, key in KEYS.items()
        ]  # fmt: skip
        self.lake.replace_table(ct.CHAIN_TOKENS, pl.DataFrame(tokens, schema=ct.CHAIN_TOKENS_SCHEMA))

    def write_day(self, day: date, at: time = time(23, 59, 48)) -> None:
        self.write_prices(day)
        self.write_chain(day, at)

    def write_prices(self, day: date) -> None:
        known = datetime.combine(day, time(), UTC) + timedelta(days=1, hours=1)
        closes = dict.fromkeys(PRICED.values(), 1.0) | {PRICED[WETH]: self.prices[day]}
        rows = [
            {
                "asset_id": asset, "date": day, "close_usd": close, "status": "ok", "provider": "file",
                "source": "test", "n_quotes": 1, "is_final": True, "known_at": known,
            }
            for asset, close in closes.items()
        ]  # fmt: skip
        self.lake.replace(tables.PRICES, day, pl.DataFrame(rows, schema=tables.PRICES_SCHEMA).sort("asset_id"))

    def write_chain(self, day: date, at: time = time(23, 59, 48)) -> None:
        number = (day - D1).days * 7200 + at.hour
        when = int(datetime.combine(day, at, UTC).timestamp())
        block = Block(number=number, hash=f"0x{number:064x}", parent_hash="0x" + "00" * 32, timestamp=when)
        rows = position_rows(self.positions(day), block, WALLETS, KEYS, ct.DEFI_POSITIONS_SCHEMA)
        self.lake.replace_chain(ct.DEFI_POSITIONS, day, "ethereum", rows)
        states = pool_rows(self.pools(day), block, KEYS, ct.POOL_STATES_SCHEMA)
        self.lake.replace_chain(ct.POOL_STATES, day, "ethereum", states)

    def reserves(self, day: date) -> tuple[int, int]:
        """Of the pair: a root of 10,000 whole units, grown by fees."""
        root, price = 10_000 * self.growth[day], self.prices[day]
        return round(root / math.sqrt(price) * 1e9) * 10**9, round(root * math.sqrt(price) * 1e6)

    def positions(self, day: date) -> list[Position]:
        held0, held1 = self.reserves(day)
        shares = self.shares[day]
        tick = tick_of(self.prices[day])
        sqrt_price = sqrt_price_at_tick(tick)
        bounds = sqrt_price_at_tick(LOWER), sqrt_price_at_tick(UPPER)
        in_range = amounts_of_liquidity(sqrt_price, *bounds, LIQUIDITY)
        three = {DAI: 1000 * 10**18, USDC: 1000 * 10**6, USDT: 1000 * 10**6}
        return [
            Position(
                "uniswap_v2", PAIR, ANN, PAIR,
                (
                    Amount(WETH, "principal", held0 * shares // SUPPLY),
                    Amount(USDC, "principal", held1 * shares // SUPPLY),
                ),
                PAIR, shares,
                {"token0": WETH, "token1": USDC, "supply": str(SUPPLY), "held0": str(held0), "held1": str(held1)},
            ),
            Position(
                "uniswap_v3", "0x" + "44" * 20 + "/7", BOB, RANGE_POOL,
                tuple(
                    Amount(token, role, raw)
                    for token, role, raw in (
                        (WETH, "principal", in_range[0]), (USDC, "principal", in_range[1]),
                        (USDC, "fee", self.fees[day]),
                    )
                    if raw
                ),
                facts={
                    "token_id": "7", "token0": WETH, "token1": USDC, "fee": 500, "tick_lower": LOWER,
                    "tick_upper": UPPER, "tick": tick, "liquidity": str(LIQUIDITY), "sqrt_price_x96": str(sqrt_price),
                },
            ),
            Position(
                "curve", THREE_POOL, BOB, THREE_POOL,
                tuple(Amount(token, "principal", raw) for token, raw in three.items()),
                PAIR, 3000 * 10**18,
                {"pool_name": "three", "total_shares": 10**24, "virtual_price": 1_010_000_000_000_000_000},
            ),
        ]  # fmt: skip

    def pools(self, day: date) -> list[PoolState]:
        tick = tick_of(self.prices[day])
        return [
            PoolState("uniswap_v2", PAIR, (WETH, USDC), self.reserves(day), total_supply=SUPPLY),
            PoolState(
                "uniswap_v3", RANGE_POOL, (WETH, USDC), (10**21, 2 * 10**12), sqrt_price_x96=sqrt_price_at_tick(tick),
                tick=tick, liquidity=LIQUIDITY, fee_pips=500, fee_growth_x128=(0, 0),
            ),
        ]  # fmt: skip
