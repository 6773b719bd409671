"""Alerts: five rules for each of 125,000 users in one evaluation, beside a loop over rules; and a tick without news.

Run by itself: `python -m benchmarks.alerts [--users 125000]`. An embedded Postgres of its own holds marts of the shape
that publishing makes. The peer is what a service with a table of rules does: read a rule, look its figure up by index,
compare, write what changed; measured on a sample of the same rules in the same database and extrapolated. What messages
cost is measured apart: it grows with what fires, not with the rules.
"""

import argparse
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from portfolio_pipelines.database import embedded
from portfolio_pipelines.database.connection import DRIVER, create_engine
from portfolio_pipelines.database.migrate import upgrade
from portfolio_pipelines.delivery.alerts.evaluation import evaluate

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAMPLE = 2_000
TARGET_SECONDS = 5.0
TICK_SECONDS = 1.0
FIRING = 0.001
"""Share of the rules that fire in the evaluation that is measured."""

# metric, subject, span, comparison, threshold that a share FIRING of uniform figures passes
RULES = (
    ("value", "portfolio", "null", "below", "1000 * :share"),
    ("value", "portfolio", "1", "below", "-10 + 20 * :share"),
    ("max_drawdown", "portfolio", "30", "below", "-100 + 100 * :share"),
    ("total_impermanent_loss", "portfolio", "null", "below", "-50 + 50 * :share"),
    ("price", "coingecko:coin-", "7", "above", "20 - 40 * :share"),
)
MARTS = """
    create schema marts;
    create table marts.published_partitions (table_name text, partition text, fingerprint text,
        published_at timestamptz default now(), primary key (table_name, partition));
    create table marts.portfolio_totals (user_id text primary key, date date, known_at timestamp, value_usd float8,
        coverage float8, is_final boolean, value_1d_usd float8, coverage_1d float8, value_7d_usd float8,
        coverage_7d float8, value_30d_usd float8, coverage_30d float8, value_90d_usd float8, coverage_90d float8,
        value_365d_usd float8, coverage_365d float8);
    create table marts.portfolio_metrics (user_id text, as_of date, window_days smallint, max_drawdown float8,
        coverage float8, reason text, primary key (as_of, user_id, window_days));
    create table marts.impermanent_loss_totals (date date, user_id text, il_pct float8, il_usd float8,
        primary key (date, user_id));
    create table marts.impermanent_loss (date date, user_id text, position_id text, as_of timestamp, il_usd float8,
        is_last_of_day boolean, is_stale boolean, primary key (date, user_id, position_id, as_of));
    create table marts.prices_daily (asset_id text, date date, close_usd float8, status text, reason text,
        known_at timestamp, primary key (date, asset_id));
    create table marts.current_prices (asset_id text primary key, close_usd float8, status text, updated_at timestamp);
    insert into marts.published_partitions
        select t, (date '2025-03-01' + n)::text, md5(t || n) from unnest(array['portfolio_totals', 'portfolio_metrics',
        'impermanent_loss_totals', 'impermanent_loss', 'prices_daily', 'current_prices', 'portfolio_snapshots',
        'wallet_balances', 'pool_states']) t, generate_series(0, 365) n;
"""
FIGURES = """
    truncate marts.portfolio_totals, marts.portfolio_metrics, marts.impermanent_loss_totals, marts.impermanent_loss,
        marts.prices_daily, marts.current_prices;
    insert into marts.portfolio_totals select 'user ' || n, date '2026-03-01', timestamp '2026-03-01 11:00',
        1000 * u, 1, true, 1000 * u / (0.9 + 0.2 * v), 1, 1, 1, 1, 1, 1, 1, 1, 1
        from (select n, random() as u, random() as v from generate_series(1, :users) n);
    insert into marts.portfolio_metrics select 'user ' || n, date '2026-02-28', w, -random(), 1, null
        from generate_series(1, :users) n, unnest(array[0, 30, 90, 365]) w;
    insert into marts.impermanent_loss_totals select date '2026-03-01', 'user ' || n, -50 * random(), -random()
        from generate_series(1, :users) n;
    insert into marts.impermanent_loss select date '2026-03-01', 'user ' || n, 'entered/1',
        timestamp '2026-03-01 10:00', -1, true, false from generate_series(1, :users) n;
    insert into marts.prices_daily select 'coingecko:coin-' || n, date '2026-03-01' - d,
        case d when 0 then 100 * (0.8 + 0.4 * random()) else 100 end, 'ok', null, timestamp '2026-03-01 11:00'
        from generate_series(1, 1000) n, unnest(array[0, 1, 7, 30]) d;
    update marts.published_partitions set fingerprint = md5(random()::text) where partition = '2026-03-01';
    analyze;
"""
STORM = """
    update marts.prices_daily set close_usd = 1000 where date = '2026-03-01' and asset_id in (
        select 'coingecko:coin-' || n from generate_series(1, 80) n);
    update marts.published_partitions set fingerprint = 'storm' where table_name = 'prices_daily'
        and partition = '2026-03-01';
"""
"""80 of 1,000 coins rise tenfold: a rule of every twelfth user fires."""
ADD = """
    with made as (
        insert into app.alert_rules (user_key, created_at)
        select user_key, :now from app.users order by user_key returning rule_id, user_key
    )
    insert into app.alert_rule_versions (rule_id, version, user_key, metric, subject, span_days, comparison, warning_at,
        hysteresis, min_coverage, paused, known_at, set_by)
    select rule_id, 1, user_key, :metric,
        :subject || case when :metric = 'price' then (1 + user_key % 1000)::text else '' end, {span},
        :comparison, {threshold}, 0, 0.95, false, :now, 'benchmark'
    from made
"""
ONE_RULE = """
    select v.*, u.user_id from app.alert_rule_versions v
    join app.users u using (user_key) where v.rule_id = :rule and superseded_at is null
"""
ONE_FIGURE = "select value_usd, coverage from marts.portfolio_totals where user_id = :user"
ONE_STATE = "select level from app.alert_states where rule_id = :rule and subject = 'portfolio'"


