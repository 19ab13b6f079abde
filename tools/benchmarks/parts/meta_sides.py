"""The three sides of the benchmark ``meta``: a detector in stage 2, and the steps it may take.

Weights and pictures are random, so nothing needs to be downloaded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances, PolygonMasks
from torch import nn

from lt_det.config import add_lt_det_config
from lt_det.engine.autocast_trainer import AutocastTrainer
from lt_det.engine.bilevel.trainer import MetaTrainer, build_meta_step
from lt_det.engine.freeze import FrozenModulesInEval, FrozenProposals, freeze_parameters
from lt_det.losses import BalancedSoftmaxLoss
from lt_det.modeling.install import install_box_predictor

from benchmarks.head import LVIS_CLASSES, long_tailed_stats
from benchmarks.parts.three_forwards import RateOutputLayers, ThreeForwards

__all__ = [
    "Size",
    "classifier_optimizer",
    "hooked",
    "lean_detector",
    "meta_step",
    "plain_step",
    "stage_two_config",
    "three_forwards_step",
]

CONFIG = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
NUM_CLASSES = LVIS_CLASSES
BATCH_SIZE = 2
# The streams go round these.
NUM_BATCHES = 4
# Pixels, whatever the picture's size: anchors have theirs too.
OBJECT_SIDES = 16, 64
_MODEL_SEED, _TRAIN, _META = 0, 1, 2

Step = Callable[[], None]


@dataclass(frozen=True)
class Size:
    """How large the work is.

    Attributes:
        short_side: of the pictures, which are 4:3.
        num_rois: sampled RoIs a picture.
        num_proposals: of the RPN, a picture.
        num_objects: annotated ones of a picture; LVIS has 12.7.
        iou_threshold: of foreground. Fresh weights propose at random: a lower one gives them the
            foreground of a trained detector.
    """

    short_side: int
    num_rois: int
    num_proposals: int
    num_objects: int
    iou_threshold: float = 0.5


def plain_step(size: Size) -> Step:
    """Stage 2 without rates, as LTTrainer takes it: frozen branches are skipped."""
    model = lean_detector(size)
    trainer = AutocastTrainer(model, _batches(size, _TRAIN), classifier_optimizer(model))
    return hooked(model, trainer)


def meta_step(size: Size, one_pass: bool) -> Step:
    """Stage 2 with the Meta Reweighter, as LTTrainer takes it."""
    model = lean_detector(size)
    optimizer = classifier_optimizer(model)
    trainer = MetaTrainer(
        model,
        _batches(size, _TRAIN),
        _batches(size, _META),
        build_meta_step(stage_two_config(size), model, optimizer, None),
        optimizer,
        one_pass=one_pass,
    )
    return hooked(model, trainer)


def three_forwards_step(size: Size) -> Step:
    """Stage 2 with the Meta Reweighter, as the released code takes it."""
    model = _detector(size, "StandardROIHeads")
    heads = model.roi_heads
    heads.box_predictor = RateOutputLayers(heads.box_predictor, _loss())
    _stage_two(model)
    batches, meta_batches = _batches(size, _TRAIN), _batches(size, _META)
    return ThreeForwards(model, batches, meta_batches, classifier_optimizer(model)).run_step


def stage_two_config(size: Size, heads: str = "LTStandardROIHeads") -> CfgNode:
    """Of the detector, its classifier alone being trained, with the Meta Reweighter."""
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.merge_from_file(model_zoo.get_config_file(CONFIG))
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ()
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "", "cpu"
    cfg.MODEL.ROI_HEADS.NAME, cfg.MODEL.ROI_HEADS.NUM_CLASSES = heads, NUM_CLASSES
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = size.num_rois
    cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS = [size.iou_threshold]
    cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = size.num_proposals
    cfg.MODEL.RPN.PRE_NMS_TOPK_TRAIN = 2 * size.num_proposals
    cfg.SOLVER.META.NAME = "MetaReweighter"
    cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    return cfg


def _detector(size: Size, heads: str) -> nn.Module:
    torch.manual_seed(_MODEL_SEED)
    model = build_model(stage_two_config(size, heads))
    # Fresh residual blocks without batch statistics double the variance each. Features would
    # explode and leave the RPN four proposals in place of a thousand.
    bottom_up = model.backbone.bottom_up
    bottom_up.stem.conv1.norm.weight.fill_(1 / 64)
    for block in itertools.chain(*bottom_up.stages):
        block.conv3.norm.weight.fill_(0.2)
    return model


def lean_detector(size: Size) -> nn.Module:
    """With lt_det's box predictor, all but its classifier frozen."""
    model = _detector(size, "LTStandardROIHeads")
    return _stage_two(install_box_predictor(model, cls_loss=_loss()))


def _stage_two(model: nn.Module) -> nn.Module:
    freeze_parameters(model, ("*cls_score*",))
    return model.train()


def _loss() -> BalancedSoftmaxLoss:
    return BalancedSoftmaxLoss(NUM_CLASSES, long_tailed_stats(NUM_CLASSES))


def classifier_optimizer(model: nn.Module) -> torch.optim.SGD:
    """Of what trains in a model."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.SGD(trained, lr=0.02, momentum=0.9, weight_decay=1e-4)


def hooked(model: nn.Module, trainer: AutocastTrainer) -> Step:
    """A trainer's step with the hooks that LTTrainer has in stage 2."""
    hooks = [FrozenModulesInEval(model), FrozenProposals(model)]

    def step() -> None:
        for hook in hooks:
            hook.before_step()
        trainer.run_step()
        for hook in hooks:
            hook.after_step()
        trainer.iter += 1

    trainer.iter = 0
    return step


def _batches(size: Size, stream: int) -> Iterator[list[dict]]:
    """The same pictures for every side, endlessly."""
    generator = torch.Generator().manual_seed(stream)
    batches = [
        [_picture(size, (stream, number, i), generator) for i in range(BATCH_SIZE)]
        for number in range(NUM_BATCHES)
    ]
    return itertools.cycle(batches)


def _picture(size: Size, image_id: tuple[int, ...], generator: torch.Generator) -> dict:
    """A model input."""
    height, width = size.short_side, size.short_side * 4 // 3
    number, sides = size.num_objects, torch.tensor([width, height])
    least, most = OBJECT_SIDES
    extent = least + (most - least) * torch.rand(number, 2, generator=generator)
    corner = (sides - extent) * torch.rand(number, 2, generator=generator)
    boxes = torch.cat([corner, corner + extent], dim=1)
    instances = Instances((height, width), gt_boxes=Boxes(boxes))
    instances.gt_classes = torch.randint(NUM_CLASSES, (number,), generator=generator)
    polygons = [[[x0, y0, x1, y0, x1, y1, x0, y1]] for x0, y0, x1, y1 in boxes.tolist()]
    instances.gt_masks = PolygonMasks(polygons)
    image = torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)
    return {
        "image": image,
        "height": height,
        "width": width,
        "image_id": image_id,
        "instances": instances,
    }
