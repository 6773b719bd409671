"""How business intelligence reads the marts: one role that may select from schema `marts` and nothing else.

Belongs here: the role, its rights and its password, and ready settings for the usual tools. The port of the embedded
server is opened in `database.embedded`; who reads what is withheld here is `leaderboard_access`.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote as shell_quote
from typing import Any, Final
from urllib.parse import quote

import psycopg
from psycopg import sql
from pydantic import SecretStr

from portfolio_pipelines.database.connection import connect_url, url_text
from portfolio_pipelines.database.embedded_tcp import open_tcp
from portfolio_pipelines.resources.files import appears_whole
from portfolio_pipelines.resources.served_storage import BOOKS
from portfolio_pipelines.resources.served_tables import STORAGE
from portfolio_pipelines.settings import Settings

ROLE: Final = "portfolio_bi"
WITHHELD: Final = ("leaderboard", "leaderboard_ranks")
"""Marts that BI does not read: beside figures by user id they would tell whom a pseudonym belongs to."""


@dataclass(frozen=True, slots=True)
class BiConnection:
    """Where a BI tool connects, and as whom."""

    host: str
    port: int
    database: str
    password: SecretStr
    user: str = ROLE
    schema: str = "marts"

    @property
    def url(self) -> SecretStr:
        """URL for libpq with the password."""
        return SecretStr(
            f"postgresql://{self.user}:{quote(self.password.get_secret_value(), safe='')}"
            f"@{self.host}:{self.port}/{quote(self.database, safe='')}"
        )


class BiAccessError(RuntimeError):
    """BI cannot be let in; the message says what to do."""


def grant_reading(database: psycopg.Connection[Any], schema: str) -> str | None:
    """Give the BI role, made without a login when missing, SELECT on a schema but for what is withheld, and no more.

    A partition is read through its table and needs no right of its own; without one, tools do not list it. Tables that
    are made later are covered, too.

    Args:
        database: An open transaction; nothing is committed here.
        schema: The schema it may read.

    Returns:
        The role's name; None when we are not allowed to make it: the marts are published all the same.
    """
    try:
        with database.transaction():  # a savepoint: being refused must not undo a publish
            _make_role(database, ROLE)
            for statement in (
                "grant usage on schema {schema} to {role}",
                "alter default privileges in schema {schema} grant select on tables to {role}",
            ):
                database.execute(sql.SQL(statement).format(schema=sql.Identifier(schema), role=sql.Identifier(ROLE)))
            for place, table, is_read in _wrong_rights(database, schema):
                statement = "grant select on {} to {}" if is_read else "revoke all on {} from {}"
                database.execute(sql.SQL(statement).format(sql.Identifier(place, table), sql.Identifier(ROLE)))
    except psycopg.errors.InsufficientPrivilege:
        return None
    return ROLE


def grant_to(database: psycopg.Connection[Any], role: str, schema: str, tables: Sequence[str]) -> str | None:
    """Give a role, made without a login when missing, SELECT on some tables alone.

    Args:
        database: An open transaction; nothing is committed here.
        role: Its name.
        schema: Where the tables are.
        tables: Their names; rights on the partitions below them are not given.

    Returns:
        The role's name; None when we are not allowed to make it.
    """
    try:
        with database.transaction():
            _make_role(database, role)
            names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
            database.execute(sql.SQL("grant usage on schema {schema} to {role}").format(**names))
            for table in tables:
                statement = sql.SQL("grant select on {table} to {role}")
                database.execute(statement.format(table=sql.Identifier(schema, table), role=names["role"]))
    except psycopg.errors.InsufficientPrivilege:
        return None
    return role


def _wrong_rights(database: psycopg.Connection[Any], schema: str) -> list[tuple[str, str, bool]]:
    """Tables and views that the BI role may read and should not, or the other way: schema, name, and what is right."""
    rows = database.execute(
        "with found as (select relnamespace::regnamespace::text as place, relname, relnamespace = to_regnamespace("
        "%(schema)s) and not relispartition and relname <> all(%(names)s) as is_read, "
        "has_table_privilege(%(role)s, oid, 'select') as may_read from pg_class where relnamespace in "
        "(to_regnamespace(%(schema)s), to_regnamespace(%(storage)s)) and relkind in ('r', 'p', 'v', 'm')) "
        "select place, relname, is_read from found where is_read <> may_read order by place, relname",
        {"schema": schema, "storage": STORAGE, "names": [*WITHHELD, *BOOKS], "role": ROLE},
    )
    return [(str(place), str(name), bool(is_read)) for place, name, is_read in rows]


def open_for_bi(settings: Settings) -> BiConnection:
    """Let BI in: give the role a login with its password and, on the embedded server, open the port for it alone.

    The password is PORTFOLIO_BI_PASSWORD, else one that was made once and lies in `bi_password` in PORTFOLIO_HOME,
    readable by its owner only.

    Raises:
        BiAccessError: If the marts were not published yet, or we may not make roles in an external database.
        EmbeddedPostgresError: If the port is taken.
    """
    url = connect_url(settings)
    password = _password(settings)
    with psycopg.connect(url_text(url.set(drivername="postgresql"))) as database:
        if database.execute("select to_regclass('marts.published_tables')").fetchone() == (None,):
            msg = "there are no marts in this database yet: run `portfolio run` first"
            raise BiAccessError(msg)
        if grant_reading(database, "marts") is None:
            msg = (  # shown, not run
                f"this database does not let us make the role {ROLE}; ask its owner to run: create role {ROLE} login "  # noqa: S608
                f"password '…'; grant usage on schema marts to {ROLE}; "
                f"grant select on all tables in schema marts to {ROLE}; "
                f"revoke all on {', '.join(f'marts.{name}' for name in (*WITHHELD, *BOOKS))} from {ROLE}"
            )
            raise BiAccessError(msg)
        database.execute("set local password_encryption = 'scram-sha-256'")
        database.execute(
            sql.SQL("alter role {} login password {}").format(
                sql.Identifier(ROLE), sql.Literal(password.get_secret_value())
            )
        )
        name = database.info.dbname
    if settings.database_url is None:
        open_tcp(settings.postgres, settings.bi_port, ROLE)
        return BiConnection("127.0.0.1", settings.bi_port, name, password)
    return BiConnection(url.host or "localhost", url.port or 5432, name, password)


def connection_settings(connection: BiConnection, *, show_password: bool = False) -> dict[str, str]:
    """What to type into psql, Metabase, Superset and DBeaver, by tool.

    Args:
        connection: Where to connect.
        show_password: Write the password out; else a placeholder stands for it.
    """
    password = connection.password.get_secret_value() if show_password else "<password>"
    shown = quote(password, safe="") if show_password else password
    address = f"{connection.host}:{connection.port}/{connection.database}"
    form = [
        f"Host:      {connection.host}",
        f"Port:      {connection.port}",
        f"Database:  {connection.database}",
        f"Username:  {connection.user}",
        f"Password:  {password}",
        f"Schema:    {connection.schema}",
    ]
    return {
        "psql": f"PGPASSWORD={shell_quote(password)} psql -h {connection.host} -p {connection.port} "
        f"-U {connection.user} -d {connection.database} -c 'table marts.portfolio_performance_daily limit 5'",
        "Metabase": "\n".join(
            ["Admin > Databases > Add database > PostgreSQL", *form[:5], f"Schemas:   Only these: {connection.schema}"]
        ),
        "Superset": f"Settings > Database Connections > + Database > PostgreSQL > SQLAlchemy URI:\n"
        f"postgresql+psycopg2://{connection.user}:{shown}@{address}",
        "DBeaver": "\n".join(
            ["New Database Connection > PostgreSQL", f"JDBC URL:  jdbc:postgresql://{address}", *form[3:]]
        ),
    }


def _make_role(database: psycopg.Connection[Any], role: str) -> None:
    found = database.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
    if found is None:
        database.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
        # It has no right to write anyway; this also keeps a tool from trying, and a forgotten session from holding on.
        for setting in ("default_transaction_read_only = on", "idle_in_transaction_session_timeout = '10min'"):
            database.execute(sql.SQL("alter role {} set " + setting).format(sql.Identifier(role)))


def _password(settings: Settings) -> SecretStr:
    if settings.bi_password is not None:
        return settings.bi_password
    path: Path = settings.home.absolute() / "bi_password"
    if not path.is_file():
        with appears_whole(path) as beside:
            beside.touch(mode=0o600)
            beside.write_text(secrets.token_urlsafe(24))
    return SecretStr(path.read_text().strip())
