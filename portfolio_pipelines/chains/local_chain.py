"""A chain of one's own for the time of a run: the local node `anvil` of Foundry.

Belongs here: finding the program, starting it on a free port, stopping it for certain. Not here: what is deployed on
it, and which chains a run reads.
"""

import os
import platform
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CHAIN_ID = 31337  # what every local node says it is unless told otherwise
START_SECONDS = 60.0  # it takes 0.2 s; a machine that is short of memory may take much longer

# The shell stops anvil when its standard input closes, which the system does however the run ends, even if killed.
_GUARD = """
"$@" 2>&1 </dev/null &
echo "pid $!"
exec >/dev/null 2>&1
read -r _
kill "$!"
wait "$!"
"""

_SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class LocalChainError(RuntimeError):
    """The local node did not start, or is gone."""


def find_anvil(folders: Iterable[Path] = ()) -> Path | None:
    """The program `anvil` of this machine.

    Args:
        folders: Where npm may have installed it (folders that hold a `node_modules`), or the parents of such folders.

    Returns:
        The program on the PATH, else the one in the first of the folders that has it, else None.
    """
    on_path = shutil.which("anvil")
    if on_path:
        program = Path(on_path).resolve()
        if program.suffix != ".mjs":
            return program
        # npm's own command is a script that starts the program beside it; signals reach the program itself faster.
        if (native := _native(program.parents[2])) is not None:
            return native
    for folder in folders:
        for modules in (folder / "node_modules", *sorted(folder.glob("*/node_modules"))):
            if (native := _native(modules)) is not None:
                return native
    return None


def _native(modules: Path) -> Path | None:
    system, machine = _SYSTEMS.get(platform.system()), _MACHINES.get(platform.machine().lower())
    program = modules / "@foundry-rs" / f"anvil-{system}-{machine}" / "bin" / "anvil"
    return program if os.access(program, os.X_OK) else None


class LocalChain:
    """A running local node; use it in a `with` statement.

    Args:
        anvil: The program, see `find_anvil`.
        chain_id: EIP-155 id that the chain claims.
        arguments: Further arguments of the program.
    """

    def __init__(self, anvil: Path, *, chain_id: int = CHAIN_ID, arguments: Sequence[str] = ()) -> None:
        self.chain_id = chain_id
        self._command = [os.fspath(anvil), "--host", "127.0.0.1", "--port", "0", "--chain-id", str(chain_id)]
        self._command += ["--color", "never", *arguments]
        self._guard: subprocess.Popen[str] | None = None
        self._said: deque[str] = deque(maxlen=20)
        self._known = threading.Event()
        self._address = ""
        self._pid = 0

    @property
    def url(self) -> str:
        """Where it answers JSON-RPC."""
        if not self._address:
            msg = "the local chain is not running"
            raise LocalChainError(msg)
        return f"http://{self._address}"

    @property
    def pid(self) -> int:
        """Process id of the node."""
        if not self._pid:
            msg = "the local chain is not running"
            raise LocalChainError(msg)
        return self._pid

    def __enter__(self) -> Self:
        """Start the node and wait until it says that it listens.

        Raises:
            LocalChainError: If it ends or stays silent instead, with the last lines it wrote.
        """
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # an interrupt at the keyboard is for the run, which then stops the node
        )
        # It writes a line for every request: somebody must read them as long as it lives.
        threading.Thread(target=self._listen, args=(self._guard,), name="anvil output", daemon=True).start()
        answered = self._known.wait(START_SECONDS)
        if not self._address:
            self.stop()
            reason = "ended at once" if answered else f"said nothing for {START_SECONDS:g} s"
            msg = f"{self._command[0]} {reason}: {' '.join(self._said) or 'no output'}"
            raise LocalChainError(msg)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the node."""
        self.stop()

    def stop(self) -> None:
        """End the node and wait for its end; nothing happens when it is gone already."""
        guard, self._guard = self._guard, None
        if guard is None or guard.stdin is None:
            return
        guard.stdin.close()  # the guard ends the node, waits for it and ends itself
        try:
            guard.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            guard.wait()
        self._address, self._pid = "", 0

    def kill(self) -> None:
        """End the node without a chance to say goodbye, as a crash does."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _listen(self, guard: subprocess.Popen[str]) -> None:
        if guard.stdout is None:
            return
        with guard.stdout as lines:
            for line in lines:
                text = line.strip()
                if text.startswith("pid ") and not self._pid:
                    self._pid = int(text.removeprefix("pid "))
                elif text.startswith("Listening on "):
                    self._address = text.removeprefix("Listening on ")
                elif not self._address and text:
                    self._said.append(text)
                if self._pid and self._address:
                    self._known.set()
        self._known.set()
