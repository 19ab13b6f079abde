"""Check a registered data set, print what it contains and plot its class distribution.

python tools/inspect_dataset.py NAME [--config-file CONFIG] [--pictures] [--output DIR]
                                     [--thresholds 10 100] [--ignore crowd] [--write FILE]

Everything that is wrong with a file in COCO or LVIS format is listed at once. A config file adds
the data sets of its DATASETS.REGISTER, and what its model asks of the file.
"""

from __future__ import annotations

import argparse

from detectron2.config import get_cfg

from lt_det.config import add_lt_det_config
from lt_det.data.datasets.register import register_from_config
from lt_det.data.inspection.inspection import inspect_dataset
from lt_det.data.inspection.requirements import group_thresholds, merge_config_file, needs_of_config
from lt_det.data.judgement.judge import IGNORE
from lt_det.openmoji.register import register_all_openmoji
from lt_det.utils.command_line import add_debug_argument, run_command

__all__ = ["main"]


def _parse_args(argv=None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help="registered name of the data set")
    parser.add_argument("--config-file", metavar="CONFIG", help="config of a training on it")
    parser.add_argument(
        "--pictures", action="store_true", help="open the header of every picture and check it"
    )
    parser.add_argument("--output", default="output/inspect", metavar="DIR", help="for the plot")
    parser.add_argument(
        "--thresholds",
        type=int,
        nargs=2,
        metavar=("RARE", "COMMON"),
        help="image counts that end the rare and the common group (default: the frequency of an "
        "LVIS-format file; for others the config's DATASETS.GROUP_THRESHOLDS, or 10 100)",
    )
    parser.add_argument(
        "--ignore",
        choices=IGNORE,
        help='what objects with "ignore": 1 are in the COCO format (default: the config\'s '
        "DATASETS.IGNORE, or fault)",
    )
    parser.add_argument(
        "--write", metavar="FILE", help="write the file as lt_det judges it, for other tools"
    )
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Inspect one data set."""
    return run_command("inspect_dataset.py", _inspect, _parse_args(argv))


def _inspect(args: argparse.Namespace) -> None:
    cfg = get_cfg()
    add_lt_det_config(cfg)
    register_all_openmoji()
    needs, thresholds = None, args.thresholds and tuple(args.thresholds)
    if args.config_file:
        merge_config_file(cfg, args.config_file)
        cfg.DATASETS.IGNORE = args.ignore or cfg.DATASETS.IGNORE
        register_from_config(cfg)
        needs = needs_of_config(cfg, args.name)
        thresholds = thresholds or group_thresholds(cfg, args.name)
    text = inspect_dataset(
        args.name, args.output, thresholds, needs, args.pictures, args.ignore, args.write
    )
    print(text)
