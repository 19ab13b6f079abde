"""Classification losses of the box head, one paper a file.

Importing this package registers every loss. It needs torch and fvcore only.
"""

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY, BoxClsLoss
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.losses.softmax.plain import SoftmaxLoss
from lt_det.registry import registered_below

# The two that others are built on are there before the rest is imported.
__all__ = ["BOX_CLS_LOSS_REGISTRY", "BoxClsLoss", "SigmoidLoss", "SoftmaxLoss"]

_registered = registered_below(__name__, __path__, BOX_CLS_LOSS_REGISTRY)
globals().update(_registered)
__all__ += [name for name in _registered if name not in __all__]
