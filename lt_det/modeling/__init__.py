"""Box heads. Importing this package registers the ROI heads, their parts and calibrations."""

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.calibration import CALIBRATION_REGISTRY, BoxCalibration
from lt_det.modeling.classifiers import CLASSIFIER_REGISTRY, CosineClassifier, LinearClassifier
from lt_det.modeling.disalign import DisAlignClassifier
from lt_det.modeling.fasa import FASAAugmentation
from lt_det.modeling.feature_augmentation import (
    FEATURE_AUGMENTATION_REGISTRY,
    FeatureAugmentation,
)
from lt_det.modeling.feature_memory import FeatureMemoryAugmentation
from lt_det.modeling.install import install_box_predictor
from lt_det.modeling.learned_scale import LearnedScaleClassifier
from lt_det.modeling.marc import MARCClassifier
from lt_det.modeling.mask_head import NormedMaskRCNNConvUpsampleHead
from lt_det.modeling.prior_calibration import LogitAdjustmentCalibration, NorCalCalibration
from lt_det.modeling.roi_heads import LTCascadeROIHeads, LTRes5ROIHeads, LTStandardROIHeads
from lt_det.modeling.tau_norm import TauNormCalibration

__all__ = [
    "CALIBRATION_REGISTRY",
    "CLASSIFIER_REGISTRY",
    "FEATURE_AUGMENTATION_REGISTRY",
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
