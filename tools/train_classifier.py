#!/usr/bin/env python3
"""Stage 2 on stored RoI features.

Extracts the features once, chooses the schedule on a dev split, trains the classifier, evaluates.

Example (one line):
    python tools/train_classifier.py --bank output/bank --base-lr 0.01 0.05
    --max-iter 1000 4000 --dev openmoji_quick_dev --selection output/selection.json
    --config-file configs/..._stage2.yaml MODEL.WEIGHTS output/stage1/model_final.pth
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from lt_det.compare.studies.decoupled import run_from_args
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="a stage-2 config")
    parser.add_argument("--bank", required=True, help="the features' folder, made if absent")
    parser.add_argument("--base-lr", type=float, nargs="*", default=[], help="rates to try")
    parser.add_argument("--max-iter", type=int, nargs="*", default=[], help="lengths to try")
    parser.add_argument("--dev", help="data set on which rate and length are chosen")
    parser.add_argument("--selection", help="JSON file of the trials; reused where it is complete")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config keys and values")
    add_debug_argument(parser)
    said = "interrupted: the same command continues"
    args = parser.parse_args(argv)
    return run_command("train_classifier.py", run_from_args, args, interrupted=said)


if __name__ == "__main__":
    sys.exit(main())
