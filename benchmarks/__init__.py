"""Benchmarks: how long the main job takes, as ratios against named peers measured in the same run."""
