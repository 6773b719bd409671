"""The small lake of the marts, and wallets on three chains beside it, with figures that can be checked by hand.

Alice has investments and a wallet, Carol and Dave have wallets alone. Ethereum is read every day; Base fails on the
third day and is not asked on the fourth; Optimism was never read well.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines import chain_tables as ct
from portfolio_pipelines import tables
from portfolio_pipelines.chains.raw_amounts import raw_columns
from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.warehouse import BuildResult, Warehouse

D1, D2, D3, D4 = (date(2025, 1, 30) + timedelta(days=n) for n in range(4))
ETHER, DOLLAR, SPAM_PRICE, HUGE_PRICE = (
    "coingecko:ethereum", "coingecko:usd-coin", "eip155:1/erc20:0x08", "coingecko:huge",
)  # fmt: skip
ALICE, CAROL, DAVE = 1, 2, 3
(
    ETH, BASE_ETH, USDC, BASE_USDC, A_USDC, DEBT_WETH, WETH, SPAM, HUGE, NO_PRICE, PAIR, NFT, COIN_TOKEN, NO_DECIMALS,
) = range(1, 15)  # fmt: skip
# key: chain id, price asset, symbol, decimals, category
TOKENS: dict[int, tuple[int, str | None, str | None, int | None, str]] = {
    ETH: (1, ETHER, "ETH", 18, "coin"),
    BASE_ETH: (8453, ETHER, "ETH", 18, "coin"),
    USDC: (1, DOLLAR, "USDC", 6, "stablecoin"),
    BASE_USDC: (8453, DOLLAR, "USDC", 6, "stablecoin"),
    A_USDC: (1, DOLLAR, "aEthUSDC", 6, "receipt"),
    DEBT_WETH: (1, ETHER, "variableDebtEthWETH", 18, "debt"),
    WETH: (1, ETHER, "WETH", 18, "wrapped_coin"),
    SPAM: (1, SPAM_PRICE, "visit scam.example", 18, "token"),
    HUGE: (1, HUGE_PRICE, "HUGE", 36, "token"),
    NO_PRICE: (1, None, "  ", 18, "token"),
    PAIR: (1, None, "UNI-V2", 18, "pool_share"),
    NFT: (1, None, "PUNK", None, "token"),
    COIN_TOKEN: (8453, ETHER, "ETH", 18, "coin"),
    NO_DECIMALS: (1, DOLLAR, "ODD", None, "token"),
}
NATIVE = {ETH, BASE_ETH}


def units(amount: float, decimals: int = 18) -> int:
    return round(amount * 10**6) * 10 ** (decimals - 6)


USD = 10**6
BALANCES: dict[tuple[date, str], dict[tuple[int, int], int]] = {
    (D2, "ethereum"): {(ALICE, ETH): units(1), (ALICE, USDC): 1000 * USD, (CAROL, HUGE): 4 * 10**38},
    (D3, "ethereum"): {
        (ALICE, ETH): units(2), (ALICE, USDC): 1000 * USD, (CAROL, SPAM): units(3), (CAROL, HUGE): 4 * 10**38,
        (CAROL, NO_PRICE): units(7),
    },
    (D4, "ethereum"): {
        (ALICE, ETH): units(2), (ALICE, USDC): 1000 * USD, (ALICE, A_USDC): 500 * USD, (ALICE, DEBT_WETH): units(0.1),
        (ALICE, SPAM): units(5), (ALICE, PAIR): units(10), (ALICE, NFT): 2, (CAROL, SPAM): units(3),
        (CAROL, HUGE): 4 * 10**38, (CAROL, NO_PRICE): units(7), (CAROL, NO_DECIMALS): 5,
    },
    (D2, "base"): {
        (ALICE, BASE_ETH): units(1), (ALICE, BASE_USDC): 200 * USD, (ALICE, COIN_TOKEN): units(1),
        (CAROL, BASE_USDC): 50 * USD,
    },
}  # fmt: skip
BALANCES[D3, "base"] = BALANCES[D2, "base"]  # carried
BALANCES[D3, "optimism"] = BALANCES[D4, "optimism"] = {}
# wallet, protocol, position id, role, token, raw, receipt token, receipt raw
POSITIONS: dict[tuple[date, str], list[tuple[Any, ...]]] = {
    (D4, "ethereum"): [
        (ALICE, "aave_v3", "aave", "supply", USDC, 400 * USD, A_USDC, 400 * USD),
        (ALICE, "aave_v3", "aave/debt", "debt", WETH, units(0.1), DEBT_WETH, units(0.1)),
        (ALICE, "uniswap_v2", "pair", "principal", USDC, 550 * USD, PAIR, units(10)),
        (ALICE, "uniswap_v2", "pair", "principal", WETH, units(0.2), PAIR, units(10)),
        (ALICE, "uniswap_v2", "emptied", None, None, None, None, None),
        (ALICE, "erc721", "punks", "principal", NFT, 2, None, None),
    ]
}
READS = {
    (D2, "ethereum"): "ok", (D3, "ethereum"): "ok", (D4, "ethereum"): "ok", (D2, "base"): "ok",
    (D3, "base"): "failed", (D3, "optimism"): "failed", (D4, "optimism"): "failed",
}  # fmt: skip
CLOSES = {DOLLAR: [1.0, 1.0, 1.0, 1.0], SPAM_PRICE: [None, None, 1000.0, 1100.0], HUGE_PRICE: [0.5, 0.5, 0.5, 0.5]}


@dataclass
class WalletMarket:
    """What the readers of chains would have written; every part can be changed and written again."""

    lake: Lake
    balances: dict[tuple[date, str], dict[tuple[int, int], int]] = field(
        default_factory=lambda: {key: dict(rows) for key, rows in BALANCES.items()}
    )
    positions: dict[tuple[date, str], list[tuple[Any, ...]]] = field(
        default_factory=lambda: {key: list(rows) for key, rows in POSITIONS.items()}
    )
    reads: dict[tuple[date, str], str] = field(default_factory=lambda: dict(READS))
    tokens: dict[int, tuple[int, str | None, str | None, int | None, str]] = field(default_factory=lambda: dict(TOKENS))
    wallets: list[tuple[Any, ...]] = field(
        default_factory=lambda: [
            (ALICE, 1, "alice", "0xaa", "evm", "hot", "", True, D2, None),
            (CAROL, 30, "carol", "0xcc", "evm", None, "ethereum base", True, D2, None),
            (DAVE, 40, "dave", "0xdd", "evm", None, "optimism", True, D3, None),
        ]
    )
    whitelisted_by: str = "carol"

    def write(self) -> None:
        """Write every table of chains, and the prices of its tokens beside the others."""
        self.write_dimensions()
        for day, closes in zip((D1, D2, D3, D4), zip(*CLOSES.values(), strict=True), strict=True):
            self.write_prices(day, dict(zip(CLOSES, closes, strict=True)))
        for day, chain in self.reads:
            self.write_chain(day, chain)

    def write_dimensions(self) -> None:
        users = {1: "alice", 2: "bob", 30: "carol", 40: "dave"}
        self.lake.replace_table(
            tables.USERS, pl.DataFrame(list(users.items()), schema=tables.USERS_SCHEMA, orient="row")
        )
        self.lake.replace_table(ct.WALLETS, pl.DataFrame(self.wallets, schema=ct.WALLETS_SCHEMA, orient="row"))
        chains = [(1, "ethereum", True), (8453, "base", True), (10, "optimism", True), (324, "zksync", False)]
        rows = [(number, slug, slug.title(), "evm", "l2", "ETH", None, on) for number, slug, on in chains]
        self.lake.replace_table(ct.CHAINS, pl.DataFrame(rows, schema=ct.CHAINS_SCHEMA, orient="row"))
        self.lake.replace_table(ct.CHAIN_TOKENS, self.token_frame())

    def token_frame(self) -> pl.DataFrame:
        rows = []
        for key, (chain, price, symbol, decimals, category) in self.tokens.items():
            address = "native" if key in NATIVE else f"0x{key:040x}"
            asset = f"eip155:{chain}/slip44:60" if key in NATIVE else f"eip155:{chain}/erc20:0x{key:02x}"
            spam = key == SPAM
            rows.append(
                (
                    key, chain, address, asset, price, symbol, symbol, decimals, category, "discovered", False, spam,
                    0.9 if spam else None, "name" if spam else None, self.whitelisted_by if spam else None,
                )
            )  # fmt: skip
        return pl.DataFrame(rows, schema=ct.CHAIN_TOKENS_SCHEMA, orient="row")

    def write_prices(self, day: date, closes: dict[str, float | None]) -> None:
        """Add prices to those of a day."""
        known = self.lake.read(tables.PRICES, [day], tables.PRICES_SCHEMA)
        last = dict(known.filter(pl.col("last_close_usd").is_not_null()).select("asset_id", "last_close_usd").rows())
        first = {**known.row(0, named=True), "reason": None}
        rows = [
            {
                **first, "asset_id": asset, "close_usd": close, "status": "ok" if close else "no_source",
                "last_close_usd": close or last.get(asset),
            }
            for asset, close in closes.items()
        ]  # fmt: skip
        others = known.filter(~pl.col("asset_id").is_in(pl.Series(list(closes)).implode()))
        self.lake.replace(tables.PRICES, day, pl.concat([others, pl.DataFrame(rows, schema=tables.PRICES_SCHEMA)]))

    def write_chain(self, day: date, chain: str) -> None:
        for table, frame in (
            (ct.CHAIN_READS, self.read_frame(day, chain)),
            (ct.WALLET_BALANCES, self.balance_frame(day, chain)),
            (ct.DEFI_POSITIONS, self.position_frame(day, chain)),
        ):
            self.lake.replace_chain(table, day, chain, frame)

    def read_frame(self, day: date, chain: str) -> pl.DataFrame:
        block = self.block(day)
        status = self.reads[day, chain]
        row = {
            **block, "status": status, "reason": None if status == "ok" else "timeout", "is_close": day != D4,
            "block_timestamp": int(block["as_of"].timestamp()), "is_scanned": status == "ok",
        }  # fmt: skip
        if status == "failed":
            row |= {"block_number": None, "block_hash": None, "block_timestamp": None, "is_close": False}
        return pl.DataFrame([row], schema=ct.CHAIN_READS_SCHEMA)

    def block(self, day: date) -> dict[str, Any]:
        hour = time(18) if day == D4 else time(23, 59, 48)
        number = (day - D1).days * 7200
        return {
            "as_of": datetime.combine(day, hour, UTC), "block_number": number, "block_hash": f"0x{number:064x}",
        }  # fmt: skip

    def balance_frame(self, day: date, chain: str) -> pl.DataFrame:
        rows = self.balances.get((day, chain), {})
        is_stale = self.reads[day, chain] == "failed"
        block = self.block(D2 if is_stale else day)
        raw, raw_hex = raw_columns(rows.values())
        frame = pl.DataFrame(list(rows), schema={"wallet_key": pl.Int32, "token_key": pl.Int32}, orient="row")
        frame = frame.with_columns(
            raw, raw_hex, *(pl.lit(v).alias(k) for k, v in block.items()), is_stale=pl.lit(is_stale)
        )
        return frame.select(ct.WALLET_BALANCES_SCHEMA.names()).cast(dict(ct.WALLET_BALANCES_SCHEMA))

    def position_frame(self, day: date, chain: str) -> pl.DataFrame:
        rows = self.positions.get((day, chain), [])
        names = [
            "wallet_key",
            "protocol",
            "position_id",
            "role",
            "token_key",
            "raw",
            "receipt_token_key",
            "receipt_raw",
        ]
        frame = pl.DataFrame(
            [dict(zip(names, row, strict=True)) for row in rows],
            schema={name: ct.DEFI_POSITIONS_SCHEMA[name] for name in names if not name.endswith("raw")},
        )
        frame = frame.with_columns(
            *raw_columns([row[5] for row in rows]),
            *raw_columns([row[7] for row in rows], "receipt_raw"),
            *(pl.lit(v).alias(k) for k, v in self.block(day).items()),
            pool=pl.lit("0x01"),
            facts=pl.lit('{"health_factor": "2060850659999789969"}'),
            is_stale=pl.lit(False),
        )
        return frame.select(ct.DEFI_POSITIONS_SCHEMA.names()).cast(dict(ct.DEFI_POSITIONS_SCHEMA))

    def write_reconciliation(self, day: date, chain: str, rows: list[tuple[Any, ...]]) -> None:
        """Rows of keys, opening, received, sent, gas, observed, difference and reason."""
        figures = ["opening", "received", "sent", "gas", "observed", "difference"]
        columns = [
            series for n, name in enumerate(figures, 2) for series in raw_columns([row[n] for row in rows], name)
        ]
        keys = {"wallet_key": pl.Int32, "token_key": pl.Int32}
        frame = pl.DataFrame([row[:2] for row in rows], schema=keys, orient="row").with_columns(
            *columns, pl.Series("reason", [row[8] for row in rows])
        )
        self.lake.replace_chain(
            ct.BALANCE_RECONCILIATION, day, chain, frame.select(ct.BALANCE_RECONCILIATION_SCHEMA.names())
        )

    def write_pools(self, day: date, chain: str, rows: list[tuple[Any, ...]]) -> None:
        """Rows of protocol, pool, place, token and reserve; all of them at a price of 1 and a fee of 0.3 %."""
        names = ["protocol", "pool", "position", "token_key"]
        keys = {name: ct.POOL_STATES_SCHEMA[name] for name in names}
        frame = pl.DataFrame([row[:4] for row in rows], schema=keys, orient="row").with_columns(
            *raw_columns([row[4] for row in rows], "reserve"),
            *(pl.lit(v).alias(k) for k, v in self.block(day).items()),
            sqrt_price_x96=pl.lit(str(2**96)), tick=pl.lit(0), liquidity=pl.lit("1"), fee_pips=pl.lit(3000),
            is_stale=pl.lit(False),
        )  # fmt: skip
        absent = [pl.lit(None).alias(name) for name in ct.POOL_STATES_SCHEMA if name not in frame.columns]
        frame = frame.with_columns(absent).select(ct.POOL_STATES_SCHEMA.names()).cast(dict(ct.POOL_STATES_SCHEMA))
        self.lake.replace_chain(ct.POOL_STATES, day, chain, frame)


@dataclass(frozen=True)
class WalletTemplate:
    """A lake with wallets and the warehouse built on it, once: tests copy both."""

    lake: Path
    warehouse: Path
    build: BuildResult


@pytest.fixture(scope="session")
def wallet_template(template: Any, dbt_state: DbtProject, tmp_path_factory: pytest.TempPathFactory) -> WalletTemplate:
    """The small lake with wallets, and its warehouse."""
    folder = tmp_path_factory.mktemp("wallets")
    lake = Lake(Path(shutil.copytree(template.lake, folder / "lake")))
    WalletMarket(lake).write()
    path = folder / "warehouse.duckdb"
    return WalletTemplate(lake.root, path, Warehouse(path, lake, dbt_state).build())


@pytest.fixture
def wallets(wallet_template: WalletTemplate, tmp_path: Path) -> WalletMarket:
    """The wallets, to be changed."""
    shutil.copytree(wallet_template.lake, tmp_path / "lake")
    return WalletMarket(Lake(tmp_path / "lake"))


@pytest.fixture
def warehouse(
    wallet_template: WalletTemplate, wallets: WalletMarket, dbt_state: DbtProject, tmp_path: Path
) -> Iterator[Warehouse]:
    """A warehouse that was built on the lake with wallets."""
    path = Path(shutil.copy(wallet_template.warehouse, tmp_path / "warehouse.duckdb"))
    yield Warehouse(path, wallets.lake, dbt_state)
    assert not dbt_state.database.parent.exists(), "a build file was left behind"
