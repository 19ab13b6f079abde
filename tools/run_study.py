#!/usr/bin/env python3
"""Run a study: several methods by one recipe, over seeds, with a table at the end.

    python tools/run_study.py --preset demo  --output output/demo
    python tools/run_study.py --preset study --output output/study

An interrupted study continues where it was; finished runs are not repeated.
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys
from subprocess import CalledProcessError

from lt_det.compare.studies.study_run import PRESETS, run_from_args
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, help="a study that comes with lt_det")
    parser.add_argument("--study", help="or a study file of your own")
    parser.add_argument("--output", required=True, help="folder for all runs and the table")
    parser.add_argument("--jobs", type=int, default=0, help="processes at a time; 0: all cores")
    add_debug_argument(parser)
    args = parser.parse_args(argv)
    if (args.preset is None) == (args.study is None):
        parser.error("give either --preset or --study")
    said = "interrupted: the same command continues"
    # Jobs that failed and have said why.
    also = (RuntimeError, CalledProcessError)
    return run_command("run_study.py", run_from_args, args, interrupted=said, also=also)


if __name__ == "__main__":
    sys.exit(main())
