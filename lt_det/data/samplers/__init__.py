"""Training samplers for imbalanced data, as index streams. Importing this registers them all."""

from lt_det.data.samplers.base import (
    SAMPLER_SUFFIX,
    TRAIN_SAMPLER_REGISTRY,
    PictureSampler,
    class_lists,
)
from lt_det.data.samplers.build import build_train_sampler, image_weights_from_config
from lt_det.registry import registered_below

__all__ = [
    "SAMPLER_SUFFIX",
    "TRAIN_SAMPLER_REGISTRY",
    "PictureSampler",
    "build_train_sampler",
    "class_lists",
    "image_weights_from_config",
]

_registered = registered_below(__name__, __path__, TRAIN_SAMPLER_REGISTRY)
globals().update(_registered)
__all__ += list(_registered)
