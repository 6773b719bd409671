"""What text cells of an imported table mean: days, numbers, and columns that look swapped.

Belongs here: expressions over text columns that several readers share. Reading files is `table_files`.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from portfolio_pipelines.market.file_faults import Faults
from portfolio_pipelines.wording import counted

DAY: Final = (
    r"^(\d{4}-\d{2}-\d{2})(?:[T ](?:00:00(?::00(?:\.0+)?)?|23:59:59(?:\.\d+)?)\s?(?:Z|UTC|[+-]\d{2}:?\d{2})?)?$"
)
DAY_MONTH_YEAR: Final = r"^\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})(?:[T ,].*)?$"
DECIMAL: Final = r"^\+?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?$"
"""A number with all its digits, without sign, blanks or thousands."""
CONTROL: Final = r"[\p{Cc}\x{2028}\x{2029}]"
SAMPLE: Final = 10_000
"""Rows that decide whether two columns look swapped."""


def number(column: str) -> pl.Expr:
    """The cell as a double, possibly NaN or infinite; null when it is no number."""
    return pl.col(column).cast(pl.Float64, strict=False)


def day(column: str) -> pl.Expr:
    """The cell as a day: YYYY-MM-DD, with nothing but the start or the end of the day behind it; else null."""
    return pl.col(column).str.extract(DAY, 1).str.to_date("%Y-%m-%d", strict=False)


def kind(column: str) -> pl.Expr:
    """What the cell looks like: date, number or word; null when empty."""
    text = pl.col(column)
    looks_like_date = text.str.contains(r"^\d{4}-\d{1,2}-\d{1,2}") | text.str.contains(DAY_MONTH_YEAR)
    return (
        pl.when(text.is_null())
        .then(None)
        .when(looks_like_date)
        .then(pl.lit("date"))
        .when(number(column).is_not_null())
        .then(pl.lit("number"))
        .otherwise(pl.lit("word"))
    )


def find_swapped(cells: pl.DataFrame, expected: Mapping[str, str], faults: Faults) -> bool:
    """Add a fault for each pair of columns of which each looks like the other. True when there is one."""
    present = {name: wanted for name, wanted in expected.items() if name in cells.columns}
    kinds = cells.head(SAMPLE).select(**{name: kind(name) for name in present})
    usual = {name: _usual(kinds[name]) for name in present}
    found = False
    names = list(present)
    for place, left in enumerate(names):
        for right in names[place + 1 :]:
            wanted = (present[left], present[right])
            if wanted[0] != wanted[1] and (usual[right], usual[left]) == wanted:
                faults.add(f"columns {left} and {right} look swapped")
                found = True
    return found


def find_bad_dates(cells: pl.DataFrame, column: str, good: pl.Expr, faults: Faults) -> None:
    """Add a fault for each row whose date is missing, is written day first, or is no date. `good`: row is fine."""
    faults.add_rows(cells.filter(pl.col(column).is_null()), lambda _: f"no {column}")
    bad = cells.filter(pl.col(column).is_not_null() & ~good)
    day_first = bad.filter(pl.col(column).str.contains(DAY_MONTH_YEAR))
    if not day_first.is_empty():
        example, row, count = day_first[column][0], day_first["row"][0], day_first.height
        faults.add(f"dates look like day-month-year ({example!r}, {counted(count, 'row')}): write YYYY-MM-DD", row)
    others = bad.filter(~pl.col(column).str.contains(DAY_MONTH_YEAR))
    faults.add_rows(others, lambda row: f"{column} {row[column]!r} is no date of the form YYYY-MM-DD")


def find_bad_numbers(
    cells: pl.DataFrame, column: str, faults: Faults, *, largest: float, required: bool, may_be_zero: bool = False
) -> None:
    """Add a fault for each cell that is missing (where required), no plain decimal, not positive, or too large."""
    text, value = pl.col(column), number(column)
    if required:
        faults.add_rows(cells.filter(text.is_null()), lambda _: f"no {column}")
    good = value.is_finite() & ((value >= 0) if may_be_zero else (value > 0))
    wanted = "it must be finite and not negative" if may_be_zero else "it must be positive and finite"
    faults.add_rows(
        cells.filter(value.is_null() & text.is_not_null()),
        lambda row: f"{column} {row[column]!r} is no number (write 1000.50)",
    )
    faults.add_rows(cells.filter(~good), lambda row: f"{column} is {row[column]}: {wanted}")
    faults.add_rows(cells.filter(good & (value >= largest)), lambda row: f"{column} {row[column]} is beyond reason")
    faults.add_rows(
        cells.filter(good & ~text.str.contains(DECIMAL)),
        lambda row: f"{column} {row[column]!r} is no plain decimal number",
    )


def find_bad_texts(
    cells: pl.DataFrame, columns: Iterable[str], faults: Faults, *, longest: int, required: bool
) -> None:
    """Add a fault for each cell that is missing (where required), has more than `longest` characters or controls."""
    for column in columns:
        text = pl.col(column)
        if required:
            faults.add_rows(cells.filter(text.is_null()), lambda _, column=column: f"no {column}")  # type: ignore[misc]
        faults.add_rows(
            cells.filter(text.str.len_chars() > longest),
            lambda row, column=column: f"{column} has {len(row[column])} characters, more than {longest}",  # type: ignore[misc]
        )
        faults.add_rows(
            cells.filter(text.str.contains(CONTROL)),
            lambda row, column=column: f"{column} {row[column]!r} holds control characters",  # type: ignore[misc]
        )


def _usual(kinds: pl.Series) -> str | None:
    """The kind of at least nine in ten filled cells."""
    filled = kinds.drop_nulls()
    if filled.is_empty():
        return None
    top = filled.value_counts(sort=True).row(0)
    return str(top[0]) if top[1] >= 0.9 * filled.len() else None
