"""The Solidity compiler. What it gave is kept below `.tools` until the source, the settings or a pin changes."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.contracts.artifacts import Artifact
from tests.contracts.install import installed, node

HERE = Path(__file__).parent
SOURCES = HERE / "sources"
SETTINGS: dict[str, Any] = {"optimizer": {"enabled": True, "runs": 200}}


class CompileError(ValueError):
    """The compiler's messages."""


def compiled(
    files: Iterable[Path] | None = None, *, compiler: str = "solc", settings: Mapping[str, Any] = SETTINGS
) -> dict[str, Artifact]:
    """Contracts by name.

    Args:
        files: Sources; those of `sources` when None. They import packages by name, but not each other.
        compiler: npm package: `solc` (0.8.37) or `solc-0.7` (0.7.6).
        settings: Settings of the compiler's standard JSON input.

    Raises:
        CompileError: With the compiler's errors.
    """
    paths = sorted(SOURCES.glob("*.sol") if files is None else files)
    return {
        name: Artifact(name, contract["abi"], contract["evm"]["bytecode"]["object"], _links(contract))
        for contracts in _output(paths, compiler, settings).values()
        for name, contract in contracts.items()
    }


def runtime_code(file: Path, name: str, *, settings: Mapping[str, Any], compiler: str = "solc") -> bytes:
    """The code that a contract leaves on chain, for contracts without constructor, library or immutable value."""
    contract = _output([file], compiler, settings)[file][name]
    return bytes.fromhex(contract["evm"]["deployedBytecode"]["object"])


def _links(contract: dict[str, Any]) -> dict[str, list[int]]:
    return {
        library: [place["start"] for place in places]
        for libraries in contract["evm"]["bytecode"]["linkReferences"].values()
        for library, places in libraries.items()
    }


def _output(paths: Iterable[Path], compiler: str, settings: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """What the compiler makes of each file; those that were compiled before are taken from where they are kept."""
    folder = installed()
    kept = {path: folder / "compiled" / f"{_key(path, compiler, settings)}.json" for path in paths}
    stale = [path for path, place in kept.items() if not place.exists()]
    if stale:
        found = _compile(folder, stale, compiler, settings)
        (folder / "compiled").mkdir(exist_ok=True)
        for path in stale:
            new = kept[path].with_suffix(f".{uuid4().hex}")  # another process may be compiling the same
            new.write_text(json.dumps(found.get(path.name, {})))
            new.replace(kept[path])
    return {path: json.loads(place.read_text()) for path, place in kept.items()}


def _key(path: Path, compiler: str, settings: Mapping[str, Any]) -> str:
    parts = (compiler, json.dumps(settings, sort_keys=True), path.name, path.read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _compile(folder: Path, paths: Iterable[Path], compiler: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences", "evm.deployedBytecode.object"]
    request = {
        "language": "Solidity",
        "sources": {path.name: {"content": path.read_text()} for path in paths},
        "settings": {**settings, "outputSelection": {"*": {"*": wanted}}},
    }
    result = subprocess.run(
        [node(), os.fspath(HERE / "compile.cjs"), os.fspath(folder), compiler],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    output = json.loads(result.stdout)
    faults = [each["formattedMessage"] for each in output.get("errors", []) if each["severity"] == "error"]
    if faults:
        raise CompileError("\n".join(faults))
    contracts: dict[str, Any] = output["contracts"]
    return contracts
