"""Benchmarks: ours and its reference in one run, on one machine, as ratios."""
