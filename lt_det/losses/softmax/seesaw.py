"""Seesaw loss: negatives are damped by counts and pushed where they are mistaken."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY, BoxClsLoss, ExactBuffers
from lt_det.losses.weighted_rows import count_by_class
from lt_det.registry import MethodCard
from lt_det.utils.distributed import sum_over_ranks

__all__ = ["SeesawLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class SeesawLoss(BoxClsLoss):
    r"""Cross-entropy of background and foreground, plus Seesaw's among the classes.

    Wang et al., "Seesaw Loss for Long-Tailed Instance Segmentation", CVPR 2021, arXiv 2008.10032.
    The classes' part is on foreground RoIs alone, a softmax of z + S with

    .. math:: S_{yj} = p \min(0, \log(N_j / N_y)) + q \max(0, \log(\sigma_j / \sigma_y))

    N_j are the RoIs of class j so far, at least 1; sigma is the softmax of z over the K classes,
    without a gradient, sigma_y at least ``min_prob``. S_yy is 0.

    The (R, K + 2) logits are those of the K classes, of background and of foreground. The released
    model has a cosine classifier: ``CLASSIFIER.NAME "CosineClassifier"``. The released code counts
    a step before its loss and rank by rank; here after it and over all ranks.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; not used.
        mitigation: p, how much a class of fewer RoIs is spared as a negative.
        compensation: q, how much a class of larger probability is pushed as a negative.
        min_prob: lower bound of the label's probability in the compensation.

    Raises:
        ValueError: if an option has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Wang et al., Seesaw Loss, CVPR 2021",
        arxiv="2008.10032",
        equation=(
            "softmax over K on foreground RoIs, S_yj = p min(0, log(N_j / N_y)) + "
            "q max(0, log(sigma_j / sigma_y)); cross-entropy of background and foreground"
        ),
        released="With a cosine classifier; counts before the loss of a step, rank by rank.",
        cost="a second softmax on foreground RoIs; two logits more; state (K)",
        use_when="End to end with CosineClassifier; needs no class statistics.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        mitigation: float = 0.8,
        compensation: float = 2.0,
        min_prob: float = 0.01,
    ):
        super().__init__(num_classes, class_stats)
        for name, value in (("mitigation", mitigation), ("compensation", compensation)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"Expected `{name}` to be finite and >= 0, but got {value}")
        if not 0 < min_prob <= 1:
            raise ValueError(f"Expected `min_prob` to be in (0, 1], but got {min_prob}")
        self.mitigation = mitigation
        self.compensation = compensation
        self.min_prob = min_prob
        self.running = ExactBuffers()
        self.running.register_buffer("count", torch.zeros(num_classes, dtype=torch.float64))

    @property
    def num_logits(self) -> int:
        """K + 2."""
        return self.num_classes + 2

    def forward(self, logits, gt_classes, mask=None):
        """See :meth:`BoxClsLoss.forward`."""
        classes, objectness = logits[:, : self.num_classes], logits[:, self.num_classes :]
        is_foreground = gt_classes < self.num_classes
        loss = F.cross_entropy(objectness, is_foreground.long(), reduction="none")
        (rows,) = is_foreground.nonzero(as_tuple=True)
        classes, label = classes[rows], gt_classes[rows]
        shifted = classes + self.shift(classes.detach(), label)
        return loss.index_add(0, rows, F.cross_entropy(shifted, label, reduction="none"))

    def shift(self, logits: torch.Tensor, gt_classes: torch.Tensor) -> torch.Tensor:
        """S of foreground RoIs, (R_f, K), from their class logits."""
        log_count = self.running.count.clamp(min=1).log().to(logits)
        shift = (log_count - log_count[gt_classes].unsqueeze(1)).clamp_(max=0)
        shift *= self.mitigation
        log_prob = logits.log_softmax(dim=1)
        own = log_prob.gather(1, gt_classes.unsqueeze(1)).clamp_(min=math.log(self.min_prob))
        return shift.add_(log_prob.sub_(own).clamp_(min=0), alpha=self.compensation)

    def predict_probs(self, logits):
        """Softmax of the classes times p(foreground), and p(background), (R, K + 1)."""
        background, foreground = logits[:, self.num_classes :].softmax(dim=1).split(1, dim=1)
        classes = logits[:, : self.num_classes].softmax(dim=1)
        return torch.cat([classes * foreground, background], dim=1)

    def plain(self):
        """Both softmaxes without shifts."""
        return SeesawLoss(self.num_classes, mitigation=0.0, compensation=0.0)

    @torch.no_grad()
    def update_state(self, logits, gt_classes, weights=None):
        """Count the RoIs of all ranks."""
        count = count_by_class(gt_classes, self.num_classes, weights)[: self.num_classes]
        self.running.count += sum_over_ranks(count)
