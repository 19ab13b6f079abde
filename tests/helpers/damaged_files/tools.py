"""What every tool of lt_det makes of an annotation file, in one form."""

from __future__ import annotations

import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog

from damaged_files.odd_file import OddFile
from lt_det.config import add_lt_det_config
from lt_det.data.datasets.register import FORMATS
from lt_det.data.inspection.inspection import inspect_dataset, load_summary
from lt_det.data.loaders import build_train_loader
from lt_det.data.statistics import class_stats_from_config, compute_class_stats
from lt_det.data.stream import Place
from lt_det.evaluation.evaluate_files import evaluate_files, evaluator_of_files
from lt_det.evaluation.evaluators import EVALUATORS
from lt_det.evaluation.metric_options import MetricOptions

__all__ = ["EVALUATING", "NAME", "TRAINING", "Bench", "Refusal", "verdict"]

NAME = "lt_det_odd_file"
_OPTIONS = MetricOptions(error_analysis=False)


class Refusal(NamedTuple):
    """A refused file.

    Attributes:
        kinds: kind of fault -> number, of the table; empty for a message of one line.
        message: all of it.
    """

    kinds: dict[str, int]
    message: str


class Bench(NamedTuple):
    """A file that is registered under :data:`NAME`, and where it lies.

    Attributes:
        odd: what is right.
        json_file: the file.
        results_file: detections on it.
        folder: for what tools write.
        cfg: names the file as training set; images are not augmented.
    """

    odd: OddFile
    json_file: Path
    results_file: Path
    folder: Path
    cfg: CfgNode

    @classmethod
    @contextlib.contextmanager
    def of(cls, odd: OddFile, folder: Path, image_root: Path, results: list) -> Iterator[Bench]:
        json_file, results_file = folder / "odd.json", folder / "detections.json"
        json_file.write_bytes(odd.bytes())
        results_file.write_bytes(odd.encode_results(json.dumps(odd.spell_results(results))))
        FORMATS[odd.data_format](NAME, json_file, image_root, ignore=odd.ignore)
        try:
            yield cls(odd, json_file, results_file, folder, _config(odd))
        finally:
            DatasetCatalog.remove(NAME)
            MetadataCatalog.remove(NAME)


def verdict(tool: Callable[[Bench], dict], bench: Bench) -> dict[str, Any] | Refusal:
    """What a tool found, or its refusal; an error that is no user error fails the test."""
    try:
        return tool(bench)
    except (ValueError, FileNotFoundError) as error:
        rows = re.findall(r"^\| *(.*?) *\| *(\d+) *\|", str(error), re.MULTILINE)
        return Refusal({kind: int(number) for kind, number in rows}, str(error))


def _inspect(bench: Bench) -> dict:
    text = inspect_dataset(NAME)
    summary = load_summary(NAME)
    return {
        "counts": _lists(summary.stats),
        "crowds": summary.num_crowd,
        "images": summary.num_pictures if hasattr(summary, "num_pictures") else summary.num_images,
        "text": text,
    }


def _statistics(bench: Bench) -> dict:
    return {"counts": _lists(compute_class_stats(NAME, len(bench.odd.categories)))}


def _configured_statistics(bench: Bench) -> dict:
    return {"counts": _lists(class_stats_from_config(bench.cfg))}


def _train_loader(bench: Bench) -> dict:
    """What the mapper hands to the model, of each image that is trained on."""
    dataset = build_train_loader(bench.cfg).dataset
    num_classes = len(bench.odd.categories)
    counts = np.zeros((2, num_classes), dtype=int)
    trained, names = {}, {}
    for index in range(len(dataset)):
        item = dataset[Place(index, index)]
        instances = item["instances"]
        classes = instances.gt_classes.numpy()
        counts[0, np.unique(classes)] += 1
        counts[1] += np.bincount(classes, minlength=num_classes)
        masks = instances.gt_masks.tensor.sum((1, 2)) if instances.has("gt_masks") else classes
        boxes = instances.gt_boxes.tensor.tolist()
        found = zip(classes.tolist(), map(tuple, boxes), masks.tolist(), strict=True)
        names[item["image_id"]] = Path(item["file_name"]).name
        trained[item["image_id"]] = sorted(found)
    return {"counts": tuple(counts.tolist()), "trained": trained, "names": names}


def _evaluator(bench: Bench) -> dict:
    evaluator = EVALUATORS[bench.odd.data_format](NAME, distributed=False, options=_OPTIONS)
    for detections in evaluator.read_results(bench.results_file):
        evaluator.add(detections)
    evaluator._tasks = _tasks(bench.odd)
    return {"metrics": evaluator.evaluate(), **_rows(evaluator.per_class)}


def _files(bench: Bench) -> dict:
    evaluator = _evaluator_of_files(bench)
    evaluator._tasks = _tasks(bench.odd)
    evaluate_files(evaluator, bench.results_file)
    return _rows(evaluator.per_class)


def _training_file(bench: Bench) -> dict:
    """The counts that tools/evaluate.py takes from ``--train``."""
    evaluator = _evaluator_of_files(bench, train_file=bench.json_file)
    counts = evaluator._train_counts
    keys = ("train_image_count", "train_instance_count")
    return {"counts": tuple([int(v) for v in counts[k]] for k in keys)}


def _evaluator_of_files(bench: Bench, **options):
    return evaluator_of_files(
        bench.json_file,
        bench.odd.data_format,
        ignore=bench.odd.ignore,
        options=_OPTIONS,
        **options,
    )


TRAINING = {
    "train loader": _train_loader,
}
EVALUATING = {
    "evaluator": _evaluator,
    "evaluate files": _files,
}
IMAGES = ("inspect", "train loader")
BOTH = {
    "inspect": _inspect,
    "statistics": _statistics,
    "statistics of a config": _configured_statistics,
    "--train of evaluate": _training_file,
}


def _lists(stats) -> tuple[list[int], list[int]]:
    return [int(v) for v in stats.image_count], [int(v) for v in stats.instance_count]


def _rows(per_class: list[dict]) -> dict:
    columns = defaultdict(list)
    for row in per_class:
        for key, value in row.items():
            columns[key].append(value)
    return {"instances": columns["val_instances"], "columns": dict(columns)}


def _tasks(odd: OddFile) -> tuple[str, ...]:
    return ("bbox", "segm") if odd.has_masks else ("bbox",)


def _config(odd: OddFile) -> CfgNode:
    cfg = _base_config().clone()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(odd.categories)
    cfg.MODEL.MASK_ON = odd.has_masks
    return cfg


_CONFIG: list[CfgNode] = []


def _base_config() -> CfgNode:
    if not _CONFIG:
        cfg = get_cfg()
        add_lt_det_config(cfg)
        cfg.SEED = 0
        cfg.DATASETS.TRAIN = (NAME,)
        cfg.DATASETS.TEST = ()
        cfg.DATALOADER.NUM_WORKERS = 0
        cfg.SOLVER.IMS_PER_BATCH = 1
        # No augmentation: images keep their size and are not mirrored.
        cfg.INPUT.MIN_SIZE_TRAIN = (0,)
        cfg.INPUT.RANDOM_FLIP = "none"
        cfg.INPUT.MASK_FORMAT = "bitmask"
        _CONFIG.append(cfg)
    return _CONFIG[0]