def prepare(engine: sa.Engine, users: int) -> None:
    """Users, their rules and the first publication."""
    with engine.begin() as connection:
        for statement in MARTS.split(";\n"):
            if statement.strip():
                connection.execute(sa.text(statement))
        connection.execute(
            sa.text("insert into app.users (user_id) select 'user ' || n from generate_series(1, :users) n"),
            {"users": users},
        )
        for metric, subject, span, comparison, threshold in RULES:
            text = ADD.format(span=span, threshold=threshold.replace(":share", str(FIRING)))
            values = {"metric": metric, "subject": subject, "comparison": comparison, "now": NOW}
            connection.execute(sa.text(text), values)
    publish(engine, users)


def publish(engine: sa.Engine, users: int) -> None:
    """Other figures for everybody."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in FIGURES.split(";\n"):
            if statement.strip():
                connection.execute(sa.text(statement.replace(":users", str(users))))
        connection.execute(sa.text("checkpoint"))  # what publishing left to be written is not the evaluation's


def processor_seconds(home: Path) -> float:
    """What our connections and this process have used so far: steadier than the clock on a machine that others use."""
    server = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
    ours = [each for each in server.children(recursive=True) if "[local]" in " ".join(each.cmdline())]
    used = [each.cpu_times() for each in [*ours, psutil.Process()]]
    return sum(each.user + each.system for each in used)


def one_by_one(engine: sa.Engine, rules: int) -> float:
    """Seconds of a loop over a sample of the rules on total worth, extrapolated to so many rules."""
    with engine.connect() as connection:
        sample = connection.scalars(
            sa.text(
                "select rule_id from app.alert_rule_versions where metric = 'value' and span_days is null limit :n"
            ),
            {"n": SAMPLE},
        ).all()
        started = time.perf_counter()
        fired = 0
        for number in sample:
            rule = connection.execute(sa.text(ONE_RULE), {"rule": number}).one()
            figure = connection.execute(sa.text(ONE_FIGURE), {"user": rule.user_id}).one()
            level = connection.scalar(sa.text(ONE_STATE), {"rule": number}) or 0
            is_beyond = figure.coverage >= rule.min_coverage and figure.value_usd < rule.warning_at
            fired += is_beyond and not level
        return (time.perf_counter() - started) / len(sample) * rules


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alerts", description=__doc__)
    parser.add_argument("--users", type=int, default=125_000)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="portfolio-bench-"))
    try:
        engine = create_engine(make_url(embedded.start(home / "postgres").portfolio).set(drivername=DRIVER))
        upgrade(engine)
        prepare(engine, options.users)
        measure(engine, options.users, home)
        engine.dispose()
    finally:
        embedded.stop(home / "postgres")
        shutil.rmtree(home)


def measure(engine: sa.Engine, users: int, home: Path) -> None:
    """Evaluate twice with other figures, tick once without, and let the peer look at its sample."""
    rules = users * len(RULES)
    console = Console(width=120)
    table = Table(
        "what", "seconds", "of the processor", "times", "messages", title=f"{users:,} users x {len(RULES)} rules"
    )
    peer = one_by_one(engine, rules)
    table.add_row(f"a loop over rules, extrapolated from {SAMPLE:,}", f"{peer:.1f}", "", "1", "")
    for name, minutes in (("all rules, the first evaluation", 0), ("all rules, other figures", 60)):
        if minutes:
            publish(engine, users)
        started, used = time.perf_counter(), processor_seconds(home)
        found = evaluate(engine, now=NOW + timedelta(minutes=minutes))
        seconds, used = time.perf_counter() - started, processor_seconds(home) - used
        told = sum(each.told for each in found)
        table.add_row(name, f"{seconds:.2f}", f"{used:.2f}", f"{peer / seconds:.0f}", f"{told:,}")
        for each in found:
            table.add_row(f"    {each.metric}", f"{each.seconds:.2f}", "", "", f"{each.told:,}")
    started = time.perf_counter()
    again = evaluate(engine, now=NOW + timedelta(minutes=61))
    seconds = time.perf_counter() - started
    assert again == []
    tick = seconds
    with engine.begin() as connection:
        for statement in STORM.split(";\n")[:2]:
            connection.execute(sa.text(statement))
    started, used = time.perf_counter(), processor_seconds(home)
    (found,) = evaluate(engine, now=NOW + timedelta(minutes=62))
    seconds, used = time.perf_counter() - started, processor_seconds(home) - used
    table.add_row("a rule of every twelfth user fires at once", f"{seconds:.2f}", f"{used:.2f}", "", f"{found.told:,}")
    table.add_row("a tick, nothing published", f"{tick:.3f}", "", "", "0")
    console.print(table)
    console.print(f"targets: {TARGET_SECONDS} s for all rules, {TICK_SECONDS} s for a tick")


if __name__ == "__main__":
    main()
