#!/usr/bin/env python3
"""Print what a registered data set contains and plot its class distribution.

python tools/inspect_dataset.py NAME [--output DIR] [--thresholds 10 100]
"""

import argparse
import sys

from detectron2.config import get_cfg

from lt_det.config import add_lt_det_config
from lt_det.data.inspection import LVIS_THRESHOLDS, inspect_dataset


def parse_args(argv=None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help="registered name of the data set")
    parser.add_argument("--output", default="output/inspect", metavar="DIR", help="for the plot")
    parser.add_argument(
        "--thresholds",
        type=int,
        nargs=2,
        default=LVIS_THRESHOLDS,
        metavar=("RARE", "COMMON"),
        help="image counts that end the rare and the common group (default: 10 100)",
    )
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Inspect one data set."""
    args = parse_args(argv)
    # Registers the data sets that come with lt_det.
    add_lt_det_config(get_cfg())
    try:
        print(inspect_dataset(args.name, args.output, tuple(args.thresholds)))
    except (FileNotFoundError, ValueError) as error:
        print(f"inspect_dataset.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
