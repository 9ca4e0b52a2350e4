"""Measurements of time and memory; `python -m benchmarks` runs the main ones and prints one table."""
