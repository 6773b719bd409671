"""Integers of up to 256 bits as columns: `raw` DECIMAL(38,0), and `raw_hex` text only where 38 digits do not hold one.

Belongs here: getting them in and out of frames, and adding them up exactly. Reading them from a chain, and decimals of
tokens, are elsewhere. Sums that could pass 38 digits are made with Python's integers: DECIMAL refuses them, and every
wider type of the frame library wraps or rounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import polars as pl

RAW = pl.Decimal(38, 0)
LARGEST = 10**38 - 1
_SAFE = 9e37  # sums whose terms stay below this in floating point fit DECIMAL(38,0), rounding included


def raw_columns(values: Iterable[int | None], name: str = "raw") -> tuple[pl.Series, pl.Series]:
    """The two columns `name` and `name_hex` of integers; both null where the value is unknown.

    A value that does not fit is 0x and 64 lower-case hex digits, with a minus in front where it is below zero.
    """
    decimals: list[Decimal | None] = []  # integers above 64 bits beside smaller ones make no DECIMAL series
    texts: list[str | None] = []
    for value in values:
        fits = value is None or -LARGEST <= value <= LARGEST
        decimals.append(Decimal(value) if fits and value is not None else None)
        texts.append(None if fits or value is None else f"{'-' if value < 0 else ''}0x{abs(value):064x}")
    return pl.Series(name, decimals, dtype=RAW), pl.Series(f"{name}_hex", texts, dtype=pl.String)


def integers(frame: pl.DataFrame, name: str = "raw") -> list[int | None]:
    """The integers of the columns `name` and, where the frame has it, `name_hex`; None where both are null."""
    raws: list[Decimal | None] = frame[name].to_list()
    texts: list[str | None] = frame[f"{name}_hex"].to_list() if f"{name}_hex" in frame.columns else [None] * len(raws)
    return [
        int(text, 16) if text is not None else None if raw is None else int(raw)
        for raw, text in zip(raws, texts, strict=True)
    ]


def approximate(frame: pl.DataFrame, name: str = "raw") -> pl.Series:
    """The integers of the columns `name` and `name_hex` in floating point, for comparisons; zero only if exactly so."""
    values = frame[name].cast(pl.Float64)
    texts = frame[f"{name}_hex"]
    large = [None if text is None else float(int(text, 16)) for text in texts.drop_nulls()]
    return values if not large else values.scatter(texts.is_not_null().arg_true(), large)


def sums(entries: pl.DataFrame, keys: Sequence[str], formulas: Mapping[str, Mapping[str, int]]) -> pl.DataFrame:
    """Exact sums over entries of several parts, one row a key.

    Args:
        entries: Columns `keys`, `part` (text), `raw` and `raw_hex`.
        keys: Columns that make a row of the result; nulls are not equal to each other.
        formulas: Name of each figure of the result, and with which sign (1 or -1) each part enters it.

    Returns:
        `keys` and, for each figure, its two columns; a part without entries counts as nothing. Entries whose value is
        null count as nothing too: leave them out before if they mean "unknown".
    """
    size = pl.when(pl.col("raw_hex").is_not_null()).then(float("inf")).otherwise(pl.col("raw").cast(pl.Float64).abs())
    marked = entries.with_columns((size.sum().over(keys) < _SAFE).alias("_small"))
    small, large = marked.filter(pl.col("_small")), marked.filter(~pl.col("_small"))
    nothing = pl.lit(0, dtype=RAW)
    figures = small.group_by(keys, maintain_order=True).agg(
        sum(
            (sign * pl.col("raw").filter(pl.col("part") == part).sum() for part, sign in parts.items()), start=nothing
        ).alias(name)
        for name, parts in formulas.items()
    )
    figures = figures.select(
        *keys,
        *(
            column
            for name in formulas
            for column in (pl.col(name).cast(RAW), pl.lit(None, dtype=pl.String).alias(f"{name}_hex"))
        ),
    )
    return pl.concat([figures, _large_sums(large, keys, formulas)]) if large.height else figures


def _large_sums(large: pl.DataFrame, keys: Sequence[str], formulas: Mapping[str, Mapping[str, int]]) -> pl.DataFrame:
    totals: dict[tuple[object, ...], dict[str, int]] = {}
    for key, part, value in zip(large.select(keys).rows(), large["part"].to_list(), integers(large), strict=True):
        parts = totals.setdefault(key, {})
        parts[part] = parts.get(part, 0) + (value or 0)
    columns: list[pl.Series] = []
    for name, signs in formulas.items():
        columns += raw_columns((sum(s * t.get(p, 0) for p, s in signs.items()) for t in totals.values()), name)
    key_frame = pl.DataFrame(list(totals), schema={key: large.schema[key] for key in keys}, orient="row")
    return key_frame.hstack(columns)
