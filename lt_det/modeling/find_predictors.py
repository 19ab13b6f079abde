"""The box predictors of lt_det inside a model."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.known_negatives import known_negative_classes

__all__ = ["box_predictors", "only_predictor", "read_known_negatives"]


def box_predictors(model: nn.Module) -> Iterator[LTFastRCNNOutputLayers]:
    """All of lt_det's box predictors inside ``model``."""
    return (m for m in model.modules() if isinstance(m, LTFastRCNNOutputLayers))


def only_predictor(model: nn.Module) -> LTFastRCNNOutputLayers:
    """The box predictor of a model that has one.

    Raises:
        ValueError: if it has none of lt_det's, or several (a cascade).
    """
    predictors = list(box_predictors(model))
    if len(predictors) != 1:
        raise ValueError(
            f"A feature bank needs a model with one lt_det box predictor, but got "
            f"{len(predictors)}: set MODEL.ROI_HEADS.NAME 'LTStandardROIHeads', or train the "
            "classifiers of a cascade in the detector (tools/train_net.py)"
        )
    return predictors[0]


def read_known_negatives(model: nn.Module) -> None:
    """Let the losses of ``model`` know the lists of every training batch, if they use them.

    ``LTTrainer`` and :func:`install_box_predictor` call it; call it on a model that you build
    otherwise, before it is wrapped for several processes.

    Args:
        model: called with a list of model inputs, as Detectron2's are. lt_det's box predictors
            inside it are looked up at every call.
    """
    model.register_forward_pre_hook(_set_known_negatives)


def _set_known_negatives(model: nn.Module, args: tuple) -> None:
    for predictor in box_predictors(model):
        predictor.known_negatives = None
        if model.training and predictor.cls_loss.uses_known_negatives:
            known_negatives = known_negative_classes(args[0], predictor.num_classes)
            predictor.known_negatives = known_negatives.to(predictor.cls_score.weight.device)
