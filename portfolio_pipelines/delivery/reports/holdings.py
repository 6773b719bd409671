"""What was held at the close a report ends with, how it was spread, and what each asset gained.

Belongs here: reading holdings, allocation and profit and loss from the marts. On the newest valued day the marts know
cost and price of each holding; of an earlier day they know balance and value.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from portfolio_pipelines.delivery.reports.names import LONGEST_IN_TABLE, printable, short_asset

if TYPE_CHECKING:
    import duckdb

USABLE: Final = frozenset(("ok", "manual", "derived"))
"""Statuses of a price that says no more than its figure."""
LEDGERS: Final = (("universal", "fifo"),)
"""Scope and method whose figures are shown when the user has several."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One asset in one place. USD; None is unknown."""

    token: str
    chain: str
    balance: float | None
    price_usd: float | None
    value_usd: float | None
    entry_price_usd: float | None = None
    pnl_usd: float | None = None
    remark: str = ""  # what is wrong with its price or balance; empty when nothing is


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of a portfolio cut in one way."""

    label: str
    value_usd: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class AssetGain:
    """What a ledger made of one asset. USD; None is unknown or not asked."""

    asset: str
    proceeds_usd: float
    cost_usd: float
    realised_usd: float
    open_cost_usd: float | None
    open_value_usd: float | None
    unrealised_usd: float | None
    incomplete_uses: int


@dataclass(frozen=True, slots=True)
class LedgerGain:
    """Profit and loss of a ledger over the days of a report."""

    scope: str
    method: str
    totals: Sequence[tuple[str, float | None]]  # label and USD
    assets: Sequence[AssetGain]
    unpriced_assets: int
    incomplete_uses: int
    has_open: bool  # whether what is open is known for the last day


def newest_day(marts: "duckdb.DuckDBPyConnection") -> date | None:
    """The newest valued day of the warehouse."""
    row = marts.execute("select max(date) from marts.current_prices").fetchone()
    return row[0] if row else None


def read_holdings(marts: "duckdb.DuckDBPyConnection", user_id: str, day: date, newest: date | None) -> list[Holding]:
    """Holdings at a close, the most valuable first, those without a value last."""
    found = _newest_holdings(marts, user_id) if day == newest else _earlier_holdings(marts, user_id, day)
    return sorted(found, key=lambda one: (one.value_usd is None, -(one.value_usd or 0.0), one.token, one.chain))


def _newest_holdings(marts: "duckdb.DuckDBPyConnection", user_id: str) -> list[Holding]:
    rows = marts.execute(
        "select token, chain, balance::double, current_price_usd::double, value_usd::double, entry_price_usd::double, "
        "pnl_usd::double, price_status, is_stale, asset_type, starts_with(asset_id, 'sample:') "
        "from marts.portfolio_assets where user_id = ? "
        "order by asset_id, chain, asset_type, origin",
        [user_id],
    ).fetchall()
    found = []
    for token, chain, balance, price, value, entry, pnl, status, is_stale, kind, is_sample in rows:
        remarks = [] if status in USABLE else [f"price: {str(status).replace('_', ' ')}"]
        remarks += ["balance not read on the day"] if is_stale else []
        remarks += ["units known from sample prices alone"] if is_sample else []
        name = _in_table(token) if kind == "token" else f"{_in_table(token)} ({str(kind).replace('_', ' ')})"
        found.append(Holding(name, _in_table(chain), balance, price, value, entry, pnl, "; ".join(remarks)))
    return found


def _earlier_holdings(marts: "duckdb.DuckDBPyConnection", user_id: str, day: date) -> list[Holding]:
    rows = marts.execute(
        "with documents as (select assets from marts.portfolio_snapshots "
        "where user_id = ? and snapshot_timestamp = ?::date + 1), "
        """entries as (select unnest(from_json(assets,
            '[{"token": "VARCHAR", "chain": "VARCHAR", "balance": "DOUBLE", "value_usd": "DOUBLE"}]')) as entry
            from documents) """
        "select entry.token, entry.chain, entry.balance, entry.value_usd from entries order by all",
        [user_id, day],
    ).fetchall()
    return [
        Holding(
            _in_table(token), _in_table(chain), balance, value / balance if value is not None and balance else None,
            value, remark="" if value is not None else "no usable price",
        )
        for token, chain, balance, value in rows
    ]  # fmt: skip


def _in_table(name: str | None) -> str:
    return printable(name, LONGEST_IN_TABLE)


def read_allocation(
    marts: "duckdb.DuckDBPyConnection", user_id: str, holdings: Iterable[Holding], *, is_newest: bool
) -> dict[str, list[Slice]]:
    """Slices by dimension (asset, chain, category), the largest first; of an earlier day by asset and chain alone."""
    if is_newest:
        rows = marts.execute(
            "select dimension, label, value_usd, share from marts.portfolio_breakdown where user_id = ? "
            "order by dimension, value_usd desc nulls last, key",
            [user_id],
        ).fetchall()
        cut: dict[str, list[Slice]] = defaultdict(list)
        for dimension, label, value, share in rows:
            cut[dimension].append(Slice(printable(label), value, share))
        return dict(cut)
    sums: dict[str, dict[str, float]] = {"asset": defaultdict(float), "chain": defaultdict(float)}
    for one in holdings:
        if one.value_usd is not None:
            sums["asset"][one.token] += one.value_usd
            sums["chain"][one.chain] += one.value_usd
    return {dimension: _slices(values) for dimension, values in sums.items() if values}


def _slices(values: dict[str, float]) -> list[Slice]:
    total = sum(values.values())
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    return [Slice(label, value, value / total if total > 0 else None) for label, value in ordered]


def read_ledger_gain(marts: "duckdb.DuckDBPyConnection", user_id: str, base: date, last: date) -> LedgerGain | None:
    """Profit and loss of the user's ledger after the close of `base` up to that of `last`; None without a ledger."""
    ledgers = marts.execute(
        "select distinct scope, method from marts.profit_and_loss where user_id = ? and date <= ? order by all",
        [user_id, last],
    ).fetchall()
    if not ledgers:
        return None
    scope, method = next((one for one in LEDGERS if one in ledgers), ledgers[0])
    key = [user_id, scope, method]
    now, before = _totals(marts, key, last), _totals(marts, key, base)
    if now is None:
        return None
    names = _asset_names(marts, user_id)
    opened = {
        asset: (cost, value, gain)
        for asset, cost, value, gain in marts.execute(
            "select asset_id, cost_usd::double, value_usd::double, unrealised_usd::double from marts.unrealised_pnl "
            "where user_id = ? and scope = ? and method = ? and as_of = ?",
            [*key, last],
        ).fetchall()
    }
    closed = {
        asset: figures
        for asset, *figures in marts.execute(
            "select asset_id, sum(proceeds_usd)::double, sum(cost_usd)::double, sum(realised_usd)::double, "
            "sum(incomplete_uses)::integer from marts.realised_pnl "
            "where user_id = ? and scope = ? and method = ? and date > ? and date <= ? group by asset_id",
            [*key, base, last],
        ).fetchall()
    }
    assets = []
    for asset in sorted({*opened, *closed}):
        proceeds, cost, realised, incomplete = closed.get(asset, (0.0, 0.0, 0.0, 0))
        open_cost, open_value, unrealised = opened.get(asset, (None, None, None))
        name = _in_table(names.get(asset) or short_asset(asset))
        assets.append(AssetGain(name, proceeds, cost, realised, open_cost, open_value, unrealised, int(incomplete)))
    assets.sort(key=lambda one: (-abs(one.realised_usd + (one.unrealised_usd or 0.0)), one.asset))
    since = before or dict.fromkeys(now, 0.0)  # before the first transaction everything was 0
    totals = [
        ("Realised by disposals", now["realised_usd"] - since["realised_usd"]),
        ("Earned as income", now["income_usd"] - since["income_usd"]),
        ("Spent on fees that bought nothing", -(now["expense_usd"] - since["expense_usd"])),
        ("Change of what is unrealised", now["unrealised_usd"] - since["unrealised_usd"]),
        ("Profit and loss", now["pnl_usd"] - since["pnl_usd"]),
    ]
    return LedgerGain(
        scope, method, totals, assets, int(now["unpriced_assets"]),
        int(now["incomplete_uses"] - since["incomplete_uses"]), bool(opened),
    )  # fmt: skip


TOTALS: Final = (
    "realised_usd", "income_usd", "expense_usd", "unrealised_usd", "pnl_usd", "unpriced_assets", "incomplete_uses",
)  # fmt: skip


def _totals(marts: "duckdb.DuckDBPyConnection", key: Sequence[str], day: date) -> dict[str, float] | None:
    row = marts.execute(
        f"select {', '.join(f'{name}::double' for name in TOTALS)} from marts.profit_and_loss "  # noqa: S608 ours
        "where user_id = ? and scope = ? and method = ? and date = ?",
        [*key, day],
    ).fetchone()
    return None if row is None else dict(zip(TOTALS, row, strict=True))


def _asset_names(marts: "duckdb.DuckDBPyConnection", user_id: str) -> dict[str, str]:
    """Symbols of what the user holds now, by asset."""
    return dict(
        marts.execute(
            "select asset_id, min(token) from marts.portfolio_holdings where user_id = ? group by asset_id", [user_id]
        ).fetchall()
    )
