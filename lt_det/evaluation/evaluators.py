"""Which evaluator is for which format."""

from collections.abc import Mapping

from lt_det.evaluation.coco_evaluator import LTCOCOEvaluator
from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator

__all__ = ["EVALUATORS", "format_of"]

EVALUATORS = {"coco": LTCOCOEvaluator, "lvis": LTLVISEvaluator}
"""By the metadata ``evaluator_type``."""


def format_of(content: Mapping) -> str:
    """Tell ``"lvis"`` from ``"coco"``: only LVIS's images list what they verifiably lack."""
    images = content["images"] if isinstance(content["images"], list) else ()
    is_lvis = any(isinstance(image, dict) and "neg_category_ids" in image for image in images)
    return "lvis" if is_lvis else "coco"
