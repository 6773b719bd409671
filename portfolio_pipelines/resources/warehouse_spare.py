"""The warehouse file before the present one: the next build continues it where that spares copying gigabytes.

Belongs here: keeping it, judging whether it is worth continuing, taking it. What is built on it is `warehouse`.

No file is written while somebody reads it, with a database or with `cp`: readers keep what they opened. Where the
system cannot tell (macOS, network file systems) there is no spare. The file that was replaced has no readers after a
while, and lacks only what the builds since have changed. Making that again costs nothing where this build makes the
same tables anyway, as every hour of a day does. Else the file is brought up to the present one first: nearly all of
both is the same, and comparing takes a tenth of the time of a copy and of waiting until it is on the disk. After a
build out of the ordinary, such as that of a close, this happens at once in the background: the next one finds it done.
"""

import errno
import fcntl
import logging
import os
import shutil
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from threading import Thread
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.resources.dbt_build import NodeResult
from portfolio_pipelines.resources.dbt_manifest import touched_nodes

logger = logging.getLogger(__name__)

WORTH_KEEPING: Final = 256_000_000
"""Bytes. A smaller warehouse is copied in a second: no second file is kept."""

COMPARED_PACE: Final = 1_500_000_000
"""Bytes a second of bringing one file up to another: 0.7 to 5 billion from memory, 0.25 billion from a cold disk."""

THREADS: Final = 2

WINDOW: Final = 512 * 1024
"""Bytes compared at once: both parts stay in the second-level cache, which makes it three times as fast as 16 MB."""


@dataclass(frozen=True, slots=True)
class Spare:
    """The place of the file before the present one.

    Args:
        path: Where it is kept: on the file system of the warehouse, in a folder of its own.
        worth_keeping: Bytes from which on a warehouse leaves one behind.
    """

    path: Path
    worth_keeping: int = WORTH_KEEPING
    _followers: list[Thread] = field(default_factory=list, repr=False, compare=False)

    def keep(self, published: Path) -> None:
        """Remember the published file as the spare, in the moment before another one takes its name."""
        self.drop()
        if not published.is_file() or not self._is_worth_keeping(published):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # a file system without hard links: the next build copies
            self.path.hardlink_to(published)

    def take(self, build_path: Path, published: Path) -> bool:
        """Move the spare to where a build continues it; False when somebody still reads it: then it is let go.

        Args:
            build_path: Where to.
            published: The file that is served. A process that was killed while it published leaves it with both names.
        """
        if self.path.samefile(published) or is_read(self.path) is not False:
            logger.info("the file of the build before is still read: it cannot be continued, the present one is copied")
            self.drop()
            return False
        self.path.replace(build_path)
        return True

    def follow(self, published: Path, alone: Callable[[], AbstractContextManager[None]]) -> None:
        """Make the spare equal to the published file, in the background. The process ends when this has ended.

        A process that is killed meanwhile leaves no spare: what is being changed does not bear its name.

        Args:
            published: The file that is served.
            alone: Keeps builds away, this process's own ones too: they begin when this has ended.
        """
        if not self._is_worth_keeping(published):
            return
        self._followers[:] = [thread for thread in self._followers if thread.is_alive()]
        thread = Thread(target=self._follow, args=(published, alone), name="spare")
        self._followers.append(thread)
        thread.start()

    def wait(self) -> None:
        """Wait until nothing goes on in the background."""
        while self._followers:
            self._followers.pop().join()

    def _is_worth_keeping(self, published: Path) -> bool:
        return published.stat().st_size >= self.worth_keeping and is_read(published) is not None

    def _follow(self, published: Path, alone: Callable[[], AbstractContextManager[None]]) -> None:
        with alone():
            try:
                self._make_equal(published)
            except Exception as error:  # such as a full disk: the next build does without, whatever it was
                logger.warning(
                    "no second file of the warehouse is kept, the next build copies the present one: %s", error
                )
                self.drop()

    def _make_equal(self, published: Path) -> None:
        unfinished = self.path.with_name(f"{self.path.name}.unfinished")
        if self.path.is_file() and self.take(unfinished, published):
            bring_up(published, unfinished, threads=1)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(published, unfinished)
        with unfinished.open("rb") as file:  # or a power cut leaves the name of a file that is not all there
            os.fsync(file.fileno())
        unfinished.replace(self.path)

    def drop(self) -> None:
        """Let the spare go."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


def bring_up(source: Path, target: Path, window: int = WINDOW, threads: int = THREADS) -> int:
    """Make one file equal to another, byte for byte, by writing only what differs.

    Args:
        source: What the other becomes; nobody may write it meanwhile.
        target: The file to change; nobody may have it open.
        window: Bytes that are compared, and written, at once.
        threads: How many compare. With one it is the caller's: a process that is ending starts no others.

    Returns:
        How many bytes were written.
    """
    size = source.stat().st_size
    os.truncate(target, size)  # what is missing reads as zeros until it is written
    part = -(-size // threads // window) * window  # whole windows for each thread

    def compare(start: int) -> int:
        wanted, there = np.empty(window, np.uint8), np.empty(window, np.uint8)
        written = 0
        with source.open("rb", buffering=0) as new, target.open("r+b", buffering=0) as old:
            new.seek(start)
            for at in range(start, min(start + part, size), window):
                count = min(window, size - at)
                old.seek(at)
                _fill(new, wanted[:count])
                _fill(old, there[:count])
                if not np.array_equal(wanted[:count], there[:count]):
                    old.seek(at)
                    written += _write(old, wanted[:count])
        return written

    if threads == 1 or not size:
        return compare(0)
    with ThreadPoolExecutor(threads, thread_name_prefix="spare") as pool:
        return sum(pool.map(compare, range(0, size, part)))


def _fill(file: FileIO, buffer: NDArray[np.uint8]) -> None:
    done = 0
    while done < len(buffer):  # a read may bring less than it was asked for
        count = file.readinto(buffer[done:].data)
        if not count:
            msg = f"{file.name!r} ended while it was read: somebody else writes it"
            raise OSError(msg)
        done += count


def _write(file: FileIO, data: NDArray[np.uint8]) -> int:
    done = 0
    while done < len(data):
        done += file.write(data[done:].data)
    return done


def is_read(path: Path) -> bool | None:
    """Whether anything has this file open, in this process or in another one; None where the system cannot tell.

    The kernel grants a write lease on a file that nobody else has open. The locks of DuckDB would not tell: a process
    loses its own when it closes any other descriptor of the file, and copying a file takes none.
    """
    if not hasattr(fcntl, "F_SETLEASE"):  # Linux alone has leases
        return None
    with path.open("rb") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # ignored; who opens the file now would send a deadly one
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:  # a file of another user, a file system without leases
            return True if error.errno == errno.EAGAIN else None
    return False


def costs_less_than_comparing(
    manifest: Mapping[str, Any],
    results: Sequence[NodeResult],
    changed_since_spare: Collection[str],
    changed: Collection[str],
    size: int,
) -> bool:
    """Whether making again what the spare lacks takes less time than bringing it up to the present file.

    Args:
        manifest: dbt's manifest.
        results: What each model and test took when it was last made.
        changed_since_spare: Names of the sources that differ from what the spare was built from.
        changed: The same for the present file: these are made in any case.
        size: Bytes of the present file.
    """
    anyway = set(touched_nodes(manifest, changed))
    also = set(touched_nodes(manifest, changed_since_spare)) - anyway
    seconds = sum(result.seconds for result in results if result.name in also)
    return seconds < size / COMPARED_PACE
