"""Reports as PDF: the one function that everybody calls, and how typst is driven.

Belongs here: choosing the report, its paper and its fonts. Data reach the template as JSON: no text of a user or a
token is ever read as markup. The date in the file is that of the data, so that the same marts give the same bytes.
"""

import hashlib
import json
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from portfolio_pipelines.delivery.reports.faults import ReportUnavailableError
from portfolio_pipelines.delivery.reports.liquidity import liquidity_payload
from portfolio_pipelines.delivery.reports.numbers import day
from portfolio_pipelines.delivery.reports.performance import performance_payload
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb
    import typst

What = Literal["performance", "il"]
Paper = Literal["a4", "us-letter"]
TEMPLATES: Final = Path(__file__).parent / "templates"
OWN_FONTS: Final = "fonts"
"""Folder beside the warehouse with further fonts (TTF, OTF), for names in scripts that the built-in ones lack."""
SHORT_HASH: Final = 12


def build_report(
    warehouse: Warehouse,
    user_id: str,
    what: What,
    first: date,
    last: date,
    *,
    paper: Paper = "a4",
    rules: FigureRules | None = None,
) -> bytes:
    """A report of one user over a range of days as a PDF.

    Args:
        warehouse: Finished marts.
        user_id: Whose report.
        what: `performance` or `il` (impermanent loss).
        first: First UTC day, included.
        last: Last UTC day, included. Days that the marts do not have are left out, and the report says so.
        paper: Size of the pages.
        rules: Choices of the installation; its risk-free rate goes into Sharpe and Sortino ratios. Default: none.

    Returns:
        The bytes of the file; the same marts give the same bytes.

    Raises:
        ReportUnavailableError: If the marts do not know the user, or no day of the range.
        ValueError: If an argument cannot be; the message names all that are wrong.
        FileNotFoundError: If nothing was built yet.
    """
    _check(what, first, last, paper)
    with warehouse.connect() as marts:
        if what == "performance":
            payload, newest = performance_payload(marts, user_id, first, last, rules or FigureRules())
        else:
            payload, newest = liquidity_payload(marts, user_id, first, last)
        build = _build_of(marts)
    payload |= {"paper": paper, "as_of": day(newest), "build": build}
    # The name of the report is a hash of all that it says: two prints with the same name say the same.
    named = json.dumps(payload, sort_keys=True).encode()
    payload["report_id"] = hashlib.sha256(named).hexdigest()[:SHORT_HASH]
    return _set(payload, "performance" if what == "performance" else "impermanent_loss", newest, warehouse.path)


def _check(what: str, first: date, last: date, paper: str) -> None:
    faults = []
    if what not in get_args(What):
        faults.append(f"there is no report {what!r}: choose from {', '.join(get_args(What))}")
    if paper not in get_args(Paper):
        faults.append(f"there is no paper {paper!r}: choose from {', '.join(get_args(Paper))}")
    if first > last:
        faults.append(f"the range is empty: it begins on {first} and ends on {last}")
    if faults:
        raise ValueError("; ".join(faults))


def _build_of(marts: "duckdb.DuckDBPyConnection") -> str:
    """Which models made the marts: the beginning of their hash.

    Raises:
        ReportUnavailableError: If the file is not one of ours.
    """
    import duckdb

    try:
        row = marts.execute("select code_hash from meta.build").fetchone()
    except duckdb.CatalogException:
        row = None
    if row is None:
        msg = "the warehouse does not say what built it: it is no finished build; run `portfolio run`"
        raise ReportUnavailableError(msg)
    return str(row[0])[:SHORT_HASH]


def _set(payload: dict[str, Any], template: str, newest: date, warehouse: Path) -> bytes:
    """Typeset the payload."""
    import typst

    return typst.compile(
        TEMPLATES / f"{template}.typ",
        root=TEMPLATES,
        font_paths=_fonts(warehouse.parent / OWN_FONTS),
        sys_inputs={"report": json.dumps(payload, sort_keys=True)},
        timestamp=datetime.combine(newest + timedelta(days=1), time(), UTC),  # the end of the last day
        format="pdf",
    )


@lru_cache(maxsize=4)
def _fonts(own: Path) -> "typst.Fonts":
    """The fonts inside typst and those of the installation; never those of the machine: pages would differ."""
    import typst

    return typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=True, font_paths=[own] if own.is_dir() else []
    )
