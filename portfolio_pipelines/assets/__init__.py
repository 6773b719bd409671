"""Dagster assets, one file a subject: each reads tables, calls one pure function and returns a table."""

import warnings

# backfill_policy, ours by choice, warns once for every asset in every process.
warnings.filterwarnings("ignore", message=r"(?s).*is currently in (beta|preview)")
