"""`portfolio targets …`, `portfolio plans …`, `portfolio plan`: what is wanted, what is proposed, what is decided."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Final

import polars as pl

from portfolio_pipelines.commands.console import OUT, CommandError, today
from portfolio_pipelines.commands.importing import whoami
from portfolio_pipelines.commands.overriding import asset_of
from portfolio_pipelines.commands.reading import print_frame
from portfolio_pipelines.finance.allocation import Rules, Target
from portfolio_pipelines.resources.platform import Platform

NO_TARGETS: Final = "nobody has a strategy; `portfolio targets set USER STRATEGY BTC=60 ETH=40` makes one"
NO_PLANS: Final = "no plan is proposed: every strategy is inside its bands, or `portfolio run` has yet to look"


def set_targets(
    platform: Platform,
    user_id: str,
    strategy: str,
    shares: Sequence[str],
    rules: Mapping[str, str | bool],
    *,
    band: str,
    keep: Sequence[str],
    no_more: Sequence[str],
) -> None:
    """Make a strategy or change it.

    Args:
        platform: The installation.
        user_id: Whose.
        strategy: Its name.
        shares: ASSET=PERCENT or ASSET=PERCENT:BAND.
        rules: buy_only, sells_others, min_trade_usd, max_cost_pct.
        band: Percentage points for those without one of their own.
        keep: Assets that must not be sold.
        no_more: Assets of which no more must be bought.

    Raises:
        CommandError: With all that is wrong.
    """
    from portfolio_pipelines.database.target_versions import set_strategy

    faults: list[str] = []
    bound = {name: {_asset(platform, asset, faults) for asset in assets} for name, assets in _limits(keep, no_more)}
    targets = []
    for share in shares:
        asset, _, figures = share.rpartition("=")
        weight, _, own = figures.partition(":")
        asset_id = _asset(platform, asset, faults)
        targets.append(
            Target(
                asset_id,
                _percent(weight, f"the weight of {asset or share!r}", faults),
                _percent(own or band, f"the band of {asset or share!r}", faults),
                may_sell=asset_id not in bound["keep"],
                may_buy=asset_id not in bound["no_more"],
            )
        )
    named = {target.asset_id for target in targets}
    faults += [
        f"{asset!r} is kept or not to be bought, but has no share"
        for asset in sorted(set().union(*bound.values()) - named)
    ]
    wanted = Rules(
        sells_others=bool(rules["sells_others"]),
        buy_only=bool(rules["buy_only"]),
        min_trade_usd=_percent(str(rules["min_trade_usd"]), "the smallest trade", faults),
        max_cost_pct=_percent(str(rules["max_cost_pct"]), "the greatest cost", faults),
    )
    if faults:
        raise CommandError("\n".join(dict.fromkeys(faults)))
    with _refusals():
        version = set_strategy(platform.database.engine, user_id, strategy, targets, wanted, who=whoami())
    OUT.print(f"{strategy} of {user_id} is version {version}. `portfolio run` measures its drift.", markup=False)


def show_targets(platform: Platform, user_id: str | None, form: str) -> None:
    """Current targets, of one user or of all."""
    from portfolio_pipelines.database.target_versions import targets_frame

    frame = targets_frame(platform.database.engine, user_id)
    percent = {name: (pl.col(column) * 100).round(6) for name, column in (("percent", "target"), ("band_pct", "band"))}
    shown = frame.with_columns(**percent, max_cost_pct=(pl.col("max_cost_share") * 100).round(6)).select(
        "user_id", "strategy", "version", "asset_id", "percent", "band_pct", "may_sell", "may_buy", "sells_others",
        "min_trade_usd", "max_cost_pct",
    )  # fmt: skip
    print_frame(shown.sort("user_id", "strategy", "percent", descending=[False, False, True]), form, NO_TARGETS)


def delete_targets(platform: Platform, user_id: str, strategy: str) -> None:
    """Let a strategy no longer hold.

    Raises:
        CommandError: If there is none.
    """
    from portfolio_pipelines.database.target_versions import delete_strategy

    with _refusals():
        delete_strategy(platform.database.engine, user_id, strategy, who=whoami())
    OUT.print(f"{strategy} of {user_id} no longer holds; its history stays.", markup=False)


def show_plans(platform: Platform, user_id: str | None, form: str, *, everything: bool) -> None:
    """Steps of plans: of those that are proposed, or of all."""
    from portfolio_pipelines.database.target_plans import plans_frame

    frame = plans_frame(platform.database.engine, user_id)
    if not everything:
        frame = frame.filter(pl.col("status").is_in(["proposed", "not_suggested"]))
    _print_plans(frame, form)


def decide_plan(platform: Platform, plan: str, status: str, why: str | None) -> None:
    """Accept or reject a plan.

    Raises:
        CommandError: If there is no such plan, or it is no longer proposed.
    """
    from portfolio_pipelines.database.target_plans import decide

    with _refusals():
        found = decide(platform.database.engine, plan, status, who=whoami(), why=why)
    OUT.print(f"plan {found} is {status}. Nothing is traded by this platform.", markup=False)


def make_plan(platform: Platform, user_id: str, strategy: str, deposit: str | None, form: str) -> None:
    """Solve for the cheapest plan of a strategy now, and keep it as a proposal.

    Raises:
        CommandError: If the marts do not know the strategy as it is.
    """
    from portfolio_pipelines.allocation_tables import CHAIN_FEES, CHAIN_FEES_SCHEMA
    from portfolio_pipelines.assets.rebalancing import book_of, drift_day, proposals_of
    from portfolio_pipelines.database.target_plans import plans_frame, save_request
    from portfolio_pipelines.database.target_versions import targets_frame
    from portfolio_pipelines.finance.rebalancing_books import plans_of

    faults: list[str] = []
    money = float(_percent(deposit or "0", "the deposit", faults))
    targets = targets_frame(platform.database.engine, user_id).filter(pl.col("strategy") == strategy)
    if targets.is_empty():
        faults.append(f"{user_id!r} has no strategy {strategy!r}; `portfolio targets list` shows them")
    if faults or money < 0:
        raise CommandError("\n".join(faults or [f"the deposit must not be negative: {deposit}"]))
    fees = platform.lake.read_table(CHAIN_FEES, CHAIN_FEES_SCHEMA)
    book = book_of(platform.warehouse, platform.chains, fees, int(targets["strategy_key"][0]))
    day = drift_day(platform.warehouse)
    if day is None or set(book["version"]) != set(targets["version"]):
        msg = f"the marts do not know {strategy!r} as it is now; `portfolio run` brings them up to date"
        raise CommandError(msg)
    proposal = proposals_of(plans_of(book, day.isoformat(), new_money_usd=money), day)
    save_request(platform.database.engine, proposal)
    shown = plans_frame(platform.database.engine, user_id)
    _print_plans(shown.filter(pl.col("plan_id").is_in(proposal["plan_id"].to_list())), form)


def _print_plans(frame: pl.DataFrame, form: str) -> None:
    columns = [
        "plan_id", "user_id", "strategy", "as_of", "status", "step", "action", "asset_id", "amount_usd",
        "into_asset_id", "gas_usd", "slippage_usd", "reason",
    ]  # fmt: skip
    shown = frame.sort("user_id", "strategy", "as_of", "plan_id", "step")
    if form != "table":
        print_frame(shown, form, NO_PLANS)
        return
    short = pl.col("plan_id").str.slice(0, 13)  # enough to name it
    money = (pl.col("amount_usd", "gas_usd", "slippage_usd")).round(2)
    print_frame(shown.with_columns(short, money).select(columns), form, NO_PLANS)


def _limits(keep: Sequence[str], no_more: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    yield "keep", keep
    yield "no_more", no_more


def _asset(platform: Platform, name: str, faults: list[str]) -> str:
    """The asset whose price counts: one of the asset map, or one that wallets hold."""
    from portfolio_pipelines.database.held_assets import held_assets_frame

    try:
        return asset_of(platform, name, today())
    except CommandError as error:
        if name in set(held_assets_frame(platform.database.engine)["asset_id"]):
            return name
        faults.append(str(error) if name else "write shares as ASSET=PERCENT, such as BTC=60 or BTC=60:5")
        return name


def _percent(text: str, what: str, faults: list[str]) -> Decimal:
    try:
        number = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        faults.append(f"{what} is no number: {text!r}")
        return Decimal(0)
    return number


@contextmanager
def _refusals() -> Iterator[None]:
    from portfolio_pipelines.database.target_plans import PlanRefusedError
    from portfolio_pipelines.database.target_versions import StrategyRefusedError

    try:
        yield
    except (PlanRefusedError, StrategyRefusedError) as error:
        raise CommandError(str(error)) from error
