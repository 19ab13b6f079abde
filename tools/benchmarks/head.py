"""The box head's classifier and loss against stock Detectron2's, forward and backward.

Both sides are whole box predictors called through their public methods, accuracy logging
included, on the same features and RoIs. Box regression is class-agnostic (4 outputs), which makes
it a negligible part that both sides share.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from lt_det.class_stats import ClassStats
from lt_det.losses import BalancedSigmoidLoss, BalancedSoftmaxLoss, BoxClsLoss
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers

from benchmarks.parts.timing import (
    BenchmarkResult,
    Comparison,
    compare,
    comparison_table,
    machine,
    one_thread,
)

__all__ = ["run"]

NUM_ROIS = FEATURE_SIZE = 1024
# Detectron2 trains on 512 RoIs an image, a quarter of them foreground.
NUM_IMAGES = 2
FOREGROUND_FRACTION = 0.25
LVIS_CLASSES, MANY_CLASSES = 1203, 20000
# Short steps are noisier.
PAIRS = {LVIS_CLASSES: 20, MANY_CLASSES: 10}
# A step at K = 20,000 is 126 GFLOP. All its time but that of writing the weights' gradient is
# proportional to R, so fewer RoIs leave the time ratio nearly where it is.
QUICK_NUM_ROIS = {LVIS_CLASSES: 1024, MANY_CLASSES: 128}

# figure -> our loss, stock's USE_SIGMOID_CE, K
CASES: dict[str, tuple[type[BoxClsLoss], bool, int]] = {
    "ratio_balanced_softmax": (BalancedSoftmaxLoss, False, LVIS_CLASSES),
    "ratio_balanced_sigmoid": (BalancedSigmoidLoss, True, LVIS_CLASSES),
    "ratio_balanced_softmax_20k": (BalancedSoftmaxLoss, False, MANY_CLASSES),
    "ratio_balanced_sigmoid_20k": (BalancedSigmoidLoss, True, MANY_CLASSES),
}


def run(quick: bool = False) -> BenchmarkResult:
    """Compare the balanced losses with the plain ones of stock Detectron2.

    Args:
        quick: fewer RoIs at K = 20,000.
    """
    with one_thread():
        comparisons = {figure: _compare(*case, quick) for figure, case in CASES.items()}
        description = machine()
    figures = {figure: c.ratio.median for figure, c in comparisons.items()}
    figures["memory_ratio"] = max(c.memory_ratio for c in comparisons.values())
    text = (
        "Classifier and loss, forward and backward, against stock Detectron2. Time: CPU seconds "
        "on one thread. Peak: tensor memory one step holds beyond what was there before it.\n"
        f"{description}\n\n{comparison_table(list(comparisons.values()))}"
    )
    return BenchmarkResult("head", quick, figures, text)


def _compare(
    loss_class: type[BoxClsLoss], use_sigmoid_ce: bool, num_classes: int, quick: bool
) -> Comparison:
    num_rois = QUICK_NUM_ROIS[num_classes] if quick else NUM_ROIS
    torch.manual_seed(0)
    features = torch.randn(num_rois, FEATURE_SIZE).relu_().requires_grad_()
    proposals = make_proposals(num_rois, num_classes)
    with EventStorage():
        return compare(
            f"{loss_class.__name__}, K = {num_classes:,}, R = {num_rois:,}",
            training_step(ours(loss_class, num_classes), features, proposals),
            training_step(stock(use_sigmoid_ce, num_classes), features, proposals),
            pairs=PAIRS[num_classes],
        )


def ours(loss_class: type[BoxClsLoss], num_classes: int) -> LTFastRCNNOutputLayers:
    """Our box predictor with a loss in its default form."""
    return LTFastRCNNOutputLayers(
        num_classes=num_classes,
        cls_loss=loss_class(num_classes, long_tailed_stats(num_classes)),
        **_shared_arguments(),
    )


def stock(use_sigmoid_ce: bool, num_classes: int) -> FastRCNNOutputLayers:
    """Detectron2's box predictor with its softmax or sigmoid cross-entropy."""
    return FastRCNNOutputLayers(
        num_classes=num_classes, use_sigmoid_ce=use_sigmoid_ce, **_shared_arguments()
    )


def training_step(
    predictor: FastRCNNOutputLayers, features: torch.Tensor, proposals: list[Instances]
) -> Callable[[], None]:
    """A function that runs forward and backward once, gradients of the features included."""

    def total_loss() -> torch.Tensor:
        # A function of its own, as in ROI heads: logits that autograd does not need are freed
        # before the backward pass.
        return sum(predictor.losses(predictor(features), proposals).values())

    def step() -> None:
        predictor.zero_grad()
        features.grad = None
        total_loss().backward()

    return step


def long_tailed_stats(num_classes: int) -> ClassStats:
    """Counts that fall as 1 / rank, from 2,000 images to one, as LVIS's roughly do."""
    image_count = np.maximum(2000.0 / np.arange(1, num_classes + 1), 1.0).round()
    return ClassStats(num_classes, 100_000, image_count, 3 * image_count)


def make_proposals(num_rois: int, num_classes: int) -> list[Instances]:
    """Sampled RoIs of a training step, split over the images."""
    per_image = num_rois // NUM_IMAGES
    proposals = []
    for _ in range(NUM_IMAGES):
        gt_classes = torch.randint(num_classes, (per_image,))
        gt_classes[int(FOREGROUND_FRACTION * per_image) :] = num_classes
        boxes = torch.rand(per_image, 4) * 300 + torch.tensor([0, 0, 310, 310])
        instances = Instances((800, 800), gt_classes=gt_classes)
        instances.proposal_boxes, instances.gt_boxes = Boxes(boxes), Boxes(boxes + 3)
        proposals.append(instances)
    return proposals


def _shared_arguments() -> dict:
    return {
        "input_shape": ShapeSpec(channels=FEATURE_SIZE),
        "box2box_transform": Box2BoxTransform(weights=(10, 10, 5, 5)),
        "cls_agnostic_bbox_reg": True,
    }
