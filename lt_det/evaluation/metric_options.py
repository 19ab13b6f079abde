"""Which metrics an evaluator computes beside an official API's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["MetricOptions"]


@dataclass(frozen=True)
class MetricOptions:
    """Metrics beside those that come for free; see `docs/evaluation.md` for their cost.

    Attributes:
        detections_per_class: AP_fixed and AP_pool over the best so many detections of each class of
            the data set (10,000 in the paper); 0 for neither.
        detections_per_image: best detections of an image over all classes that enter the other
            metrics, for a model that keeps more for AP_fixed; negative for all.
        boundary_dilation: boundary AP with boundaries of this share of the image's diagonal (0.02
            in the paper); 0 for none.
        error_analysis: shares of the kinds of errors and confused classes, into
            ``diagnostics.json``.

    Raises:
        ValueError: if a number is negative that must not be.
    """

    detections_per_class: int = 0
    detections_per_image: int = -1
    boundary_dilation: float = 0.0
    error_analysis: bool = True

    def __post_init__(self):
        if self.detections_per_class < 0:
            raise ValueError(
                f"TEST.DETECTIONS_PER_CLASS is {self.detections_per_class}, expected a number of "
                "detections, such as 10000, or 0 for no AP_fixed."
            )
        if not 0 <= self.boundary_dilation < 1:
            raise ValueError(
                f"TEST.BOUNDARY_DILATION is {self.boundary_dilation}, expected a share of the "
                "image's diagonal, such as 0.02, or 0 for no boundary AP."
            )

    @classmethod
    def from_config(cls, cfg: Any) -> MetricOptions:
        """Those of ``cfg.TEST``.

        A model that keeps more detections for AP_fixed than ``TEST.DETECTIONS_PER_IMAGE`` has its
        other metrics from as many as that.
        """
        test = cfg.TEST
        return cls(
            detections_per_class=test.DETECTIONS_PER_CLASS,
            detections_per_image=test.DETECTIONS_PER_IMAGE if test.DETECTIONS_PER_CLASS else -1,
            boundary_dilation=float(test.BOUNDARY_DILATION),
            error_analysis=test.ERROR_ANALYSIS,
        )
