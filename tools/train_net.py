#!/usr/bin/env python3
"""Train and evaluate a detector from a config file.

python tools/train_net.py --config-file configs/.../mask_rcnn_..._softmax.yaml [KEY VALUE ...]
python tools/train_net.py --config-file ... --resume
python tools/train_net.py --config-file ... --eval-only MODEL.WEIGHTS output/model_final.pth
"""

from detectron2.engine import default_argument_parser, launch

from lt_det.engine.run import run_from_args


def main(args):
    """Run one process of the job."""
    return run_from_args(args)


if __name__ == "__main__":
    args = default_argument_parser(__doc__).parse_args()
    launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )
