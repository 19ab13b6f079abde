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

from lt_det.compare.studies.rate_noise import noise_table
from lt_det.engine.run import config_from_args


def main():
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="a stage-2 config with SOLVER.META")
    parser.add_argument("--bank", required=True, help="the features' folder, made if absent")
    parser.add_argument("--checkpoint", required=True, help="of a stage 2")
    parser.add_argument("--steps", type=int, default=400, help="batches to look at")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config keys and values")
    args = parser.parse_args()
    cfg = config_from_args(args)
    print(noise_table(cfg, args.bank, args.checkpoint, args.steps))


if __name__ == "__main__":
    main()
