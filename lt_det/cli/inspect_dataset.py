"""Check a data set, print what it contains, compare its splits and plot its class distribution.

python tools/inspect_dataset.py NAME [--config-file CONFIG] [--images] [--output DIR]
                                     [--thresholds 10 100] [--ignore crowd] [--write FILE]
python tools/inspect_dataset.py TRAIN.json --val VAL.json ... [--format coco|lvis]
                                     [--image-root DIR] [--images] ...

Everything that is wrong with a file in COCO or LVIS format is listed at once. A config file adds
the data sets of its DATASETS.REGISTER, and what its model asks of the file. Of a config, a training
set is compared with the test sets, and a test set with the training sets. --images decodes every
image, and looks for identical and near-duplicate images within and across the splits.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from detectron2.config import get_cfg

from lt_det.config import add_lt_det_config
from lt_det.data.datasets.register import FORMATS, register_from_config
from lt_det.data.images.reader import ImageReader
from lt_det.data.inspection.given_sets import GivenSets, given_sets
from lt_det.data.inspection.inspect_splits import JudgedFile, SplitNames, SplitsInspection
from lt_det.data.inspection.requirements import (
    Needs,
    group_thresholds,
    merge_config_file,
    needs_of_config,
)
from lt_det.data.judgement.judge import IGNORE
from lt_det.openmoji.register import register_all_openmoji
from lt_det.utils.command_line import add_debug_argument, run_command

__all__ = ["main"]


def _parse_args(argv=None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name", metavar="NAME", help="registered name of the data set, or path of its JSON file"
    )
    parser.add_argument("--config-file", metavar="CONFIG", help="config of a training on it")
    parser.add_argument(
        "--val",
        nargs="+",
        default=(),
        metavar="PATH",
        help="names or JSON files of validation sets to compare with NAME, the training set",
    )
    parser.add_argument(
        "--format",
        choices=sorted(FORMATS),
        help="of the JSON files (default: lvis if the images have neg_category_ids)",
    )
    parser.add_argument(
        "--image-root",
        metavar="DIR",
        help="folder of the images of the JSON files (default: the folder `images` beside the file "
        "or beside its folder, or else the file's folder)",
    )
    parser.add_argument(
        "--images",
        action="store_true",
        help="decode every image, check it, and look for duplicates",
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
    """Inspect one data set, and compare it with its other splits."""
    return run_command("inspect_dataset.py", _inspect, _parse_args(argv))


def _inspect(args: argparse.Namespace) -> int:
    register_all_openmoji()
    with given_sets(args.format, args.image_root, args.ignore) as sets:
        return _inspect_sets(args, sets)


def _inspect_sets(args: argparse.Namespace, sets: GivenSets) -> int:
    cfg = get_cfg()
    add_lt_det_config(cfg)
    if args.config_file:
        merge_config_file(cfg, args.config_file)
        cfg.DATASETS.IGNORE = args.ignore or cfg.DATASETS.IGNORE
        register_from_config(cfg)
    name, *validation = (sets.name_of(given, args.config_file) for given in (args.name, *args.val))
    names = SplitNames.of(name, cfg, validation)
    for note in sets.notes:
        print(note)
    given = args.thresholds and tuple(args.thresholds)
    has_config = bool(args.config_file)
    inspection = SplitsInspection(
        names,
        thresholds=lambda n: given or (group_thresholds(cfg, n) if has_config else None),
        needs=lambda n: _needs(needs_of_config(cfg, n) if has_config else Needs(), n, names),
        images=ImageReader() if args.images else None,
        judged=JudgedFile(args.ignore, args.write),
    )
    failed = False
    for number, (text, is_error) in enumerate(inspection.run(args.output)):
        if is_error:
            print(f"inspect_dataset.py: {text}", file=sys.stderr)
        else:
            print(f"\n{text}" if number else text)
        failed = failed or is_error
    return int(failed)


def _needs(needs: Needs, name: str, names: SplitNames) -> Needs:
    """Say what a set is for; the command line decides where the config does not."""
    if needs.is_training is not None or not names.training:
        return needs
    is_training = name in names.training
    return replace(needs, is_training=is_training, polygons=needs.polygons and is_training)
