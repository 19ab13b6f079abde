"""Box heads. Importing this package registers the ROI heads, their parts and calibrations."""

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.calibrations.base import CALIBRATION_REGISTRY, BoxCalibration
from lt_det.modeling.classifiers.base import CLASSIFIER_REGISTRY, LinearClassifier
from lt_det.modeling.feature_augmentations.base import (
    FEATURE_AUGMENTATION_REGISTRY,
    AugmentedRows,
    FeatureAugmentation,
)
from lt_det.modeling.install import install_box_predictor
from lt_det.modeling.mask_head import NormedMaskRCNNConvUpsampleHead
from lt_det.modeling.roi_heads import LTCascadeROIHeads, LTRes5ROIHeads, LTStandardROIHeads
from lt_det.registry import registered_below

__all__ = [
    "CALIBRATION_REGISTRY",
    "CLASSIFIER_REGISTRY",
    "FEATURE_AUGMENTATION_REGISTRY",
    "AugmentedRows",
    "BoxCalibration",
    "FeatureAugmentation",
    "LTCascadeROIHeads",
    "LTFastRCNNOutputLayers",
    "LTRes5ROIHeads",
    "LTStandardROIHeads",
    "LinearClassifier",
    "NormedMaskRCNNConvUpsampleHead",
    "install_box_predictor",
]

# Classifiers, feature augmentations and calibrations.
_registered = registered_below(
    __name__, __path__, CLASSIFIER_REGISTRY, FEATURE_AUGMENTATION_REGISTRY, CALIBRATION_REGISTRY
)
globals().update(_registered)
__all__ += [name for name in _registered if name not in __all__]
