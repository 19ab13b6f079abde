"""The form that all binary (sigmoid) losses have in common, and the plain one."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.shift import ShiftedLoss
from lt_det.losses.sigmoid.federated_classes import draw_federated_classes
from lt_det.losses.sigmoid.links import LINKS
from lt_det.losses.weighted_rows import present_rows
from lt_det.registry import MethodCard

__all__ = ["SigmoidLoss"]

OBJECTNESS = ("", "train", "product")


@BOX_CLS_LOSS_REGISTRY.register()
class SigmoidLoss(ShiftedLoss):
    """Binary cross-entropy of g(u), u = z + S, weighted by Omega and summed over the classes.

    A background RoI is a negative of every class. Here g is the sigmoid, S zero and Omega one. A
    long-tail loss overrides :meth:`shift` or :meth:`element_weight`; the parameters below are
    settings of every one of them, so that methods combine: GOL is the Gumbel link under EQL or
    DropLoss, and each loss may leave out negatives that LVIS does not know.

    Differences from Detectron2's ``USE_SIGMOID_CE``: no dead background column, and the classifier
    starts from a prior probability (Lin et al., "Focal Loss for Dense Object Detection"), without
    which the first loss of K = 1,203 classes is 834 a RoI.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`.
        prior_prob: probability every column starts from; the codes of BALMS, EQL and EQL v2 have
            0.001, those of CenterNet2, Detic and ACSL 0.01.
        background_column: keep Detectron2's unused last column, so that checkpoints of models
            trained with ``USE_SIGMOID_CE`` load.
        objectness: "" for none; "train" for a last column that learns whether a RoI is background
            and is dropped at test; "product" for one that counts at test,
            p_j = g(z_j) (1 - g(z_background)).
        link: g, "sigmoid" or "gumbel" (:class:`lt_det.losses.sigmoid.links.GumbelLink`).
        federated_classes: if above 0, a batch (of each process) trains the classes it contains and
            as many others, drawn at random, as make up this number; see :class:`FederatedLoss`.
        federated_power: they are drawn ~ image_count^power.
        only_known_negatives: an RoI is a negative of the classes alone that LVIS knows about in its
            image: those on its negative list, and those that are annotated there exhaustively.

    Raises:
        ValueError: if a parameter has no meaning.
    """

    CARD = MethodCard(
        paper="Detectron2's USE_SIGMOID_CE",
        equation="sum_j BCE(sigmoid(z_j), t_j) over K",
        released=(
            "Detectron2 has no prior-probability bias (PRIOR_PROB 0.5) and an unused column "
            "(BACKGROUND_COLUMN)."
        ),
        cost="the plain loss",
        use_when="As the control of every sigmoid row.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        prior_prob: float = 0.01,
        background_column: bool = False,
        objectness: str = "",
        link: str = "sigmoid",
        federated_classes: int = 0,
        federated_power: float = 0.5,
        only_known_negatives: bool = False,
    ):
        super().__init__(num_classes, class_stats)
        if not 0 < prior_prob < 1:
            raise ValueError(f"Expected `prior_prob` to be in (0, 1), but got {prior_prob}")
        if objectness not in OBJECTNESS:
            raise ValueError(
                f"Expected `objectness` to be one of {OBJECTNESS}, but got {objectness!r}"
            )
        if link not in LINKS:
            raise ValueError(f"Expected `link` to be one of {tuple(LINKS)}, but got {link!r}")
        if federated_classes < 0:
            raise ValueError(f"Expected `federated_classes` >= 0, but got {federated_classes}")
        if not (math.isfinite(federated_power) and federated_power >= 0):
            raise ValueError(
                f"Expected `federated_power` to be finite and >= 0, but got {federated_power}"
            )
        self.prior_prob = prior_prob
        self.background_column = background_column
        self.objectness = objectness
        self.link = link
        self.federated_classes = federated_classes
        self.federated_power = federated_power
        self.only_known_negatives = only_known_negatives

    @property
    def num_logits(self) -> int:
        """K, or K + 1 with a background column, used or not."""
        return self.num_classes + int(self.background_column or bool(self.objectness))

    @property
    def num_columns(self) -> int:
        """Columns that learn: K, or K + 1 with objectness."""
        return self.num_classes + int(bool(self.objectness))

    @property
    def uses_known_negatives(self) -> bool:
        """See :attr:`BoxClsLoss.uses_known_negatives`."""
        return self.only_known_negatives

    def init_bias(self) -> float:
        """The logit of ``prior_prob``."""
        return LINKS[self.link].logit(self.prior_prob)

    def draw_mask(self, gt_classes, known_negatives=None, weights=None):
        """Which elements count, bool (R, C): the federated classes, the known negatives."""
        if self.uses_known_negatives and known_negatives is None:
            raise ValueError(
                f"{type(self).__name__} with `only_known_negatives` or `keep_known_negatives` "
                "needs LVIS's lists of each RoI's image, which are not known here: call "
                "lt_det.modeling.find_predictors.read_known_negatives(model) once, or set them to "
                "False"
            )
        mask = None
        if self.federated_classes:
            image_count = self.require_class_stats().image_count
            number, power = self.federated_classes, self.federated_power
            rows = present_rows(gt_classes, weights)
            mask = draw_federated_classes(rows, image_count, number, power)
            mask = mask.expand(len(gt_classes), -1)
        if self.only_known_negatives:
            known = known_negatives | self.one_hot(gt_classes, self.num_classes, torch.bool)
            mask = known if mask is None else known & mask
        return mask if mask is None else self.with_background(mask)

    def forward(self, logits, gt_classes, mask=None):
        """See :meth:`BoxClsLoss.forward`."""
        logits, targets = self.inputs(logits, gt_classes)
        weight = self.element_weight(logits, targets, gt_classes)
        if mask is not None:
            mask = mask[:, : self.num_columns]
            weight = (mask if weight is None else weight * mask).to(logits)
        return self.elements(logits, targets, weight).sum(dim=1)

    def inputs(
        self, logits: torch.Tensor, gt_classes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the link takes: u and one-hot targets, both (R, num_columns)."""
        logits = self.shifted(logits[:, : self.num_columns], gt_classes)
        return logits, self.one_hot(gt_classes, self.num_columns, logits.dtype)

    def element_weight(
        self, logits: torch.Tensor, targets: torch.Tensor, gt_classes: torch.Tensor
    ) -> torch.Tensor | None:
        """Omega, a constant, broadcastable to (R, num_columns), as the logits' type; None is one.

        Args:
            logits: u, (R, num_columns).
            targets: one-hot, (R, num_columns).
            gt_classes: (R,).
        """
        return None

    def elements(
        self, logits: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor | None
    ) -> torch.Tensor:
        """The weighted loss of each element, (R, num_columns)."""
        return LINKS[self.link].loss(logits, targets, weight)

    @staticmethod
    def one_hot(gt_classes: torch.Tensor, num_columns: int, dtype: torch.dtype) -> torch.Tensor:
        """Targets (R, num_columns); a label beyond the columns has none."""
        targets = gt_classes.new_zeros((len(gt_classes), num_columns), dtype=dtype)
        rows = (gt_classes < num_columns).nonzero().flatten()
        targets[rows, gt_classes[rows]] = 1
        return targets

    def with_background(self, mask: torch.Tensor) -> torch.Tensor:
        """A bool mask of the classes (R, K), with a background column, if any, which counts."""
        missing = self.num_logits - self.num_classes
        return F.pad(mask, (0, missing), value=True) if missing else mask

    def plain(self):
        """The plain loss of the same layout and link."""
        return SigmoidLoss(
            self.num_classes,
            background_column=self.background_column,
            objectness=self.objectness,
            link=self.link,
        )

    def predict_probs(self, logits):
        """Probabilities (R, K + 1); that of the background is 0 unless it is a factor."""
        # Sliced last, as in Detectron2: a strided sigmoid may round otherwise.
        probs = LINKS[self.link].probs(logits)
        classes = probs[:, : self.num_classes]
        if self.objectness != "product":
            return F.pad(classes, (0, 1))
        background = probs[:, self.num_classes :]
        return torch.cat([classes * (1 - background), background], dim=1)
