"""Reading the public lists that the shipped files are made from."""

import json
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def read_list(folder: Path, name: str) -> dict[str, Any]:
    """One list as it was published."""
    content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return content


def corrections() -> dict[str, Any]:
    """What is kept by hand beside this file."""
    return tomllib.loads((HERE / "corrections.toml").read_text())


def mainnets(folder: Path) -> list[dict[str, Any]]:
    """All chains of viem without its test networks, by id."""
    rows = [row for row in read_list(folder, "chains")["chains"] if not row["testnet"]]
    return sorted(rows, key=lambda row: row["chain_id"])
