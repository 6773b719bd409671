"""URLs and engines for the embedded and an external database."""

from pathlib import Path
from uuid import uuid4

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import URL

from portfolio_pipelines.database.connection import (
    DatabaseUnavailableError,
    connect,
    connect_url,
    create_engine,
    dagster_url,
    external_url,
    read_frame,
    url_text,
)
from portfolio_pipelines.settings import Settings


def external(url: URL, **changes: object) -> Settings:
    text = url_text(url.set(drivername="postgresql", **changes))  # type: ignore[arg-type]
    return Settings(database_url=SecretStr(text), _env_file=None)  # type: ignore[call-arg]


@pytest.mark.parametrize("text", ["mysql://u:hunter2@h/d", "hunter2", "postgresql://u:hunter2@h", "sqlite:///hunter2"])
def test_a_url_that_is_none_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match="must look like postgresql://") as caught:
        external_url(text)
    assert "hunter2" not in str(caught.value)


def test_an_unreachable_server_is_named_without_its_password() -> None:
    settings = Settings(database_url=SecretStr("postgresql://me:hunter2@127.0.0.1:1/portfolio"), _env_file=None)  # type: ignore[call-arg]
    with pytest.raises(DatabaseUnavailableError, match=r"'portfolio' on 127\.0\.0\.1 does not answer") as caught:
        connect(settings)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(connect_url(settings))


def test_an_external_server_works_like_the_embedded_one(postgres_server: URL) -> None:
    engine = connect(external(postgres_server))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select current_database()")) == "portfolio"
        assert connection.scalar(sa.text("show timezone")) == "UTC"
    engine.dispose()


def test_dagster_gets_its_own_database_beside_ours_for_its_own_driver(postgres_server: URL) -> None:
    engine = create_engine(postgres_server)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("drop database dagster with (force)"))
    engine.dispose()
    for _ in range(2):
        url = dagster_url(external(postgres_server))
        assert url.drivername == "postgresql+psycopg2"
        with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
            assert connection.scalar(sa.text("select current_database()")) == "dagster"


def test_without_the_right_to_make_it_the_error_says_what_to_ask_for(postgres_server: URL) -> None:
    text = url_text(postgres_server.set(drivername="postgresql"))
    role = f"reader_{uuid4().hex[:8]}"
    with psycopg.connect(text, autocommit=True) as connection:
        connection.execute(f"create role {role} login")  # type: ignore[arg-type]
        connection.execute("drop database if exists dagster with (force)")
        try:
            with pytest.raises(DatabaseUnavailableError, match=r"there is no database 'dagster'.*create database"):
                dagster_url(external(postgres_server, username=role))
        finally:
            connection.execute(f"drop role {role}")  # type: ignore[arg-type]
            connection.execute("create database dagster")


def test_a_frame_has_the_types_asked_for_with_and_without_parameters(postgres_server: URL) -> None:
    engine = create_engine(postgres_server)
    schema = pl.Schema({"day": pl.Date(), "n": pl.Int32(), "at": pl.Datetime("us", "UTC"), "x": pl.Float64()})
    query = "select 1.5::float8 as x, date '2024-01-01' as day, 7::bigint as n, timestamptz '2024-01-01 01:00+01' as at"
    plain = read_frame(engine, query, schema)
    assert plain.schema == schema
    assert plain.equals(read_frame(engine, f"{query} where 1 = :one", schema, {"one": 1}))
    assert read_frame(engine, f"{query} where false", schema).schema == schema
    engine.dispose()


def test_settings_without_a_url_use_the_embedded_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from portfolio_pipelines.database import embedded

    monkeypatch.setattr(embedded, "start", lambda folder: embedded.EmbeddedUrls(f"postgresql:///{folder.name}", "x"))
    url = connect_url(Settings(home=tmp_path, database_url=None, _env_file=None))  # type: ignore[call-arg]
    assert (url.drivername, url.database) == ("postgresql+psycopg", "postgres")
