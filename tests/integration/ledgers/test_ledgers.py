"""Ledgers from the file to the marts: a real database, Dagster's own runs, the warehouse; only what changed again."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines import tables
from portfolio_pipelines.assets import ledger_restatements, operational, profit_and_loss
from portfolio_pipelines.assets.days import DAILY, ONE_RUN
from portfolio_pipelines.automation.jobs import RANGE_END, RANGE_START
from portfolio_pipelines.checks import profit_and_loss as ledger_checks
from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explain import explanation
from portfolio_pipelines.commands.explained_ledgers import OF_LEDGERS
from portfolio_pipelines.commands.explained_metrics import Question
from portfolio_pipelines.commands.ledgers import show_questions
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.transaction_import import import_transactions
from portfolio_pipelines.database.transaction_versions import remove
from portfolio_pipelines.delivery.reports.holdings import read_ledger_gain
from portfolio_pipelines.resources.ledger_rules import LedgerRules
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings
from portfolio_pipelines.transaction_tables import (
    LEDGER_RESTATEMENTS,
    LEDGER_RESTATEMENTS_SCHEMA,
    LOT_ENTRIES,
    PROFIT_AND_LOSS,
    PROFIT_AND_LOSS_SCHEMA,
    TRANSACTIONS,
    TRANSACTIONS_SCHEMA,
)

DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(5)]
BTC, ETH, SOL = "coingecko:bitcoin", "coingecko:ethereum", "coingecko:solana"
CLOSES = {BTC: [60_000.0, 61_000.0, 62_000.0, 50_000.0, 55_000.0], ETH: [3_000.0, 3_100.0, 3_200.0, 2_500.0, 2_750.0]}
HEADER = (
    "user_id,transaction_id,at,type,venue,in_asset,in_quantity,out_asset,out_quantity,fee_asset,fee_quantity,tx_hash\n"
)
LEDGER = HEADER + (
    "ann,buy1,2024-03-01 10:00,buy,kraken,BTC,0.1,USD,5000,USD,10,\n"
    "ann,buy2,2024-03-02 10:00,buy,kraken,BTC,0.1,USD,6000,,,\n"
    "ann,out,2024-03-02 20:00,withdrawal,kraken,,,BTC,0.05,BTC,0.0001,0xAA\n"
    "ann,in,2024-03-03 01:00,deposit,ledger,BTC,0.05,,,,,0xaa\n"
    "ann,sell,2024-03-03 12:00,sell,kraken,USD,9000,BTC,0.14,,,\n"
    "ann,swap,2024-03-04 12:00,swap,ledger,ETH,1,BTC,0.05,,,\n"
    "bob,income,2024-03-02 12:00,reward,lido,ETH,0.5,,,,,\n"
    "bob,oversold,2024-03-04 12:00,sell,kraken,USD,3000,ETH,1.5,,,\n"
    "bob,spam,2024-03-04 13:00,airdrop,lido,SOL,7,,,,,\n"
)
Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def platform(database: sa.Engine, tmp_path: Path) -> Platform:
    url = SecretStr(url_text(database.url))
    platform = Platform.of(Settings(home=tmp_path / "home", database_url=url, price_providers=()))
    for day in DAYS:
        write_prices(platform, day)
    return platform


def write_prices(platform: Platform, day: date, **changed: float) -> None:
    rows = [
        {"asset_id": asset, "close_usd": changed.get(asset, closes[DAYS.index(day)]), "status": "ok", "n_quotes": 2,
         "is_final": True, "known_at": datetime(2024, 4, 1, tzinfo=UTC)}
        for asset, closes in CLOSES.items()
    ]  # fmt: skip
    schema = pl.Schema({name: kind for name, kind in tables.PRICES_SCHEMA.items() if name != "date"})
    with platform.database.writer(platform.lake, "prices") as writer:
        writer.write(tables.PRICES, day, pl.DataFrame(rows, schema=schema), repr(changed), "1")


def learned(platform: Platform, moment: str) -> None:
    """Let what was just done have been done at a moment of the past."""
    with platform.database.engine.begin() as connection:
        for column in ("known_at", "superseded_at"):
            connection.execute(
                sa.text(f"update app.transaction_versions set {column} = :moment where {column} > '2025-01-01'"),
                {"moment": moment},
            )


def all_totals(platform: Platform) -> dict[tuple[int, str, str, date], tuple[Decimal, Decimal]]:
    """Realised and whole profit and loss of each ledger and day."""
    rows = platform.lake.read(PROFIT_AND_LOSS, DAYS, PROFIT_AND_LOSS_SCHEMA)
    return {
        (row["user_key"], row["scope"], row["method"], row["date"]): (
            row["realised_usd"],
            row["realised_usd"] + row["income_usd"] - row["expense_usd"] + row["unrealised_usd"],
        )
        for row in rows.iter_rows(named=True)
    }


def restated(platform: Platform, day: date) -> dict[tuple[int, str, str, date], dict[str, Any]]:
    rows = platform.lake.read(LEDGER_RESTATEMENTS, [day], LEDGER_RESTATEMENTS_SCHEMA)
    return {
        (row["user_key"], row["scope"], row["method"], row["restated_day"]): row for row in rows.iter_rows(named=True)
    }


def matched_rows(platform: Platform) -> int:
    return int(platform.lake.read_table(TRANSACTIONS, TRANSACTIONS_SCHEMA)["matched_key"].count())


@pytest.fixture
def run(platform: Platform) -> Run:
    """Runs the ledgers over some days with their checks."""

    def execute_here(first: date = DAYS[0], last: date = DAYS[-1]) -> dg.ExecuteInProcessResult:
        return execute(platform, first, last)

    return execute_here


def execute(platform: Platform, first: date = DAYS[0], last: date = DAYS[-1]) -> dg.ExecuteInProcessResult:
    """One run of the ledgers of a platform."""

    @dg.asset(name="prices_daily", partitions_def=DAILY, backfill_policy=ONE_RUN)
    def stand_in() -> None: ...

    @dg.asset(name="chain_tokens")
    def tokens() -> None: ...

    defs = dg.Definitions(
        assets=[stand_in, tokens, *dg.load_assets_from_modules([operational, profit_and_loss, ledger_restatements])],
        asset_checks=dg.load_asset_checks_from_modules([ledger_checks]),
        resources=dict(platform.resources()),
        jobs=[dg.define_asset_job("ledgers", selection=dg.AssetSelection.all())],
    )
    job = defs.resolve_job_def("ledgers")
    span = {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}
    return job.execute_in_process(tags=span, raise_on_error=False)


def bring(platform: Platform, text: str, **options: Any) -> None:
    given: dict[str, Any] = {"missing_acquisitions": "list"} | options
    import_transactions(
        platform.database.engine, text.encode(), first_day=date(2013, 1, 1), who="t", name="l.csv", **given
    )


def computed(result: dg.ExecuteInProcessResult, asset: str) -> int:
    found = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)]
    return int(found[-1].materialization.metadata["days_computed"].value)  # type: ignore[arg-type]


def totals(platform: Platform, day: date, method: str = "fifo", scope: str = "universal") -> dict[str, dict[str, Any]]:
    users = {1: "ann", 2: "bob"}
    rows = platform.lake.read(PROFIT_AND_LOSS, [day], PROFIT_AND_LOSS_SCHEMA)
    mine = rows.filter((pl.col("method") == method) & (pl.col("scope") == scope))
    return {users[row["user_key"]]: row for row in mine.iter_rows(named=True)}


def failures(result: dg.ExecuteInProcessResult) -> set[str]:
    return {found.check_name for found in result.get_asset_check_evaluations() if not found.passed}


def files(platform: Platform) -> dict[str, bytes]:
    root = platform.lake.root / "core"
    kept = ("lot_entries", "lot_uses", "transaction_values", "profit_and_loss")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for name in kept
        for path in (root / name).glob("date=*/*.parquet")
    }


def test_profit_and_loss_of_every_day_by_every_method(platform: Platform, run: Run) -> None:
    bring(platform, LEDGER)
    result = run()
    assert result.success
    assert failures(result) == {"no_acquisition_is_missing"}  # bob sold more than he had: said, not failed
    ann = totals(platform, DAYS[2])["ann"]
    # Bought for 5,010 and 6,000; the fee of the withdrawal, 0.0001, is sold at 61,000; 0.14 are sold for 9,000.
    fee, sale = Decimal("6.1") - Decimal("5.01"), 9000 - (Decimal("5010") - Decimal("5.01") + Decimal("0.0401") * 60000)
    assert ann["realised_usd"] == fee + sale
    assert ann["value_usd"] == Decimal("0.0599") * 62000
    assert totals(platform, DAYS[2], "lifo")["ann"]["realised_usd"] != ann["realised_usd"]
    bob = totals(platform, DAYS[4])["bob"]
    assert (bob["income_usd"], bob["incomplete_uses"], bob["unpriced_assets"]) == (Decimal(1550), 1, 1)
    assert platform.lake.days(LOT_ENTRIES) == set(DAYS[:4])


def test_a_second_run_computes_nothing_and_a_late_transaction_only_the_days_from_it_on(
    platform: Platform, run: Run
) -> None:
    bring(platform, LEDGER)
    run()
    before = files(platform)
    again = run()
    assert (computed(again, "lot_entries"), computed(again, "profit_and_loss")) == (0, 0)
    bring(platform, HEADER + "bob,late,2024-03-03 09:00,buy,kraken,ETH,1,USD,3000,,,\n")
    late = run()
    assert failures(late) == set()
    assert computed(late, "lot_entries") == 2
    assert computed(late, "profit_and_loss") == 3
    after = files(platform)
    changed = {name for name in before if before[name] != after[name]}
    assert min(name.split("date=")[1][:10] for name in changed) == "2024-03-03"
    assert {f"profit_and_loss/date={day}/data.parquet" for day in DAYS[2:]} <= changed
    assert totals(platform, DAYS[4])["bob"]["incomplete_uses"] == 0


LATE_BUY = HEADER + "ann,late,2024-03-02 09:00,buy,kraken,BTC,0.1,USD,4000,,,\n"
CORRECTED = HEADER + "ann,sell,2024-03-03 12:00,sell,kraken,USD,9500,BTC,0.14,,,\n"


@pytest.mark.parametrize(
    ("change", "first", "cause"),
    [
        (lambda platform: bring(platform, LATE_BUY), DAYS[1], "transactions added"),
        (lambda platform: bring(platform, CORRECTED), DAYS[2], "transactions corrected"),
        (lambda platform: take_back(platform, "ann", "buy2"), DAYS[1], "transactions removed"),
        (lambda platform: (bring(platform, LATE_BUY), bring(platform, CORRECTED)), DAYS[1],
         "transactions added; transactions corrected"),
    ],
)  # fmt: skip
def test_what_becomes_known_late_is_listed_for_exactly_the_days_and_ledgers_that_it_changes(
    platform: Platform, run: Run, change: Callable[[Platform], object], first: date, cause: str
) -> None:
    bring(platform, LEDGER)
    learned(platform, "2024-03-01 23:30Z")
    run()
    assert restated(platform, DAYS[0]) == {}, "a first import restates nothing"
    before = all_totals(platform)
    change(platform)
    learned(platform, "2024-03-05 08:00Z")
    run()
    after = all_totals(platform)
    changed = {key for key in before if before[key] != after[key]}
    assert {key[0] for key in changed} == {1}, "Bob's ledger rests on nothing of Ann's"
    assert min(key[3] for key in changed) == first
    found = restated(platform, DAYS[4])
    assert found.keys() == {key for key in changed if key[3] < DAYS[4]}, "the last day was not over yet"
    for key, row in found.items():
        assert (row["old_realised_usd"], row["old_pnl_usd"]) == before[key]
        assert (row["new_realised_usd"], row["new_pnl_usd"]) == after[key]
        assert row["cause"] == cause
        assert row["known_at"] == datetime(2024, 3, 5, 8, tzinfo=UTC)


def test_a_half_that_arrives_late_moves_its_transfer_and_restates_from_the_other_half_on(
    platform: Platform, run: Run
) -> None:
    lines = LEDGER.splitlines(keepends=True)
    bring(platform, "".join(line for line in lines if not line.startswith("ann,in,")))
    learned(platform, "2024-03-01 23:30Z")
    run()
    bring(platform, HEADER + next(line for line in lines if line.startswith("ann,in,")))
    learned(platform, "2024-03-05 08:00Z")
    run()
    found = restated(platform, DAYS[4])
    assert min(day for *_, day in found) == DAYS[1], "the withdrawal of the day before is no unknown destination now"
    assert {row["cause"] for row in found.values()} == {"transactions added"}


def test_restatements_are_made_once_and_follow_the_prices_of_the_days_that_they_restate(
    platform: Platform, run: Run
) -> None:
    bring(platform, LEDGER)
    learned(platform, "2024-03-01 23:30Z")
    run()
    bring(platform, LATE_BUY)
    learned(platform, "2024-03-05 08:00Z")
    assert computed(run(), "ledger_restatements") == 1
    before = restated(platform, DAYS[4])
    assert computed(run(), "ledger_restatements") == 0
    write_prices(platform, DAYS[4], **{BTC: 1.0})
    assert computed(run(), "ledger_restatements") == 0, "the day of learning is not restated"
    write_prices(platform, DAYS[2], **{BTC: 63_000.0})
    assert computed(run(), "ledger_restatements") == 1
    after = restated(platform, DAYS[4])
    assert after.keys() == before.keys()
    different = {key[3] for key in after if after[key] != before[key]}
    assert different == {DAYS[2]}


def test_an_operator_chooses_how_lots_are_made_and_when_halves_are_one_transfer(platform: Platform, run: Run) -> None:
    """Bob oversells half an ether; Ann's withdrawal arrives five hours later and whole."""
    bring(platform, LEDGER.replace("0xAA", "").replace("0xaa", ""))
    run()
    assert totals(platform, DAYS[4])["bob"]["incomplete_uses"] == 1
    assert matched_rows(platform) == 2, "by time and amount"
    chosen = {"ledger_shorts_allowed": True, "transfer_window_hours": 4.0}
    other = Platform.of(platform.settings.model_copy(update=chosen))
    assert LedgerRules.of(other.settings).policy.shorts_allowed
    assert LedgerRules.of(other.settings).matching.window == timedelta(hours=4)
    execute(other)
    assert totals(other, DAYS[4])["bob"]["incomplete_uses"] == 0, "sold short, which is complete"
    assert matched_rows(other) == 0
    execute(platform)
    assert matched_rows(platform) == 2, "and back again"


