"""Progress bars of a run: one over its steps, one for each price provider that is being asked."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import dagster as dg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from portfolio_pipelines.commands.console import ERR

DONE = {"STEP_SUCCESS", "STEP_FAILURE", "STEP_SKIPPED"}


class RunProgress:
    """Bars on standard error; on something that is no terminal, nothing but warnings."""

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=ERR,
            transient=True,
        )
        self._providers: dict[str, TaskID] = {}
        self._run: TaskID | None = None
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        if ERR.is_interactive:  # elsewhere the bars would be a blank line
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if ERR.is_interactive:
            self._bars.stop()

    def asked(self, done: int, total: int, provider: str) -> None:
        """How far a provider is, in closes; the callback of `market.fetch`."""
        task = self._providers.get(provider)
        if task is None:
            task = self._providers[provider] = self._bars.add_task(f"asking {provider}", total=total)
        self._bars.update(task, completed=done, total=total, visible=done < total)

    @contextmanager
    def steps(self, count: int) -> Iterator[dg.LoggerDefinition]:
        """A Dagster logger that moves the bar of a run with `count` steps."""
        self._run = self._bars.add_task("starting", total=count)
        try:
            yield dg.LoggerDefinition(lambda _context: self._logger(), description="Progress bar of a run")
        finally:
            self._bars.remove_task(self._run)
            self._run = None

    def _logger(self) -> logging.Logger:
        logger = logging.Logger("portfolio", level=logging.DEBUG)
        logger.addHandler(_Steps(self))
        return logger

    def handle(self, record: logging.LogRecord) -> None:
        """Move the bar on what a log record says."""
        meta: dict[str, Any] = getattr(record, "dagster_meta", None) or {}
        event = meta.get("dagster_event")
        if event is None:
            if record.levelno >= logging.INFO:
                self.notes.append(str(meta.get("orig_message", record.getMessage())))
            return
        if self._run is None:
            return
        if event.event_type_value == "STEP_START":
            self._bars.update(self._run, description=str(event.step_key).replace("_", " "))
        elif event.event_type_value in DONE:
            self._bars.advance(self._run)


class _Steps(logging.Handler):
    def __init__(self, progress: RunProgress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.handle(record)
