#!/usr/bin/env python3
"""Compare the methods at full size (1,203 classes) on a machine with one large GPU.

    python tools/gpu_table.py --minutes 9
    python tools/gpu_table.py --tiny    # on CPU, learns nothing

Makes the data set, trains stage 1, compares the methods, prints the table. Whatever interrupts it,
the same command continues. With --minutes it stops in time, with exit status 75 while there is more
to do.
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from lt_det.compare.studies.gpu_table import run_from_args
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", help="folder for everything; default: output/gpu_table_<set>")
    parser.add_argument("--minutes", type=float, help="that this call may take; default: no limit")
    parser.add_argument("--scale", type=float, default=1.0, help="times the data set's pictures")
    parser.add_argument("--tiny", action="store_true", help="a tiny set and model, on CPU")
    add_debug_argument(parser)
    args, said = parser.parse_args(argv), "interrupted: the same command continues"
    # A RuntimeError is a command that failed and has said why.
    return run_command("gpu_table.py", run_from_args, args, interrupted=said, also=(RuntimeError,))


if __name__ == "__main__":
    sys.exit(main())
