"""What one or many output folders hold, as Markdown, plots and one HTML page.

python tools/report.py output/mine --output output/mine/report
python tools/report.py a/seed1 a/seed2 b/seed1 b/seed2 --names A A B B --output output/report

A folder is the OUTPUT_DIR of a training, or what tools/evaluate.py --output wrote. Needs no model,
no GPU and no network; pictures are shown where the data set and the detections are at hand.
"""

from __future__ import annotations

import argparse

from detectron2.utils.logger import setup_logger

from lt_det.openmoji.register import register_all_openmoji
from lt_det.reports.runs.report import write_run_report
from lt_det.utils.command_line import add_debug_argument, run_command

__all__ = ["main"]


def _parse_args(argv=None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", metavar="OUT", help="differences are to the first")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the report")
    parser.add_argument(
        "--names", nargs="+", metavar="NAME", help="of each folder; equal ones are seeds"
    )
    parser.add_argument("--dataset", help="which one, if the folders have results on several")
    parser.add_argument(
        "--pictures", type=int, default=6, help="worst and best classes shown; 0 is none"
    )
    parser.add_argument(
        "--replicates", type=int, default=1000, help="of the bootstrap; 0 is no intervals"
    )
    add_debug_argument(parser)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Write the report."""
    return run_command("report.py", _report, _parse_args(argv))


def _report(args: argparse.Namespace) -> None:
    setup_logger(name="lt_det")
    # Their pictures can be shown.
    register_all_openmoji()
    write_run_report(
        args.folders,
        args.output,
        names=args.names,
        dataset=args.dataset,
        num_pictures=args.pictures,
        num_replicates=args.replicates,
    )
