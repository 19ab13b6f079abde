"""What lt_det's evaluators share: columns of detections in, metrics by class-frequency group out.

The numbers come from an official API, which a subclass names.
"""

import abc
import logging
import os
from collections.abc import Sequence
from typing import Any

import detectron2.utils.comm as comm
import numpy as np
from detectron2.data import Metadata, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from lt_det.class_stats import GROUP_NAMES
from lt_det.data.datasets.judged_file import judged_file
from lt_det.data.judgement.judge import Judgement
from lt_det.evaluation import results as report
from lt_det.evaluation.categories import Classes
from lt_det.evaluation.detection_store import DetectionStore
from lt_det.evaluation.files.file_groups import read_groups
from lt_det.evaluation.files.results_file import read_results_file
from lt_det.evaluation.judged_truth import announce_judgement, size_of
from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.detections import (
    COLUMNS,
    ImageDetections,
    gather_detections,
    resolve_tasks,
    write_predictions,
)
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.matching.truth import Truth
from lt_det.evaluation.metric_options import MetricOptions
from lt_det.evaluation.metrics.class_groups import ClassGroups
from lt_det.evaluation.metrics.group_metrics import Evaluation
from lt_det.evaluation.official.ground_truth import check_masks
from lt_det.evaluation.task_metrics import TaskMetrics
from lt_det.utils.atomic_file import write_json

TASKS = tuple(COLUMNS)
DIAGNOSTICS_FILE = "diagnostics.json"
PREDICTIONS_FILE = "lvis_instances_results.json"

logger = logging.getLogger(__name__)


