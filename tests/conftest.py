"""Services that tests share. One Postgres server a test session, one fresh database a test."""

import shutil
import tempfile
from collections.abc import Iterator
from decimal import getcontext, setcontext
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import URL, make_url

from portfolio_pipelines.database import embedded
from portfolio_pipelines.database.connection import DRIVER, create_engine
from portfolio_pipelines.database.migrate import upgrade

# A busy machine is no failure, and the verdict on a commit does not depend on luck: the same code meets the same
# examples. `make explore` looks for others.
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("portfolio", **PATIENT, derandomize=True)
settings.register_profile("explore", **PATIENT, max_examples=1000, print_blob=True)
settings.load_profile("portfolio")


@pytest.fixture(autouse=True)
def rules_of_decimal_arithmetic() -> Iterator[None]:
    """A test that changes precision, rounding or traps for the tests after it fails itself, whatever their order."""
    before = getcontext().copy()
    yield
    after = getcontext()
    left = (after.prec, after.rounding, after.traps) != (before.prec, before.rounding, before.traps)
    setcontext(before)
    assert not left, f"this test, or what it imported, left other rules of decimal arithmetic behind: {after}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """URL of database `portfolio` (empty) on an embedded server of this test session alone."""
    # Not below pytest's own folder: pytest closes that to the account which runs Postgres when we are root.
    home = Path(tempfile.mkdtemp(prefix="portfolio-tests-"))
    try:
        url = make_url(embedded.start(home / "postgres").portfolio).set(drivername=DRIVER)
        _run(url, "alter system set fsync = off", "select pg_reload_conf()")  # nothing here outlives the session
        yield url
    finally:
        embedded.stop(home / "postgres")
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: URL) -> URL:
    """URL of a migrated and seeded database that nobody connects to: the template of all others."""
    url = postgres_server.set(database="template_of_tests")
    _run(postgres_server, "create database template_of_tests")
    engine = create_engine(url)
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture
def empty_database(postgres_server: URL) -> Iterator[sa.Engine]:
    """A database without any table, for this test alone."""
    yield from _fresh(postgres_server, "template1")


@pytest.fixture
def database(migrated_template: URL) -> Iterator[sa.Engine]:
    """A migrated and seeded database for this test alone; `database.url` is its URL."""
    yield from _fresh(migrated_template, "template_of_tests")


@pytest.fixture(scope="module")
def database_of_module(migrated_template: URL) -> Iterator[sa.Engine]:
    """A migrated and seeded database for tests of one module that read what was made once."""
    yield from _fresh(migrated_template, "template_of_tests")


def _fresh(url: URL, template: str) -> Iterator[sa.Engine]:
    name = f"test_{uuid4().hex[:12]}"
    server = url.set(database="portfolio")
    _run(server, f"create database {name} template {template}")
    engine = create_engine(url.set(database=name))
    try:
        yield engine
    finally:
        engine.dispose()
        _run(server, f"drop database {name} with (force)")


def _run(url: URL, *statements: str) -> None:
    text = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
