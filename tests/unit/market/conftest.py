"""Recorded replies of the providers, read where they are; tests skip where they are not."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def recorded() -> Callable[[str], Any]:
    """Reads a file of recorded replies by name: a list of recordings for .jsonl, the document itself for .json."""
    folder = (PROJECT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve() / "providers"

    def read(name: str) -> Any:
        path = folder / name
        if not path.exists():
            pytest.skip(f"recorded replies are not here: {path} (set PORTFOLIO_SHARED_DATA)")
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        return [json.loads(line) for line in text.splitlines()] if ".jsonl" in name else json.loads(text)

    return read
