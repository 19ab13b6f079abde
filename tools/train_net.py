#!/usr/bin/env python3
"""Train and evaluate a detector from a config file.

python tools/train_net.py --config-file configs/.../mask_rcnn_..._softmax.yaml [KEY VALUE ...]
python tools/train_net.py --config-file ... --resume [--minutes 30]
python tools/train_net.py --config-file ... --eval-only MODEL.WEIGHTS output/model_final.pth
python tools/train_net.py --num-gpus 8 --config-file ...
torchrun --nproc-per-node 8 tools/train_net.py --config-file ...
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import sys
from functools import partial

if __name__ == "__main__":
    print("Loading PyTorch and Detectron2 ...", flush=True)

from detectron2.engine import default_argument_parser

from lt_det.engine.launch import launch_from_args
from lt_det.engine.run import how_to_continue, run_from_args
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = default_argument_parser(__doc__)
    parser.add_argument(
        "--minutes", type=float, help="then save, and exit with status 75; --resume goes on"
    )
    add_debug_argument(parser)
    args = parser.parse_args(argv)
    job, interrupted = partial(launch_from_args, run_from_args), partial(how_to_continue, args)
    return run_command("train_net.py", job, args, interrupted=interrupted)


if __name__ == "__main__":
    sys.exit(main())
