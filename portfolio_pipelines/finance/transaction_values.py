"""What transactions were worth in US dollars, at the close of their day. No I/O, no clock, no Dagster.

Belongs here: choosing one common value for what came in and what went out, and the value of fees. Order: what the file
says; dollars that changed hands; the leg with the better price (fresh before stale, more quotes before fewer, what was
given before what was got). A stable coin is worth its close, not 1. Where there is nothing, the value is null: never 0.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import polars as pl

from portfolio_pipelines.finance.lots import QUANTITY_DIGITS, USD_DIGITS
from portfolio_pipelines.finance.transactions import US_DOLLAR, Type

PRICES: Final = pl.Schema(
    {
        "asset_id": pl.String(),
        "date": pl.Date(),
        "close_usd": pl.Float64(),
        "status": pl.String(),
        "n_quotes": pl.Int32(),
    }
)
FRESH: Final = ("ok", "manual")
_FRESH_SCORE: Final = 1_000_000
_TO_USD: Final = QUANTITY_DIGITS - USD_DIGITS


@dataclass(slots=True)
class Values:
    """Of each transaction row, in units of 10^-12 US dollars; None where nobody knows."""

    value: list[int | None]
    fee: list[int | None]  # None without a fee, too
    source: list[str]  # given, cash, close of in, close of out, share of the transaction, or nothing


class Closes:
    """Closes by asset and day as exact fractions of ten."""

    def __init__(self, prices: pl.DataFrame) -> None:
        usable = prices.filter(pl.col("close_usd").is_not_null() & (pl.col("close_usd") > 0))
        score = pl.when(pl.col("status").is_in(FRESH)).then(_FRESH_SCORE).otherwise(0) + pl.col("n_quotes").fill_null(0)
        rows = usable.select("asset_id", "date", "close_usd", score.cast(pl.Int64))
        self._closes: dict[tuple[object, object], tuple[int, int, int]] = {
            (asset, day): (*_fraction(close), int(score)) for asset, day, close, score in rows.iter_rows()
        }

    def worth(self, asset: str | None, day: object, quantity: int | None) -> tuple[int, int] | None:
        """Value in units of 10^-12 USD, rounded half up, and how good the price is; None without a price."""
        if asset is None or quantity is None:
            return None
        if asset == US_DOLLAR:
            return _rounded(quantity, 1, _TO_USD), 2 * _FRESH_SCORE
        found = self._closes.get((asset, day))
        if found is None:
            return None
        mantissa, places, score = found
        return _rounded(quantity, mantissa, _TO_USD + places), score


def _fraction(close: float) -> tuple[int, int]:
    """The shortest decimal that reads back as the double: mantissa and decimal places."""
    sign, digits, exponent = Decimal(repr(close)).as_tuple()
    if not isinstance(exponent, int) or sign:
        msg = f"{close} is no price"
        raise ValueError(msg)
    return int("".join(map(str, digits))), -exponent


def _rounded(quantity: int, mantissa: int, places: int) -> int:
    product = quantity * mantissa
    if places <= 0:
        return product * int(10 ** (-places))
    unit = int(10**places)
    return (product + unit // 2) // unit


def value_transactions(transactions: pl.DataFrame, prices: pl.DataFrame) -> Values:
    """Value each row of `transactions` (schema `transactions.ORDERED`) at prices (schema PRICES) of its day."""
    closes = Closes(prices)
    values = Values([], [], [])
    several: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    columns = [
        transactions[name]
        for name in ("user_key", "transaction_id", "day", "type", "in_asset", "out_asset", "fee_asset")
    ]
    amounts = [
        transactions[name].to_physical()
        for name in ("in_quantity", "out_quantity", "fee_quantity", "value_usd", "fee_value_usd")
    ]
    worths: list[tuple[tuple[int, int] | None, tuple[int, int] | None]] = []
    for at, (user, name, day, kind, in_asset, out_asset, fee_asset, came, went, fee, given, fee_given) in enumerate(
        zip(*(column.to_list() for column in (*columns, *amounts)), strict=True)
    ):
        worth_in, worth_out = closes.worth(in_asset, day, came), closes.worth(out_asset, day, went)
        worths.append((worth_in, worth_out))
        value, source = _common_value(given, in_asset, out_asset, worth_in, worth_out)
        values.value.append(value)
        values.source.append(source)
        fee_worth = closes.worth(fee_asset, day, fee)
        values.fee.append(fee_given if fee_given is not None else fee_worth[0] if fee_worth else None)
        if kind in _EXCHANGES and (in_asset is None) != (out_asset is None) and given is None:
            several[user, name].append(at)
    _share(values, worths, [rows for rows in several.values() if len(rows) > 1], transactions["in_asset"].to_list())
    return values


_EXCHANGES: Final = (Type.TRADE.value, Type.ADD_LIQUIDITY.value, Type.REMOVE_LIQUIDITY.value)


def _common_value(
    given: int | None,
    in_asset: str | None,
    out_asset: str | None,
    worth_in: tuple[int, int] | None,
    worth_out: tuple[int, int] | None,
) -> tuple[int | None, str]:
    if given is not None:
        return given, "given"
    if worth_out and out_asset == US_DOLLAR:
        return worth_out[0], "cash"
    if worth_in and in_asset == US_DOLLAR:
        return worth_in[0], "cash"
    if worth_out and (worth_in is None or worth_out[1] >= worth_in[1]):
        return worth_out[0], "close of out"
    if worth_in:
        return worth_in[0], "close of in"
    return None, "nothing"


def _share(
    values: Values,
    worths: Sequence[tuple[tuple[int, int] | None, tuple[int, int] | None]],
    groups: list[list[int]],
    in_assets: list[str | None],
) -> None:
    """Legs of one exchange in several rows: both sides are worth the same, shared by what the legs are worth alone."""
    for rows in groups:
        sides = [[at for at in rows if in_assets[at] is None], [at for at in rows if in_assets[at] is not None]]
        totals = []
        for side, index in zip(sides, (1, 0), strict=True):
            known = [worths[at][index] for at in side]
            complete = [worth for worth in known if worth is not None]
            is_known = bool(side) and len(complete) == len(known)
            totals.append((sum(w for w, _ in complete), min(s for _, s in complete)) if is_known else None)
        out, into = totals
        if not all(sides) or (out is None and into is None):
            continue
        total = out[0] if out and (into is None or out[1] >= into[1]) else into[0] if into else 0
        for side, own, index in zip(sides, totals, (1, 0), strict=True):
            if own is None and len(side) > 1:
                continue  # nobody knows how to share: each leg stays unknown
            left, rest = total, own[0] if own else 0
            for at in side:
                worth = worths[at][index]
                alone = worth[0] if worth else 0
                part = left if alone >= rest else left * alone // rest
                values.value[at], values.source[at] = part, "share of the transaction"
                left, rest = left - part, rest - alone
