"""Training samplers for imbalanced data, as index streams. Importing this registers them all."""

from lt_det.data.samplers.base import (
    SAMPLER_SUFFIX,
    TRAIN_SAMPLER_REGISTRY,
    PictureSampler,
    class_lists,
)
from lt_det.data.samplers.build import build_train_sampler, image_weights_from_config
from lt_det.data.samplers.class_aware import ClassAwareTrainingSampler
from lt_det.registry import import_below

__all__ = [
    "SAMPLER_SUFFIX",
    "TRAIN_SAMPLER_REGISTRY",
    "ClassAwareTrainingSampler",
    "PictureSampler",
    "build_train_sampler",
    "class_lists",
    "image_weights_from_config",
]

# A new file is registered before anybody exports its class above.
import_below(__name__, __path__)
