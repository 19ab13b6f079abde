#!/usr/bin/env python3
"""Generate the long-tailed OpenMoji data set in LVIS format.

    python tools/make_openmoji.py --preset quick
    python tools/make_openmoji.py --preset quick --num-classes 40 --picture-size 96 --output DIR
    python tools/make_openmoji.py --preset lvis_v1 --class-counts categories.json
    python tools/make_openmoji.py --preset lvis_v1 --live    # data sets openmoji_live_lvis_v1_*

The same settings and seed write the same bytes. A set that is there already is left alone.
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from lt_det.openmoji.command import add_spec_arguments, run_from_args
from lt_det.openmoji.spec import PRESETS
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--output", help="default: $DETECTRON2_DATASETS/openmoji_[live_]<preset>")
    parser.add_argument(
        "--live",
        action="store_true",
        help="write no pictures: a training composes the same ones when it reads them",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes; default: one a core")
    parser.add_argument("--class-counts", help="JSON list of LVIS categories with image_count")
    add_spec_arguments(parser)
    add_debug_argument(parser)
    args, said = parser.parse_args(argv), "interrupted: the next run starts anew"
    return run_command("make_openmoji.py", run_from_args, args, interrupted=said)


if __name__ == "__main__":
    sys.exit(main())
