"""LVIS's lists of a picture, as losses read them: of which classes an RoI is known to be none.

LVIS annotates each picture for some of the classes. Of a class that a picture neither shows nor
lists as absent, nothing is known; of one that it does not annotate exhaustively, nothing is known
outside the annotated boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from lt_det.data.datasets.lvis import FEDERATED_LISTS

__all__ = ["of_rois", "verified_classes"]

NEGATIVE, NOT_EXHAUSTIVE = FEDERATED_LISTS


def verified_classes(pictures: Sequence[Mapping], num_classes: int) -> torch.Tensor:
    """Classes of which an RoI without their label is known to be a negative, (N, K) bool.

    Those that the picture lists as absent, and those that it annotates exhaustively. Where an
    augmentation has cut all objects of a class away, the class counts as unknown.

    Args:
        pictures: N records or model inputs of lt_det's loaders, whose lists hold classes; those of
            Detectron2's own LVIS loader hold category ids.
        num_classes: K.

    Raises:
        ValueError: naming the picture that has no lists, or lists with other than classes.
    """
    verified = torch.zeros(len(pictures), num_classes, dtype=torch.bool)
    for row, picture in zip(verified, pictures, strict=True):
        row[list(_present(picture))] = True
        row[_list(picture, NOT_EXHAUSTIVE, num_classes)] = False
        row[_list(picture, NEGATIVE, num_classes)] = True
    return verified


def of_rois(verified: torch.Tensor | None, num_per_image: Sequence[int]) -> torch.Tensor | None:
    """What holds for pictures (N, K), for each of their RoIs (R, K); None stays None."""
    if verified is None:
        return None
    counts = torch.as_tensor(num_per_image, device=verified.device)
    return verified.repeat_interleave(counts, dim=0)


def _present(picture: Mapping) -> Iterable[int]:
    """Classes annotated in a model input or a record; those of crowd regions do not count."""
    if "instances" in picture:
        return picture["instances"].gt_classes.tolist()
    objects = picture.get("annotations", ())
    return (o["category_id"] for o in objects if not o.get("iscrowd", 0))


def _list(picture: Mapping, key: str, num_classes: int) -> list[int]:
    name = picture.get("file_name", picture.get("image_id"))
    if key not in picture:
        raise ValueError(
            f"Picture {name} has no {key}: VERIFIED_ONLY and KEEP_VERIFIED of a loss need "
            "training sets in LVIS's format; set them to False"
        )
    bad = [c for c in picture[key] if not 0 <= c < num_classes]
    if bad:
        raise ValueError(
            f"Picture {name}: expected {key} to be classes in [0, {num_classes}), but got "
            f"{bad[:3]}: load training pictures with lt_det.data.loaders.build_train_loader, "
            "because Detectron2 leaves category ids there"
        )
    return list(picture[key])
