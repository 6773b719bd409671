"""`portfolio wallets …` and `portfolio liquidity …`: what is watched, and no longer watching it."""

import polars as pl

from portfolio_pipelines.chains.addresses import checksum_address
from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.importing import whoami
from portfolio_pipelines.commands.reading import print_frame
from portfolio_pipelines.resources.platform import Platform

EVERY_CHAIN = "all enabled"


def show_wallets(platform: Platform, user_id: str | None, form: str) -> None:
    """The watched wallets, of one user or of all."""
    from portfolio_pipelines.database.wallets import wallets_frame

    frame = wallets_frame(platform.database.engine)
    if user_id is not None:
        frame = frame.filter(pl.col("user_id") == user_id)
    shown = frame.select(
        "wallet_key",
        "user_id",
        pl.struct("address", "family").map_elements(_spelled, return_dtype=pl.String).alias("address"),
        "family",
        "label",
        chains=pl.when(pl.col("chains").list.len() > 0).then(pl.col("chains").list.join(" ")),
    )
    if form == "table":
        shown = shown.with_columns(pl.col("chains").fill_null(EVERY_CHAIN))
    print_frame(shown, form, "no wallet is watched; `portfolio import wallets FILE` brings some")


def remove_wallet(platform: Platform, user_id: str, address: str) -> None:
    """Stop watching a wallet of a user.

    Raises:
        CommandError: If the address is none.
        NotWatchedError: If the user does not watch it.
    """
    from portfolio_pipelines.database.wallet_files import recognise
    from portfolio_pipelines.database.wallets import remove_wallet as remove

    try:
        _, known = recognise(address.strip())
    except ValueError as error:
        raise CommandError(str(error)) from None
    if known is None:
        msg = f"{address!r} is a name: write the address it stands for"
        raise CommandError(msg)
    remove(platform.database.engine, user_id, known, who=whoami())
    OUT.print(f"{address} of {user_id} is no longer watched; what is known of it stays.", markup=False)


def show_positions(platform: Platform, user_id: str | None, form: str) -> None:
    """The liquidity positions that users entered, of one user or of all."""
    from portfolio_pipelines.database.liquidity import liquidity_positions_frame

    frame = liquidity_positions_frame(platform.database.engine).drop("user_key", "tokens")
    if user_id is not None:
        frame = frame.filter(pl.col("user_id") == user_id)
    print_frame(frame, form, "there is no liquidity position; `portfolio import liquidity-positions FILE` brings some")


def remove_position(platform: Platform, user_id: str, position_key: int) -> None:
    """Stop following a liquidity position.

    Raises:
        NoPositionError: If the user has no such position.
    """
    from portfolio_pipelines.database.liquidity import remove_position as remove

    remove(platform.database.engine, user_id, position_key, who=whoami())
    OUT.print(f"Position {position_key} of {user_id} is no longer followed; what is known of it stays.", markup=False)


def _spelled(row: dict[str, str]) -> str:
    return checksum_address(row["address"]) if row["family"] == "evm" else row["address"]
