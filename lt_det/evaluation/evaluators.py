"""Which evaluator is for which format."""

from lt_det.evaluation.coco_evaluator import LTCOCOEvaluator
from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator

__all__ = ["EVALUATORS"]

EVALUATORS = {"coco": LTCOCOEvaluator, "lvis": LTLVISEvaluator}
"""By the metadata ``evaluator_type``."""
