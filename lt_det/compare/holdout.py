"""A part of the training set to choose hyper-parameters on, where there is no dev split."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.datasets.judged_file import read_annotation_file
from lt_det.data.datasets.register import FORMATS
from lt_det.data.held_out import is_drawn
from lt_det.utils.atomic_file import atomic_text

__all__ = ["hold_out"]

logger = logging.getLogger(__name__)

# Tells this draw from others of the same pictures.
_HOLDOUT = 2


def hold_out(
    dataset_names: Sequence[str], records: Sequence[dict], share: float, path: str | Path
) -> tuple[str, list[int]]:
    """Set some training pictures aside, and register them as a data set of their own.

    Which ones depends on each picture alone. Stage 1 has seen them, so features are a little better
    there than on new pictures, for all methods alike; a dev split is to be preferred.

    Args:
        dataset_names: ``DATASETS.TRAIN``, one set.
        records: its records.
        share: of the pictures, in (0, 1).
        path: where the annotation file of the held-out pictures is written.

    Returns:
        The new set's name, and the indices of the pictures that remain for training.

    Raises:
        ValueError: if there are several sets, one without an annotation file, or nothing is left
            on one side.
    """
    if not 0 < share < 1:
        raise ValueError(f"Expected --holdout to be in (0, 1), but got {share}")
    if len(dataset_names) != 1:
        raise ValueError(
            f"--holdout needs one training set, but DATASETS.TRAIN names {len(dataset_names)}: "
            "name a dev set by --dev"
        )
    metadata = MetadataCatalog.get(dataset_names[0])
    data_format = metadata.get("evaluator_type")
    if data_format not in FORMATS or not metadata.get("json_file"):
        raise ValueError(
            f"--holdout needs a training set with an annotation file of the formats "
            f"{sorted(FORMATS)}, which {dataset_names[0]!r} is not: name a dev set by --dev"
        )
    held_out = {i for i, record in enumerate(records) if is_drawn(record, share, _HOLDOUT)}
    if not 0 < len(held_out) < len(records):
        raise ValueError(
            f"--holdout {share} of {len(records)} pictures leaves nothing on one side: name a dev "
            "set by --dev"
        )
    _announce(metadata.thing_classes, records, held_out)
    _write_part(metadata.json_file, {records[i]["image_id"] for i in held_out}, Path(path))
    name = f"{dataset_names[0]}_holdout"
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    FORMATS[data_format](
        name, str(path), metadata.image_root, ignore=metadata.get("ignore", "fault")
    )
    return name, [i for i in range(len(records)) if i not in held_out]


def _announce(classes: Sequence[str], records: Sequence[dict], held_out: set[int]) -> None:
    """Say what the choice is made on, above all what it cannot see."""
    seen = {a["category_id"] for i in held_out for a in records[i]["annotations"]}
    unseen = [name for number, name in enumerate(classes) if number not in seen]
    logger.info(
        "Held out %d of %d training pictures to choose hyper-parameters on; %d of %d classes have "
        "no object there%s",
        len(held_out),
        len(records),
        len(unseen),
        len(classes),
        f", such as {unseen[:3]}: their AP has no say in the choice" if unseen else "",
    )


def _write_part(json_file: str, image_ids: set, path: Path) -> None:
    content = dict(read_annotation_file(json_file))
    content["images"] = [image for image in content["images"] if image["id"] in image_ids]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in image_ids]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_text(path) as file:
        json.dump(content, file)
