"""What an import would make a ledger take without having it, together with what is stored already.

Belongs here: whole ledgers of the users of a file before and after it, and the words for what is missing. The counting
is `finance.inventory`; whether a shortfall refuses the file is decided in `transaction_import`.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.staging import copy_frame, read_copied
from portfolio_pipelines.database.transaction_files import LARGEST_QUANTITY, SMALLEST, TransactionFile
from portfolio_pipelines.database.transaction_row_checks import QUANTITIES
from portfolio_pipelines.finance.inventory import SHORTFALLS, InventoryRules, find_shortfalls
from portfolio_pipelines.finance.lot_movements import Leg
from portfolio_pipelines.finance.lots import QUANTITY_DIGITS
from portfolio_pipelines.finance.transactions import QUANTITY, TRANSACTIONS
from portfolio_pipelines.market.file_faults import Faults
from portfolio_pipelines.market.table_cells import CONTROL

KEY: Final = ("user_id", "transaction_id", "leg")
ADVICE: Final = (
    "import the missing acquisitions first, or in the same file; or pass --missing-acquisitions list: then `portfolio "
    "transactions questions` asks for them, and figures that rest on them are marked incomplete"
)
_LEDGER: Final = (
    *KEY, "at", "type", "venue", "to_venue", "in_asset", "in_quantity", "out_asset", "out_quantity", "fee_asset",
    "fee_quantity", "tx_hash", "block_number", "transaction_index", "log_index",
)  # fmt: skip
_STORED: Final = f"""
    select u.user_id, t.transaction_id, t.leg, (extract(epoch from v.at) * 1000000)::bigint as at,
           {", ".join(f"v.{name}" for name in _LEDGER[4:])}, i.file_name, v.row_number as file_row
    from app.transaction_versions v
    join app.transactions t using (transaction_key) join app.users u using (user_key)
    join app.imports i using (import_id)
    where v.superseded_at is null
      and u.user_id in (select user_id from users_of_ledgers)
"""  # noqa: S608 (fixed names)
_ROUNDED: Final = r"\.\d{19}|[eE]"
_DIGITS: Final = Context(prec=60, rounding=ROUND_HALF_UP)
LEDGER: Final = pl.Schema(
    {
        **{name: kind for name, kind in TRANSACTIONS.items() if name in _LEDGER},
        "user_id": pl.String(),
        "row": pl.UInt32(),  # of the file; null for what is stored
        "file_name": pl.String(),  # where what is stored came from, and its row there
        "file_row": pl.Int64(),
    }
)
_FOUND: Final = pl.Schema({**LEDGER, **SHORTFALLS})


def new_shortfalls(
    connection: sa.Connection, rows: pl.DataFrame, rules: InventoryRules, decimals: Mapping[str, int]
) -> pl.DataFrame:
    """What would be missing that is not missing yet, or less of it: stored rows first, then by row of the file.

    Args:
        connection: With imports locked.
        rows: Schema `transaction_files.ROWS`, with asset ids in place of names: all that the file says of its users.
        rules: What counts as being there.
        decimals: Of assets whose last decimal is known.

    Returns:
        Columns of LEDGER and of `finance.inventory.SHORTFALLS`.
    """
    given = _exact(rows).select(LEDGER.names()).cast(LEDGER)
    stored = _stored(connection, given["user_id"].unique())
    return _made_worse(stored, pl.concat([stored.join(given, on=KEY, how="anti"), given]), rules, decimals)


def removal_shortfalls(
    connection: sa.Connection, user_id: str, transaction_id: str, rules: InventoryRules, decimals: Mapping[str, int]
) -> pl.DataFrame:
    """What would be missing of a ledger without one of its transactions; columns as of `new_shortfalls`."""
    stored = _stored(connection, pl.Series([user_id]))
    return _made_worse(stored, stored.filter(pl.col("transaction_id") != transaction_id), rules, decimals)


def _made_worse(
    before: pl.DataFrame, after: pl.DataFrame, rules: InventoryRules, decimals: Mapping[str, int]
) -> pl.DataFrame:
    """Shortfalls after a change that were smaller before it, or none."""
    found = _shortfalls(after, rules, decimals)
    if found.is_empty():
        return found
    touched = before.join(found.select("user_id").unique(), on="user_id", how="semi")
    known = _shortfalls(touched, rules, decimals).select(*KEY, "part", "asset_id", known="missing")
    worse = found.join(known, on=[*KEY, "part", "asset_id"], how="left").filter(
        pl.col("missing") > pl.col("known").fill_null(0)
    )
    return worse.drop("known").sort("row", "user_id", "at", *KEY[1:], "part", nulls_last=False)


def describe(row: Mapping[str, Any], rules: InventoryRules) -> str:
    """A shortfall in words."""
    part = {int(Leg.FEE): "the fee of ", int(Leg.LOST): "what is lost on the way of "}.get(row["part"], "")
    stored = f" (stored, row {row['file_row']} of {row['file_name']})" if row["row"] is None else ""
    where = "there" if rules.scope == "per_venue" else "in all venues"
    return (
        f"{part}{row['type']} {row['transaction_id']!r} leg {row['leg']}{stored} of {row['user_id']} takes "
        f"{_plain(row['taken'])} {row['asset_id']} from {row['venue']} at {row['at']:%Y-%m-%d %H:%M:%S} UTC: "
        f"{_plain(row['held'])} held {where}, {_plain(row['missing'])} missing"
    )


def countable(file: TransactionFile, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of a file with faults: rows whose quantities can be counted, and what the other rows might have brought.

    Args:
        file: The file as it was read.
        rows: Its rows with asset ids in place of names, null where a name means nothing.

    Returns:
        Rows as they came, without what cannot be counted in them; and user_id (null for anybody), asset_id.
    """
    first = pl.col("row") == pl.col("row").min().over(KEY)
    repeats = rows.filter(~first)
    kept = rows.filter(first)
    doubtful = [repeats.select("user_id", asset_id="in_asset")]
    for side, quantity in zip(("in_asset", "out_asset", "fee_asset"), QUANTITIES, strict=True):
        value = pl.col(quantity).cast(pl.Float64, strict=False)
        good = pl.col(side).is_not_null() & (value >= SMALLEST) & (value < LARGEST_QUANTITY)
        if side == "in_asset":
            doubtful.append(kept.filter(~good.fill_null(value=False)).select("user_id", asset_id=side))
        kept = kept.with_columns(pl.when(good).then(pl.col(name)).alias(name) for name in (side, quantity))
    names = [
        pl.DataFrame({"name": file.rows[side].str.to_lowercase(), "asset_id": rows[side]})
        for side in ("in_asset", "out_asset", "fee_asset")
    ]
    ids = rows.select(asset_id=pl.concat_list("in_asset", "out_asset", "fee_asset").explode()).with_columns(
        name=pl.col("asset_id").str.to_lowercase()
    )
    known = pl.concat([*names, ids.select("name", "asset_id")]).drop_nulls().unique()
    unread = file.unread.with_columns(name=pl.col("in_asset").str.to_lowercase())
    doubtful.append(unread.join(known, on="name").select("user_id", "asset_id"))
    return kept, pl.concat(doubtful).filter(pl.col("asset_id").is_not_null()).unique()


