"""How Alembic runs inside `migrate.upgrade`: on the connection it hands over, for the schema `app` alone."""

from alembic import context

from portfolio_pipelines.database import (  # noqa: F401 (tables of Base)
    alert_models,
    chain_models,
    channel_models,
    outbox_models,
    schedule_models,
    target_models,
    transaction_models,
    wallet_models,
)
from portfolio_pipelines.database.models import SCHEMA, Base


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Leave the marts and everything else in the database alone."""
    return kind != "schema" or name == SCHEMA


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=is_ours,
    compare_type=True,
)
context.run_migrations()
