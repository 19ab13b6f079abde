"""Detections of an image in compact columns, and their form in the LVIS API."""

import itertools
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask as mask_utils
import torch
from detectron2.structures import Instances
from detectron2.utils import comm

from lt_det.utils.atomic_file import atomic_text

logger = logging.getLogger(__name__)

PIECE_BYTES = 1 << 26
"""What a rank sends to the main process at once."""

COLUMNS = {"bbox": "boxes", "segm": "rles"}
"""What of `ImageDetections` each task evaluates."""

_ADVICE_WITHOUT = {
    "bbox": "task 'bbox' needs boxes with all detections, and some have none. Use tasks=('segm',).",
    "segm": "task 'segm' needs pred_masks with all detections, and some have none. Use a model "
    "with masks (MODEL.MASK_ON) or tasks=('bbox',).",
}


class ImageDetections(NamedTuple):
    """Detections of one image.

    Attributes:
        image_id: id in the annotation file.
        image_size: height, width in pixels.
        classes: contiguous class indices [N].
        scores: scores [N], float64, which holds every float exactly.
        boxes: boxes [N, 4] as x, y, width, height in pixels, float32 of a model and float64 of a
            file; None where a file has masks alone.
        rles: compressed run-length codes of the masks [N]; None where the model has no masks.
    """

    image_id: int
    image_size: tuple[int, int]
    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray | None
    rles: list[bytes] | None

    @classmethod
    def from_instances(
        cls, image_id: int, image_size: tuple[int, int], instances: Instances
    ) -> "ImageDetections":
        """Copy what evaluation needs and encode the masks.

        Args:
            image_id: id in the annotation file.
            image_size: height, width of the image, which masks must have.
            instances: `pred_boxes`, `scores`, `pred_classes`, optionally `pred_masks` [N, H, W].

        Raises:
            ValueError: if values are not finite or masks have another size.
        """
        instances = instances.to("cpu")
        scores = instances.scores.double().numpy()
        # The subtraction is in float32, as Detectron2's BoxMode.convert does it.
        boxes = instances.pred_boxes.tensor.clone()
        boxes[:, 2:] -= boxes[:, :2]
        if not (np.isfinite(scores).all() and torch.isfinite(boxes).all()):
            raise ValueError(
                f"image {image_id}: scores or boxes are not finite. The model has probably "
                "diverged; check its training loss."
            )
        rles = None
        if instances.has("pred_masks"):
            rles = encode_masks(image_id, image_size, instances.pred_masks)
        classes = instances.pred_classes.numpy().astype(np.int32)
        return cls(image_id, image_size, classes, scores, boxes.numpy(), rles)

    def take(self, positions: np.ndarray) -> "ImageDetections":
        """The detections at `positions` [M]."""
        return self._replace(
            classes=self.classes[positions],
            scores=self.scores[positions],
            boxes=None if self.boxes is None else self.boxes[positions],
            rles=None if self.rles is None else [self.rles[i] for i in positions.tolist()],
        )

    def to_lvis(self, category_of: Mapping[int, int], tasks: Iterable[str]) -> list[dict[str, Any]]:
        """Build the API's result dicts, new ones each time because the API writes into them.

        Args:
            category_of: contiguous class -> category id.
            tasks: ``"bbox"`` adds boxes, ``"segm"`` masks. For the API's mask AP ask for
                ``"segm"`` alone: beside a box, the API takes the box's area as the mask's.
        """
        records = [
            {"image_id": self.image_id, "category_id": category_of[c], "score": s}
            for c, s in zip(self.classes.tolist(), self.scores.tolist(), strict=True)
        ]
        if "bbox" in tasks and self.boxes is not None:
            for record, box in zip(records, self.boxes.tolist(), strict=True):
                record["bbox"] = box
        if "segm" in tasks and self.rles is not None:
            for record, counts in zip(records, self.rles, strict=True):
                record["segmentation"] = {"size": list(self.image_size), "counts": counts}
        return records


