"""`portfolio prices …`: closes that a person sets or confirms, with who and why; nothing is ever overwritten."""

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

import polars as pl
from rich.table import Table

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.importing import whoami
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.tables import PRICES, PRICES_SCHEMA


def override(platform: Platform, asset: str, day: date, close: str, why: str, *, sure: bool = False) -> None:
    """Set the close of an asset on a day by hand.

    Args:
        platform: The installation.
        asset: A market id, or a symbol valid on the day.
        day: UTC day of the close.
        close: US dollars, as typed.
        why: The reason, for those who ask later.
        sure: Whether the price may be far from the closes around it.

    Raises:
        CommandError: If the asset is unknown, the close is no number, or it would be held back as a jump and nobody
            said that it is meant.
    """
    from portfolio_pipelines.database.overrides import add_override, refuse_nonsense

    try:
        price = Decimal(close)
    except InvalidOperation:
        msg = f"{close!r} is no price in USD"
        raise CommandError(msg) from None
    asset_id = asset_of(platform, asset, day)
    who, kind = whoami(), "manual"
    refuse_nonsense(day, price, who, why, kind, datetime.now(UTC))
    if not sure:
        _refuse_jump(platform, asset_id, day, price)
    number = add_override(platform.database.engine, asset_id, day, price, who=who, why=why, kind=kind)
    OUT.print(f"override {number}: {asset} closed at {price} USD on {day}. `portfolio run` applies it.")


def _refuse_jump(platform: Platform, asset_id: str, day: date, price: Decimal) -> None:
    """An override passes the jump guard, so that a slip of the finger would be served: it is asked about here."""
    near = platform.market.accepted_near(asset_id, day)
    if near is None:
        return
    near_day, close = near
    factor, limit = float(price) / close, platform.market.policy.jump_factor
    if 1 / limit < factor < limit:
        return
    times = f"{factor:,.0f} times" if factor >= 1 else f"a fraction ({factor:.4g}) of"
    msg = (
        f"{price} USD is {times} {close} USD, the accepted close of {asset_id} on {near_day}: nothing was changed. "
        f"If {price} is meant, say so with --yes"
    )
    raise CommandError(msg)


def confirm(platform: Platform, asset: str, day: date, why: str) -> None:
    """Confirm the quote that the jump guard holds back on a day.

    Raises:
        CommandError: If nothing is held back there.
    """
    from portfolio_pipelines.database.overrides import add_override

    asset_id = asset_of(platform, asset, day)
    rows = platform.lake.read(PRICES, [day], PRICES_SCHEMA).filter(
        (pl.col("asset_id") == asset_id) & pl.col("reason").str.starts_with("jump")
    )
    if rows.is_empty():
        msg = f"no quote of {asset_id} is held back on {day}; `portfolio prices blocked` lists those that are"
        raise CommandError(msg)
    close = platform.market.best_quote(asset_id, day)
    number = add_override(
        platform.database.engine, asset_id, day, Decimal(str(close)), who=whoami(), why=why, kind="confirm_jump"
    )
    OUT.print(f"override {number}: {asset_id} is confirmed at {close} USD on {day}. `portfolio run` applies it.")


def withdraw(platform: Platform, number: int, why: str) -> None:
    """Take an override back; it stays in the history."""
    from portfolio_pipelines.database.overrides import withdraw_override

    withdraw_override(platform.database.engine, number, who=whoami(), why=why)
    OUT.print(f"override {number} is withdrawn. `portfolio run` applies it.")


def show_overrides(platform: Platform) -> None:
    """All overrides, withdrawn ones included."""
    from portfolio_pipelines.database.overrides import load_overrides

    _show(load_overrides(platform.database.engine), "no price was ever set by hand")


def show_blocked(platform: Platform) -> None:
    """What the jump guard holds back, a row for each asset and its first day, newest first; and how to confirm it."""
    columns = ["date", "asset_id", "reason", "refused_since", "last_close_usd"]
    prices = platform.lake.read(PRICES, platform.lake.days(PRICES), PRICES_SCHEMA, columns)
    blocked = (
        prices.filter(pl.col("reason").str.starts_with("jump"))
        .group_by("asset_id", blocked_since="refused_since")
        .agg(days=pl.len(), newest_day=pl.col("date").max(), last_close_usd=pl.col("last_close_usd").first())
        .sort("newest_day", "asset_id", "blocked_since", descending=[True, False, True])
    )
    newest = [
        platform.market.best_quote(asset, day) for asset, day in blocked.select("asset_id", "newest_day").iter_rows()
    ]
    _show(blocked.with_columns(newest_quote_usd=pl.Series(newest, dtype=pl.Float64)), "no quote is held back")
    if blocked.is_empty():
        return
    OUT.print("What is real is confirmed from its first day on; `portfolio run` then shows what is still held back:")
    for asset, since in blocked.select("asset_id", "blocked_since").iter_rows():
        OUT.print(f'  portfolio prices confirm {asset} {since} --why "…"', soft_wrap=True, highlight=False)


def asset_of(platform: Platform, name: str, day: date) -> str:
    """The market id that a name means on a day: an id itself, or a symbol.

    Raises:
        CommandError: If it means none, or several.
    """
    from portfolio_pipelines.database.assets import load_asset_symbols, load_assets
    from portfolio_pipelines.database.symbols import explain, resolve

    assets, symbols = load_assets(platform.database.engine), load_asset_symbols(platform.database.engine)
    asked = pl.DataFrame({"day": [day], "name": [name]}, schema={"day": pl.Date, "name": pl.String})
    row = resolve(asked, assets, symbols).row(0, named=True)
    if row["asset_id"] is None:
        raise CommandError(explain(name, day, row["candidates"], assets, symbols))
    return str(row["asset_id"])


def _show(frame: pl.DataFrame, nothing: str) -> None:
    if frame.is_empty():
        OUT.print(nothing)
        return
    table = Table()
    for name in frame.columns:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*("–" if cell is None else str(cell) for cell in row))
    OUT.print(table)
