#!/usr/bin/env python3
"""Train and evaluate a detector from a config file.

python tools/train_net.py --config-file configs/.../mask_rcnn_..._softmax.yaml [KEY VALUE ...]
python tools/train_net.py --config-file ... --resume [--minutes 30]
python tools/train_net.py --config-file ... --eval-only MODEL.WEIGHTS output/model_final.pth
python tools/train_net.py --num-gpus 8 --config-file ...
torchrun --nproc-per-node 8 tools/train_net.py --config-file ...
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

from detectron2.engine import default_argument_parser

from lt_det.engine.launch import launch_from_args
from lt_det.engine.run import run_from_args

if __name__ == "__main__":
    parser = default_argument_parser(__doc__)
    parser.add_argument(
        "--minutes", type=float, help="then save, and exit with status 75; --resume goes on"
    )
    launch_from_args(run_from_args, parser.parse_args())
