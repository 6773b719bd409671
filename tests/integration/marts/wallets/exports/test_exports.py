"""Exports read back: every format says what the marts say, exactly, in order, and hostile names do nothing."""

import csv
import hashlib
import io
import json
import re
import shutil
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import openpyxl
import polars as pl
import pyarrow.parquet as pq
import pytest
from pypdf import PdfReader

from portfolio_pipelines.delivery.exports import parquet_files, workbooks
from portfolio_pipelines.delivery.exports import reading as reading_module
from portfolio_pipelines.delivery.exports.datasets import DATASETS, Form, What, datasets_of
from portfolio_pipelines.delivery.exports.manifest import Manifest
from portfolio_pipelines.delivery.exports.reading import ExportRefusedError, open_reading
from portfolio_pipelines.delivery.exports.write import folder_name, write_export
from portfolio_pipelines.resources.warehouse import Warehouse
from tests.integration.marts.wallets.exports.conftest import (
    DIRECTION,
    EMOJI,
    EXACT,
    FORMULA,
    LINK,
    LONG,
    SCRIPT,
    SPLIT,
)

Span = tuple[date, date]
Rows = list[dict[str, Any]]
TABULAR = [form for form in Form if form is not Form.PDF]
WRITTEN_APART = [Form.CSV, Form.JSON, Form.PARQUET, Form.XLSX]
"""Lines of NDJSON are those of JSON."""


@pytest.fixture(scope="module")
def made() -> dict[Form, Manifest]:
    """Exports of everything by format, written once for this module."""
    return {}


