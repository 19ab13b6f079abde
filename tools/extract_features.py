#!/usr/bin/env python3
"""Extract the feature banks of a frozen detector, by as many processes as there are GPUs.

tools/compare.py and tools/train_classifier.py extract what is missing by themselves, in one
process; this is for large sets. The banks come out the same byte by byte, however many processes
write them. Interrupted, the same command goes on.

python tools/extract_features.py --num-gpus 8 --output output/compare/banks --config-file
    configs/.../mask_rcnn_..._softmax.yaml MODEL.WEIGHTS output/.../model_final.pth
torchrun --nnodes 4 --nproc-per-node 8 ... tools/extract_features.py --output ... --config-file ...
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import sys
from functools import partial

from detectron2.engine import default_argument_parser

from lt_det.bank.command import run_from_args
from lt_det.engine.launch import launch_from_args
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = default_argument_parser(__doc__)
    parser.add_argument("--output", required=True, help="folder of the banks")
    add_debug_argument(parser)
    job, said = partial(launch_from_args, run_from_args), "interrupted: the same command continues"
    return run_command("extract_features.py", job, parser.parse_args(argv), interrupted=said)


if __name__ == "__main__":
    sys.exit(main())