def tasks_of(detections: Sequence[ImageDetections]) -> tuple[str, ...]:
    """Which of ``"bbox"`` and ``"segm"`` any of the detections carry."""
    return tuple(
        task
        for task, column in COLUMNS.items()
        if any(getattr(d, column) is not None for d in detections)
    )


def resolve_tasks(
    detections: Sequence[ImageDetections], tasks: Sequence[str] | None
) -> tuple[str, ...]:
    """The tasks to evaluate: those asked for, or what the detections carry.

    Raises:
        ValueError: if detections lack what a task needs.
    """
    tasks = tuple(tasks or tasks_of(detections))
    for task in tasks:
        if any(getattr(d, COLUMNS[task]) is None and len(d.scores) for d in detections):
            raise ValueError(_ADVICE_WITHOUT[task])
    return tasks


def write_predictions(
    path: str | os.PathLike,
    detections: Iterable[ImageDetections],
    category_of: Mapping[int, int],
    tasks: Iterable[str],
) -> None:
    """Write detections as an LVIS result file, one per line, never as one string in memory."""
    with atomic_text(path) as f:
        f.write("[")
        separator = "\n"
        for record in (r for d in detections for r in d.to_lvis(category_of, tasks)):
            if "segmentation" in record:
                counts = record["segmentation"]["counts"].decode("ascii")
                record["segmentation"]["counts"] = counts
            f.write(separator + json.dumps(record))
            separator = ",\n"
        f.write("\n]\n")


def encode_masks(image_id: int, image_size: tuple[int, int], masks: Any) -> list[bytes]:
    """Run-length encode masks [N, H, W], a tensor or `BitMasks`."""
    masks = torch.as_tensor(getattr(masks, "tensor", masks))
    if len(masks) == 0:
        return []
    if tuple(masks.shape[1:]) != tuple(image_size):
        raise ValueError(
            f"image {image_id}: pred_masks have size {tuple(masks.shape[1:])}, the annotation file "
            f"says {tuple(image_size)}. Resize the detections to the original picture "
            "(detectron2.modeling.postprocessing.detector_postprocess)."
        )
    # The encoder wants contiguous columns: one transposing copy, then views.
    columns = masks.bool().transpose(1, 2).contiguous().numpy().view(np.uint8)
    return [rle["counts"] for rle in mask_utils.encode(columns.transpose(2, 1, 0))]


def gather_detections(detections: list[ImageDetections], distributed: bool) -> list:
    """All processes' detections, each image once; on other ranks than 0 an empty list.

    They travel in pieces: a rank holds what it is to keep, and a piece of every other.

    Args:
        detections: this process's.
        distributed: whether there are others to ask.
    """
    if distributed and comm.get_world_size() > 1:
        detections = _from_all_ranks(detections)
    first: dict[int, ImageDetections] = {}
    for entry in detections:
        first.setdefault(entry.image_id, entry)
    if len(first) < len(detections):
        logger.warning(
            f"{len(detections) - len(first)} images were processed again (a sampler that pads?): "
            "the first detections of each image count."
        )
    return list(first.values())


def _from_all_ranks(detections: Sequence[ImageDetections]) -> list[ImageDetections]:
    """By rank; empty on other ranks than 0."""
    pieces = _pieces(detections)
    of_rank = [[] for _ in range(comm.get_world_size())]
    for number in range(max(comm.all_gather(len(pieces)))):
        piece = pieces[number] if number < len(pieces) else []
        for known, more in zip(of_rank, comm.gather(piece, dst=0), strict=False):
            known += more
    return list(itertools.chain(*of_rank))


def _pieces(detections: Sequence[ImageDetections]) -> list[list[ImageDetections]]:
    """Lists of up to `PIECE_BYTES`, or of one image."""
    pieces, size = [], PIECE_BYTES
    for entry in detections:
        columns = [c for c in (entry.classes, entry.scores, entry.boxes) if c is not None]
        num_bytes = sum(c.nbytes for c in columns) + sum(map(len, entry.rles or ()))
        if size + num_bytes > PIECE_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(entry)
        size += num_bytes
    return pieces
