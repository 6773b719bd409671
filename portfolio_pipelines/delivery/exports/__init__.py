"""Exports: files of what the marts say of one user, on demand and at set times."""
