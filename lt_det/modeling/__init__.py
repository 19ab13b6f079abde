"""Box heads. Importing this package registers the ROI heads, classifiers and calibrations."""

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.calibration import CALIBRATION_REGISTRY, BoxCalibration
from lt_det.modeling.classifiers import CLASSIFIER_REGISTRY, CosineClassifier, LinearClassifier
from lt_det.modeling.disalign import DisAlignClassifier
from lt_det.modeling.install import install_box_predictor
from lt_det.modeling.learned_scale import LearnedScaleClassifier
from lt_det.modeling.marc import MARCClassifier
from lt_det.modeling.prior_calibration import LogitAdjustmentCalibration, NorCalCalibration
from lt_det.modeling.roi_heads import LTCascadeROIHeads, LTRes5ROIHeads, LTStandardROIHeads
from lt_det.modeling.tau_norm import TauNormCalibration

__all__ = [
    "CALIBRATION_REGISTRY",
    "CLASSIFIER_REGISTRY",
    "BoxCalibration",
    "CosineClassifier",
    "DisAlignClassifier",
    "LTCascadeROIHeads",
    "LTFastRCNNOutputLayers",
    "LTRes5ROIHeads",
    "LTStandardROIHeads",
    "LearnedScaleClassifier",
    "LinearClassifier",
    "LogitAdjustmentCalibration",
    "MARCClassifier",
    "NorCalCalibration",
    "TauNormCalibration",
    "install_box_predictor",
]
