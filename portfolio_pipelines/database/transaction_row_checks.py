"""What transaction rows of a file have to agree on, with themselves and with each other.

Belongs here: one check a subject, over all rows at once; what is wrong goes to the faults of the file. Cells alone
(dates, numbers, lengths) are checked by `transaction_files`, which hands the rows in.
"""

from typing import Final

import polars as pl

from portfolio_pipelines.database.investment_files import MOMENT
from portfolio_pipelines.finance.transactions import NEEDS, Type
from portfolio_pipelines.market.file_faults import Faults

QUANTITIES: Final = ("in_quantity", "out_quantity", "fee_quantity")
LONGEST: Final = 255
"""Characters of a cell."""


def check_zones(cells: pl.DataFrame, faults: Faults) -> None:
    """Times with and without an offset in one file: nobody knows what the others mean. Takes all cells."""
    with_time = cells.filter(pl.col("at").str.contains(MOMENT) & pl.col("at").str.contains(r"\d{2}:\d{2}"))
    zoned = with_time["at"].str.contains(r"(?:[zZ]|UTC|[+-]\d{2}(?::?\d{2})?)$")
    if zoned.any() and not zoned.all():
        row = with_time.filter(~zoned)["row"][0]
        faults.add(f"times with and without a time zone are mixed ({(~zoned).sum()} rows have none)", row)


def check_types(cells: pl.DataFrame, faults: Faults) -> None:
    """Each type has the sides that it needs and no other, and each side both an asset and a quantity."""
    known = [kind.value for kind in Type]
    faults.add_rows(
        cells.filter(pl.col("type").is_not_null() & ~pl.col("type").is_in(known)),
        lambda row: f"type {row['type'][:LONGEST]!r} is none of {', '.join(known)}",
    )
    for asset, quantity in zip(("in_asset", "out_asset", "fee_asset"), QUANTITIES, strict=True):
        faults.add_rows(
            cells.filter(~pl.col(f"long_{quantity}") & (pl.col(asset).is_null() != pl.col(quantity).is_null())),
            lambda _, asset=asset, quantity=quantity: f"{asset} and {quantity} go together: one is empty",  # type: ignore[misc]
        )
    for side, index in (("in", 0), ("out", 1)):
        wanted = {kind.value: needs[index] for kind, needs in NEEDS.items() if needs[index] is not None}
        needed = pl.col("type").replace_strict(wanted, default=None, return_dtype=pl.Boolean)
        there = pl.col(f"{side}_asset").is_not_null()
        faults.add_rows(
            cells.filter(needed & ~there),
            lambda row, side=side: f"{row['type']} needs {side}_asset",  # type: ignore[misc]
        )
        faults.add_rows(
            cells.filter(~needed & there),
            lambda row, side=side: f"{row['type']} has no {side}_asset",  # type: ignore[misc]
        )
    faults.add_rows(
        cells.filter(pl.all_horizontal(pl.col("in_asset", "out_asset", "fee_asset").is_null())),
        lambda _: "nothing came, nothing went, and no fee was paid",
    )
    faults.add_rows(
        cells.filter((pl.col("type") == "transfer") & pl.col("to_venue").is_null()), lambda _: "no to_venue"
    )


def check_twice(rows: pl.DataFrame, faults: Faults) -> None:
    """A leg comes once, and legs of one transaction happen together."""
    key = ["user_id", "transaction_id", "leg"]
    first = rows.with_columns(first=pl.col("row").min().over(key))
    faults.add_rows(
        first.filter(pl.col("row") > pl.col("first")),
        lambda row: f"repeats row {row['first']}: transaction {row['transaction_id']!r} leg {row['leg']}",
    )
    several = rows.with_columns(other=pl.col("at").min().over(key[:2]))
    faults.add_rows(
        several.filter(pl.col("at") != pl.col("other")),
        lambda row: f"legs of transaction {row['transaction_id']!r} have different moments",
    )


def check_sides(rows: pl.DataFrame, faults: Faults) -> None:
    """An exchange has two sides, in one row or in several."""
    both = [kind.value for kind in (Type.TRADE, Type.ADD_LIQUIDITY, Type.REMOVE_LIQUIDITY)]
    over = ["user_id", "transaction_id"]
    sides = rows.filter(pl.col("type").is_in(both)).with_columns(
        came=pl.col("in_asset").is_not_null().any().over(over), went=pl.col("out_asset").is_not_null().any().over(over)
    )
    faults.add_rows(
        sides.filter((~pl.col("came") | ~pl.col("went")) & pl.col("row").is_first_distinct()),
        lambda row: f"{row['type']} {row['transaction_id']!r}: nothing {'went' if row['came'] else 'came'}",
    )
    same = (pl.col("type") == "rebase") & (pl.col("in_asset").is_null() == pl.col("out_asset").is_null())
    faults.add_rows(rows.filter(same), lambda _: "rebase needs either in_asset or out_asset")


def check_order(rows: pl.DataFrame, faults: Faults) -> None:
    """Blocks rise with time: a higher block of a chain that is older is a wrong time or a wrong block."""
    placed = rows.filter(pl.col("block_number").is_not_null()).sort(
        "user_id", "chain", "block_number", "transaction_index", "log_index", nulls_last=False
    )
    over = ["user_id", "chain"]
    before = placed.with_columns(
        newest=pl.col("at").cum_max().shift(1).over(over), block=pl.col("block_number").shift(1).over(over)
    )
    faults.add_rows(
        before.filter(pl.col("at") < pl.col("newest")),
        lambda row: (
            f"block {row['block_number']} at {row['at']:%Y-%m-%d %H:%M:%S} comes after block {row['block']}, "
            f"which is later: {row['newest']:%Y-%m-%d %H:%M:%S}"
        ),
    )
