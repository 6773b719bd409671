"""What an export consists of: which tables of the warehouse, which of their rows belong to a user and some days.

Every figure was computed by the marts; nothing is computed here. What the columns mean comes from dbt's contracts. A
query sees $user_id, $first and $last (both days inclusive, UTC) and has a column `date`, the UTC day of its rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal


class What(StrEnum):
    """What a user may take along."""

    SNAPSHOTS = "snapshots"
    ASSETS = "assets"
    PERFORMANCE = "performance"
    PNL = "pnl"
    IL = "il"
    ALL = "all"


class Form(StrEnum):
    """Formats of exports."""

    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    XLSX = "xlsx"
    PDF = "pdf"


REPORTED: Final[Mapping[What, Literal["performance", "il"]]] = {What.PERFORMANCE: "performance", What.IL: "il"}
"""What there are reports of."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One table of an export: a file, a sheet of a workbook, or a list of a document.

    Attributes:
        name: Of file, sheet and list.
        topic: To which part of the choice it belongs.
        meaning: What a row is, in a sentence.
        mart: The model whose contract says what its columns mean.
        query: The rows; their order does not matter.
        key: What makes a row of a user; rows are sorted by it, then by everything else.
        every_day: Whether each day since the first has rows, so that a day without any is a hole.
        columns: Meaning of columns that the mart does not have, or means otherwise.
        exact: Columns that are made of the smallest unit: name of the column, then of raw amount and decimals.
        plain: Columns of numbers that a document holds as text; an exponent is written out.
    """

    name: str
    topic: What
    meaning: str
    mart: str
    query: str
    key: tuple[str, ...]
    every_day: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    exact: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    plain: tuple[str, ...] = ()


def _of_mart(mart: str, day: str, rest: str = "*", where: str = "") -> str:
    """The usual query: rows of a mart whose day lies in the range."""
    first = "" if day == "date" and rest == "*" else f'"{day}" as date, '
    return f"""
        select {first}{rest} from marts.{mart}
        where user_id = $user_id and "{day}" between $first and $last {where}
    """  # noqa: S608 (our own names)


_DAY: Final = "UTC day; its close is at 24:00"
_NEWEST: Final = "UTC day of the newest close: the rows are of it, not of each day"

DATASETS: Final = (
    Dataset(
        "snapshots", What.SNAPSHOTS, "Total value of investments and wallets at the close of each day, with coverage.",
        "portfolio_snapshots",
        """
            select cast(snapshot_timestamp as date) - 1 as date, user_id, total_value_usd, change_24h_pct, coverage,
                   is_final, snapshot_timestamp, updated_at, id
            from marts.portfolio_snapshots
            where user_id = $user_id
                and snapshot_timestamp > cast($first as timestamp)
                and snapshot_timestamp <= cast($last + 1 as timestamp)
        """,
        ("date",), every_day=True, columns={"date": _DAY},
    ),
    Dataset(
        "holdings", What.SNAPSHOTS, "What was held at the close of each day, by token and chain, as the snapshots say.",
        "portfolio_snapshots",
        """
            select cast(snapshot_timestamp as date) - 1 as date, user_id, holding.token, holding.chain,
                   holding.balance, holding.value_usd
            from (
                select user_id, snapshot_timestamp,
                       unnest(from_json(
                           assets,
                           '[{"token":"VARCHAR","chain":"VARCHAR","balance":"VARCHAR","value_usd":"DOUBLE"}]'
                       )) as holding
                from marts.portfolio_snapshots
                where user_id = $user_id
                    and snapshot_timestamp > cast($first as timestamp)
                    and snapshot_timestamp <= cast($last + 1 as timestamp)
            )
        """,
        ("date", "token", "chain"), every_day=True,
        columns={
            "date": _DAY, "token": "Symbol of the token; the last part of its asset id when it has none",
            "chain": "Of wallets the slug of the chain; of investments the chain of a chain-qualified asset, or market",
            "balance": "Units held, successions of the asset applied and debts taken off",
            "value_usd": "Worth at the close, USD; null without a usable price, never 0",
        },
        plain=("balance",),
    ),
    Dataset(
        "assets", What.ASSETS, "What is held at the newest close and what it is worth, by asset and chain.",
        "portfolio_assets",
        """
            select days.date, assets.* exclude (id), assets.id
            from marts.portfolio_assets as assets
            inner join intermediate.days as days on days.is_newest
            where assets.user_id = $user_id and days.date between $first and $last
        """,
        ("date", "origin", "chain", "token", "asset_id"), columns={"date": _NEWEST},
    ),
    Dataset(
        "breakdown", What.ASSETS, "Worth by chain, by asset and by category at the newest close.",
        "portfolio_breakdown",
        """
            select cast(as_of as date) - 1 as date, * from marts.portfolio_breakdown
            where user_id = $user_id and cast(as_of as date) - 1 between $first and $last
        """,
        ("date", "dimension", "key"), columns={"date": _NEWEST},
    ),
    Dataset(
        "balances", What.ASSETS,
        "Every balance of every wallet as it was read for each day, to the last digit, also what counts in no total.",
        "wallet_balances",
        """
            select balances.date, wallets.user_id, wallets.address, wallets.label, balances.chain,
                   coalesce(tokens.token, cast(balances.token_key as varchar)) as token,
                   tokens.address as token_address, tokens.asset_id, tokens.category, cast(null as varchar) as balance,
                   coalesce(cast(balances.raw as varchar), balances.raw_hex) as raw, tokens.decimals,
                   coalesce(tokens.is_quarantined, false) as is_quarantined, balances.as_of, balances.block_number,
                   balances.block_hash, balances.is_stale
            from intermediate.fct_wallet_balances as balances
            inner join intermediate.dim_wallets as wallets on balances.wallet_key = wallets.wallet_key
            left join intermediate.dim_chain_tokens as tokens on balances.token_key = tokens.token_key
            where wallets.user_id = $user_id and balances.date between $first and $last
        """,
        ("date", "chain", "address", "token_address"),
        columns={
            "balance": "Whole units to the last digit; null when the decimals are not known",
            "decimals": "Places of the smallest unit; null when not known",
            "is_stale": "Carried from an earlier read",
        },
        exact={"balance": ("raw", "decimals")},
    ),
    Dataset(
        "positions", What.ASSETS, "What the wallets have inside protocols at the newest read of each chain.",
        "defi_positions",
        """
            select positions.date, positions.* exclude (date, amount, token_key), cast(null as varchar) as amount,
                   case when positions.protocol = 'erc721' then 0 else tokens.decimals end as decimals
            from marts.defi_positions as positions
            left join intermediate.dim_chain_tokens as tokens on positions.token_key = tokens.token_key
            where positions.user_id = $user_id and positions.date between $first and $last
        """,
        ("date", "chain", "address", "protocol", "position_id", "role", "token"),
        columns={
            "amount": "Whole units to the last digit, of a debt never below 0; null when the decimals are not known",
            "decimals": "Places of the smallest unit; null when not known, 0 of NFTs",
        },
        exact={"amount": ("raw", "decimals")},
    ),
    Dataset(
        "performance", What.PERFORMANCE, "Value, flows and time-weighted return of the investments at each close.",
        "portfolio_performance_daily", _of_mart("portfolio_performance_daily", "date"), ("date",), every_day=True,
    ),
    Dataset(
        "investments", What.PERFORMANCE, "Each investment at each close.",
        "investment_performance_daily", _of_mart("investment_performance_daily", "date"), ("date", "investment_id"),
        every_day=True,
    ),
    Dataset(
        "metrics", What.PERFORMANCE, "Return and risk over 30, 90 and 365 days and since the beginning.",
        "portfolio_metrics", _of_mart("portfolio_metrics", "as_of", "* exclude (as_of)"), ("date", "window_days"),
        columns={"date": _DAY},
    ),
    Dataset(
        "comparison", What.PERFORMANCE, "The same windows beside BTC, ETH, the S&P 500 and benchmarks of the operator.",
        "benchmark_comparison", _of_mart("benchmark_comparison", "as_of", "* exclude (as_of)"),
        ("date", "window_days", "benchmark"), columns={"date": _DAY},
    ),
    Dataset(
        "diversification", What.PERFORMANCE, "How the investments are spread over assets.",
        "diversification", _of_mart("diversification", "as_of", "* exclude (as_of)"), ("date",), columns={"date": _DAY},
    ),
    Dataset(
        "profit_and_loss", What.PNL, "Profit and loss of each ledger at each close since its first transaction.",
        "profit_and_loss", _of_mart("profit_and_loss", "date"), ("date", "scope", "method"), every_day=True,
    ),
    Dataset(
        "realised", What.PNL, "Gains of disposals by ledger, day and asset.",
        "realised_pnl", _of_mart("realised_pnl", "date"), ("date", "scope", "method", "asset_id"),
    ),
    Dataset(
        "unrealised", What.PNL, "What is open in every ledger at its newest close, by asset.",
        "unrealised_pnl", _of_mart("unrealised_pnl", "as_of", "* exclude (as_of)"),
        ("date", "scope", "method", "asset_id"), columns={"date": _NEWEST},
    ),
    Dataset(
        "disposals", What.PNL, "Every use of a lot by a disposal, a fee or the closing of a short position.",
        "disposals", _of_mart("disposals", "date"),
        ("date", "scope", "method", "disposed_at", "transaction_id", "leg", "asset_id", "acquired_at"),
    ),
    Dataset(
        "lots", What.PNL, "Lots that were open on some day of the range, with what is left of them now.",
        "lots",
        """
            select opened_on as date, * from marts.lots
            where user_id = $user_id and opened_on <= $last and (open_quantity <> 0 or last_used_on >= $first)
        """,
        ("date", "scope", "method", "asset_id", "acquired_at", "lot_id"),
        columns={"date": "UTC day on which it was opened; it may lie before the range"},
    ),
    Dataset(
        "transactions", What.PNL, "Every transaction of the ledgers with its one value and what that rests on.",
        "ledger_transactions", _of_mart("ledger_transactions", "date"),
        ("date", "happened_at", "transaction_id", "leg"),
    ),
    Dataset(
        "questions", What.PNL, "What only a person can answer, and figures of the ledgers wait for.",
        "ledger_questions", _of_mart("ledger_questions", "date"), ("date", "transaction_id", "leg", "part", "question"),
    ),
    Dataset(
        "restatements", What.PNL, "Profit and loss of closed days that transactions changed which came later.",
        "ledger_restatements", _of_mart("ledger_restatements", "date"), ("date", "scope", "method", "known_at"),
    ),
    Dataset(
        "impermanent_loss", What.IL, "Each position in a pool against holding its coins, at every read of each day.",
        "impermanent_loss", _of_mart("impermanent_loss", "date"), ("date", "position_id", "as_of"),
    ),
    Dataset(
        "impermanent_loss_totals", What.IL, "All positions in pools together at each close.",
        "impermanent_loss_totals", _of_mart("impermanent_loss_totals", "date"), ("date",),
    ),
)  # fmt: skip
"""Everything that there is, in the order of an export."""


def datasets_of(what: What) -> list[Dataset]:
    """The tables of a choice, in the order of an export."""
    return [dataset for dataset in DATASETS if what in (What.ALL, dataset.topic)]
