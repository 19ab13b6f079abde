"""The classes a model finds best and worst, each on a picture: ground truth beside detections."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from lt_det.data.datasets.lvis_builtin import extend_lvis_metadata
from lt_det.data.datasets.register import register_from_config
from lt_det.evaluation.group_evaluator import PREDICTIONS_FILE
from lt_det.pages.page import Gallery, Picture
from lt_det.pages.text import format_percent
from lt_det.reports.drawing import DrawnObject, PanelPainter
from lt_det.reports.runs.folder import ClassRow, RunFolder
from lt_det.reports.runs.methods import Method
from lt_det.reports.visualize import (
    check_same_data_set,
    class_groups,
    class_of_category,
    read_predictions,
)

__all__ = ["NoPicturesError", "best_and_worst", "class_galleries"]

MAX_BYTES = 6_000_000
_WIDTH, _QUALITY = 512, 80
# Of the class itself weaker detections are shown too: a rare class has no others.
_SCORE, _OWN_SCORE, _MAX_DETECTIONS = 0.3, 0.05, 12


_TITLES = (("worst", "Classes found worst"), ("best", "Classes found best"))
_CAPTION = (
    f"By AP, rare ones first among equals. Detections of score {_SCORE:.0%} or more, and of "
    f"{_OWN_SCORE:.0%} or more where they are of the class itself. Red rare, orange common, blue "
    "frequent classes."
)


class NoPicturesError(ValueError):
    """Why no pictures can be shown."""


def best_and_worst(
    ap: np.ndarray, groups: np.ndarray, num_classes: int
) -> tuple[list[int], list[int]]:
    """Choose classes with ground truth by AP; of equal ones rare before common before frequent.

    Args:
        ap: of each class (K,), NaN without ground truth.
        groups: group index of each class (K,).
        num_classes: of each list; fewer where there are fewer than two lists full.

    Returns:
        The worst, lowest first, and of the others the best, highest first.
    """
    rarity = np.where(groups < 0, 3, groups)
    present = np.flatnonzero(~np.isnan(ap))
    rising = sorted(present.tolist(), key=lambda k: (ap[k], rarity[k]))
    worst = rising[: min(num_classes, (len(rising) + 1) // 2)]
    falling = sorted(set(rising) - set(worst), key=lambda k: (-ap[k], rarity[k], k))
    return worst, falling[:num_classes]


def class_galleries(
    methods: Sequence[Method], task: str, num_classes: int, max_bytes: int = MAX_BYTES
) -> list[Gallery]:
    """Draw the worst and the best classes by AP, averaged over the methods.

    A class is shown on the picture with most of its objects, with the detections of every method's
    first run that kept them.

    Args:
        methods: on one data set, registered or named in a run's ``config.yaml``.
        task: whose AP decides.
        num_classes: how many of the worst, and of the best.
        max_bytes: of all pictures, as they are embedded; what comes later is left out.

    Raises:
        NoPicturesError: if detections, data set, annotations or pictures are missing.
        ValueError: if the detections are of another data set.
    """
    shown = [m for m in methods if (m.first.evaluation / PREDICTIONS_FILE).is_file()]
    if not shown:
        raise NoPicturesError(f"no {PREDICTIONS_FILE}, which TEST.SAVE_PREDICTIONS writes")
    aps = [method.mean(f"{task}_AP") for method in methods]
    if any(ap is None for ap in aps):
        raise NoPicturesError("per_class.csv is missing")
    chosen = best_and_worst(np.mean(aps, axis=0), methods[0].first.groups, num_classes)
    draw = _ClassPainter(shown, task, [*chosen[0], *chosen[1]])
    galleries = []
    for (name, title), classes in zip(_TITLES, chosen, strict=True):
        pictures = []
        for picture in filter(None, map(draw, classes)):
            max_bytes -= sum(len(base64.b64encode(jpeg)) for _, jpeg in picture.jpegs)
            if max_bytes >= 0:
                pictures.append(picture)
        left_out = len(classes) - len(pictures)
        more = f" {left_out} are left out: too large, or on no picture." if left_out else ""
        galleries.append(Gallery(name, title, _CAPTION + more, pictures))
    return [gallery for gallery in galleries if gallery.pictures]


class _ClassPainter:
    """Draws a class on its picture: ground truth, then the detections of each method.

    Args:
        methods: with detections.
        task: whose AP is named.
        classes: that may be drawn, by their row.
    """

    def __init__(self, methods: Sequence[Method], task: str, classes: Sequence[int]):
        records, metadata = _data_set(methods[0].first)
        self._rows = methods[0].first.rows
        self._picture_of = {k: _picture_of(records, self._rows[k]["class_id"]) for k in classes}
        self._names = [method.name for method in methods]
        self._aps = [method.mean(f"{task}_AP") for method in methods]
        pictures = [record for record in self._picture_of.values() if record is not None]
        self._detections = [_detections(m, pictures, records, metadata) for m in methods]
        groups = class_groups(metadata, class_of_category(metadata))
        self._painter = PanelPainter(metadata.thing_classes, groups)

    def __call__(self, k: int) -> Picture | None:
        """None if the class is on no picture."""
        record, class_id = self._picture_of[k], self._rows[k]["class_id"]
        if record is None:
            return None
        found = [_visible(of[record["image_id"]], class_id) for of in self._detections]
        images = self._painter.pictures(record, found)
        aps = [format_percent(float(ap[k])) for ap in self._aps]
        labels = [f"{name}: AP {ap}" for name, ap in zip(self._names, aps, strict=True)]
        jpegs = zip(["ground truth", *labels], map(_jpeg, images), strict=True)
        return Picture(_caption(self._rows[k]), list(jpegs))


def _data_set(run: RunFolder) -> tuple[Sequence[dict], Any]:
    """Records and metadata of the data set a run was evaluated on."""
    if run.dataset is None:
        raise NoPicturesError(
            "the folders do not tell their data set (OUTPUT_DIR/inference/<data set>)"
        )
    extend_lvis_metadata()
    datasets = run.config.get("DATASETS", {})
    kept = {"REGISTER": datasets.get("REGISTER", ()), "IGNORE": datasets.get("IGNORE", "fault")}
    register_from_config(SimpleNamespace(DATASETS=SimpleNamespace(**kept)))
    if run.dataset not in DatasetCatalog:
        raise NoPicturesError(f"the data set {run.dataset!r} is not registered")
    try:
        records = DatasetCatalog.get(run.dataset)
    except FileNotFoundError as error:
        raise NoPicturesError(str(error)) from error
    return records, MetadataCatalog.get(run.dataset)


def _picture_of(records: Sequence[Mapping], class_id: float) -> Mapping | None:
    """The picture with most objects of a class, of equal ones that with fewest others."""
    best, most = None, (0, 0)
    for record in records:
        classes = [a["category_id"] for a in record.get("annotations", ())]
        number = classes.count(class_id)
        if number and (number, -len(classes)) > most:
            best, most = record, (number, -len(classes))
    if best is not None and not Path(best["file_name"]).is_file():
        raise NoPicturesError(f"there is no picture {best['file_name']}")
    return best


def _detections(
    method: Method, pictures: Sequence[Mapping], records: Sequence[Mapping], metadata: Any
) -> dict[Any, list[DrawnObject]]:
    """Detections on these pictures, by image id."""
    path, class_of = method.first.evaluation / PREDICTIONS_FILE, class_of_category(metadata)
    predictions = read_predictions(path)
    check_same_data_set(predictions, records, class_of, str(path))
    return {
        record["image_id"]: [
            DrawnObject.from_result(result, class_of[result["category_id"]])
            for result in predictions.get(record["image_id"], ())
        ]
        for record in pictures
    }


def _visible(detections: Sequence[DrawnObject], class_id: float) -> list[DrawnObject]:
    shown = [d for d in detections if d.score >= (_OWN_SCORE if d.class_id == class_id else _SCORE)]
    return sorted(shown, key=lambda d: -d.score)[:_MAX_DETECTIONS]


def _jpeg(image: Image.Image) -> bytes:
    image.thumbnail((_WIDTH, 2 * _WIDTH))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _caption(row: ClassRow) -> str:
    seen = row.get("train_image_count", np.nan)
    trained = "" if np.isnan(seen) else f", {seen:.0f} training image{'s' * (seen != 1)}"
    return f"{row['name']} ({row['group'] or 'no group'}{trained})"
