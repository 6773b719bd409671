"""Exports: a hundred thousand rows in each format beside plain polars, csv, json and xlsxwriter; one user's five years.

python -m benchmarks.exports [--rows 100000] [--users 20] [--days 1826]        --users 0 leaves the five years out

The rows are those of a table of holdings: a day, four texts, an exact quantity, four figures, two flags, a moment. Ours
guards text, writes every digit of a quantity and counts coverage on the way; the peers write what they are given.
"""

import argparse
import csv
import json
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table as Shown

from portfolio_pipelines import tables
from portfolio_pipelines.delivery.exports import parquet_files, text_files, workbooks
from portfolio_pipelines.delivery.exports.datasets import DATASETS, Form, What
from portfolio_pipelines.delivery.exports.manifest import Tally
from portfolio_pipelines.delivery.exports.reading import BATCH_ROWS, ExportColumn, Kind, Table
from portfolio_pipelines.finance.lots import METHODS
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.transaction_tables import PROFIT_AND_LOSS, PROFIT_AND_LOSS_SCHEMA

TARGETS = "one user x 5 years under 10 s in each format"
EXCEL_PART = 10_000
"""Rows that the slow writers of workbooks write; their time is scaled up."""
COLUMNS = (
    ("date", Kind.DAY), ("user_id", Kind.TEXT), ("token", Kind.TEXT), ("chain", Kind.TEXT), ("asset_id", Kind.TEXT),
    ("balance", Kind.DECIMAL), ("price_usd", Kind.NUMBER), ("value_usd", Kind.NUMBER), ("share", Kind.NUMBER),
    ("coverage", Kind.NUMBER), ("is_stale", Kind.FLAG), ("is_final", Kind.FLAG), ("as_of", Kind.MOMENT),
)  # fmt: skip


