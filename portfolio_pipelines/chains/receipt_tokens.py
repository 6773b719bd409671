"""Receipt tokens: what a token is worth in the token it stands for, and which balances a position explains already.

Belongs here: ratios read from the contracts, as exact pairs of integers at a block; prices that follow from them; the
rule that nothing is counted twice. Positions themselves are read in `protocols`, market prices elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from portfolio_pipelines.chains.raw_amounts import integers, sums
from portfolio_pipelines.chains.rpc.errors import Reverted, RpcError, TooMuch
from portfolio_pipelines.chains.rpc.node import Node

Kind = Literal["erc4626", "wsteth", "reth", "ctoken", "atoken", "uniswap_v2"]

_WAD = 10**18
_EXTRA_DIGITS = 12  # asked of a vault beyond one share: a vault of a 6-digit coin answers 1050000 for one share
CALL_GAS = 5_000_000  # of one question: far above what an honest token needs, also where gas counts differently
_MOST_LAYERS = 4  # receipts of receipts; deeper ones, and circles, stay without a price

BALANCE_KEYS = ("chain_id", "wallet", "token")


@dataclass(frozen=True, slots=True)
class ReceiptToken:
    """A token that stands for others.

    Attributes:
        token: Its address.
        kind: How its ratio is read: `erc4626` convertToAssets; `wsteth` stEthPerToken; `reth` getExchangeRate; `ctoken`
            exchangeRateStored (Compound v2 and its copies); `atoken` one to one (its balance grows); `uniswap_v2` the
            reserves of a pair over its supply, one ratio for each of its tokens. A share of the
            protocol's fee that is not minted yet is not taken off: for a price, not for a position.
        decimals: Of the token.
        underlying: What it stands for; one token, or the two of a pair in their order.
    """

    token: str
    kind: Kind
    decimals: int
    underlying: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """`amount` of the receipt token is amount × numerator // denominator of the underlying, both in smallest units."""

    token: str
    underlying: str
    numerator: int
    denominator: int

    def underlying_of(self, amount: int) -> int:
        """What so much of the receipt token stands for."""
        return amount * self.numerator // self.denominator


@dataclass(frozen=True, slots=True)
class NoRatio:
    """A receipt token without a usable ratio: it has no price from here, which is not a price of zero."""

    token: str
    reason: str


# Selectors.
CONVERT_TO_ASSETS = "0x07a2d13a"  # convertToAssets(uint256)
STETH_OF_ONE = "0x035faf82"  # stEthPerToken()
GET_EXCHANGE_RATE = "0xe6aa216c"  # getExchangeRate()
EXCHANGE_RATE_STORED = "0x182df0f5"  # exchangeRateStored()
_GET_RESERVES = "0x0902f1ac"  # getReserves()
_TOTAL_SUPPLY = "0x18160ddd"  # totalSupply()
_PER_WAD = {"wsteth": STETH_OF_ONE, "reth": GET_EXCHANGE_RATE, "ctoken": EXCHANGE_RATE_STORED}


async def read_ratios(node: Node, tokens: Sequence[ReceiptToken], block: int) -> list[Ratio | NoRatio]:
    """The ratios of receipt tokens at a block, in one batch.

    Args:
        node: The chain.
        tokens: Receipt tokens.
        block: At which block.

    Returns:
        In the order of `tokens`: a ratio for each underlying, or why there is none. A token whose contract reverts,
        answers nonsense or says zero costs only itself.

    Raises:
        ValueError: If a token has another number of underlying tokens than its kind.
        RpcError: If the node failed to answer: not knowing is not the token's fault.
    """
    for token in tokens:
        if len(token.underlying) != (2 if token.kind == "uniswap_v2" else 1):
            msg = f"{node.name}: {token.kind} {token.token} with {len(token.underlying)} underlying tokens"
            raise ValueError(msg)
    questions = [_questions(token) for token in tokens]
    calls = [
        ("eth_call", [{"to": token.token, "data": data, "gas": hex(CALL_GAS)}, hex(block)])
        for token, some in zip(tokens, questions, strict=True)
        for data in some
    ]
    answers = iter(await node.batch(calls))
    ratios: list[Ratio | NoRatio] = []
    for token, some in zip(tokens, questions, strict=True):
        words = [call_words(next(answers)) for _ in some]
        ratios += _ratios(token, words)
    return ratios


def _questions(token: ReceiptToken) -> list[str]:
    if token.kind == "erc4626":
        return [f"{CONVERT_TO_ASSETS}{10**digits:064x}" for digits in _share_digits(token)]
    if token.kind == "uniswap_v2":
        return [_GET_RESERVES, _TOTAL_SUPPLY]
    return [_PER_WAD[token.kind]] if token.kind in _PER_WAD else []


def _share_digits(token: ReceiptToken) -> tuple[int, int]:
    """Many shares for the digits of the answer; one share for vaults that overflow at many."""
    return token.decimals + _EXTRA_DIGITS, token.decimals


def call_words(answer: Any) -> list[int] | None:
    """The 32-byte words of an answer to a view; None if the contract gave none.

    Raises:
        RpcError: If the answer is an error that is the node's, not the contract's.
    """
    if isinstance(answer, Reverted | TooMuch):
        return None
    if isinstance(answer, RpcError):
        raise answer
    try:
        data = bytes.fromhex(answer[2:])
    except (TypeError, ValueError):
        return None
    if not data or len(data) % 32:
        return None
    return [int.from_bytes(data[start : start + 32]) for start in range(0, len(data), 32)]


