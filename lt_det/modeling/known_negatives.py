"""Read LVIS's lists of an image: of which classes an RoI is known to be none.

LVIS annotates each image for some of the classes. Of a class that an image neither shows nor
lists as absent, nothing is known; of one that it does not annotate exhaustively, nothing is known
outside the annotated boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from lt_det.data.datasets.lvis import FEDERATED_LISTS

__all__ = ["known_negative_classes", "per_roi"]

NEGATIVE, NOT_EXHAUSTIVE = FEDERATED_LISTS


def known_negative_classes(images: Sequence[Mapping], num_classes: int) -> torch.Tensor:
    """Find the classes of which an RoI without their label is known to be a negative, (N, K) bool.

    Those that the image lists as absent, and those that it annotates exhaustively. Where an
    augmentation has cut all objects of a class away, the class counts as unknown.

    Args:
        images: N records or model inputs of lt_det's loaders, whose lists hold classes; those of
            Detectron2's own LVIS loader hold category ids.
        num_classes: K.

    Raises:
        ValueError: naming the image that has no lists, or lists with other than classes.
    """
    known_negatives = torch.zeros(len(images), num_classes, dtype=torch.bool)
    for row, image in zip(known_negatives, images, strict=True):
        row[list(_present(image))] = True
        row[_list(image, NOT_EXHAUSTIVE, num_classes)] = False
        row[_list(image, NEGATIVE, num_classes)] = True
    return known_negatives


def per_roi(
    known_negatives: torch.Tensor | None, num_per_image: Sequence[int]
) -> torch.Tensor | None:
    """Repeat each image's row for each of its RoIs: (N, K) -> (R, K). None stays None."""
    if known_negatives is None:
        return None
    counts = torch.as_tensor(num_per_image, device=known_negatives.device)
    return known_negatives.repeat_interleave(counts, dim=0)


def _present(image: Mapping) -> Iterable[int]:
    """Classes annotated in a model input or a record; those of crowd regions do not count."""
    if "instances" in image:
        return image["instances"].gt_classes.tolist()
    objects = image.get("annotations", ())
    return (o["category_id"] for o in objects if not o.get("iscrowd", 0))


def _list(image: Mapping, key: str, num_classes: int) -> list[int]:
    name = image.get("file_name", image.get("image_id"))
    if key not in image:
        raise ValueError(
            f"Image {name} has no {key}: ONLY_KNOWN_NEGATIVES and KEEP_KNOWN_NEGATIVES of a loss "
            "need training sets in LVIS's format; set them to False"
        )
    bad = [c for c in image[key] if not 0 <= c < num_classes]
    if bad:
        raise ValueError(
            f"Image {name}: expected {key} to be classes in [0, {num_classes}), but got "
            f"{bad[:3]}: load training images with lt_det.data.loaders.build_train_loader, "
            "because Detectron2 leaves category ids there"
        )
    return list(image[key])
