"""DefiLlama's list of pools: what they hold, what is traded in them and what their fees earn, as of now.

Belongs here: what the reply means, and which of its pools is which contract. The list names none: a pool of it is
ours when chain, exchange, coins and fee are the same and no other one's are. There is no past in the list, and what it
does not say stays unknown.
"""

import re
from collections.abc import Mapping
from typing import Final

import httpx
import polars as pl

from portfolio_pipelines.market.answers import UnreadableReplyError, mapping_in
from portfolio_pipelines.market.conversation import Conversation, Failure, StatusError
from portfolio_pipelines.market.limiter import Limiter
from portfolio_pipelines.market.quotes import Outcome
from portfolio_pipelines.market.transport import checked_url, connect_timeout, httpx_failures

FREE_URL: Final = "https://yields.llama.fi"
POOLS: Final = "pools"
NAME: Final = "defillama-yields"  # another host than that of the prices, with a pace of its own

PROJECTS: Final[Mapping[str, str]] = {
    "uniswap-v2": "uniswap_v2",
    "sushiswap": "sushiswap",
    "uniswap-v3": "uniswap_v3",
    "curve-dex": "curve",
}
CHAIN_NAMES: Final[Mapping[str, str]] = {"BSC": "BNB Smart Chain", "xDai": "Gnosis", "Optimism": "OP Mainnet"}
"""Where DefiLlama's name of a chain is another one than the registry's."""
NATIVE: Final = "0x0000000000000000000000000000000000000000"

YIELDS: Final = pl.Schema(
    {
        "llama_pool": pl.String(),  # its id there
        "chain_name": pl.String(),  # as the registry writes it
        "protocol": pl.String(),
        "coins": pl.List(pl.String()),  # addresses, lower case, sorted
        "fee_pips": pl.Int32(),  # of a swap, 1,000,000 is all; null where the list does not say
        "tvl_usd": pl.Float64(),
        "volume_usd_1d": pl.Float64(),
        "volume_usd_7d": pl.Float64(),
        "fee_apy": pl.Float64(),  # 0.01 = 1 % a year
        "reward_apy": pl.Float64(),
    }
)
FOLLOWED: Final = pl.Schema(
    {
        "chain": pl.String(),
        "chain_name": pl.String(),
        "pool": pl.String(),
        "protocol": pl.String(),
        "coins": pl.List(pl.String()),  # as in YIELDS
        "fee_pips": pl.Int32(),  # null where pools of the protocol have one fee
    }
)
"""The pools whose figures are wanted."""

_FEE: Final = re.compile(r"(\d+(?:\.\d+)?)%")


class DefiLlamaYields:
    """DefiLlama's list of pools. Safe to share between threads."""

    def __init__(self, limiter: Limiter, *, url: str = "", timeout_seconds: float = 60.0) -> None:
        """Talk to DefiLlama.

        Args:
            limiter: The pace.
            url: Other base URL; empty for the real one.
            timeout_seconds: Longest wait for the reply, which is 12 MB.

        Raises:
            ValueError: If the URL is not http(s).
        """
        self._limiter, self._timeout = limiter, timeout_seconds
        self._url = checked_url(url or FREE_URL, NAME)

    def fetch(self) -> pl.DataFrame | Failure:
        """YIELDS of every pool of the exchanges that we read, in one request; or why there is no list."""
        timeout = httpx.Timeout(self._timeout, connect=connect_timeout(self._timeout))
        with httpx.Client(base_url=self._url, timeout=timeout) as client:
            reply = Conversation(self._limiter).ask(lambda: _get(client))
        if isinstance(reply, Failure):
            return reply
        try:
            return parse_pools(reply)
        except UnreadableReplyError as error:
            return Failure(Outcome.INVALID, str(error))


def parse_pools(reply: object) -> pl.DataFrame:
    """Read a `pools` reply.

    Args:
        reply: `{"status": "success", "data": [{"chain": "Ethereum", "project": "uniswap-v3", "poolMeta": "0.05%",
            "underlyingTokens": […], "tvlUsd": …, "apyBase": …, "volumeUsd1d": …, …}, …]}`.

    Returns:
        YIELDS of the pools of PROJECTS that name their coins; a figure that is none is null.

    Raises:
        UnreadableReplyError: If it has another shape.
    """
    pools = mapping_in(reply, "the reply").get("data")
    if not isinstance(pools, list):
        msg = f"the reply has no list of pools: {pools!r:.60}"
        raise UnreadableReplyError(msg)
    rows = []
    for item in pools:
        pool = mapping_in(item, "a pool")
        protocol, coins = PROJECTS.get(str(pool.get("project"))), pool.get("underlyingTokens")
        chain, name = pool.get("chain"), pool.get("pool")
        if protocol is None or not isinstance(coins, list) or not (isinstance(chain, str) and isinstance(name, str)):
            continue
        yearly = [_figure(pool.get(key)) for key in ("apyBase", "apyReward")]
        rows.append(
            (
                name,
                CHAIN_NAMES.get(chain, chain),
                protocol,
                sorted(coin.lower() for coin in coins if isinstance(coin, str)),
                _fee(pool.get("poolMeta")),
                *(_amount(pool.get(key)) for key in ("tvlUsd", "volumeUsd1d", "volumeUsd7d")),
                *(None if percent is None else percent / 100 for percent in yearly),
            )
        )
    return pl.DataFrame(rows, schema=YIELDS, orient="row")


def match_pools(followed: pl.DataFrame, yields: pl.DataFrame) -> pl.DataFrame:
    """What the list says of followed pools.

    Args:
        followed: FOLLOWED.
        yields: YIELDS.

    Returns:
        chain, pool, protocol and the figures of YIELDS, sorted; of a pool that fits several of the list, or the other
        way round, there is none: nobody knows which is which.
    """
    key = ["_chain", "protocol", "_coins"]

    def keyed(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(
            _chain=pl.col("chain_name").str.to_lowercase(), _coins=pl.col("coins").list.sort().list.join(" ")
        )

    listed = keyed(yields).drop("chain_name", "coins").rename({"fee_pips": "_listed_fee"})
    pairs = keyed(followed).join(listed, on=key, how="inner")
    fits = (
        pl.col("fee_pips").is_null() | pl.col("_listed_fee").is_null() | (pl.col("fee_pips") == pl.col("_listed_fee"))
    )
    pairs = pairs.filter(fits)
    alone = (pl.len().over("chain", "pool") == 1) & (pl.len().over("llama_pool") == 1)
    figures = ["tvl_usd", "volume_usd_1d", "volume_usd_7d", "fee_apy", "reward_apy", "llama_pool"]
    return pairs.filter(alone).select("chain", "pool", "protocol", *figures).sort("chain", "pool")


def _get(client: httpx.Client) -> object:
    with httpx_failures():
        response = client.get(f"/{POOLS}")
    if response.status_code != 200:
        raise StatusError(response.status_code, response.content, response.headers.get("Retry-After"))
    return response.json()


def _figure(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18
    return float(value) if is_number and isinstance(value, int | float) else None


def _amount(value: object) -> float | None:
    """An amount of USD; one below zero is none."""
    figure = _figure(value)
    return figure if figure is not None and figure >= 0 else None


def _fee(meta: object) -> int | None:
    """Uniswap v3 tells pools of the same coins apart by their fee: "0.05%"."""
    found = _FEE.fullmatch(meta.strip()) if isinstance(meta, str) else None
    return round(float(found[1]) * 10_000) if found else None
