"""The box predictors of lt_det inside a model."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers

__all__ = ["box_predictors", "only_predictor"]


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
