"""Bringing a database to the current tables. The steps are in `migrations`, the first rows in `seeding`."""

from pathlib import Path

import sqlalchemy as sa

from portfolio_pipelines.database.models import SCHEMA
from portfolio_pipelines.database.seeding import seed

LOCK = 0x706F7274666F  # "portfo": one number for everybody who migrates


def upgrade(engine: sa.Engine) -> None:
    """Migrate to the newest tables and seed the known assets, all in one transaction.

    Any number of processes may call this at once: the others wait, then find nothing left to do.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        seed(connection)
