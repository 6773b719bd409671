"""What comes out of the printer: the same bytes every time, own fonts, whole pages, and no name that breaks them.

The pictures in `golden/` are small grey ones of every page. After a change that is meant, look at the new pages, then
run these tests once with REPORT_PICTURES=write.
"""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pypdf
import pytest

from portfolio_pipelines.delivery.reports.build import _fonts, build_report
from tests.integration.reports.report_marts import FIRST, ReportMarts

Pictures = Callable[[bytes], list[np.ndarray]]
Text = Callable[[bytes], str]
GOLDEN = Path(__file__).parent / "golden"
SHRUNK = 6
"""Pixels of a page that become one of its golden picture, to each side."""
DIFFERS = 24
"""Grey values, of 255, by which a pixel of two small pictures may differ: edges are smoothed in many ways."""
MOST_DIFFERING = 0.002
"""Share of pixels that may differ by more; one line of text that moved is above 0.01."""
MARGIN = 34
"""Points at the sides of a page that stay white."""
SMILING = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
HOSTILE = (
    "<script>alert(1)</script>", '#eval(read("/etc/passwd"))', "=cmd|' /C calc'!A0", "U\u202egpj.exe\u202c",
    "x" * 10_000, "W" * 400, "🚀🌕👨\u200d👩\u200d👧", "比特币现金" * 30, "שלום עולם", "z" + "\u0301" * 900,
    "&amp;<&>\"'",
    "$x^2$ @reference *bold* _it_ `raw` \\ #", "\x07bell\x1b[31m\r\nlines\u2028more", "https://scam.example/claim",
    "// comment /* x */", "]]>", "{{7*7}}", "",
)  # fmt: skip


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