def take_back(platform: Platform, user: str, transaction: str) -> None:
    with platform.database.engine.begin() as connection:
        assert remove(connection, user, transaction, datetime.now(UTC), "ann") == 1


def test_day_by_day_is_the_same_as_all_at_once(platform: Platform, run: Run) -> None:
    bring(platform, LEDGER)
    for day in DAYS:
        assert run(day, day).success
    by_day = files(platform)
    with platform.database.engine.begin() as connection:
        connection.execute(sa.text("delete from app.partition_log where table_name <> 'core/prices_daily'"))
    run()
    assert files(platform) == by_day


def test_a_price_that_changes_changes_its_day_and_what_follows(platform: Platform, run: Run) -> None:
    bring(platform, LEDGER)
    run()
    before = totals(platform, DAYS[4])["bob"]["income_usd"]
    write_prices(platform, DAYS[1], **{ETH: 4_000.0})
    changed = run()
    assert computed(changed, "lot_entries") == 3
    assert totals(platform, DAYS[4])["bob"]["income_usd"] - before == Decimal(450)
    assert "realised_and_unrealised_add_up" not in failures(changed)


def test_a_run_of_one_day_repairs_what_changed_before_it(platform: Platform, run: Run) -> None:
    bring(platform, LEDGER)
    run()
    bring(platform, HEADER + "ann,late,2024-03-01 09:00,buy,kraken,BTC,1,USD,100,,,\n")
    result = run(DAYS[4], DAYS[4])
    assert computed(result, "lot_entries") == 4
    assert "realised_and_unrealised_add_up" not in failures(result)


