"""Partitions, jobs, schedules and the plan of what to run. Nothing here computes a figure."""
