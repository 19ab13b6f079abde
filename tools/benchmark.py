#!/usr/bin/env python3
"""Measure lt_det, mostly against what it is compared with: CPU time, peak memory, ratios.

python tools/benchmark.py head [--quick] [--json]
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from benchmarks import benchmark_names, run_benchmark


def parse_args(argv=None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(benchmark_names())}")
    parser.add_argument("--quick", action="store_true", help="at most 50 seconds on 2 cores")
    parser.add_argument("--json", action="store_true", help="figures as JSON on the last line")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Run one benchmark and print its table."""
    args = parse_args(argv)
    try:
        result = run_benchmark(args.name, args.quick)
    except ValueError as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 1
    print(result.text)
    if args.json:
        print(result.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
