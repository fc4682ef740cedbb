"""Benchmarks: each prints what it measured, how, on what, against a baseline of the same run."""
