"""Several processes add to the ledger at once: nothing is lost."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl

from portfolio_pipelines.resources.quote_ledger import QuoteLedger

APPEND = """
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
import polars as pl
from portfolio_pipelines.market.quotes import QUOTES
from portfolio_pipelines.resources.quote_ledger import QuoteLedger

root, asset = Path(sys.argv[1]), sys.argv[2]
ledger, now = QuoteLedger(root), datetime(2024, 6, 1, tzinfo=UTC)
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    row = {"asset_id": asset, "date": date(2024, 3, 1) + timedelta(days=number % 20), "provider": "file",
           "source": "test", "close_usd": float(number + 1), "outcome": "ok", "detail": None, "quoted_at": None,
           "requested_at": now + timedelta(seconds=number), "known_at": now + timedelta(seconds=number)}
    ledger.append(pl.DataFrame([row], schema=QUOTES))
"""


def test_processes_that_append_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    assets = ["coin:one", "coin:two", "coin:three"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, str(tmp_path), asset],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for asset in assets
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n")
    assert [process.returncode for process in processes] == [0, 0, 0]
    kept = QuoteLedger(tmp_path).read(date(2024, 3, 1), date(2024, 4, 1))
    assert kept.group_by("asset_id").len().sort("asset_id").rows() == [(asset, 40) for asset in sorted(assets)]
    assert kept.group_by("asset_id").agg(pl.col("close_usd").sum())["close_usd"].to_list() == [820.0] * 3
    assert [path.name for path in (tmp_path / "raw").rglob("*") if path.is_file()] == ["data.parquet"]