@pytest.fixture(scope="module")
def ordinary_file(empty_marts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four months of a portfolio with everything that a report can show, made once."""
    marts = ReportMarts(tmp_path_factory.mktemp("ordinary"), like=empty_marts)
    returns = [float(gain) for gain in np.random.default_rng(9).normal(0.002, 0.02, 120)]
    marts.add_portfolio("ann", [*returns[:50], None, None, *returns[52:]], deposits={70: 2_500.0})
    marts.add_benchmarks(day(-3), day(119))
    figures = dict.fromkeys(("roi", "twr", "volatility", "sharpe", "sortino", "best_day"), 0.1)
    row = {"user_id": "ann", "as_of": day(119), "n_obs": 30, "max_drawdown": -0.1, "worst_day": -0.05, **figures}
    marts.add("portfolio_metrics", [row | {"window_days": window} for window in (30, 90, 0)])
    rows = [
        {
            "user_id": "ann", "date": day(number), "position_id": name, "is_last_of_day": True, "label": name,
            "chain": "ethereum", "protocol": "uniswap_v2", "pool": "0x" + "f0" * 20, "basis": "entered",
            "since": FIRST, "il_pct": -0.02 * number, "il_usd": -2.0 * number, "fees_usd": 1.5 * number,
            "net_usd": -0.5 * number, "hodl_value_usd": 10_000.0, "position_value_usd": 10_000 - 2.0 * number,
            "is_stale": False, "entry_price": 2_000.0, "price": 2_100.0, "price_ratio": 1.05,
        }
        for number in range(120)
        for name in ("first", "second")
    ]  # fmt: skip
    marts.add("impermanent_loss", rows)
    marts.execute(
        "insert into marts.impermanent_loss_totals by name select date, user_id, avg(il_pct) as il_pct, "
        "sum(il_usd) as il_usd, sum(fees_usd) as fees_usd, sum(net_usd) as net_usd, "
        "sum(hodl_value_usd) as hodl_value_usd, sum(position_value_usd) as position_value_usd, count(*) as positions, "
        "0 as positions_without_usd, 0 as positions_out_of_range, false as is_stale "
        "from marts.impermanent_loss group by all"
    )
    return marts.path


@pytest.fixture
def ordinary(ordinary_file: Path, tmp_path: Path) -> ReportMarts:
    """The same, for this test alone."""
    return ReportMarts(tmp_path, like=ordinary_file)


def shrunk(page: np.ndarray) -> np.ndarray:
    """A small picture of a page: means of squares."""
    rows, columns = (size // SHRUNK for size in page.shape)
    squares = page[: rows * SHRUNK, : columns * SHRUNK].reshape(rows, SHRUNK, columns, SHRUNK)
    return squares.mean(axis=(1, 3)).round().astype(np.uint8)


@pytest.mark.parametrize("what", ["performance", "il"])
@pytest.mark.parametrize("paper", ["a4", "us-letter"])
def test_pages_look_as_they_did_when_somebody_looked_at_them(
    ordinary: ReportMarts,
    pictures_of: Pictures,
    what: Literal["performance", "il"],
    paper: Literal["a4", "us-letter"],
) -> None:
    pdf = build_report(ordinary.warehouse, "ann", what, FIRST, day(119), paper=paper)
    pages = [shrunk(page) for page in pictures_of(pdf)]
    file = GOLDEN / f"{what}-{paper}.npz"
    if os.environ.get("REPORT_PICTURES") == "write":
        GOLDEN.mkdir(exist_ok=True)
        np.savez_compressed(file, *pages)
    with np.load(file) as golden:
        assert len(pages) == len(golden.files)
        for number, page in enumerate(pages):
            known = golden[f"arr_{number}"]
            assert page.shape == known.shape
            assert differing(page, known) <= MOST_DIFFERING, f"page {number + 1} of {file.name}"


def differing(page: np.ndarray, other: np.ndarray) -> float:
    """Share of the pixels that differ."""
    return float((np.abs(page.astype(int) - other) > DIFFERS).mean())


def test_a_line_that_moved_is_seen(ordinary: ReportMarts, pictures_of: Pictures) -> None:
    before = pictures_of(build_report(ordinary.warehouse, "ann", "il", FIRST, day(119)))[-1]
    moved = np.roll(before, 12, axis=0)
    assert differing(shrunk(before), shrunk(moved)) > 5 * MOST_DIFFERING


@pytest.mark.parametrize(("paper", "size"), [("a4", (595, 842)), ("us-letter", (612, 792))])
def test_paper_fonts_and_date_of_the_file(
    ordinary: ReportMarts, paper: Literal["a4", "us-letter"], size: tuple[int, int]
) -> None:
    pdf = build_report(ordinary.warehouse, "ann", "performance", FIRST, day(119), paper=paper)
    document = pypdf.PdfReader(io.BytesIO(pdf))
    assert {(round(page.mediabox.width), round(page.mediabox.height)) for page in document.pages} == {size}
    fonts = [font.get_object() for page in document.pages for font in page["/Resources"]["/Font"].values()]
    for font in fonts:
        descendant = font["/DescendantFonts"][0].get_object()
        assert "/FontFile3" in descendant["/FontDescriptor"].get_object(), font["/BaseFont"]
        assert "/ToUnicode" in font
    assert fonts
    assert document.metadata is not None
    assert document.metadata.title == "Performance report: ann, 1 Mar 2024 – 28 Jun 2024"
    assert document.metadata.creation_date_raw == "D:20240629000000Z"  # the end of the last day, not the clock
    assert document.trailer["/Root"]["/MarkInfo"]["/Marked"]  # readable aloud
    assert "Sharpe ratio" in document.pages[0].extract_text()


def test_the_same_marts_give_the_same_bytes_in_any_process_and_row_order(ordinary: ReportMarts) -> None:
    before = build_report(ordinary.warehouse, "ann", "performance", FIRST, day(119))
    for mart in ("portfolio_snapshots", "portfolio_performance_daily", "portfolio_assets", "benchmarks_daily"):
        ordinary.execute(f"create table turned as select * from marts.{mart} order by hash(rowid)")
        ordinary.execute(f"delete from marts.{mart}")
        ordinary.execute(f"insert into marts.{mart} select * from turned")
        ordinary.execute("drop table turned")
    assert build_report(ordinary.warehouse, "ann", "performance", FIRST, day(119)) == before
    code = (
        "import sys; from datetime import date; from pathlib import Path\n"
        "from portfolio_pipelines.delivery.reports.build import build_report\n"
        "from tests.integration.reports.report_marts import ReportMarts\n"
        "marts = ReportMarts.__new__(ReportMarts); marts.open(Path(sys.argv[1]))\n"
        "first, last = date(2024, 3, 1), date(2024, 6, 28)\n"
        "sys.stdout.buffer.write(build_report(marts.warehouse, 'ann', 'performance', first, last))"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "TZ": "Asia/Tokyo",
        "PYTHONHASHSEED": "7",
    }
    elsewhere = subprocess.run(
        [sys.executable, "-c", code, str(ordinary.path.parent)], check=True, capture_output=True, env=environment
    )
    assert elsewhere.stdout == before


def test_another_figure_gives_another_name_of_the_report(ordinary: ReportMarts, text_of: Text) -> None:
    def name(pdf: bytes) -> str:
        return text_of(pdf).partition("· report ")[2].partition(" ")[0]

    before = build_report(ordinary.warehouse, "ann", "performance", FIRST, day(119))
    ordinary.execute("update marts.portfolio_assets set pnl_usd = pnl_usd + 0.01")
    after = build_report(ordinary.warehouse, "ann", "performance", FIRST, day(119))
    assert len(name(before)) == 12
    assert name(before) != name(after)


def test_fonts_of_the_installation_print_what_the_built_in_ones_lack(marts: ReportMarts) -> None:
    if not SMILING.is_file():
        pytest.skip(f"needs the font {SMILING}")
    marts.add_portfolio("ann", [0.01], holdings=[("A😀B", "market", 1.0, 9.0)])

    def fonts() -> set[str]:
        pages = pypdf.PdfReader(io.BytesIO(build_report(marts.warehouse, "ann", "performance", FIRST, FIRST))).pages
        found = {font.get_object()["/BaseFont"] for page in pages for font in page["/Resources"]["/Font"].values()}
        return {name for name in found if "DejaVuSans" in name and "Mono" not in name}

    assert fonts() == set()
    (marts.path.parent / "fonts").mkdir()
    (marts.path.parent / "fonts/smiling.ttf").write_bytes(SMILING.read_bytes())
    (marts.path.parent / "fonts/no-font.ttf").write_bytes(b"junk")
    _fonts.cache_clear()  # a process looks once
    assert len(fonts()) == 1


def assert_harmless(pdf: bytes, pages: list[np.ndarray], text: str) -> None:
    """Nothing runs, nothing links, nothing leaves its page, and no control reaches the reader."""
    for forbidden in (b"/JavaScript", b"/Launch", b"/URI", b"/OpenAction", b"/EmbeddedFile"):
        assert forbidden not in pdf
    for page in pages:
        assert page[:, :MARGIN].min() == 255
        assert page[:, -MARGIN:].min() == 255
    assert not any(control in text for control in "\u202e\u202c\x07\x1b\u2028")
    assert "root:" not in text
    assert len(pages) <= 8


def test_hostile_names_of_tokens_chains_and_users_are_only_text(
    marts: ReportMarts, text_of: Text, pictures_of: Pictures
) -> None:
    user = "<b>#panic()&" + "u" * 300
    marts.add_portfolio(
        user, [0.01, None, 0.02], holdings=[(name, name, 1.0, 9.0 + n) for n, name in enumerate(HOSTILE)]
    )
    marts.add_benchmarks(day(-3), day(2))
    marts.execute("update marts.benchmarks_daily set benchmark = ? where benchmark = 'ETH'", [HOSTILE[0]])
    marts.execute("update marts.portfolio_assets set price_status = 'no_source', value_usd = null where balance = 1")
    pdf = build_report(marts.warehouse, user, "performance", FIRST, day(2))
    text = text_of(pdf)
    assert_harmless(pdf, pictures_of(pdf), text)
    for shown in (
        "<script>alert(1)</scrip…", '#eval(read("/etc/passwd…', "=cmd|' /C calc'!A0", "U\ufffdgpj.exe\ufffd",
        "Portfolio of <b>#panic()&uuu", "// comment /* x */", "(no name)",
    ):  # fmt: skip
        assert shown in text, shown
    assert "x" * 50 not in text


def test_hostile_names_of_pools_are_only_text(marts: ReportMarts, text_of: Text, pictures_of: Pictures) -> None:
    rows = [
        {"user_id": "ann", "date": day(number), "position_id": str(place), "is_last_of_day": True, "chain": name,
         "protocol": name, "pool": name, "label": name, "basis": name, "since": FIRST, "reason": name or None,
         "il_pct": -float(place)}
        for number in range(2)
        for place, name in enumerate(HOSTILE)
    ]  # fmt: skip
    marts.add("impermanent_loss", rows)
    total = {"user_id": "ann", "positions": len(HOSTILE), "positions_without_usd": len(HOSTILE)}
    still = {"positions_out_of_range": 0, "is_stale": False}
    marts.add("impermanent_loss_totals", [{"date": day(number), **total, **still} for number in range(2)])
    coins = [
        {"chain": name, "pool": name, "date": FIRST, "position": n, "token": name} for name in HOSTILE for n in range(8)
    ]
    marts.add("pool_states_daily", coins)
    pdf = build_report(marts.warehouse, "ann", "il", FIRST, day(1), paper="us-letter")
    text = text_of(pdf)
    assert_harmless(pdf, pictures_of(pdf), text)
    assert "<script>alert(1)</scrip…" in text
