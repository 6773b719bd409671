"""Steps from one form of the operational tables to the next (Alembic)."""