def add_faults(
    found: pl.DataFrame, rules: InventoryRules, faults: Faults, doubtful: pl.DataFrame | None = None
) -> None:
    """Shortfalls as faults, but not where a row that cannot be read may have brought what is missing."""
    if doubtful is not None:
        anybody = doubtful.filter(pl.col("user_id").is_null())["asset_id"].to_list()
        found = found.join(doubtful, on=["user_id", "asset_id"], how="anti").filter(~pl.col("asset_id").is_in(anybody))
    if not found.is_empty():
        faults.add_rows(found, lambda row: describe(row, rules))
        faults.advice = ADVICE


def _stored(connection: sa.Connection, users: pl.Series) -> pl.DataFrame:
    """Current rows of some users, schema LEDGER."""
    connection.execute(sa.text("create temporary table users_of_ledgers (user_id text) on commit drop"))
    storable = users.filter(~users.str.contains(CONTROL)).to_frame("user_id")
    copy_frame(connection, "users_of_ledgers", storable)
    connection.execute(sa.text("analyze users_of_ledgers"))  # else all ledgers are read for one user
    texts = pl.Schema(dict.fromkeys((*_LEDGER, "file_name", "file_row"), pl.String()))
    frame = read_copied(connection, _STORED, texts)
    return _exact(
        frame.with_columns(
            pl.col("at").cast(pl.Int64).cast(pl.Datetime("us", "UTC")), row=pl.lit(None, pl.UInt32)
        )
    ).select(LEDGER.names()).cast(LEDGER)  # fmt: skip


def _exact(rows: pl.DataFrame) -> pl.DataFrame:
    """Quantities as the database keeps them: 18 decimals, the nineteenth rounds half up."""
    for name in QUANTITIES:
        long = rows.filter(pl.col(name).str.contains(_ROUNDED))[name].unique()
        plain = pl.col(name).cast(QUANTITY, strict=False)
        if len(long):
            made = {text: _DIGITS.quantize(Decimal(text), Decimal(1).scaleb(-QUANTITY_DIGITS)) for text in long}
            rounded = pl.col(name).replace_strict(made, default=None, return_dtype=QUANTITY)
            plain = pl.coalesce(rounded, plain)
        rows = rows.with_columns(plain.alias(name))
    return rows.with_columns(
        pl.lit(None, kind).alias(name) for name, kind in LEDGER.items() if name not in rows.columns
    )


def _shortfalls(ledger: pl.DataFrame, rules: InventoryRules, decimals: Mapping[str, int]) -> pl.DataFrame:
    """Shortfalls with the rows that they belong to. Users and rows get numbers of their own: new ones have none yet."""
    numbered = ledger.with_columns(
        transaction_key=pl.int_range(pl.len(), dtype=pl.Int64),
        user_key=(pl.col("user_id").rank("dense") - 1).cast(pl.Int32),
        value_usd=None,
        fee_value_usd=None,
    )
    found = find_shortfalls(numbered.select(TRANSACTIONS.names()).cast(TRANSACTIONS), rules, decimals)
    own = numbered.select(name for name in ("transaction_key", *LEDGER.names()) if name != "at")
    return found.join(own, on="transaction_key", maintain_order="left").select(_FOUND.names())


def _plain(number: Decimal) -> str:
    """Without zeros at the end and without an exponent."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