def test_a_wrong_total_is_found(platform: Platform, run: Run) -> None:
    bring(platform, LEDGER)
    run()
    rows = platform.lake.read(PROFIT_AND_LOSS, [DAYS[4]], PROFIT_AND_LOSS_SCHEMA)
    platform.lake.replace(
        PROFIT_AND_LOSS, DAYS[4], rows.with_columns(realised_usd=pl.col("realised_usd") + Decimal("0.02"))
    )
    assert "realised_and_unrealised_add_up" in failures(run())


def asked_at_the_terminal(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    """What a venue alone lacks is asked where the setting says that each stands for itself."""
    for scope, is_asked in (("universal", False), ("per_venue", True)):
        chosen = platform.settings.model_copy(update={"ledger_inventory_scope": scope})
        capsys.readouterr()
        show_questions(Platform.of(chosen), "bob", "csv")
        said = capsys.readouterr().out
        assert "missing acquisition" in said
        assert ("missing at the venue" in said) is is_asked


def test_the_marts_say_it_in_words(platform: Platform, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    bring(platform, LEDGER)
    run()
    platform.warehouse.build()
    with platform.warehouse.connect() as connection:
        connection.execute("use marts")
        ask = lambda query: connection.execute(query).fetchall()  # noqa: E731
        assert ask("select count(*) from marts.profit_and_loss")[0][0] == 8 * (5 + 4)
        assert ask("select question, asset_id, quantity from ledger_questions order by all") == [
            ("missing acquisition", ETH, Decimal(1)),
            ("missing at the venue", ETH, Decimal("1.5")),  # half an ether came to another venue
            ("no price", SOL, Decimal(7)),
        ]
        matched = ask(
            "select transaction_id, matched_with from ledger_transactions where matched_with <> '' order by 1"
        )
        assert matched == [("in", "out"), ("out", "in")]
        assert ask("select is_hidden, value_usd from ledger_transactions where transaction_id = 'spam'") == [
            (True, None)
        ]
        sold = ask(
            "select sum(gain_usd) from disposals where user_id = 'ann' and method = 'fifo' and scope = 'universal'"
        )
        realised = ask(
            "select realised_usd from marts.profit_and_loss where user_id = 'ann' and method = 'fifo' "
            "and scope = 'universal' order by date desc limit 1"
        )
        assert sold == realised
        assert ask("select distinct incomplete_because from disposals where user_id = 'bob' order by all") == [
            ("acquisition is missing",), (None,),
        ]  # fmt: skip
        open_lots = ask(
            "select sum(open_quantity) from lots where user_id = 'ann' and method = 'hifo' and scope = 'per_venue'"
        )
        held = ask(
            "select sum(quantity) from unrealised_pnl where user_id = 'ann' and method = 'hifo' and scope = 'per_venue'"
        )
        assert open_lots == held
        explained(connection)
        reported(connection)
    asked_at_the_terminal(platform, capsys)


def reported(marts: Any) -> None:
    """A report of some days has the sales of those days and the change of the totals; over all days, everything."""
    sold = read_ledger_gain(marts, "ann", DAYS[1], DAYS[2])
    assert sold is not None
    assert (sold.scope, sold.method, sold.has_open) == ("universal", "fifo", False)
    ((proceeds, cost),) = marts.execute(
        "select sum(proceeds_usd)::double, sum(cost_usd)::double from disposals where user_id = 'ann' "
        "and method = 'fifo' and scope = 'universal' and date = ?",
        [DAYS[2]],
    ).fetchall()
    assert [(one.proceeds_usd, one.cost_usd) for one in sold.assets] == [(pytest.approx(proceeds), pytest.approx(cost))]
    whole = read_ledger_gain(marts, "ann", DAYS[0] - timedelta(days=1), DAYS[4])
    assert whole is not None
    assert whole.has_open
    ((earned,),) = marts.execute(
        "select pnl_usd::double from marts.profit_and_loss where user_id = 'ann' and method = 'fifo' "
        "and scope = 'universal' and date = ?",
        [DAYS[4]],
    ).fetchall()
    *parts, total = (value for _, value in whole.totals)
    assert total == pytest.approx(earned)
    assert sum(part or 0.0 for part in parts) == pytest.approx(earned)
    assert sum(one.realised_usd + (one.unrealised_usd or 0.0) for one in whole.assets) == pytest.approx(earned)
    assert read_ledger_gain(marts, "mallory", DAYS[0], DAYS[4]) is None


def explained(marts: Any) -> None:
    """`portfolio explain` adds up disposals, open lots and transactions; every served figure of these days agrees."""
    agreed = 0
    for user, method, scope, day, metric in product(
        ("ann", "bob"), ("fifo", "lifo", "hifo", "average"), ("universal", "per_venue"), DAYS[1:], OF_LEDGERS
    ):
        question = Question(user, day, metric, 0, "BTC", 0.0, scope, method)
        found = explanation(marts, question)
        assert found.recomputed == pytest.approx(found.served, abs=1e-6), question
        agreed += found.served != 0
    assert agreed > 250
    sold = explanation(marts, Question("ann", DAYS[2], "realised_usd", 0, "BTC", 0.0, "universal", "fifo"))
    assert sold.inputs[-1][0].startswith("2024-03-03 sell: 0.0401 coingecko:bitcoin of 2024-03-02 for ")
    spam = explanation(marts, Question("bob", DAYS[4], "unrealised_usd", 0, "BTC", 0.0))
    assert any("7 coingecko:solana without a close" in name for name, _ in spam.inputs)
    with pytest.raises(CommandError, match="profit_and_loss has no row of mallory"):
        explanation(marts, Question("mallory", DAYS[4], "income_usd", 0, "BTC", 0.0))
