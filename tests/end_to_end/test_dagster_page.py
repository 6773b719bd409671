"""Dagster's page in a real browser, over a finished installation: the graph, a finished run, the checks."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((found for found in map(shutil.which, PROGRAMS) if found), None)
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000  # milliseconds, for a loaded machine; nothing is timed
BANNERS = re.compile("unexpected error|an error occurred|failed to load|error loading|graphql error", re.IGNORECASE)
"""What the page says where something of it is broken, beside all that it shows."""

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"needs an installed browser: {', '.join(PROGRAMS)}")


@pytest.fixture(scope="module")
def address(install: Callable[..., Any], built: Any) -> Iterator[str]:
    """Where `portfolio ui` serves a copy of the small world."""
    home = install("page", like=built)
    home.sql("select 1")  # the server runs already: it does not belong to the page's processes
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = home.command("ui", "--port", port)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "Serving dagster-webserver" in line:
                break
        else:
            pytest.fail("portfolio ui ended before it served its page")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=SWITCHES)
        page = browser.new_page(viewport={"width": 1800, "height": 1100})
        page.set_default_timeout(PATIENCE)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(f"the page failed: {error}"))
        page.on(
            "response",
            lambda got: faults.append(f"{got.status} {got.url}") if got.status >= 400 and address in got.url else None,
        )
        page.goto(address)
        yield page
        browser.close()
    assert faults == []


def shows(page: Any, *texts: str | re.Pattern[str]) -> None:
    """Wait until the page shows each of these texts; fail when it reports an error beside them."""
    for text in texts:
        page.get_by_text(text, exact=False).first.wait_for()
    assert page.get_by_text(BANNERS).all_inner_texts() == []


def test_the_asset_graph_shows_the_tables_from_quotes_to_the_served_marts(
    page: Any, address: str, tmp_path: Path
) -> None:
    page.goto(f"{address}/asset-groups")
    shows(page, "core", "marts", "raw", "served")
    page.screenshot(path=tmp_path / "groups.png")
    page.goto(f"{address}/assets/benchmarks_daily?view=lineage&lineageScope=neighbors&lineageDepth=1")
    shows(page, "prices_daily", "benchmarks_daily", "7 / 8 Passed")  # a coin has no price
    page.screenshot(path=tmp_path / "graph.png")


def test_the_finished_run_is_shown_as_a_success_over_its_range_of_days(
    page: Any, address: str, built: Any, world: tuple[Any, ...], tmp_path: Path
) -> None:
    ((run_id, _, _),) = built.runs()
    page.goto(f"{address}/runs/{run_id}")
    shows(page, "Success", run_id[:8], "operational_tables", "Errored (0)", re.compile(r"Succeeded \([1-9]\d"))
    page.screenshot(path=tmp_path / "run.png")
    # The list of events draws only the rows in sight, and where it has scrolled to depends on how
    # fast they arrive: ask for the one event.
    page.goto(f"{address}/runs/{run_id}?logs=type:RUN_SUCCESS")
    shows(page, "RUN_SUCCESS", 'Finished execution of run for "daily"')
    page.goto(f"{address}/runs")
    shows(page, run_id[:8])
    page.screenshot(path=tmp_path / "runs.png")


def test_the_checks_of_a_table_are_shown_with_their_verdicts(page: Any, address: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page.goto(f"{address}/assets/prices_daily?view=checks")
    shows(page, "Checks (8)", "price_is_positive", "no_unconfirmed_jump_is_served", "Passed")
    for verdict, checks in {"Succeeded": 7, "Failed": 1}.items():  # a coin has no price, and all else is well
        expect(page.get_by_text(verdict, exact=True)).to_have_count(checks, timeout=PATIENCE)
    page.screenshot(path=tmp_path / "checks.png")


def test_a_table_shows_its_description_columns_and_partitions(page: Any, address: str, tmp_path: Path) -> None:
    page.goto(f"{address}/assets/prices_daily")
    shows(page, "One close an asset and day", "close_usd", "portfolio-data")
    page.screenshot(path=tmp_path / "table.png")
    page.goto(f"{address}/assets/prices_daily?view=partitions")
    shows(page, "Materialized")
    page.screenshot(path=tmp_path / "partitions.png")
