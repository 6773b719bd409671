"""Connections to the outside: lake, warehouse, database, market data, Dagster's storage."""
