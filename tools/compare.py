#!/usr/bin/env python3
"""Which long-tail method is best on this data? All of them on one stage-1 detector's features.

Extracts the features once, trains every method's classifier on them over several seeds, evaluates,
and writes compare.json, compare.md, plots and compare.html.

Example (one line):
    python tools/compare.py --comparison configs/comparisons/decoupled.yaml --output output/compare
    --dev openmoji_quick_dev --config-file configs/OpenMoji-InstanceSegmentation/..._softmax.yaml
    MODEL.WEIGHTS output/openmoji/softmax/model_final.pth

Interrupted, the same command continues. Exit status: 0 done, 1 a method failed, 75 --minutes over.
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from lt_det.compare.command import run_from_args
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="the stage-1 detector's config")
    parser.add_argument("--comparison", required=True, help="the methods, a YAML file")
    parser.add_argument("--output", required=True, help="folder of banks, runs and report")
    parser.add_argument("--rows", nargs="*", default=[], help="methods, by glob; default all")
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="instead of the file's")
    parser.add_argument("--dev", help="data set on which hyper-parameters are chosen")
    parser.add_argument("--holdout", type=float, help="choose on this share of the training set")
    parser.add_argument("--jobs", type=int, default=0, help="of one thread each; 0: one a core")
    parser.add_argument("--minutes", type=float, help="begin nothing after that; status 75")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config keys and values")
    add_debug_argument(parser)
    said = "interrupted: the same command continues"
    return run_command("compare.py", run_from_args, parser.parse_args(argv), interrupted=said)


if __name__ == "__main__":
    sys.exit(main())
