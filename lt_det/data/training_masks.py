"""Whether Detectron2's mapper can make training targets of a data set's masks.

Its own errors come from a loader's worker or from the model, at the first such picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from lt_det.data.cache.mapped_records import counting_records

__all__ = ["check_training_masks"]


def check_training_masks(cfg: CfgNode, dataset_dicts: Sequence[Mapping], dataset_name: str) -> None:
    """Compare a training set's masks with what the config says of them.

    Args:
        cfg: with ``MODEL.MASK_ON`` False, any masks will do.
        dataset_dicts: the set's records.
        dataset_name: for messages.

    Raises:
        ValueError: if objects have no mask, or RLE masks are to be read as polygons.
    """
    if not cfg.MODEL.MASK_ON:
        return
    masks = list(_masks(counting_records(dataset_dicts)))
    source = MetadataCatalog.get(dataset_name).get("json_file") or f"Data set {dataset_name!r}"
    if num_missing := sum(mask is None for mask in masks):
        raise ValueError(
            f"{source}: {num_missing} of {len(masks)} objects have no segmentation, but "
            "MODEL.MASK_ON is True: set MODEL.MASK_ON False to train on boxes alone, or add masks"
        )
    num_rle = sum(isinstance(mask, dict) for mask in masks)
    if num_rle and cfg.INPUT.MASK_FORMAT == "polygon":
        raise ValueError(
            f"{source}: {num_rle} of {len(masks)} masks are RLE, but INPUT.MASK_FORMAT is "
            "'polygon': RLE masks need INPUT.MASK_FORMAT bitmask"
        )


def _masks(dataset_dicts: Sequence[Mapping]) -> Iterator[list | dict | None]:
    """Of all objects but crowd regions, which the mapper leaves out."""
    for record in dataset_dicts:
        for annotation in record.get("annotations", ()):
            if not annotation.get("iscrowd", 0):
                yield annotation.get("segmentation")
