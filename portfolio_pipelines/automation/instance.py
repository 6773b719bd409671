"""Dagster's instance: where its storage is, and what became of runs whose process is gone."""

import os
import socket
from collections.abc import Mapping
from typing import Final

import dagster as dg

from portfolio_pipelines.database.connection import dagster_url, url_text
from portfolio_pipelines.settings import PROJECT_ROOT, Settings

PROCESS_TAG: Final = "portfolio/process"
EVENT_BATCH: Final = "1000"
"""Events written at once: with a pool, a year of partitions is written in seconds."""


def dagster_environment(settings: Settings) -> dict[str, str]:
    """Environment variables that every Dagster process of this installation needs. They hold a password: never log."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    configured = home / "dagster.yaml"
    shipped = (PROJECT_ROOT / "dagster.yaml").read_text()
    if not configured.is_file() or configured.read_text() != shipped:
        configured.write_text(shipped)
    return {
        "DAGSTER_HOME": str(home),
        "PORTFOLIO_DAGSTER_URL": url_text(dagster_url(settings)),
        "DAGSTER_EVENT_BATCH_SIZE": os.environ.get("DAGSTER_EVENT_BATCH_SIZE", EVENT_BATCH),
    }


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of this installation; runs that a killed process left behind are marked as failed."""
    os.environ.update(dagster_environment(settings))
    instance = dg.DagsterInstance.get()
    fail_orphans(instance)
    return instance


def process_tags() -> Mapping[str, str]:
    """Tags that say which process of which machine runs a run."""
    return {PROCESS_TAG: f"{socket.gethostname()}/{os.getpid()}"}


def fail_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process on this machine is gone; the ids of those runs.

    A killed process cannot say that it failed, and its partitions would be shown in progress for ever.
    """
    running = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]))
    gone = [run for run in running if _is_gone(run.tags.get(PROCESS_TAG, ""))]
    for run in gone:
        instance.report_run_failed(run, "the process of this run is gone: killed, or the machine was restarted")
    return [run.run_id for run in gone]


def _is_gone(tag: str) -> bool:
    host, _, process = tag.rpartition("/")
    if host != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
