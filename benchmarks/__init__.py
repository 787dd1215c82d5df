"""Measurements. Each module is one command, `python -m benchmarks.NAME`, with both sides of every ratio in one run."""
