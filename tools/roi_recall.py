#!/usr/bin/env python3
"""Which class wins at an RoI: recall by group of stage-2 checkpoints that share one stage 1.

python tools/roi_recall.py --config-file configs/..._stage2.yaml --dataset openmoji_quick_dev
    output/study/<row>/seed1/model_final.pth output/study/<row>/seed1/model_final.pth
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from lt_det.compare.studies.roi_recall import recall_table
from lt_det.engine.run import config_from_args
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="config of the first checkpoint")
    parser.add_argument("--dataset", required=True, help="annotated data set")
    parser.add_argument("checkpoints", nargs="+")
    add_debug_argument(parser)
    return run_command("roi_recall.py", _run, parser.parse_args(argv))


def _run(args: argparse.Namespace) -> None:
    args.eval_only, args.opts = True, []
    print(recall_table(config_from_args(args), args.dataset, args.checkpoints))


if __name__ == "__main__":
    sys.exit(main())
