"""Evaluate detections of any framework: a results file against a ground-truth file.

python tools/evaluate.py --predictions results.json --ground-truth val.json [--output DIR]
    [--compare other_results.json] [--train train.json [--group-thresholds 10 100]]
    [--ap-fixed] [--boundary] [--ignore crowd]

Prints AP by rare, common and frequent classes, and with --compare the paired difference to another
results file. Needs no model, no registered data set and no GPU.
"""

from __future__ import annotations

import argparse

from detectron2.utils.logger import setup_logger

from lt_det.data.judgement.judge import IGNORE
from lt_det.evaluation.evaluate_files import evaluate_files, evaluator_of_files
from lt_det.evaluation.evaluators import EVALUATORS
from lt_det.evaluation.metric_options import MetricOptions
from lt_det.utils.command_line import add_debug_argument, run_command

__all__ = ["main"]


def _parse_args(argv=None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--predictions", required=True, metavar="JSON", help="results in LVIS or COCO format"
    )
    parser.add_argument(
        "--ground-truth", required=True, metavar="JSON", help="annotations in LVIS or COCO format"
    )
    parser.add_argument(
        "--format",
        choices=sorted(EVALUATORS),
        help="of the ground truth (default: lvis if its images have neg_category_ids)",
    )
    parser.add_argument(
        "--ignore",
        choices=IGNORE,
        default=IGNORE[0],
        help='what objects with "ignore": 1 are in the COCO format (%(default)s)',
    )
    parser.add_argument("--output", metavar="DIR", help="for results.json, per_class.csv, ...")
    parser.add_argument("--compare", metavar="JSON", help="results to take the difference to")
    parser.add_argument(
        "--train", metavar="JSON", help="training annotations: counts, and groups for --format coco"
    )
    groups = parser.add_mutually_exclusive_group()
    groups.add_argument(
        "--groups",
        metavar="JSON",
        help="{category id: rare, common or frequent, or names of your own} of all categories",
    )
    groups.add_argument(
        "--group-thresholds",
        type=int,
        nargs=2,
        metavar=("RARE", "COMMON"),
        help="image counts in --train that end the rare and the common group (default: the "
        "frequency of an LVIS-format file; 10 100 for others)",
    )
    parser.add_argument(
        "--ap-fixed",
        type=int,
        nargs="?",
        const=10_000,
        default=0,
        metavar="N",
        help="AP_fixed and AP_pool over the best N detections of each class (%(const)s)",
    )
    parser.add_argument(
        "--boundary",
        type=float,
        nargs="?",
        const=0.02,
        default=0.0,
        metavar="DILATION",
        help="boundary AP, with boundaries of this share of the image's diagonal (%(const)s)",
    )
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Evaluate one results file, or compare two."""
    return run_command("evaluate.py", _evaluate, _parse_args(argv))


def _evaluate(args: argparse.Namespace) -> None:
    setup_logger(name="lt_det")
    evaluator = evaluator_of_files(
        args.ground_truth,
        args.format,
        groups_file=args.groups,
        train_file=args.train,
        thresholds=args.group_thresholds,
        options=MetricOptions(detections_per_class=args.ap_fixed, boundary_dilation=args.boundary),
        ignore=args.ignore,
    )
    evaluate_files(evaluator, args.predictions, args.compare, output_dir=args.output)
