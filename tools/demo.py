#!/usr/bin/env python3
"""Draw what a trained model finds in your own pictures.

python tools/demo.py --config-file configs/.../mask_rcnn_....yaml --input 'pictures/*.jpg' \
    --output output/drawn MODEL.WEIGHTS output/.../model_final.pth
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import sys

from detectron2.utils.logger import setup_logger

from lt_det.predict import run_from_args
from lt_det.utils.command_line import add_debug_argument, run_command


def main(argv=None) -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="config of the model")
    parser.add_argument("--input", required=True, nargs="+", help="files, folders or patterns")
    parser.add_argument("--output", required=True, help="folder for the drawn pictures")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.3,
        help="least score that is drawn (default: %(default)s)",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config keys and values")
    add_debug_argument(parser)
    args = parser.parse_args(argv)
    setup_logger(name="lt_det")
    return run_command("demo.py", lambda args: 0 if run_from_args(args) else 1, args)


if __name__ == "__main__":
    sys.exit(main())
