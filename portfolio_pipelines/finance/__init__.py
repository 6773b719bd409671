"""Pure computation on arrays and frames: no I/O, no clock, no Dagster."""
