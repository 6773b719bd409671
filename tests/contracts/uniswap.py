"""Real Uniswap on a local chain: factories, pools, the position manager and the router of v3, pairs of v2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Artifact, Contract, artifact, deploy

V2 = "@uniswap/v2-core/build/"
V3_CORE = "@uniswap/v3-core/artifacts/contracts/"
V3_PERIPHERY = "@uniswap/v3-periphery/artifacts/contracts/"
WETH = "@aave/core-v3/artifacts/contracts/dependencies/weth/WETH9.sol/WETH9.json"
ZERO = "0x" + "00" * 20
FOREVER = 2**64
CALLS_A_TRANSACTION = 50
PLENTY = 10**40


@dataclass(frozen=True)
class UniswapV3Contracts:
    """Uniswap v3 with two tokens and a crowd that holds plenty of both and mints and swaps in bulk."""

    chain: Anvil
    factory: Contract
    manager: Contract
    router: Contract
    crowd: Contract
    tokens: tuple[Contract, Contract]  # sorted by address, as pools want them

    def pool(self, fee: int, sqrt_price: int) -> Contract:
        """A new pool of the two tokens."""
        token0, token1 = (token.address for token in self.tokens)
        self.manager.send("createAndInitializePoolIfNecessary", token0, token1, fee, sqrt_price)
        address = self.factory.call("getPool", token0, token1, fee)
        return Contract(self.chain, address, artifact(V3_CORE + "UniswapV3Pool.sol/UniswapV3Pool.json").abi)

    def mint(self, positions: Sequence[tuple[str, int, int, int, int, int]]) -> None:
        """Positions of (owner, fee, lower tick, upper tick, amount 0, amount 1), as much of it as fits."""
        token0, token1 = (token.address for token in self.tokens)
        self._attempt(
            self.manager,
            [
                self.manager.encode("mint", (token0, token1, fee, lower, upper, amount0, amount1, 0, 0, owner, FOREVER))
                for owner, fee, lower, upper, amount0, amount1 in positions
            ],
        )

    def swap(self, swaps: Sequence[tuple[int, bool, int]]) -> None:
        """Swaps of (fee, whether token 0 is sold, amount)."""
        addresses = [token.address for token in self.tokens]
        self._attempt(
            self.router,
            [
                self.router.encode(
                    "exactInputSingle",
                    (*(addresses if zero_for_one else addresses[::-1]), fee, self.crowd.address, FOREVER, amount, 0, 0),
                )
                for fee, zero_for_one, amount in swaps
            ],
        )

    def _attempt(self, target: Contract, calls: Sequence[bytes]) -> None:
        for start in range(0, len(calls), CALLS_A_TRANSACTION):
            self.crowd.send("attempt", target.address, calls[start : start + CALLS_A_TRANSACTION], gas=10**9)


def deploy_uniswap_v3(chain: Anvil, sources: Mapping[str, Artifact]) -> UniswapV3Contracts:
    """Uniswap v3; the chain needs a gas limit of 2 billion a block (`--gas-limit`)."""
    weth = deploy(chain, artifact(WETH))
    factory = deploy(chain, artifact(V3_CORE + "UniswapV3Factory.sol/UniswapV3Factory.json"))
    manager_artifact = artifact(V3_PERIPHERY + "NonfungiblePositionManager.sol/NonfungiblePositionManager.json")
    manager = deploy(chain, manager_artifact, factory.address, weth.address, ZERO)
    router = deploy(chain, artifact(V3_PERIPHERY + "SwapRouter.sol/SwapRouter.json"), factory.address, weth.address)
    crowd = deploy(chain, sources["Crowd"])
    tokens = two_tokens(chain, sources)
    for token in tokens:
        token.send("mint", crowd.address, PLENTY)
        for spender in (manager, router):
            crowd.send("approve", token.address, spender.address)
    return UniswapV3Contracts(chain, factory, manager, router, crowd, tokens)


def two_tokens(chain: Anvil, sources: Mapping[str, Artifact]) -> tuple[Contract, Contract]:
    """Two new tokens in the order of their addresses."""
    tokens = [deploy(chain, sources["TestToken"], name, name, places) for name, places in (("ONE", 18), ("TWO", 6))]
    first, second = sorted(tokens, key=lambda token: token.address)
    return first, second


def deploy_uniswap_v2_factory(chain: Anvil) -> Contract:
    """A factory of pairs, also good as Sushiswap's, whose pairs are the same; the first account governs it."""
    return deploy(chain, artifact(V2 + "UniswapV2Factory.json"), chain.accounts[0])


def new_pair(factory: Contract, tokens: Sequence[Contract]) -> Contract:
    """A new pair of two tokens."""
    addresses = [token.address for token in tokens]
    factory.send("createPair", *addresses)
    return Contract(factory.chain, factory.call("getPair", *addresses), artifact(V2 + "UniswapV2Pair.json").abi)


def add_liquidity(pair: Contract, tokens: Sequence[Contract], amounts: Sequence[int], owner: str) -> None:
    """Put tokens into a pair of v2; the owner gets the pair's token."""
    for token, amount in zip(tokens, amounts, strict=True):
        token.send("mint", pair.address, amount)
    pair.send("mint", owner)


def swap_in_pair(pair: Contract, tokens: Sequence[Contract], sold: int, amount: int) -> None:
    """Sell so much of token 0 or 1 to a pair of v2, at its fee of 0.3 %; nothing happens if that buys nothing."""
    reserves = pair.call("getReserves")
    paid = amount * 997
    outputs: list[Any] = [0, 0]
    outputs[1 - sold] = paid * reserves[1 - sold] // (reserves[sold] * 1000 + paid)
    if any(outputs):
        tokens[sold].send("mint", pair.address, amount)
        pair.send("swap", *outputs, pair.chain.accounts[9], b"")
