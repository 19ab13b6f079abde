"""The sides that the benchmarks compare, and what they measure with."""