@pytest.fixture
def export(
    warehouse: Warehouse, span: Span, made: dict[Form, Manifest], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Everything of Alice in a format."""

    def write(form: Form) -> Manifest:
        if form not in made:
            folder = tmp_path_factory.mktemp("made") / form
            made[form] = write_export(warehouse, "alice", What.ALL, form, *span, folder)
        return made[form]

    return write


def read_csv(folder: Path, table: str) -> Rows:
    with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@lru_cache(maxsize=4)
def open_book(path: Path) -> openpyxl.Workbook:
    """A workbook, read once."""
    return openpyxl.load_workbook(path)


def read_sheet(folder: Path, table: str) -> Rows:
    sheet = open_book(folder / "portfolio.xlsx")[table]
    names, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def read_back(form: Form, folder: Path, table: str) -> Rows:
    if form is Form.CSV:
        return read_csv(folder, table)
    if form is Form.JSON:
        return json.loads((folder / "portfolio.json").read_text())["tables"][table]  # type: ignore[no-any-return]
    if form is Form.NDJSON:
        return [json.loads(line) for line in (folder / f"{table}.ndjson").read_text().splitlines()]
    if form is Form.PARQUET:
        return pq.read_table(folder / f"{table}.parquet").to_pylist()  # type: ignore[no-any-return]
    return read_sheet(folder, table)


def shown(value: str) -> str:
    """Text as files for people show it."""
    return value.replace("\u202e", "\\u202e")


def as_text(value: Any) -> Any:
    """A value as CSV writes it, whichever file it comes from."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)


@pytest.mark.parametrize("form", TABULAR)
def test_every_format_has_every_row_of_every_table_in_the_same_order(export: Any, form: Form) -> None:
    manifest, expected = export(form), export(Form.CSV)
    assert {table.name: table.rows for table in manifest.tables} == {
        table.name: table.rows for table in expected.tables
    }
    assert {table.name for table in manifest.tables} == {dataset.name for dataset in DATASETS}
    for table in manifest.tables:
        rows, keys = read_back(form, manifest.folder, table.name), read_csv(expected.folder, table.name)
        assert len(rows) == table.rows, table.name
        for row, key in zip(rows, keys, strict=True):
            if form is not Form.XLSX:  # whose days are moments to openpyxl
                assert as_text(row["date"]) == key["date"]
                assert list(row) == list(key) == [column.name for column in table.columns]


def test_snapshots_and_holdings_say_what_the_marts_say(export: Any, warehouse: Warehouse) -> None:
    folder = export(Form.CSV).folder
    with warehouse.connect() as marts:
        totals = marts.execute(
            "select total_value_usd, coverage, assets from marts.portfolio_snapshots where user_id = 'alice' order by "
            "snapshot_timestamp"
        ).fetchall()
    rows = read_csv(folder, "snapshots")
    assert [Decimal(row["total_value_usd"]) for row in rows] == [total for total, _, _ in totals]
    assert [float(row["coverage"]) for row in rows] == [coverage for _, coverage, _ in totals]
    assert [row["date"] for row in rows] == ["2025-01-30", "2025-01-31", "2025-02-01", "2025-02-02"]
    held = [(row["date"], Decimal(row["balance"]), float(row["value_usd"])) for row in read_csv(folder, "holdings")
            if row["token"] == "BTC"]  # fmt: skip
    assert held[:2] == [("2025-01-30", Decimal("0.01"), 500.0), ("2025-01-31", Decimal("0.02"), 1200.0)]
    documents = sum(len(json.loads(assets)) for _, _, assets in totals)
    assert len(read_csv(folder, "holdings")) == documents


@pytest.mark.parametrize("form", TABULAR)
def test_balances_have_the_last_digit_also_beyond_what_a_double_or_a_decimal_holds(export: Any, form: Form) -> None:
    rows = read_back(form, export(form).folder, "balances")
    of_last_day = {row["raw"]: row["balance"] for row in rows if as_text(row["date"])[:10] == "2025-02-02"}
    assert of_last_day[str(EXACT)] == "123456789012.34567890123456789"
    huge = 4 * 10**38 + 1  # 36 decimals, 39 digits
    assert of_last_day[f"0x{huge:064x}"] == "400.000000000000000000000000000000000001"


@pytest.mark.parametrize("form", TABULAR)
def test_gains_of_the_ledger_are_exact_in_every_format(export: Any, form: Form) -> None:
    """0.3 BTC cost 15,000; 0.1 of them brought 6,500: a gain of 1,500 by every method."""
    rows = read_back(form, export(form).folder, "disposals")
    assert len(rows) == 8  # four methods, two scopes
    for row in rows:
        assert (as_text(row["quantity"]), as_text(row["gain_usd"])) == ("0.1", "1500")


def test_unknown_is_empty_or_null_and_never_zero(export: Any) -> None:
    """Carol's and Alice's tokens without a price have no value; the portfolio has no impermanent loss for tokens."""
    assets = read_csv(export(Form.CSV).folder, "assets")
    unpriced = [row for row in assets if row["price_status"] == "no_source"]
    assert unpriced
    assert {row["value_usd"] for row in unpriced} == {""}
    documents = read_back(Form.JSON, export(Form.JSON).folder, "assets")
    assert {row["value_usd"] for row in documents if row["price_status"] == "no_source"} == {None}


@pytest.mark.parametrize("form", WRITTEN_APART)
def test_the_same_question_gives_the_same_bytes(
    warehouse: Warehouse, span: Span, export: Any, tmp_path: Path, form: Form
) -> None:
    again = write_export(warehouse, "alice", What.ALL, form, *span, tmp_path / "again")
    assert again.document() == export(form).document()
    names = {path.name for path in again.folder.iterdir()}
    assert names == {file.name for file in again.files} | {"manifest.json"}


def test_the_manifest_tells_files_hashes_meanings_coverage_and_build(export: Any, warehouse: Warehouse) -> None:
    manifest = export(Form.CSV)
    document = json.loads((manifest.folder / "manifest.json").read_text())
    assert (document["user_id"], document["from"], document["to"]) == ("alice", "2025-01-30", "2025-02-02")
    for file in document["files"]:
        content = (manifest.folder / file["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    for table in document["tables"]:
        assert table["meaning"]
        assert all(column["meaning"] and column["kind"] for column in table["columns"]), table["name"]
    with warehouse.connect() as marts:
        (code,) = marts.execute("select code_hash from meta.build").fetchone() or ("",)
        (lowest,) = marts.execute(
            "select min(coverage) from marts.portfolio_snapshots where user_id = 'alice'"
        ).fetchone() or (None,)
    assert document["build"]["models"] == code
    assert document["build"]["newest_day"] == "2025-02-02"
    snapshots = next(table["coverage"] for table in document["tables"] if table["name"] == "snapshots")
    assert snapshots["lowest_coverage"] == pytest.approx(lowest)
    assert snapshots["lowest_coverage"] < 1
    assert (snapshots["days_asked_for"], snapshots["days_with_rows"], snapshots["missing_days"]) == (4, 4, 0)
    assert snapshots["provisional_rows"] >= 1


def test_meanings_are_those_of_the_contracts(warehouse: Warehouse) -> None:
    with open_reading(warehouse, "alice") as reading:
        for dataset in DATASETS:
            table = reading.table(dataset, date(2025, 1, 30), date(2025, 1, 31))
            assert table.columns, dataset.name
            assert [column.name for column in table.columns if not column.meaning] == [], dataset.name
            assert "date" in {column.name for column in table.columns}
            assert set(dataset.key) <= {column.name for column in table.columns}, dataset.name


def test_each_choice_has_its_tables_and_all_has_all(warehouse: Warehouse, span: Span, tmp_path: Path) -> None:
    for what in (What.SNAPSHOTS, What.ASSETS, What.PERFORMANCE, What.PNL, What.IL):
        manifest = write_export(warehouse, "alice", what, Form.NDJSON, *span, tmp_path / what)
        assert [table.name for table in manifest.tables] == [dataset.name for dataset in datasets_of(what)]
    assert sum(len(datasets_of(what)) for what in What if what is not What.ALL) == len(datasets_of(What.ALL))


def test_only_days_of_the_range_are_exported(warehouse: Warehouse, tmp_path: Path) -> None:
    day = date(2025, 1, 31)
    manifest = write_export(warehouse, "alice", What.ALL, Form.CSV, day, day, tmp_path / "day")
    for table in manifest.tables:
        days = {row["date"] for row in read_csv(manifest.folder, table.name)}
        assert days <= ({"2025-01-30", "2025-01-31"} if table.name == "lots" else {"2025-01-31"}), table.name
    assert {table.name for table in manifest.tables if table.rows == 0} >= {"assets", "breakdown", "unrealised"}


def test_nobody_gets_rows_of_somebody_else(export: Any, warehouse: Warehouse, span: Span, tmp_path: Path) -> None:
    manifest = write_export(warehouse, "bob", What.ALL, Form.NDJSON, *span, tmp_path / "bob")
    for table in manifest.tables:
        assert {row["user_id"] for row in read_back(Form.NDJSON, manifest.folder, table.name)} <= {"bob"}
    assert {row["user_id"] for row in read_csv(export(Form.CSV).folder, "holdings")} == {"alice"}


def test_hostile_names_do_nothing_in_a_spreadsheet_that_opens_the_csv(export: Any) -> None:
    folder = export(Form.CSV).folder
    everything = [cell for path in folder.glob("*.csv") for row in csv.reader(path.open(newline="")) for cell in row]
    numbers = re.compile(r"-?[\d.]+(e[+-]?\d+)?")
    assert [
        cell for cell in everything if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not numbers.fullmatch(cell)
    ] == []
    assert f"'{FORMULA}" in everything
    assert shown(DIRECTION) in everything
    assert {SCRIPT, LONG, EMOJI, LINK} <= set(everything)
    assert "\u202e" not in "".join(everything)
    assert "a;'=1+1\n'@SUM(1)\",=2" in everything


def test_hostile_names_are_text_in_a_workbook_without_formulas_or_links(export: Any) -> None:
    folder = export(Form.XLSX).folder
    with zipfile.ZipFile(folder / "portfolio.xlsx") as archive:
        assert archive.testzip() is None
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name, content in parts.items():
        ElementTree.fromstring(content)  # noqa: S314 our own file; well-formed whatever it holds
        assert b"<f>" not in content and b"hyperlink" not in content.lower(), name  # noqa: PT018
    book = open_book(folder / "portfolio.xlsx")
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert not any(cell.hyperlink for cell in cells)
    assert {cell.data_type for cell in cells} <= {"s", "n", "d", "b", "inlineStr"}
    texts = {cell.value for cell in cells}
    assert {FORMULA, SCRIPT, LONG, EMOJI, LINK, SPLIT, shown(DIRECTION)} <= texts
    formula = next(cell for cell in cells if cell.value == FORMULA)
    assert formula.number_format == "@"  # stays text when somebody edits it


@pytest.mark.parametrize("form", [Form.JSON, Form.NDJSON])
def test_hostile_names_are_whole_and_inert_in_json(export: Any, form: Form) -> None:
    folder = export(form).folder
    content = "".join(path.read_text() for path in folder.iterdir() if path.name != "manifest.json")
    assert not re.search("[<>&\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", content)
    names = {row["investment_id"] for row in read_back(form, folder, "investments")}
    assert DIRECTION in names
    tokens = {row["token"] for row in read_back(form, folder, "balances")}
    assert {SCRIPT, FORMULA, LONG, EMOJI} <= tokens


def test_parquet_keeps_names_as_they_are_and_decimals_as_decimals(export: Any) -> None:
    folder = export(Form.PARQUET).folder
    assert {row["transaction_id"] for row in read_back(Form.PARQUET, folder, "transactions")} == {FORMULA, SPLIT}
    schema = pq.read_schema(folder / "disposals.parquet")
    assert str(schema.field("quantity").type) == "decimal128(38, 18)"
    assert str(schema.field("disposed_at").type) == "timestamp[us, tz=UTC]"
    assert schema.field("gain_usd").metadata[b"meaning"].startswith(b"proceeds_usd - cost_usd")


def test_a_workbook_has_days_and_moments_that_a_spreadsheet_knows(export: Any) -> None:
    rows = read_sheet(export(Form.XLSX).folder, "snapshots")
    assert rows[0]["date"] == datetime(2025, 1, 30)  # noqa: DTZ001 a workbook has no zones
    assert rows[0]["snapshot_timestamp"] == datetime(2025, 1, 31)  # noqa: DTZ001
    assert rows[0]["total_value_usd"] == 1000
    assert read_sheet(export(Form.XLSX).folder, "holdings")[0]["balance"] == "0.01"
    about = read_sheet(export(Form.XLSX).folder, "about")
    assert {"table": "user_id", "column": None, "meaning": "alice"} in about


def test_a_table_longer_than_a_sheet_goes_on_in_the_next_one(
    warehouse: Warehouse, span: Span, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export: Any
) -> None:
    monkeypatch.setattr(workbooks, "ROWS_OF_A_SHEET", 11)  # with the header
    monkeypatch.setattr(reading_module, "BATCH_ROWS", 7)
    manifest = write_export(warehouse, "alice", What.SNAPSHOTS, Form.XLSX, *span, tmp_path / "x")
    book = open_book(manifest.folder / "portfolio.xlsx")
    parts = [name for name in book.sheetnames if name.startswith("holdings")]
    rows = [row for name in parts for row in read_sheet(manifest.folder, name)]
    assert parts == ["holdings", "holdings (2)", "holdings (3)", "holdings (4)"]
    assert rows == read_sheet(export(Form.XLSX).folder, "holdings")


@pytest.mark.parametrize("form", WRITTEN_APART)
def test_small_batches_hold_the_same_rows(
    warehouse: Warehouse, span: Span, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export: Any, form: Form
) -> None:
    """What is written does not depend on how much is read at once."""
    monkeypatch.setattr(reading_module, "BATCH_ROWS", 3)
    monkeypatch.setattr(parquet_files, "BATCH_ROWS", 3)
    manifest = write_export(warehouse, "alice", What.SNAPSHOTS, form, *span, tmp_path / "small")
    for table in manifest.tables:
        assert read_back(form, manifest.folder, table.name) == read_back(form, export(form).folder, table.name)


def test_a_pdf_is_the_report_and_comes_with_a_manifest(warehouse: Warehouse, span: Span, tmp_path: Path) -> None:
    manifest = write_export(warehouse, "alice", What.PERFORMANCE, Form.PDF, *span, tmp_path / "pdf")
    assert [file.name for file in manifest.files] == ["performance.pdf"]
    assert "alice" in "".join(page.extract_text() for page in PdfReader(manifest.folder / "performance.pdf").pages)


def test_what_has_no_report_is_refused_with_what_to_use_instead(
    warehouse: Warehouse, span: Span, tmp_path: Path
) -> None:
    for what in (What.SNAPSHOTS, What.ALL):
        with pytest.raises(ExportRefusedError, match=rf"performance or il, or {what} as csv, json"):
            write_export(warehouse, "alice", what, Form.PDF, *span, tmp_path / "no")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_user_is_told_who_there_is(warehouse: Warehouse, span: Span, tmp_path: Path) -> None:
    with pytest.raises(ExportRefusedError, match="no user 'alicia', but 'alice'"):
        write_export(warehouse, "alicia", What.ALL, Form.CSV, *span, tmp_path / "no")
    with pytest.raises(ExportRefusedError, match="'alice', 'bob', 'carol', 'dave'"):
        write_export(warehouse, "'; drop table x", What.ALL, Form.CSV, *span, tmp_path / "no")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", [Form.CSV, Form.PDF])
def test_a_range_without_rows_is_told_what_there_is(warehouse: Warehouse, tmp_path: Path, form: Form) -> None:
    with pytest.raises(ExportRefusedError, match="performance from 2025-01-30 to 2025-02-02"):
        write_export(warehouse, "alice", What.PERFORMANCE, form, date(2030, 1, 1), date(2030, 2, 1), tmp_path / "no")
    with pytest.raises(ExportRefusedError, match="ends before it begins"):
        write_export(warehouse, "alice", What.ALL, Form.CSV, date(2025, 2, 2), date(2025, 1, 1), tmp_path / "no")
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_export_is_replaced_whole_and_anything_else_is_left_alone(
    warehouse: Warehouse, span: Span, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    write_export(warehouse, "alice", What.SNAPSHOTS, Form.CSV, *span, folder)
    write_export(warehouse, "alice", What.IL, Form.JSON, *span, folder)
    assert {path.name for path in folder.iterdir()} == {"portfolio.json", "manifest.json"}
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "love.txt").write_text("dear")
    with pytest.raises(ExportRefusedError, match="holds something else"):
        write_export(warehouse, "alice", What.IL, Form.JSON, *span, letters)
    assert [path.name for path in letters.iterdir()] == ["love.txt"]


def test_a_disk_that_fails_half_way_leaves_the_earlier_export_and_nothing_beside_it(
    warehouse: Warehouse, span: Span, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    before = write_export(warehouse, "alice", What.SNAPSHOTS, Form.CSV, *span, folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    with pytest.raises(OSError, match="No space left"):
        write_export(warehouse, "alice", What.ALL, Form.CSV, *span, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (folder / "manifest.json").read_bytes() == before.document()


def test_no_user_id_gets_out_of_its_folder() -> None:
    first = date(2025, 1, 1)
    for hostile in ("../../etc/passwd", "a/b", "..", "\u202e", "🚀", "x" * 5000, "con:", "a b"):
        name = folder_name(hostile, What.ALL, Form.CSV, first, first + timedelta(days=1))
        assert re.fullmatch(r"[A-Za-z0-9-]{1,120}", name), name
    plain = folder_name("ann", What.ALL, Form.CSV, first, first)
    assert plain == "ann-all-2025-01-01-to-2025-01-01-csv"
    assert folder_name("a/b", What.ALL, Form.CSV, first, first) != folder_name("a:b", What.ALL, Form.CSV, first, first)


def test_a_warehouse_that_was_never_built_is_said_so(warehouse: Warehouse, span: Span, tmp_path: Path) -> None:
    nothing = Warehouse(tmp_path / "none.duckdb", warehouse.lake, warehouse.project)
    with pytest.raises(FileNotFoundError, match="run `portfolio run` first"):
        write_export(nothing, "alice", What.ALL, Form.CSV, *span, tmp_path / "no")


def test_csv_is_read_by_its_own_rules(export: Any) -> None:
    """Line ends inside of names do not cut rows: as many records as the manifest says."""
    manifest = export(Form.CSV)
    for table in manifest.tables:
        text = (manifest.folder / f"{table.name}.csv").read_text(encoding="utf-8")
        assert len(list(csv.reader(io.StringIO(text, newline="")))) == table.rows + 1


def test_marts_of_another_version_are_told_apart_from_empty_ones(
    warehouse: Warehouse, span: Span, tmp_path: Path
) -> None:
    path = Path(shutil.copy(warehouse.path, tmp_path / "old.duckdb"))
    with duckdb.connect(str(path)) as old:
        old.execute("drop view if exists marts.benchmark_comparison")
        old.execute("drop table if exists marts.benchmark_comparison")
    with pytest.raises(ExportRefusedError, match="built by another version, benchmark_comparison"):
        write_export(replace(warehouse, path=path), "alice", What.ALL, Form.CSV, *span, tmp_path / "no")
    assert not (tmp_path / "no").exists()
