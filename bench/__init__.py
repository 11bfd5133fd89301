"""Benchmarks, run from a checkout: `python -m bench`. Every number stands beside a floor measured in the same run."""
