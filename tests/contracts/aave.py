"""Aave v3 on a local chain, from the artifacts of @aave/core-v3: `aave = deploy_aave(chain)`.

Its assets: 18-digit WETH (2,000 USD), 6-digit USDC (1 USD), 18-digit DAI (1 USD, also lent at stable rates).
"""

from dataclasses import dataclass
from typing import Any, Final

from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Artifact, Contract, artifact, deploy

ROOT: Final = "@aave/core-v3/artifacts/contracts"
NOWHERE: Final = "0x" + "00" * 20
RAY: Final = 10**27
STABLE, VARIABLE = 1, 2
LIBRARIES: Final = ("SupplyLogic", "BorrowLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "PoolLogic")


@dataclass(frozen=True)
class Asset:
    """An asset of the market, and the tokens that stand for what is supplied and owed."""

    token: Contract
    feed: Contract
    supply: Contract
    stable_debt: Contract
    variable_debt: Contract


@dataclass(frozen=True)
class Aave:
    """A market of Aave v3."""

    pool: Contract
    assets: dict[str, Asset]

    def supply(self, wallet: str, symbol: str, amount: int) -> None:
        """Give a wallet so much and supply it."""
        token = self.assets[symbol].token
        token.send("mint(address,uint256)", wallet, amount)
        token.send("approve", self.pool.address, 2**256 - 1, sender=wallet)
        self.pool.send("supply", token.address, amount, wallet, 0, sender=wallet)

    def borrow(self, wallet: str, symbol: str, amount: int, mode: int = VARIABLE) -> None:
        """Borrow against what the wallet has supplied."""
        self.pool.send("borrow", self.assets[symbol].token.address, amount, mode, 0, wallet, sender=wallet)

    def withdraw(self, wallet: str, symbol: str, amount: int = 2**256 - 1) -> None:
        """Take out so much, by default all."""
        self.pool.send("withdraw", self.assets[symbol].token.address, amount, wallet, sender=wallet)

    def repay(self, wallet: str, symbol: str) -> None:
        """Pay back a whole variable debt."""
        asset = self.assets[symbol]
        asset.token.send("mint(address,uint256)", wallet, 2 * asset.variable_debt.call("balanceOf", wallet))
        asset.token.send("approve", self.pool.address, 2**256 - 1, sender=wallet)
        self.pool.send("repay", asset.token.address, 2**256 - 1, VARIABLE, wallet, sender=wallet)


def deploy_aave(chain: Anvil, tokens: dict[str, Artifact]) -> Aave:
    """Deploy a market.

    Args:
        chain: The chain; its first account becomes administrator.
        tokens: The compiled contracts of tests/contracts/sources: `TestToken` is what is lent.
    """
    owner = chain.accounts[0]
    symbols = {"WETH": (18, 2_000, 8_000, 8_250), "USDC": (6, 1, 8_000, 8_500), "DAI": (18, 1, 7_500, 8_000)}
    lent = {symbol: deploy(chain, tokens["TestToken"], symbol, symbol, places[0]) for symbol, places in symbols.items()}
    feeds = {
        symbol: deploy(chain, _artifact("mocks/oracle/CLAggregators", "MockAggregator"), places[1] * 10**8)
        for symbol, places in symbols.items()
    }
    libraries = {name: deploy(chain, _logic(name)).address for name in LIBRARIES}
    libraries["FlashLoanLogic"] = deploy(chain, _logic("FlashLoanLogic"), libraries=libraries).address
    libraries["ConfiguratorLogic"] = deploy(chain, _logic("ConfiguratorLogic")).address

    provider = deploy(chain, _artifact("protocol/configuration", "PoolAddressesProvider"), "test market", owner)
    provider.send("setACLAdmin", owner)
    roles = deploy(chain, _artifact("protocol/configuration", "ACLManager"), provider.address)
    for role in ("addPoolAdmin", "addAssetListingAdmin", "addRiskAdmin", "addEmergencyAdmin"):
        roles.send(role, owner)
    provider.send("setACLManager", roles.address)
    oracle = deploy(
        chain,
        _artifact("misc", "AaveOracle"),
        provider.address,
        [token.address for token in lent.values()],
        [feed.address for feed in feeds.values()],
        NOWHERE,
        NOWHERE,
        10**8,
    )
    provider.send("setPriceOracle", oracle.address)

    pool_code = deploy(chain, _artifact("protocol/pool", "Pool"), provider.address, libraries=libraries)
    pool_code.send("initialize", provider.address)
    provider.send("setPoolImpl", pool_code.address)
    pool = Contract(chain, provider.call("getPool"), pool_code.abi)
    configurator_code = deploy(chain, _artifact("protocol/pool", "PoolConfigurator"), libraries=libraries)
    provider.send("setPoolConfiguratorImpl", configurator_code.address)
    configurator = Contract(chain, provider.call("getPoolConfigurator"), configurator_code.abi)

    codes = {
        name: deploy(chain, _artifact("protocol/tokenization", name), pool.address)
        for name in ("AToken", "StableDebtToken", "VariableDebtToken")
    }
    percent = RAY // 100
    rates = deploy(
        chain,
        _artifact("protocol/pool", "DefaultReserveInterestRateStrategy"),
        provider.address,
        *(80 * percent, 0, 4 * percent, 75 * percent, percent // 2, 75 * percent, percent, 8 * percent, 20 * percent),
    )
    reserves = [_reserve(codes, rates, lent[symbol], symbol, places[0]) for symbol, places in symbols.items()]
    configurator.send("initReserves", reserves)
    for symbol, (_, _, loan_to_value, threshold) in symbols.items():
        configurator.send("configureReserveAsCollateral", lent[symbol].address, loan_to_value, threshold, 10_500)
        configurator.send("setReserveBorrowing", lent[symbol].address, True)
        configurator.send("setReserveFactor", lent[symbol].address, 1_000)
    configurator.send("setReserveStableRateBorrowing", lent["DAI"].address, True)

    reader = deploy(chain, _artifact("misc", "AaveProtocolDataProvider"), provider.address)
    assets = {}
    for symbol, token in lent.items():
        addresses = reader.call("getReserveTokensAddresses", token.address)
        a_token, stable, variable = (
            Contract(chain, address, code.abi) for address, code in zip(addresses, codes.values(), strict=True)
        )
        assets[symbol] = Asset(token, feeds[symbol], a_token, stable, variable)
    return Aave(pool, assets)


def _reserve(codes: dict[str, Contract], rates: Contract, token: Contract, symbol: str, places: int) -> dict[str, Any]:
    return {
        "aTokenImpl": codes["AToken"].address,
        "stableDebtTokenImpl": codes["StableDebtToken"].address,
        "variableDebtTokenImpl": codes["VariableDebtToken"].address,
        "underlyingAssetDecimals": places,
        "interestRateStrategyAddress": rates.address,
        "underlyingAsset": token.address,
        "treasury": "0x" + "11" * 20,
        "incentivesController": NOWHERE,
        "aTokenName": f"a{symbol}",
        "aTokenSymbol": f"a{symbol}",
        "variableDebtTokenName": f"v{symbol}",
        "variableDebtTokenSymbol": f"v{symbol}",
        "stableDebtTokenName": f"s{symbol}",
        "stableDebtTokenSymbol": f"s{symbol}",
        "params": b"\x10",
    }


def _artifact(folder: str, name: str) -> Artifact:
    return artifact(f"{ROOT}/{folder}/{name}.sol/{name}.json")


def _logic(name: str) -> Artifact:
    return _artifact("protocol/libraries/logic", name)