class GroupEvaluator(DatasetEvaluator, abc.ABC):
    """Evaluate boxes and masks by class-frequency group.

    `evaluate` returns AP, AP50, AP75, APs/m/l, APr/c/f, AR, ARs/m/l, ARr/c/f in percent for
    ``"bbox"`` and ``"segm"``, computed by an official API. Unlike in Detectron2's evaluators, a
    metric that nothing enters is NaN (not -100), and a model that finds nothing has AP 0 (not NaN).
    What it returns beside these, and at which cost, is the business of `MetricOptions`.

    With `output_dir` these files are written there: ``results.json``, ``per_class.csv``,
    ``matches_<task>.npz`` (see `lt_det.evaluation.metrics.bootstrap`), ``diagnostics.json`` and, if
    asked, ``lvis_instances_results.json``, the detections in the result format of LVIS and COCO.

    Attributes:
        output_dir: see the constructor.
        per_class: after `evaluate`, on the main process: one dict per class.
        matches: after `evaluate`, on the main process: task -> `Matches`.
        diagnostics: after `evaluate`, on the main process: task -> what ``diagnostics.json`` holds.
        class_groups: groups of the classes, in the order of category ids [K].
    """

    DATA_FORMAT: str
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
        groups_file: str | os.PathLike | None = None,
        class_stats: Any = None,
        options: MetricOptions | None = None,
        judgement: Judgement | None = None,
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
            groups_file: see `read_groups`; its groups replace `groups`, or are evaluated beside
                them if they have names of their own.
            class_stats: training `ClassStats`, whose counts are added to ``per_class.csv``.
            options: further metrics; default `MetricOptions`.
            judgement: of the annotation file, without faults, if it is read already.

        Raises:
            FileNotFoundError: if the annotation file does not exist.
            ValueError: if the file has faults (all are listed), or if the metadata, `tasks`,
                `groups`, `groups_file` or `class_stats` is wrong.
        """
        unknown = set(tasks or ()) - set(TASKS)
        if unknown:
            raise ValueError(f"tasks {sorted(unknown)} unknown, expected any of {TASKS}.")
        self._tasks = tuple(t for t in TASKS if t in tasks) if tasks else None
        self.output_dir = output_dir
        self._distributed = distributed
        self._save_predictions = save_predictions
        self._load(dataset_name, judgement)
        self.class_groups = self._read_groups(groups, groups_file)
        self._metrics = TaskMetrics(
            self._run_api,
            self._read_truth,
            self._classes.names,
            self.class_groups,
            options or MetricOptions(),
            max_dets_per_image or self.DEFAULT_MAX_DETS,
        )
        self._train_counts = self._classes.train_counts(class_stats)
        self.reset()

    @property
    def groups(self) -> np.ndarray:
        """Group index of each class in the order of category ids [K]."""
        return self.class_groups.frequency

    @classmethod
    def from_file(
        cls, json_file: str | os.PathLike, *, ignore: str = "fault", **options: Any
    ) -> "GroupEvaluator":
        """Evaluate on an annotation file that is not registered.

        Args:
            json_file: annotation file. A class is the position of its category id in their order.
            ignore: what objects with ``ignore`` 1 are in the COCO format, "fault" or "crowd".
            options: of the constructor.
        """
        return cls(Metadata(json_file=os.fspath(json_file), ignore=ignore), **options)

    @abc.abstractmethod
    def _read_ground_truth(self, judgement: Judgement) -> Any:
        """The API's data set with `imgs`, `cats`, `get_cat_ids()` and `has_annotations`."""

    @abc.abstractmethod
    def _read_truth(self) -> Truth:
        """The same data set in columns."""

    @abc.abstractmethod
    def _run_api(
        self, detections: DetectionColumns, task: str, max_dets: int
    ) -> tuple[Evaluation, Matches]:
        """Evaluate detections by one task; a negative `max_dets` is no limit."""

    @abc.abstractmethod
    def _groups_of_file(self) -> np.ndarray:
        """Group index of each class by the annotation file, in the API's class order [K]."""

    def reset(self) -> None:
        """Forget all detections and results."""
        self._detections = DetectionStore(self._metrics.options)
        self.per_class: list[dict[str, Any]] = []
        self.matches: dict[str, Matches] = {}
        self.diagnostics: dict[str, dict[str, Any]] = {}

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
            instances = output["instances"]
            # A file may leave the size to the image.
            size = size_of(image) or tuple(instances.image_size)
            self.add(ImageDetections.from_instances(image_id, size, instances))

    def add(self, detections: ImageDetections) -> None:
        """Store the detections of an image, which is one of the data set's.

        Raises:
            ValueError: if a class does not fit the data set.
        """
        self._classes.check_known(detections.image_id, detections.classes)
        self._detections.add(detections)

    def read_results(self, path: str | os.PathLike) -> list[ImageDetections]:
        """Read a results file of any framework for `add`, each image of the data set once.

        Raises:
            FileNotFoundError: if the file does not exist.
            ValueError: see `read_results_file`.
        """
        sizes = {i: size_of(image) for i, image in self._ground_truth.imgs.items()}
        return read_results_file(path, sizes, {i: c for c, i in self._category_of.items()})

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Evaluate everything processed since `reset`.

        Returns:
            Task -> metric -> percent on the main process; an empty dict on the others, when no
            image was processed, and when the annotation file has no annotations.

        Raises:
            ValueError: if masks are to be evaluated, and some are missing or cannot be read.
        """
        detections = gather_detections(self._detections.entries, self._distributed)
        if self._distributed and not comm.is_main_process():
            return {}
        if not detections:
            logger.warning("No image was processed: there is nothing to evaluate.")
            return {}
        tasks = resolve_tasks(detections, self._tasks)
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

    def _load(self, dataset_name: str | Metadata, judgement: Judgement | None) -> None:
        is_registered = isinstance(dataset_name, str)
        metadata = MetadataCatalog.get(dataset_name) if is_registered else dataset_name
        self._json_file = metadata.get("json_file")
        if not self._json_file:
            raise ValueError(
                f"data set '{dataset_name}' has no metadata 'json_file'. Register it with its "
                "annotation file."
            )
        ignore = metadata.get("ignore", "fault")
        judgement = judgement or judged_file(self._json_file, self.DATA_FORMAT, ignore)
        announce_judgement(judgement, self._json_file, dataset_name if is_registered else None)
        self._ground_truth = self._read_ground_truth(judgement)
        categories = self._ground_truth.cats
        self._classes = Classes.of(self._json_file, categories, metadata, is_registered)
        self._category_ids = self._classes.category_ids
        self._category_of = self._classes.category_of

    def _read_groups(
        self, groups: np.ndarray | None, path: str | os.PathLike | None
    ) -> ClassGroups:
        named = read_groups(path, self._category_ids) if path else {}
        if set(named) == set(GROUP_NAMES):
            return ClassGroups(np.argmax([named[name] for name in GROUP_NAMES], axis=0))
        known = self._groups_of_file() if groups is None else self._classes.groups(groups)
        return ClassGroups(known, named)

    def _evaluate_tasks(
        self, detections: list[ImageDetections], tasks: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        if "segm" in tasks:
            check_masks(self._ground_truth.dataset["annotations"], self._json_file)
        joined = DetectionColumns.of(detections, self._category_of)
        found = {task: self._metrics(joined, task) for task in tasks}
        self.matches = {task: of_task.matches for task, of_task in found.items()}
        self.diagnostics = {task: of_task.diagnostics for task, of_task in found.items()}
        results = {task: of_task.metrics for task, of_task in found.items()}
        self._report(results, {task: of_task.by_class for task, of_task in found.items()})
        return results

    def _report(self, results: dict, by_class: dict[str, dict[str, np.ndarray]]) -> None:
        # Ground truth is the same for boxes and masks.
        instances = next(iter(self.matches.values())).instances_per_class()
        self.per_class = self._classes.rows(self.groups, self._train_counts, instances, by_class)
        logger.info("Results in percent:\n" + report.group_table(results))
        logger.info("Further metrics in percent:\n" + report.further_table(results))
        logger.info("Ground truth:\n" + report.group_counts_table(self.groups, instances))
        if self.output_dir:
            report.write_results(self.output_dir, results, self.per_class)
            for task, matches in self.matches.items():
                matches.save(os.path.join(self.output_dir, f"matches_{task}.npz"))
            write_json(os.path.join(self.output_dir, DIAGNOSTICS_FILE), self.diagnostics)
            logger.info(f"Results written to '{self.output_dir}'.")

    def _warn_if_incomplete(self, detections: list[ImageDetections]) -> None:
        num_images = len(self._ground_truth.imgs)
        if len(detections) < num_images:
            logger.warning(
                f"{num_images - len(detections)} of {num_images} images were not processed: they "
                "count as images without detections."
            )
