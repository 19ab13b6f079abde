"""Federated loss: a batch trains the classes it contains and a few others."""

from __future__ import annotations

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.registry import MethodCard

__all__ = ["FederatedLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class FederatedLoss(SigmoidLoss):
    """Sigmoid loss of the classes in the batch and of others, drawn ~ image_count^0.5, 50 in all.

    Zhou et al., "Probabilistic two-stage detection", arXiv 2103.07461, after the federated
    annotation of LVIS: a class that an image does not show may not have been looked for. A drawn
    class is one that most images do not show either; ``only_known_negatives`` asks LVIS's lists
    instead (or besides). The draw is Detectron2's ``USE_FED_LOSS``.

    The number is of each process's batch, as in Detectron2: with more images a process, fewer
    classes are drawn. The released projects start from ``prior_prob`` 0.01, Detectron2 from 0.5.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        federated_classes: see :class:`SigmoidLoss`.
        kwargs: see :class:`SigmoidLoss`.
    """

    CARD = MethodCard(
        paper="Zhou et al., Probabilistic two-stage detection, 2021",
        arxiv="2103.07461",
        equation="sigmoid, Omega_ij = [j in the batch, or drawn ~ n_j^0.5 to make up 50]",
        released="Detectron2: PRIOR_PROB 0.5, BACKGROUND_COLUMN True.",
        cost="a weight an element, a draw of K",
        use_when=(
            "Federated data with many classes; FEDERATED_CLASSES does the same under any other "
            "sigmoid loss."
        ),
    )

    def __init__(self, num_classes, class_stats=None, *, federated_classes: int = 50, **kwargs):
        super().__init__(num_classes, class_stats, federated_classes=federated_classes, **kwargs)
