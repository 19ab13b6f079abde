#!/usr/bin/env python3
"""Run a study: several methods by one recipe, over seeds, with a table at the end.

    python tools/run_study.py --preset demo  --output output/demo
    python tools/run_study.py --preset study --output output/study

An interrupted study continues where it was; finished runs are not repeated.
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from lt_det.compare.studies.study_run import PRESETS, run_from_args


def main():
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, help="a study that comes with lt_det")
    parser.add_argument("--study", help="or a study file of your own")
    parser.add_argument("--output", required=True, help="folder for all runs and the table")
    parser.add_argument("--jobs", type=int, default=0, help="processes at a time; 0: all cores")
    args = parser.parse_args()
    if (args.preset is None) == (args.study is None):
        parser.error("give either --preset or --study")
    try:
        run_from_args(args)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
