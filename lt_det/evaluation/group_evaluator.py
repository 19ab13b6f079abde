"""What lt_det's evaluators share: columns of detections in, metrics by class-frequency group out.

The numbers come from an official API, which a subclass names.
"""

import abc
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import detectron2.utils.comm as comm
import numpy as np
from detectron2.data import Metadata, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils.file_io import PathManager

from lt_det.evaluation import group_metrics, report
from lt_det.evaluation.class_rows import Classes
from lt_det.evaluation.columns import DetectionColumns
from lt_det.evaluation.detections import (
    COLUMNS,
    ImageDetections,
    gather_detections,
    tasks_of,
    write_predictions,
)
from lt_det.evaluation.ground_truth import check_masks
from lt_det.evaluation.matches import Matches
from lt_det.evaluation.results_file import read_results_file

TASKS = tuple(COLUMNS)
PREDICTIONS_FILE = "lvis_instances_results.json"

_ADVICE_WITHOUT = {
    "bbox": "task 'bbox' needs boxes with all detections, and some have none. Use tasks=('segm',).",
    "segm": "task 'segm' needs pred_masks with all detections, and some have none. Use a model "
    "with masks (MODEL.MASK_ON) or tasks=('bbox',).",
}

logger = logging.getLogger(__name__)


class GroupEvaluator(DatasetEvaluator, abc.ABC):
    """Evaluate boxes and masks by class-frequency group.

    `evaluate` returns AP, AP50, AP75, APs/m/l, APr/c/f, AR, ARs/m/l, ARr/c/f in percent for
    ``"bbox"`` and ``"segm"``, computed by an official API. Unlike in Detectron2's evaluators, a
    metric that nothing enters is NaN (not -100), and a model that finds nothing has AP 0 (not NaN).

    With `output_dir` these files are written there: ``results.json``, ``per_class.csv``,
    ``matches_<task>.npz`` (see `lt_det.evaluation.bootstrap`) and, if asked,
    ``lvis_instances_results.json``, the detections in the result format of LVIS and COCO.

    Attributes:
        output_dir: see the constructor.
        per_class: after `evaluate`, on the main process: one dict per class.
        matches: after `evaluate`, on the main process: task -> `Matches`.
        groups: group index of each class in the order of category ids [K].
    """

    DEFAULT_MAX_DETS: int

    def __init__(
        self,
        dataset_name: str | Metadata,
        *,
        output_dir: str | None = None,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        max_dets_per_image: int | None = None,
        save_predictions: bool = False,
        groups: np.ndarray | None = None,
        class_stats: Any = None,
    ):
        """Load the ground truth.

        Args:
            dataset_name: registered data set with metadata ``json_file`` and, unless class =
                category id - 1, ``thing_dataset_id_to_contiguous_id``; or the metadata of a set
                that is not registered (see `from_file`).
            output_dir: folder for the files; None writes nothing.
            tasks: any of ``"bbox"``, ``"segm"``; by default what the detections carry.
            distributed: collect detections from all processes.
            max_dets_per_image: the API's cap; None is its official value.
            save_predictions: write the detections, too. They always are where the annotation file
                has no annotations: then they are the result.
            groups: group index of each contiguous class [C] (0 rare, 1 common, 2 frequent), if not
                those of the annotation file.
            class_stats: training `ClassStats`, whose counts are added to ``per_class.csv``.

        Raises:
            FileNotFoundError: if the annotation file does not exist.
            ValueError: if the file, the metadata, `tasks`, `groups` or `class_stats` is wrong.
        """
        unknown = set(tasks or ()) - set(TASKS)
        if unknown:
            raise ValueError(f"tasks {sorted(unknown)} unknown, expected any of {TASKS}.")
        self._tasks = tuple(t for t in TASKS if t in tasks) if tasks else None
        self.output_dir = output_dir
        self._distributed = distributed
        self._max_dets_per_image = max_dets_per_image or self.DEFAULT_MAX_DETS
        self._save_predictions = save_predictions
        self._load(dataset_name)
        self.groups = self._groups_of_file() if groups is None else self._classes.groups(groups)
        self._train_counts = self._classes.train_counts(class_stats)
        self.reset()

    @classmethod
    def from_file(cls, json_file: str | os.PathLike, **options: Any) -> "GroupEvaluator":
        """Evaluate on an annotation file that is not registered.

        Args:
            json_file: annotation file. A class is the position of its category id in their order.
            options: of the constructor.
        """
        return cls(Metadata(json_file=os.fspath(json_file)), **options)

    @abc.abstractmethod
    def _read_ground_truth(self, path: str) -> Any:
        """The API's data set with `imgs`, `cats`, `get_cat_ids()` and `has_annotations`."""

    @abc.abstractmethod
    def _run_api(
        self, detections: DetectionColumns, task: str
    ) -> tuple[group_metrics.Evaluation, Matches]:
        """Evaluate detections by one task."""

    @abc.abstractmethod
    def _groups_of_file(self) -> np.ndarray:
        """Group index of each class by the annotation file, in the API's class order [K]."""

    def reset(self) -> None:
        """Forget all detections and results."""
        self._detections: list[ImageDetections] = []
        self.per_class: list[dict[str, Any]] = []
        self.matches: dict[str, Matches] = {}

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Store the detections of a batch.

        Args:
            inputs: Detectron2's model inputs, of which ``image_id`` is read.
            outputs: the model's outputs with key ``instances``: `pred_boxes`, `scores`,
                `pred_classes` and, for masks, `pred_masks` [N, H, W] in the image's size.

        Raises:
            ValueError: if an image is not in the data set, or a class or mask does not fit it.
        """
        for image_input, output in zip(inputs, outputs, strict=True):
            image_id = image_input["image_id"]
            image = self._ground_truth.imgs.get(image_id)
            if image is None:
                raise ValueError(
                    f"image_id {image_id} is not in '{self._json_file}'. Run the model on the "
                    "data set that is evaluated."
                )
            self.add(
                ImageDetections.from_instances(
                    image_id, (image["height"], image["width"]), output["instances"]
                )
            )

    def add(self, detections: ImageDetections) -> None:
        """Store the detections of an image, which is one of the data set's.

        Raises:
            ValueError: if a class does not fit the data set.
        """
        self._check_classes(detections)
        self._detections.append(detections)

    def read_results(self, path: str | os.PathLike) -> list[ImageDetections]:
        """Read a results file of any framework for `add`, each image of the data set once.

        Raises:
            FileNotFoundError: if the file does not exist.
            ValueError: see `read_results_file`.
        """
        images = self._ground_truth.imgs.items()
        sizes = {image_id: (image["height"], image["width"]) for image_id, image in images}
        return read_results_file(path, sizes, {i: c for c, i in self._category_of.items()})

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Evaluate everything processed since `reset`.

        Returns:
            Task -> metric -> percent on the main process; an empty dict on the others, when no
            image was processed, and when the annotation file has no annotations.

        Raises:
            ValueError: if masks are to be evaluated, and some are missing or cannot be read.
        """
        detections = gather_detections(self._detections, self._distributed)
        if self._distributed and not comm.is_main_process():
            return {}
        if not detections:
            logger.warning("No image was processed: there is nothing to evaluate.")
            return {}
        tasks = self._resolve_tasks(detections)
        is_test_set = not self._ground_truth.has_annotations
        if self.output_dir and (self._save_predictions or is_test_set):
            os.makedirs(self.output_dir, exist_ok=True)
            path = os.path.join(self.output_dir, PREDICTIONS_FILE)
            write_predictions(path, detections, self._category_of, tasks)
            logger.info(f"Predictions written to '{path}'.")
        if is_test_set:
            logger.warning(
                f"'{self._json_file}' has no annotations (a test set?): nothing is evaluated."
            )
            return {}
        self._warn_if_incomplete(detections)
        return self._evaluate_tasks(detections, tasks)

    def _load(self, dataset_name: str | Metadata) -> None:
        is_registered = isinstance(dataset_name, str)
        metadata = MetadataCatalog.get(dataset_name) if is_registered else dataset_name
        self._json_file = metadata.get("json_file")
        if not self._json_file:
            raise ValueError(
                f"data set '{dataset_name}' has no metadata 'json_file'. Register it with its "
                "annotation file."
            )
        self._ground_truth = self._read_ground_truth(PathManager.get_local_path(self._json_file))
        self._category_ids = sorted(self._ground_truth.get_cat_ids())
        id_map = metadata.get("thing_dataset_id_to_contiguous_id")
        if id_map is None:
            # The former as in Detectron2's own LVIS sets.
            id_map = {i: i - 1 if is_registered else n for n, i in enumerate(self._category_ids)}
        class_of = [id_map.get(i) for i in self._category_ids]
        names = [self._ground_truth.cats[i].get("name", str(i)) for i in self._category_ids]
        if (known := metadata.get("thing_classes")) is not None:
            names = [n if c is None else known[c] for n, c in zip(names, class_of, strict=True)]
        self._classes = Classes(self._json_file, self._category_ids, class_of, names)
        # Other data sets may share the map: a class that this file lacks is not one to predict.
        self._category_of = {c: i for i, c in id_map.items() if i in self._ground_truth.cats}

    def _evaluate_tasks(
        self, detections: list[ImageDetections], tasks: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        if "segm" in tasks:
            check_masks(self._ground_truth.dataset["annotations"], self._json_file)
        joined = DetectionColumns.of(detections, self._category_of)
        results, by_class = OrderedDict(), {}
        for task in tasks:
            start = time.perf_counter()
            logger.log(
                logging.INFO if len(joined) else logging.WARNING,
                f"Evaluating {task}: {len(joined)} detections on {len(detections)} images ...",
            )
            (*arrays, iou_thresholds), self.matches[task] = self._run_api(joined, task)
            results[task] = group_metrics.summarize(*arrays, self.groups, iou_thresholds)
            by_class[task] = group_metrics.per_class(*arrays, iou_thresholds)
            logger.info(f"Evaluated {task} in {time.perf_counter() - start:.1f} s.")
        self._report(results, by_class)
        return results

    def _report(self, results: dict, by_class: dict[str, dict[str, np.ndarray]]) -> None:
        # Ground truth is the same for boxes and masks.
        instances = next(iter(self.matches.values())).instances_per_class()
        self.per_class = self._classes.rows(self.groups, self._train_counts, instances, by_class)
        logger.info("Results in percent:\n" + report.group_table(results))
        logger.info("Ground truth:\n" + report.group_counts_table(self.groups, instances))
        if self.output_dir:
            report.write_results(self.output_dir, results, self.per_class)
            for task, matches in self.matches.items():
                matches.save(os.path.join(self.output_dir, f"matches_{task}.npz"))
            logger.info(f"Results written to '{self.output_dir}'.")

    def _resolve_tasks(self, detections: list[ImageDetections]) -> tuple[str, ...]:
        tasks = self._tasks or tasks_of(detections)
        for task in tasks:
            if any(getattr(d, COLUMNS[task]) is None and len(d.scores) for d in detections):
                raise ValueError(_ADVICE_WITHOUT[task])
        return tasks

    def _check_classes(self, detections: ImageDetections) -> None:
        unknown = set(detections.classes.tolist()) - self._category_of.keys()
        if unknown:
            raise ValueError(
                f"image {detections.image_id}: predicted classes {sorted(unknown)[:5]} have no "
                f"category in '{self._json_file}', which has {len(self._category_of)}. Check "
                "MODEL.ROI_HEADS.NUM_CLASSES and the data set's metadata."
            )

    def _warn_if_incomplete(self, detections: list[ImageDetections]) -> None:
        num_images = len(self._ground_truth.imgs)
        if len(detections) < num_images:
            logger.warning(
                f"{num_images - len(detections)} of {num_images} images were not processed: they "
                "count as images without detections."
            )
