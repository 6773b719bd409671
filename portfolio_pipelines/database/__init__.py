"""Operational tables (SQLAlchemy), migrations (Alembic) and the files people import into them."""
