"""Box heads. Importing this package registers the ROI heads, their parts and calibrations."""

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.calibrations.base import CALIBRATION_REGISTRY, BoxCalibration
from lt_det.modeling.calibrations.prior_calibration import (
    LogitAdjustmentCalibration,
    NorCalCalibration,
)
from lt_det.modeling.calibrations.tau_norm import TauNormCalibration
from lt_det.modeling.classifiers.base import CLASSIFIER_REGISTRY, CosineClassifier, LinearClassifier
from lt_det.modeling.classifiers.disalign import DisAlignClassifier
from lt_det.modeling.classifiers.learned_scale import LearnedScaleClassifier
from lt_det.modeling.classifiers.marc import MARCClassifier
from lt_det.modeling.feature_augmentations.base import (
    FEATURE_AUGMENTATION_REGISTRY,
    AugmentedRows,
    FeatureAugmentation,
)
from lt_det.modeling.feature_augmentations.fasa import FASAAugmentation
from lt_det.modeling.feature_augmentations.feature_memory import FeatureMemoryAugmentation
from lt_det.modeling.install import install_box_predictor
from lt_det.modeling.mask_head import NormedMaskRCNNConvUpsampleHead
from lt_det.modeling.roi_heads import LTCascadeROIHeads, LTRes5ROIHeads, LTStandardROIHeads
from lt_det.registry import import_below

__all__ = [
    "CALIBRATION_REGISTRY",
    "CLASSIFIER_REGISTRY",
    "FEATURE_AUGMENTATION_REGISTRY",
    "AugmentedRows",
    "BoxCalibration",
    "CosineClassifier",
    "DisAlignClassifier",
    "FASAAugmentation",
    "FeatureAugmentation",
    "FeatureMemoryAugmentation",
    "LTCascadeROIHeads",
    "LTFastRCNNOutputLayers",
    "LTRes5ROIHeads",
    "LTStandardROIHeads",
    "LearnedScaleClassifier",
    "LinearClassifier",
    "LogitAdjustmentCalibration",
    "MARCClassifier",
    "NorCalCalibration",
    "NormedMaskRCNNConvUpsampleHead",
    "TauNormCalibration",
    "install_box_predictor",
]

# A new file is registered before anybody exports its class above.
import_below(__name__, __path__)
