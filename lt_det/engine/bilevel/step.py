"""One bilevel step of a detector's classifiers, on features: BALMS's second half.

Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020, section 3.2:
look one step ahead on the training batch, see what the classifier would then lose on a
class-balanced meta batch, and move the class rates accordingly; then take the step. The mathematics
are in :mod:`lt_det.engine.bilevel.hypergradient`.

Differences from the released detector code: the hypergradient without an unrolled graph, two
passes through the detector in place of three (the look-ahead and the real step see the same RoIs),
sums over all ranks, gradient clipping and other losses and optimisers than SGD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lt_det.engine.bilevel.class_rates import rescale_hypergradient
from lt_det.engine.bilevel.hypergradient import (
    classifier_gradient,
    classifier_logits,
    loss_and_gradient,
    outer_gradient,
    roi_hypergradient,
    trainable_parameters,
)
from lt_det.engine.bilevel.look_ahead import GradientClip, LookAhead
from lt_det.engine.bilevel.methods import RateMethod
from lt_det.modeling.accuracy import log_accuracy
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.roi_recorder import RoIs
from lt_det.utils.distributed import sum_over_ranks, world_size

__all__ = ["MetaStep"]

OUTER_LOSSES = ("plain", "balanced")


@dataclass(frozen=True)
class _Stage:
    """The training batch at one box predictor; what is rated: see :class:`RateMethod`."""

    predictor: LTFastRCNNOutputLayers
    parameters: Mapping[str, torch.nn.Parameter]
    rois: RoIs
    logits: torch.Tensor
    losses: torch.Tensor
    delta: torch.Tensor
    normaliser: float
    rated: torch.Tensor | None
    rated_features: torch.Tensor
    rated_delta: torch.Tensor


class MetaStep:
    """Class rates phi, their optimiser, and the step that trains them and the classifiers.

    Args:
        predictors: the detector's, several in a cascade; they share the rates.
        optimizer: of the classifiers; SGD or AdamW.
        method: what the rates do.
        base_lr: Adam's, on phi.
        outer_loss: "plain" or "balanced", see
            :func:`lt_det.engine.bilevel.hypergradient.outer_gradient`.
        rescale: see :func:`lt_det.engine.bilevel.class_rates.rescale_hypergradient`.
        clip: what ``optimizer`` clips gradients by.

    Raises:
        ValueError: if ``outer_loss`` is unknown, or the loss has no plain counterpart.
    """

    def __init__(
        self,
        predictors: Sequence[LTFastRCNNOutputLayers],
        optimizer: torch.optim.Optimizer,
        method: RateMethod,
        *,
        base_lr: float = 0.01,
        outer_loss: str = "plain",
        rescale: bool = True,
        clip: GradientClip | None = None,
    ):
        if outer_loss not in OUTER_LOSSES:
            raise ValueError(
                f"Expected SOLVER.META.OUTER_LOSS to be one of {OUTER_LOSSES}, but got "
                f"{outer_loss!r}"
            )
        self.method = method
        self._predictors = list(predictors)
        self._optimizer = optimizer
        self._rescale = rescale
        self._clip = clip
        losses = [predictor.cls_loss for predictor in self._predictors]
        is_plain = outer_loss == "plain"
        self._outer_losses = [loss.plain() if is_plain else loss for loss in losses]
        device = self._predictors[0].cls_score.weight.device
        # In float64: classes that cancel out shall have a gradient of 0, not one of rounding
        # errors, which Adam would scale up to full steps.
        self.phi = torch.zeros(self._predictors[0].num_classes, dtype=torch.float64, device=device)
        self.adam = torch.optim.Adam([self.phi], lr=base_lr)

    @torch.no_grad()
    def look_ahead(
        self, train: Sequence[RoIs], meta: Sequence[RoIs], batch: Sequence[Mapping]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Everything of the step but the changes, which :meth:`commit` makes.

        Args:
            train: RoIs of the training batch at each predictor.
            meta: those of the meta batch.
            batch: the model inputs of the training batch.

        Returns:
            The inner losses under Detectron2's names, such that their mean over the ranks is that
            of one process, and the outer loss () of all ranks.
        """
        self._stages = [self._stage(*pair) for pair in zip(self._predictors, train, strict=True)]
        parameters = self._keyed(stage.parameters for stage in self._stages)
        self._by_rates = [self.method.roi_weights(self.phi, stage.rois) for stage in self._stages]
        weights = [
            _product(stage.rois.weights, by_rates)
            for stage, by_rates in zip(self._stages, self._by_rates, strict=True)
        ]
        self._gradients = self._inner_gradients(weights)
        step = LookAhead.from_optimizer(self._optimizer, parameters, self._clip)
        outer_loss, gamma = self._outer(step(parameters, self._gradients), meta)
        direction = step.pull_back(parameters, self._gradients, gamma)
        hypergradients = [
            _hypergradient(stage, self._of_stage(number, direction))
            for number, stage in enumerate(self._stages)
        ]
        gradient = self.method.rate_gradient(self.phi, train, hypergradients, batch)
        if self._rescale:
            first = self._stages[0].normaliser
            gradient = rescale_hypergradient(gradient, first, step.gain)
        self.phi.grad = gradient.to(self.phi)
        return self._report(weights), outer_loss

    @torch.no_grad()
    def commit(self, iteration: int) -> None:
        """Move the rates, then the classifiers, which see the moved rates.

        Args:
            iteration: number of the step that is taken, from 0.
        """
        self.adam.step()
        self.method.rates_changed(iteration + 1, self.phi)
        self._follow_rates()
        for number, stage in enumerate(self._stages):
            for name, parameter in stage.parameters.items():
                parameter.grad = self._gradients[number, name].to(parameter)
            rois = stage.rois
            stage.predictor.cls_loss.update_state(stage.logits, rois.gt_classes, rois.weights)
        self._optimizer.step()
        self._optimizer.zero_grad()
        del self._stages, self._gradients, self._by_rates

    def state_dict(self) -> dict:
        """Rates and their optimiser."""
        return {"phi": self.phi, "adam": self.adam.state_dict()}

    def load_state_dict(self, state_dict: Mapping) -> None:
        """Inverse of :meth:`state_dict`."""
        self.phi.copy_(state_dict["phi"])
        self.adam.load_state_dict(state_dict["adam"])

    def _stage(self, predictor: LTFastRCNNOutputLayers, rois: RoIs) -> _Stage:
        parameters = trainable_parameters(predictor.cls_score)
        logits = classifier_logits(predictor.cls_score, parameters, rois.features)
        mask = predictor.cls_loss.draw_mask(rois.gt_classes, rois.known_negatives, rois.weights)
        losses, delta = loss_and_gradient(predictor.cls_loss, logits, rois.gt_classes, mask)
        log_accuracy(predictor.cls_loss, logits, rois.gt_classes, rois.weights)
        normaliser = _normaliser(predictor, rois)
        rated = self.method.rated_rows(rois)
        rated_parts = _rows(rois.features, rated), _rows(delta, rated)
        return _Stage(
            predictor, parameters, rois, logits, losses, delta, normaliser, rated, *rated_parts
        )

    def _inner_gradients(self, weights: Sequence[torch.Tensor | None]) -> dict:
        gradients = self._keyed(
            classifier_gradient(
                stage.predictor.cls_score,
                stage.parameters,
                stage.rois.features,
                stage.delta,
                None if weight is None else weight.to(stage.delta),
                stage.normaliser,
            )
            for stage, weight in zip(self._stages, weights, strict=True)
        )
        return {key: sum_over_ranks(gradient) for key, gradient in gradients.items()}

    def _follow_rates(self) -> None:
        """Correct the gradients for the moved rates: they are linear in the weights."""
        for number, (stage, before) in enumerate(zip(self._stages, self._by_rates, strict=True)):
            after = self.method.roi_weights(self.phi, stage.rois)
            if after is None:
                continue
            change = classifier_gradient(
                stage.predictor.cls_score,
                stage.parameters,
                stage.rated_features,
                stage.rated_delta,
                _rows(_product(stage.rois.weights, after - before), stage.rated),
                stage.normaliser,
            )
            for name, gradient in change.items():
                self._gradients[number, name] += sum_over_ranks(gradient)

    def _outer(self, ahead: Mapping, meta: Sequence[RoIs]) -> tuple[torch.Tensor, dict]:
        """Outer loss at looked-ahead parameters and its gradient, of all stages and ranks."""
        total, gammas = 0.0, []
        for number, (stage, rois) in enumerate(zip(self._stages, meta, strict=True)):
            loss = self._outer_losses[number]
            value, gamma = outer_gradient(
                stage.predictor.cls_score,
                self._of_stage(number, ahead),
                rois.features,
                rois.gt_classes,
                loss,
                _normaliser(stage.predictor, rois),
                loss.draw_mask(rois.gt_classes, rois.known_negatives, rois.weights),
                rois.weights,
            )
            total = total + value
            gammas.append(gamma)
        gammas = {key: sum_over_ranks(gamma) for key, gamma in self._keyed(gammas).items()}
        return sum_over_ranks(total), gammas

    def _report(self, weights: Sequence[torch.Tensor | None]) -> dict[str, torch.Tensor]:
        losses = {}
        for number, (stage, weight) in enumerate(zip(self._stages, weights, strict=True)):
            values = stage.losses if weight is None else stage.losses * weight.to(stage.losses)
            name = "loss_cls" if len(self._stages) == 1 else f"loss_cls_stage{number}"
            losses[name] = values.sum() * (world_size() / stage.normaliser)
        return losses

    @staticmethod
    def _keyed(per_stage) -> dict[tuple[int, str], torch.Tensor]:
        """Tensors by stage and name: the optimiser's clipping may see all of them."""
        return {(i, name): t for i, tensors in enumerate(per_stage) for name, t in tensors.items()}

    @staticmethod
    def _of_stage(number: int, keyed: Mapping[tuple[int, str], torch.Tensor]) -> dict:
        return {name: tensor for (stage, name), tensor in keyed.items() if stage == number}


def _normaliser(predictor: LTFastRCNNOutputLayers, rois: RoIs) -> float:
    """Divide the RoIs of all ranks, 1 without any, by the weight of the loss in the total."""
    number = float(sum_over_ranks(rois.num_rois)) or 1.0
    return number / predictor.loss_weight.get("loss_cls", 1.0)


def _hypergradient(stage: _Stage, direction: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Of every RoI (R,); 0 where it is not wanted."""
    wanted = roi_hypergradient(
        stage.predictor.cls_score,
        stage.parameters,
        stage.rated_features,
        stage.rated_delta,
        direction,
        stage.normaliser,
    ).double()
    values = wanted
    if stage.rated is not None:
        values = wanted.new_zeros(len(stage.rois)).index_copy(0, stage.rated, wanted)
    return _product(stage.rois.weights, values)


def _product(weights: torch.Tensor | None, values: torch.Tensor | None) -> torch.Tensor | None:
    """What two factors of weights make; None is ones."""
    if weights is None or values is None:
        return values if weights is None else weights
    return values * weights.to(values)


def _rows(tensor: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
    return tensor if rows is None else tensor[rows]