def rows_of(count: int, seed: int = 7) -> pl.DataFrame:
    """Invented holdings, one in a hundred with a name that means harm."""
    draw = random.Random(seed)
    names = ["ETH", "BTC", "USDC", "wstETH", "UNI-V3", "Ünïcode 🚀"] * 17 + ["=HYPERLINK(1)", "<b>x</b>"]
    start = date(2021, 1, 1)
    return pl.DataFrame(
        {
            "date": [start + timedelta(days=at // 50) for at in range(count)],
            "user_id": ["user-000042"] * count,
            "token": [names[at % len(names)] for at in range(count)],
            "chain": [("ethereum", "base", "market")[at % 3] for at in range(count)],
            "asset_id": [f"eip155:1/erc20:0x{at % 97:040x}" for at in range(count)],
            "balance": pl.Series(
                [Decimal(draw.randrange(10**24)).scaleb(-18) for _ in range(count)], dtype=pl.Decimal(38, 18)
            ),
            "price_usd": [draw.uniform(0, 4_000) for _ in range(count)],
            "value_usd": [draw.uniform(0, 1e6) if at % 40 else None for at in range(count)],
            "share": [draw.random() for _ in range(count)],
            "coverage": [1.0 if at % 10 else draw.random() for at in range(count)],
            "is_stale": [at % 7 == 0 for at in range(count)],
            "is_final": [True] * count,
            "as_of": pl.Series([datetime(2021, 1, 1, tzinfo=UTC) + timedelta(hours=at % 24) for at in range(count)]),
        }
    )


def ours(frame: pl.DataFrame, form: Form, folder: Path) -> float:
    """Seconds of writing the frame as an export does, batch after batch."""
    columns = [ExportColumn(name, kind, "") for name, kind in COLUMNS]
    batches = (frame.slice(start, BATCH_ROWS) for start in range(0, frame.height, BATCH_ROWS))
    table = Tally(Table(DATASETS[0], columns, batches)).watched()
    folder.mkdir()
    writers: dict[Form, Callable[[], None]] = {
        Form.CSV: lambda: text_files.write_csv([table], folder),
        Form.JSON: lambda: text_files.write_json([table], folder, {}),
        Form.NDJSON: lambda: text_files.write_ndjson([table], folder),
        Form.PARQUET: lambda: parquet_files.write_parquet([table], folder),
        Form.XLSX: lambda: workbooks.write_workbook([table], folder, {}),
    }
    return timed(writers[form])


def peers(frame: pl.DataFrame, folder: Path) -> list[tuple[Form, str, float]]:
    """Seconds of others for the same rows."""
    text = frame.with_columns(pl.col("balance").cast(pl.String))
    part = text.head(EXCEL_PART)
    scale = frame.height / part.height
    scaled = f"({EXCEL_PART:,} rows, scaled)"

    def by_csv() -> None:
        with (folder / "module.csv").open("w", newline="") as file:
            csv.writer(file).writerows(frame.iter_rows())

    def by_json() -> None:
        with (folder / "module.json").open("w") as file:
            json.dump(text.to_dicts(), file, default=str)

    return [
        (Form.CSV, "polars write_csv", timed(lambda: frame.write_csv(folder / "p.csv"))),
        (Form.CSV, "csv module", timed(by_csv)),
        (Form.JSON, "polars write_json", timed(lambda: text.write_json(folder / "p.json"))),
        (Form.JSON, "json module", timed(by_json)),
        (Form.NDJSON, "polars write_ndjson", timed(lambda: text.write_ndjson(folder / "p.ndjson"))),
        (Form.PARQUET, "polars write_parquet", timed(lambda: frame.write_parquet(folder / "p.parquet"))),
        (
            Form.XLSX,
            f"polars write_excel {scaled}",
            scale * timed(lambda: by_polars(part, folder)),
        ),
        (Form.XLSX, f"xlsxwriter {scaled}", scale * timed(lambda: by_xlsxwriter(part, folder))),
    ]


def by_polars(frame: pl.DataFrame, folder: Path) -> None:
    """The workbook of polars, links turned off."""
    import xlsxwriter

    with xlsxwriter.Workbook(folder / "p.xlsx", {"strings_to_urls": False, "remove_timezone": True}) as book:
        frame.with_columns(pl.col("as_of").dt.replace_time_zone(None)).write_excel(book)


def by_xlsxwriter(frame: pl.DataFrame, folder: Path) -> None:
    """A call for each cell, in constant memory."""
    import xlsxwriter

    options = {"constant_memory": True, "strings_to_urls": False, "strings_to_formulas": False, "remove_timezone": True}
    with xlsxwriter.Workbook(folder / "x.xlsx", options) as book:
        sheet = book.add_worksheet()
        for at, row in enumerate(frame.iter_rows()):
            sheet.write_row(at, 0, row)


def five_years(users: int, days: int) -> list[tuple[str, float, int, float]]:
    """Format, processor seconds, rows and megabytes of everything of one user, out of marts of a few users."""
    from portfolio_pipelines.delivery.exports.write import write_export
    from portfolio_pipelines.resources.dbt_build import DbtProject
    from portfolio_pipelines.resources.warehouse import Warehouse

    last = date(2025, 12, 31)
    span = last - timedelta(days=days - 1), last
    with tempfile.TemporaryDirectory(prefix="portfolio-bench-") as folder:
        home = Path(folder)
        lake = Lake(home / "lake")
        fill(lake, users, *span)
        project = DbtProject(home / "dbt", home / ".warehouse.build" / "warehouse.duckdb")
        warehouse = Warehouse(home / "warehouse.duckdb", lake, project)
        warehouse.build()
        found = []
        for form in (Form.CSV, Form.JSON, Form.NDJSON, Form.PARQUET, Form.XLSX):
            started = time.process_time()
            made = write_export(warehouse, "user-1", What.ALL, form, *span, home / "exports" / form)
            found.append((form.value, time.process_time() - started, made.rows, made.size / 1e6))
    return found


def fill(lake: Lake, users: int, first: date, last: date) -> None:
    """Three investments of four coins for each user and eight ledgers, every day: all at 100 USD a coin, for ever."""
    coins = [f"coingecko:coin-{at:02d}" for at in range(12)]
    keys = range(1, users + 1)
    people = [(key, f"user-{key}") for key in keys]
    lake.replace_table(tables.USERS, pl.DataFrame(people, tables.USERS_SCHEMA, orient="row"))
    assets = [(coin, coin[-7:], coin, "crypto", "daily", None, None, None) for coin in coins]
    lake.replace_table(tables.ASSETS, pl.DataFrame(assets, tables.ASSETS_SCHEMA, orient="row"))
    lake.replace_table(tables.SUCCESSIONS, pl.DataFrame(schema=tables.SUCCESSIONS_SCHEMA))
    legs = [
        (user, 3 * user + at // 4, f"user-{user}", f"investment-{at // 4}", first, coin, 90.0, 1.0, "given", None)
        for user in keys
        for at, coin in enumerate(coins)
    ]
    lake.replace_table(tables.INVESTMENT_LEGS, pl.DataFrame(legs, tables.INVESTMENT_LEGS_SCHEMA, orient="row"))
    price = {"close_usd": 100.0, "status": "ok", "provider": "file", "source": "bench", "n_quotes": 1, "is_final": True}
    investment = {"invested_usd": 360.0, "value_usd": 400.0, "stale_usd": 0.0, "missing_usd": 0.0, "unpriced_legs": 0}
    whole = {"invested_usd": 1080.0, "value_usd": 1200.0, "stale_usd": 0.0, "missing_usd": 0.0, "unpriced_legs": 0,
             "flow_out_usd": 0.0, "daily_return": 0.0, "twr_index": 1.0, "is_final": True}  # fmt: skip
    ledgers = [(scope, method) for scope in ("universal", "per_venue") for method in METHODS]
    usd = {name: Decimal(0) for name, kind in PROFIT_AND_LOSS_SCHEMA.items() if name.endswith("_usd")}
    usd |= {name: Decimal(90) for name in ("cost_usd", "paid_in_usd")}
    usd |= {"value_usd": Decimal(100), "unrealised_usd": Decimal(10)}
    counts = {"unpriced_assets": 0, "incomplete_uses": 0, "is_final": True}
    for day in pl.date_range(first, last, eager=True):
        known = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=25)
        rows: dict[str, tuple[list[dict[str, object]], pl.Schema]] = {
            tables.PRICES: ([{"asset_id": coin, **price, "known_at": known} for coin in coins], tables.PRICES_SCHEMA),
            tables.INVESTMENT_PERFORMANCE: (
                [{"user_key": user, "investment_key": 3 * user + at, **investment, "is_final": True}
                 for user in keys for at in range(3)], tables.INVESTMENT_PERFORMANCE_SCHEMA,
            ),
            tables.PORTFOLIO_PERFORMANCE: (
                [{"user_key": user, **whole, "flow_in_usd": 1080.0 if day == first else 0.0} for user in keys],
                tables.PORTFOLIO_PERFORMANCE_SCHEMA,
            ),
            PROFIT_AND_LOSS: (
                [{"user_key": user, "scope": scope, "method": method, **usd, **counts}
                 for user in keys for scope, method in ledgers], PROFIT_AND_LOSS_SCHEMA,
            ),
        }  # fmt: skip
        for table, (found, schema) in rows.items():
            lake.replace(table, day, pl.DataFrame([{**row, "date": day} for row in found], schema))


def timed(work: Callable[[], object]) -> float:
    """Processor seconds of a piece of work, all threads: others may run on the machine."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=20, help="of the marts that five years of one are exported from")
    parser.add_argument("--days", type=int, default=1_826)
    options = parser.parse_args()
    console = Console()
    frame = rows_of(options.rows)
    with tempfile.TemporaryDirectory(prefix="portfolio-bench-") as folder:
        mine = {form: ours(frame, form, Path(folder, form)) for form in Form if form is not Form.PDF}
        others = peers(frame, Path(folder))
        title = f"{frame.height:,} rows x {len(COLUMNS)} columns"
        table = Shown("format", "writer", "processor s", "times ours", title=title)
        for form, seconds in mine.items():
            table.add_row(form.value, "portfolio_pipelines", f"{seconds:.2f}", "1.0")
            for of, name, theirs in others:
                if of is form:
                    table.add_row("", name, f"{theirs:.2f}", f"{theirs / seconds:.1f}")
    console.print(table)
    if options.users:
        title = f"One user x {options.days} days out of marts of {options.users:,} users"
        table = Shown("format", "processor s", "rows", "MB", title=title)
        for name, seconds, rows, size in five_years(options.users, options.days):
            table.add_row(name, f"{seconds:.2f}", f"{rows:,}", f"{size:.1f}")
        console.print(table)
    console.print(f"Target: {TARGETS}")


if __name__ == "__main__":
    main()
