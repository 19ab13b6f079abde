"""What the class of a stock box predictor overrides: kept in ours, or refused by name.

A project's own predictor class changes more than the loss: CenterNet2's ``inference`` multiplies by
the proposals' scores. Ours takes over ``losses`` and ``predict_probs``; all else stays as it was.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable

from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from torch import nn

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers

__all__ = ["check_predictor", "keep_overrides", "overrides"]

logger = logging.getLogger(__name__)

# What the loss decides.
REPLACED = ("losses", "predict_probs")
# What is called by ROI heads; with more arguments than Detectron2's they have another protocol.
CALLED = ("forward", *REPLACED)
_STATE = ("_parameters", "_buffers", "_modules")


def overrides(stock: FastRCNNOutputLayers) -> set[str]:
    """List the methods of Detectron2's predictor that the class of ``stock`` has its own of."""
    return {
        name
        for name in dir(FastRCNNOutputLayers)
        if not name.startswith("_")
        and getattr(type(stock), name) is not getattr(FastRCNNOutputLayers, name)
        and inspect.isfunction(getattr(FastRCNNOutputLayers, name))
    }


def check_predictor(stock: FastRCNNOutputLayers) -> None:
    """Refuse a predictor of another protocol than Detectron2's.

    Raises:
        ValueError: naming the class and what lt_det's predictor could not serve.
    """
    for name in CALLED:
        more = _more_arguments(getattr(type(stock), name), getattr(FastRCNNOutputLayers, name))
        if more:
            raise _refusal(stock, f"its `{name}` takes {more}, of which a loss here knows nothing")
    more = _more_arguments(type(stock.cls_score).forward, nn.Linear.forward)
    if more:
        kind = type(stock.cls_score).__name__
        raise _refusal(stock, f"its classifier {kind} is called with {more} beside the features")
    for name in ("cls_score", "bbox_pred"):
        layer = getattr(stock, name)
        weight = getattr(layer, "weight", None)
        if getattr(weight, "ndim", 0) != 2:
            kind = type(layer).__name__
            raise _refusal(stock, f"its `{name}` is a {kind}, not a layer with a `weight` of rows")


def keep_overrides(predictor: LTFastRCNNOutputLayers, stock: FastRCNNOutputLayers) -> None:
    """Make ``predictor`` behave as ``stock`` but for loss and probabilities.

    It becomes of a class of both: the methods, attributes and modules of the stock class that ours
    has none of stay.

    Raises:
        ValueError: if the predictor has a feature augmentation, which reads the predictor's input,
            and the stock class has a ``forward`` of its own.
    """
    if type(stock) in (FastRCNNOutputLayers, LTFastRCNNOutputLayers):
        return
    own = overrides(stock)
    if "forward" in own and predictor.feature_augmentation is not None:
        raise _refusal(
            stock,
            "its own `forward` may change the features before the classifier, which "
            f"{type(predictor.feature_augmentation).__name__} could not see",
        )
    for name, value in vars(stock).items():
        if name in _STATE:
            for key, part in value.items():
                if key not in vars(predictor)[name]:
                    vars(predictor)[name][key] = part
        elif name not in vars(predictor):
            vars(predictor)[name] = value
    is_ours = isinstance(stock, LTFastRCNNOutputLayers)
    predictor.__class__ = type(stock) if is_ours else _class_of_both(type(stock))
    # A loss of its own may have had terms of its own.
    level = logging.WARNING if own & set(REPLACED) else logging.INFO
    logger.log(
        level,
        "%s keeps %s; its %s give way to %s",
        type(stock).__name__,
        sorted(own - set(REPLACED)) or "nothing of its own",
        " and ".join(REPLACED),
        type(predictor.cls_loss).__name__,
    )


@functools.cache
def _class_of_both(stock: type) -> type:
    """Put ours before the stock class: what ours does not define is the stock class's."""
    return type(f"LT{stock.__name__}", (LTFastRCNNOutputLayers, stock), {})


def _more_arguments(function: Callable, usual: Callable) -> str:
    """List the parameters beyond the usual ones; ``""`` for none."""
    parameters = list(inspect.signature(function).parameters.values())
    more = parameters[len(inspect.signature(usual).parameters) :]
    return ", ".join(f"`{parameter.name}`" for parameter in more)


def _refusal(stock: FastRCNNOutputLayers, reason: str) -> ValueError:
    return ValueError(
        f"Cannot replace the box predictor {type(stock).__name__}: {reason}. Use one of lt_det's "
        "ROI heads, or a predictor with Detectron2's forward(x) and losses(predictions, proposals)"
    )
