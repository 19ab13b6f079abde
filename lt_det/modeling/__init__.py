"""Box heads. Importing this package registers the ROI heads and classifiers."""

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.classifiers import CLASSIFIER_REGISTRY, CosineClassifier, LinearClassifier
from lt_det.modeling.install import install_box_predictor
from lt_det.modeling.roi_heads import LTCascadeROIHeads, LTRes5ROIHeads, LTStandardROIHeads

__all__ = [
    "CLASSIFIER_REGISTRY",
    "CosineClassifier",
    "LTCascadeROIHeads",
    "LTFastRCNNOutputLayers",
    "LTRes5ROIHeads",
    "LTStandardROIHeads",
    "LinearClassifier",
    "install_box_predictor",
]