def _ratios(token: ReceiptToken, words: list[list[int] | None]) -> list[Ratio | NoRatio]:
    if token.kind == "atoken":
        return [Ratio(token.token, token.underlying[0], 1, 1)]
    if token.kind == "erc4626":
        for digits, answer in zip(_share_digits(token), words, strict=True):
            if answer and len(answer) == 1 and answer[0]:
                return [Ratio(token.token, token.underlying[0], answer[0], 10**digits)]
        return [NoRatio(token.token, "convertToAssets gave no number above zero")]
    if token.kind == "uniswap_v2":
        reserves, supply = words
        if reserves is None or len(reserves) != 3 or supply is None or len(supply) != 1:
            return [NoRatio(token.token, "getReserves or totalSupply gave no answer of their form")]
        if not supply[0]:
            return [NoRatio(token.token, "the pair has no supply")]
        return [
            Ratio(token.token, underlying, reserve, supply[0])
            for underlying, reserve in zip(token.underlying, reserves[:2], strict=True)
        ]
    (rate,) = words
    if rate is None or len(rate) != 1 or not rate[0]:
        return [NoRatio(token.token, f"{token.kind} gave no rate above zero")]
    return [Ratio(token.token, token.underlying[0], rate[0], _WAD)]


def receipt_prices(
    ratios: Sequence[Ratio], prices: Mapping[str, float], decimals: Mapping[str, int]
) -> dict[str, float]:
    """Prices of receipt tokens in USD, through any number of layers (a vault of a pair of staked coins).

    Args:
        ratios: Of one chain; those of a pair are added up.
        prices: USD for one whole underlying token. A token that has a price here keeps it where it is underlying.
        decimals: Of receipt tokens and underlying tokens.

    Returns:
        Price of one whole receipt token, for those whose underlying tokens all have a price and decimals.
    """
    parts: dict[str, list[Ratio]] = {}
    for ratio in ratios:
        parts.setdefault(ratio.token, []).append(ratio)

    def price_of(token: str, layers: int) -> float | None:
        if token not in parts or (layers and token in prices):
            return prices.get(token)
        total = 0.0
        for part in parts[token]:
            underlying = price_of(part.underlying, layers + 1) if layers < _MOST_LAYERS else None
            if underlying is None or token not in decimals or part.underlying not in decimals:
                return None
            scale = 10.0 ** (decimals[token] - decimals[part.underlying])
            total += underlying * (part.numerator / part.denominator) * scale
        return total

    found = {token: price_of(token, 0) for token in parts}
    return {token: price for token, price in found.items() if price is not None}


def explained(balances: pl.DataFrame, positions: pl.DataFrame) -> pl.DataFrame:
    """Balances that no position explains: what may be counted beside the positions.

    Args:
        balances: chain_id, wallet, token, raw, raw_hex, each key once, and any other columns.
        positions: chain_id, wallet, receipt_token, receipt_raw, receipt_raw_hex; null receipt_token explains nothing.
            Several positions may explain parts of one balance.

    Returns:
        The rows of `balances` in their order with what is left over; rows of which nothing is left are gone, rows that
        no position touches are unchanged, also those whose balance is unknown.
    """
    return _compare(balances, positions, lambda left: left > 0)


def not_held(balances: pl.DataFrame, positions: pl.DataFrame) -> pl.DataFrame:
    """Receipt tokens that positions explain but the wallet does not hold; must be empty.

    Returns:
        chain_id, wallet, token, raw, raw_hex: how much is missing, above zero. Balances that are unknown are left out.
    """
    keys = list(BALANCE_KEYS)
    claimed = _claims(positions).select(keys).unique()
    held = claimed.join(balances, on=keys, how="left", maintain_order="left")
    absent = claimed.join(balances, on=keys, how="anti").with_columns(
        pl.lit(0, dtype=pl.Decimal(38, 0)).alias("raw"), pl.lit(None, dtype=pl.String).alias("raw_hex")
    )
    known = held.filter(pl.col("raw").is_not_null() | pl.col("raw_hex").is_not_null()).select(*keys, "raw", "raw_hex")
    missing = _compare(pl.concat([known, absent]), positions, lambda left: left < 0, sign=-1)
    return missing.sort(keys)


def _claims(positions: pl.DataFrame) -> pl.DataFrame:
    """What positions explain, as entries to add up."""
    return positions.filter(pl.col("receipt_token").is_not_null()).select(
        "chain_id",
        "wallet",
        pl.col("receipt_token").alias("token"),
        pl.lit("explained").alias("part"),
        pl.col("receipt_raw").alias("raw"),
        pl.col("receipt_raw_hex").alias("raw_hex"),
    )


def _compare(
    balances: pl.DataFrame, positions: pl.DataFrame, keep: Callable[[int], bool], *, sign: int = 1
) -> pl.DataFrame:
    """Balances less what positions explain, where that difference is to be kept."""
    keys = list(BALANCE_KEYS)
    claims = _claims(positions)
    numbered = balances.with_row_index("_row")
    known = pl.col("raw").is_not_null() | pl.col("raw_hex").is_not_null()
    touched = numbered.filter(known).join(claims.select(keys).unique(), on=keys, how="semi")
    entries = pl.concat(
        [
            touched.select(*keys, pl.lit("held").alias("part"), "raw", "raw_hex"),
            claims.join(touched.select(keys), on=keys, how="semi"),
        ]
    )
    left = sums(entries, keys, {"raw": {"held": sign, "explained": -sign}})
    left = left.filter(
        pl.Series([value is not None and keep(sign * value) for value in integers(left)], dtype=pl.Boolean)
    )
    untouched = numbered.join(touched.select("_row"), on="_row", how="anti") if sign > 0 else numbered.clear()
    rest = touched.drop("raw", "raw_hex").join(left, on=keys, how="inner").select(numbered.columns)
    return pl.concat([untouched, rest]).sort("_row").drop("_row")
