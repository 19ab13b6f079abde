"""The command of ``tools/make_openmoji.py``."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from tabulate import tabulate

from lt_det.class_stats import GROUP_NAMES, ClassStats
from lt_det.openmoji.spec import PRESETS, SPLITS, OpenMojiSpec, default_folder, set_name
from lt_det.openmoji.writer import generate

__all__ = ["add_spec_arguments", "read_class_counts", "run_from_args"]


def add_spec_arguments(parser: argparse.ArgumentParser) -> None:
    """``--scale``, and an option for each number of :class:`OpenMojiSpec`.

    Unset ones are the preset's.
    """
    parser.add_argument(
        "--scale", type=float, default=1.0, help="times the preset's pictures of every split"
    )
    for field in dataclasses.fields(OpenMojiSpec):
        option = f"--{field.name.replace('_', '-')}"
        if field.name == "class_counts":
            continue
        if isinstance(field.default, tuple):
            parser.add_argument(option, type=int, nargs=2, metavar=("MIN", "MAX"))
        else:
            parser.add_argument(option, type=type(field.default))


def run_from_args(args: argparse.Namespace) -> None:
    """Generate the set and print what is in it."""
    changes = {
        field.name: tuple(value) if isinstance(value, list) else value
        for field in dataclasses.fields(OpenMojiSpec)
        if (value := getattr(args, field.name, None)) is not None
    }
    if args.class_counts:
        changes["class_counts"] = read_class_counts(args.class_counts)
        changes.setdefault("num_classes", len(changes["class_counts"]))
    if (changes or args.seed or args.scale != 1) and not args.output:
        raise ValueError(
            "Other settings than the preset's need an --output folder: "
            f"{set_name(args.preset, args.live)} is the name of the preset's own set"
        )
    folder = generate(
        dataclasses.replace(PRESETS[args.preset]().scaled(args.scale), **changes),
        args.output or default_folder(args.preset, args.live),
        seed=args.seed,
        workers=args.workers,
        live=args.live,
    )
    print(split_table(folder))
    print(f"Look at {folder}/contact_sheet.png and {folder}/families.png")


def read_class_counts(path: str | Path) -> tuple[float, ...]:
    """Image counts of a JSON list of LVIS categories (or a whole annotation file).

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it has no image counts.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Class counts not found: {path}")
    try:
        content = json.loads(path.read_text())
        categories = content["categories"] if isinstance(content, dict) else content
        counts = tuple(float(category["image_count"]) for category in categories)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a JSON list of categories with image_count: {error!r}"
        ) from error
    if not counts:
        raise ValueError(f"{path} has no categories")
    return counts


def split_table(folder: Path) -> str:
    """Pictures, instances and classes of each group that occur, by split."""
    rows = []
    for split in SPLITS:
        content = json.loads((folder / f"{split}.json").read_text())
        categories = content["categories"]
        train = ClassStats(
            len(categories),
            max(c["image_count"] for c in categories),
            [c["image_count"] for c in categories],
            [c["instance_count"] for c in categories],
        )
        present = {a["category_id"] - 1 for a in content["annotations"]}
        groups = train.groups()
        occurring = [
            f"{sum(groups[c] == g for c in present)} of {(groups == g).sum()}" for g in range(3)
        ]
        rows.append([split, len(content["images"]), len(content["annotations"]), *occurring])
    headers = ["split", "pictures", "instances", *(f"{name} classes" for name in GROUP_NAMES)]
    return tabulate(rows, headers)
