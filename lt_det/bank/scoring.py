"""Detections of many classifiers on one proposal bank, in one pass over its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from lt_det.bank.extract_test_set import ProposalBank, TestPicture
from lt_det.data.stream import Place
from lt_det.evaluation.matching.detections import ImageDetections, encode_masks
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers

__all__ = ["detect"]


@torch.no_grad()
def detect(
    model: nn.Module,
    bank: ProposalBank,
    predictors: Sequence[LTFastRCNNOutputLayers],
    *,
    with_masks: bool = True,
    dataset: Dataset | None = None,
) -> Iterator[list[ImageDetections]]:
    """What the detector would find with each of ``predictors``, picture by picture.

    A classifier costs its scores and its non-maximum suppression. Masks depend on the box alone
    (and on the class, where the heads do), so a box that several classifiers keep has one mask.

    Args:
        model: the detector the bank was extracted with.
        bank: of a test set.
        predictors: box predictors of the same frozen detector.
        with_masks: run the mask head, if the model has one.
        dataset: the test set's mapped pictures by place; needed for masks where the bank holds no
            feature maps. Its pictures then pass through the backbone once, for all classifiers.

    Yields:
        One entry a predictor.

    Raises:
        ValueError: if there are neither feature maps nor a data set to compute them from.
    """
    model.eval()
    for predictor in predictors:
        predictor.eval()
    with_masks = with_masks and getattr(model.roi_heads, "mask_on", False)
    by_class = _depends_on_class(model, predictors[0])
    for picture in tqdm(bank, desc="scoring", unit="img", leave=False):
        found = [_kept(predictor, picture, by_class) for predictor in predictors]
        masks = {}
        if with_masks:
            masks = _masks(model, picture, found, _maps(model, picture, dataset))
        yield [_detections(picture, instances, masks, with_masks) for instances in found]


def _kept(predictor: LTFastRCNNOutputLayers, picture: TestPicture, by_class: bool) -> Instances:
    """Kept boxes; ``key`` is equal where boxes and masks are, whichever predictor kept them."""
    predictions = predictor(picture.features)
    (instances,), (rows,) = predictor.inference(predictions, [picture.proposals])
    instances.key = rows
    if by_class:
        instances.key = rows * predictor.num_classes + instances.pred_classes
    return instances


def _depends_on_class(model: nn.Module, predictor: LTFastRCNNOutputLayers) -> bool:
    """Whether a proposal's box or mask is another one for another class."""
    box_by_class = len(predictor.bbox_pred.weight) > len(predictor.box2box_transform.weights)
    last_layer = getattr(getattr(model.roi_heads, "mask_head", None), "predictor", None)
    # Heads of other kinds (PointRend) have no such layer: assume that they do.
    return box_by_class or getattr(last_layer, "out_channels", 2) > 1


def _maps(model: nn.Module, picture: TestPicture, dataset: Dataset | None) -> dict:
    if picture.maps is not None:
        return picture.maps
    if dataset is None:
        raise ValueError(
            "The bank holds no feature maps to compute masks from: extract it with "
            "FEATURE_BANK.STORE_MAPS True, or pass the data set"
        )
    record = dataset[Place(picture.index, picture.index)]
    return model.backbone(model.preprocess_image([record]).tensor)


def _masks(
    model: nn.Module, picture: TestPicture, found: Sequence[Instances], maps: dict
) -> dict[int, bytes]:
    """The run-length codes of all kept boxes' masks, by key."""
    everything = Instances.cat(list(found))
    boxes = everything[_first_of_each(everything.key)]
    (boxes,) = model.roi_heads.forward_with_given_boxes(maps, [boxes])
    boxes = detector_postprocess(boxes, *picture.size)
    codes = encode_masks(picture.image_id, picture.size, boxes.pred_masks.cpu())
    return dict(zip(boxes.key.tolist(), codes, strict=True))


def _first_of_each(keys: torch.Tensor) -> torch.Tensor:
    """Where each different value comes first."""
    values, inverse = keys.unique(return_inverse=True)
    first = torch.full_like(values, len(keys))
    order = torch.arange(len(keys), device=keys.device)
    return first.scatter_reduce(0, inverse, order, "amin")


def _detections(
    picture: TestPicture, instances: Instances, masks: dict[int, bytes], with_masks: bool
) -> ImageDetections:
    instances = detector_postprocess(instances, *picture.size)
    detections = ImageDetections.from_instances(picture.image_id, picture.size, instances)
    if not with_masks:
        return detections
    return detections._replace(rles=[masks[key] for key in instances.key.tolist()])
