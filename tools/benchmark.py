#!/usr/bin/env python3
"""Measure lt_det, mostly against what it is compared with: CPU time, peak memory, ratios.

python tools/benchmark.py head [--quick] [--json]
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from lt_det.utils.command_line import add_debug_argument, run_command

from benchmarks import benchmark_names, run_benchmark


def parse_args(argv=None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(benchmark_names())}")
    parser.add_argument("--quick", action="store_true", help="at most 50 seconds on 2 cores")
    parser.add_argument("--json", action="store_true", help="figures as JSON on the last line")
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Run one benchmark and print its table."""
    return run_command("benchmark.py", _run, parse_args(argv))


def _run(args: argparse.Namespace) -> None:
    result = run_benchmark(args.name, args.quick)
    print(result.text)
    if args.json:
        print(result.to_json())


if __name__ == "__main__":
    sys.exit(main())
