"""A process beside this one that has Great Expectations ready by the time a run needs it.

Importing the library takes 5 seconds and 265 MB. A run starts the process first and computes meanwhile, so a new day
does not wait for it and the run's own process does not carry it. The process ends with its parent, however that ends:
its standard input is closed then.

Belongs here: starting the process and talking to it. What it does is `expectations`.
"""

import atexit
import pickle
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, Any, Final

import dagster as dg
import polars as pl

from portfolio_pipelines.resources.expectations import Suite, Verdict, prepare, validate

_LENGTH: Final = struct.Struct(">Q")


class ValidatorError(RuntimeError):
    """The validating process failed; the message holds its own words."""


class Validator:
    """Validates frames in a process of its own. One for all runs of a Python process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> "Validator":
        """Start the process unless it runs; returns at once."""
        with self._lock:
            self._running()
        return self

    def validate(self, frame: pl.DataFrame, suite: Suite) -> Sequence[Verdict]:
        """Run a suite over a frame.

        Raises:
            ValidatorError: If the library failed, or its process died.
        """
        with self._lock:
            process = self._running()
            try:
                _send(_open(process.stdin), (frame, dict(suite)))
                answer = _receive(_open(process.stdout))
            except (OSError, EOFError) as error:
                self._process = None
                msg = f"the process that validates frames ended with code {process.wait()}; its log has the reason"
                raise ValidatorError(msg) from error
        if isinstance(answer, str):
            raise ValidatorError(answer)
        verdicts: list[Verdict] = answer
        return verdicts

    def stop(self) -> None:
        """End the process at once; it holds nothing."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.communicate()
                self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._process


SHARED: Final = Validator()
"""The one of this process."""
atexit.register(SHARED.stop)

VALIDATOR: Final = dg.ResourceDefinition(
    lambda _: SHARED.start(), description="Great Expectations, in a process that gets ready while a run begins."
)
"""Started by Dagster at the beginning of every run that has a check for it."""


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise EOFError
    return stream


def _send(stream: IO[bytes], message: object) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(header)
    return pickle.loads(stream.read(length))  # noqa: S301 our own child or parent wrote it


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the questions end; a failure is answered in words."""
    prepare()
    while True:
        try:
            frame, suite = _receive(questions)
        except EOFError:
            return
        try:
            answer: object = list(validate(frame, suite))
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        _send(answers, answer)


if __name__ == "__main__":
    import os

    kept = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    serve(sys.stdin.buffer, kept)
