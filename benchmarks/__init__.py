"""Benchmarks: each runs the peers beside archdsl, in one run, and writes its figures under `results/`."""
