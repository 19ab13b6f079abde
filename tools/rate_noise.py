#!/usr/bin/env python3
"""How much of the class rates' gradient (SOLVER.META) is signal, by group, at one classifier.

Example (one line):
    python tools/rate_noise.py --bank output/study/softmax/seed1/bank
    --checkpoint output/study/mask_rcnn_small_balanced_softmax_stage2/seed1/model_final.pth
    --config-file configs/..._meta_sampler_stage2.yaml
    SEED 1 MODEL.WEIGHTS output/study/softmax/seed1/model_final.pth
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from lt_det.compare.studies.rate_noise import noise_table
from lt_det.engine.run import config_from_args
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="a stage-2 config with SOLVER.META")
    parser.add_argument("--bank", required=True, help="the features' folder, made if absent")
    parser.add_argument("--checkpoint", required=True, help="of a stage 2")
    parser.add_argument("--steps", type=int, default=400, help="batches to look at")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config keys and values")
    add_debug_argument(parser)
    return run_command("rate_noise.py", _run, parser.parse_args(argv))


def _run(args: argparse.Namespace) -> None:
    print(noise_table(config_from_args(args), args.bank, args.checkpoint, args.steps))


if __name__ == "__main__":
    sys.exit(main())
