"""Reports out of a whole installation: what they say is what `portfolio query` says."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

LABELS = {
    "twr": "Time-weighted return", "roi": "Return on money put in", "volatility": "Volatility, a year",
    "sharpe": "Sharpe ratio", "sortino": "Sortino ratio", "max_drawdown": "Largest drawdown", "best_day": "Best day",
    "worst_day": "Worst day",
}  # fmt: skip


def report(installation: Any, user: str, first: date, last: date, *more: str) -> Path:
    """The PDF that the command line writes."""
    folder = installation.files / f"report-{user}-{first}-{last}"
    installation.does(
        "export", user, "--format", "pdf", "--what", "performance", "--from", first, "--to", last,
        "--to-folder", folder, *more,
    )  # fmt: skip
    (file,) = folder.glob("*.pdf")
    return Path(file)


def text_of(file: Path) -> str:
    document = pypdfium2.PdfDocument(file.read_bytes())
    try:
        pages = [page.get_textpage().get_text_bounded() for page in document]
    finally:
        document.close()
    return " ".join(" ".join(pages).replace("\u200b", "").split())


def written(figure: str, value: float | None) -> str:
    """A figure as it stands on paper."""
    if value is None:
        return "–"
    if figure in {"sharpe", "sortino"}:
        return f"{value:.2f}".replace("-", "−")
    sign = "" if figure == "volatility" or value == 0 else "+" if value > 0 else "−"
    return f"{sign}{abs(value) * 100:.2f} %"


@pytest.mark.parametrize(("user", "window"), [("ann", 0), ("ann", 30), ("ben", 0), ("cleo", 30)])
def test_a_report_of_a_window_has_the_figures_of_the_marts(
    built: Any, world: tuple[date, date, date], user: str, window: int
) -> None:
    """The range's own figures are computed for the report: over the days of a window they are the mart's."""
    first, last, _ = world
    start = last - timedelta(days=window - 1) if window else first
    file = report(built, user, start, last)
    row = built.row(
        f"select * from portfolio_metrics where user_id = '{user}' and window_days = {window} and as_of = '{last}'"
    )
    text = text_of(file)
    assert row["reason"] or all(row[figure] is not None for figure in LABELS)
    for figure, label in LABELS.items():
        assert f"{label} {written(figure, row[figure])}" in text, figure
    for benchmark in built.rows(
        f"select * from benchmark_comparison where user_id = '{user}' and window_days = {window} and as_of = '{last}'"
    ):
        name = "S&P 500" if benchmark["benchmark"] == "SP500" else benchmark["benchmark"]
        returns = [written("roi", benchmark[part]) for part in ("portfolio_roi", "benchmark_roi", "excess")]
        line = f"{name} {' '.join(returns)} {written('sharpe', benchmark['beta'])}"
        assert text.count(line) == 2  # of the report's own days, and of the mart's window


def test_the_value_the_holdings_and_what_has_no_price(built: Any, world: tuple[date, date, date]) -> None:
    _, last, dies = world
    file = report(built, "ben", date(2024, 3, 1), last, "--paper", "us-letter")
    text = text_of(file)
    snapshot = built.row(
        "select total_value_usd, coverage from portfolio_snapshots "
        f"where user_id = 'ben' and snapshot_timestamp = timestamp '{last + timedelta(days=1)}'"
    )
    assert f"Value at the close ${float(snapshot['total_value_usd']):,.2f}" in text
    assert snapshot["coverage"] < 1
    assert f"coverage {snapshot['coverage'] * 100:.2f} %" in text
    for row in built.rows("select token, value_usd from portfolio_assets where user_id = 'ben'"):
        worth = "–" if row["value_usd"] is None else f"${float(row['value_usd']):,.2f}"
        assert worth in text[text.index("Holdings at the close") :].partition(row["token"])[2][:90], row["token"]
    assert "GHOST on " in text[text.index("Without a usable price") :]
    assert dies < last


def test_a_report_is_the_same_every_time(built: Any) -> None:
    first, last = date(2024, 3, 10), date(2024, 4, 10)
    before = report(built, "ann", first, last).read_bytes()
    assert report(built, "ann", first, last).read_bytes() == before
    assert before.startswith(b"%PDF-1.7")


def test_what_cannot_be_reported_is_refused(built: Any) -> None:
    asked = ("--format", "pdf", "--what", "performance", "--from", "2024-03-01", "--to", "2024-04-01")
    assert "nobody" in built.refuses("export", "nobody", *asked)
    early = ("--format", "pdf", "--what", "performance", "--from", "2020-01-01", "--to", "2020-02-01")
    assert "2024-03-01" in built.refuses("export", "ann", *early)
