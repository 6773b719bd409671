"""Connections to the operational database, embedded or external, for SQLAlchemy, Dagster and Arrow.

Belongs here: URLs, engines, reading a query as a frame. What is asked lives in the modules by subject. Passwords stay
inside URL objects, which print them as ***.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from portfolio_pipelines.database import embedded
from portfolio_pipelines.database.pooling import replace_broken_connections
from portfolio_pipelines.settings import Settings

if TYPE_CHECKING:
    from adbc_driver_manager import AdbcDatabase

DRIVER: Final = "postgresql+psycopg"
DAGSTER_DRIVER: Final = "postgresql+psycopg2"
"""dagster-postgres knows psycopg2 only; SQLAlchemy 2.1 takes a plain postgresql:// for psycopg 3."""


class DatabaseUnavailableError(RuntimeError):
    """The database cannot be reached or does not allow what we need; the message says what to do."""


def connect_url(settings: Settings) -> URL:
    """URL of the operational database for SQLAlchemy; starts the embedded server when no other is set.

    Raises:
        DatabaseUnavailableError: If PORTFOLIO_DATABASE_URL is no Postgres URL.
        EmbeddedPostgresError: If the embedded server does not start.
    """
    if settings.database_url is None:
        return make_url(embedded.start(settings.postgres).portfolio).set(drivername=DRIVER)
    return external_url(settings.database_url.get_secret_value())


def external_url(text: str) -> URL:
    """Read a URL that a person wrote.

    Raises:
        DatabaseUnavailableError: If it is no Postgres URL. The message does not repeat it: it may hold a password.
    """
    try:
        url = make_url(text)
    except sa.exc.ArgumentError:
        url = None
    if url is None or url.drivername.split("+")[0] not in {"postgresql", "postgres"} or not url.database:
        msg = "PORTFOLIO_DATABASE_URL must look like postgresql://user:password@host:5432/database"
        raise DatabaseUnavailableError(msg)
    return url.set(drivername=DRIVER)


def create_engine(url: URL) -> sa.Engine:
    """An engine that speaks UTC and names itself in pg_stat_activity. Connects when first used."""
    engine = sa.create_engine(
        url,
        pool_size=2,
        max_overflow=8,
        connect_args={"application_name": "portfolio", "options": "-c timezone=UTC", "connect_timeout": 10},
    )
    return replace_broken_connections(engine)


def connect(settings: Settings) -> sa.Engine:
    """An engine of the operational database, proved to answer.

    Raises:
        DatabaseUnavailableError: If the server does not answer or refuses us.
        EmbeddedPostgresError: If the embedded server does not start.
    """
    engine = create_engine(connect_url(settings))
    _probe(engine)
    return engine


def dagster_url(settings: Settings) -> URL:
    """URL of Dagster's own storage: database `dagster` on the same server, made when missing.

    Raises:
        DatabaseUnavailableError: If the server does not answer or we may not make the database.
        EmbeddedPostgresError: If the embedded server does not start.
    """
    if settings.database_url is None:
        return make_url(embedded.start(settings.postgres).dagster).set(drivername=DAGSTER_DRIVER)
    url = external_url(settings.database_url.get_secret_value())
    engine = create_engine(url)
    _probe(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        known = "select 1 from pg_database where datname = 'dagster'"
        try:
            if connection.scalar(sa.text(known)) is None:
                connection.execute(sa.text("create database dagster"))
        except sa.exc.DBAPIError as error:
            if connection.scalar(sa.text(known)) is None:  # else another process made it meanwhile
                msg = (
                    f"there is no database 'dagster' on {url.host or 'the server'} and {url.username or 'our role'} "
                    "may not make it; ask for `create database dagster owner …`"
                )
                raise DatabaseUnavailableError(msg) from error
    engine.dispose()
    return url.set(drivername=DAGSTER_DRIVER, database="dagster")


def url_text(url: URL) -> str:
    """The URL as text **with** its password, for environment variables of our own processes. Never log it."""
    return url.render_as_string(hide_password=False)


def read_frame(
    engine: sa.Engine, query: str, schema: pl.Schema, parameters: Mapping[str, object] | None = None
) -> pl.DataFrame:
    """Rows of a query as a frame of `schema`; columns are matched by name.

    Args:
        engine: Engine of the operational database.
        query: SQL; with `parameters`, named :like_this.
        schema: Names and types wanted. Exact numbers must be cast to double precision in the query.
        parameters: Values for the query. Without them the rows come through Arrow, at the speed of COPY.

    Returns:
        The rows in the order of the query.
    """
    if parameters:
        with engine.connect() as connection:
            rows = connection.execute(sa.text(query), parameters).mappings().all()
        return pl.DataFrame([[row[name] for name in schema.names()] for row in rows], schema=schema, orient="row")
    from adbc_driver_manager import AdbcConnection, AdbcStatement

    database = _arrow_database(url_text(engine.url.set(drivername="postgresql")))
    with AdbcConnection(database) as connection, AdbcStatement(connection) as statement:
        statement.set_sql_query(query)
        stream, _ = statement.execute_query()
        frame = pl.DataFrame(stream)
    return frame.select(schema.names()).cast(pl.Schema(schema))


@lru_cache(maxsize=8)
def _arrow_database(url: str) -> "AdbcDatabase":
    """What the driver knows of a database. It holds no connection; reading all its types takes 80 ms, so once only."""
    import adbc_driver_postgresql

    database: AdbcDatabase = adbc_driver_postgresql.connect(url)
    return database


def _probe(engine: sa.Engine) -> None:
    try:
        with engine.connect() as connection:
            version = connection.scalar(sa.text("select current_setting('server_version_num')::int"))
    except sa.exc.OperationalError as error:
        reason = str(error.orig).strip().split("\n")[0]
        where = f"{engine.url.database!r} on {engine.url.host or 'the local socket'}"
        msg = f"the database {where} does not answer: {reason}"
        raise DatabaseUnavailableError(msg) from error
    if version < 150000:  # unique constraints that take nulls as equal
        msg = f"Postgres 15 or newer is needed, the server is {version // 10000}"
        raise DatabaseUnavailableError(msg)
