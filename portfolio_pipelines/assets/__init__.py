"""Dagster assets, one file a subject: each reads tables, calls one pure function and returns a table."""
