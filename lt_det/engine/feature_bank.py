"""RoI features of a frozen detector: extract them once, train classifiers on them.

In decoupled training everything below the classifier is frozen, so the features of an RoI never
change but for augmentation. A classifier that takes hours behind the whole detector takes seconds
on stored features.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from torch import nn
from tqdm import trange

from lt_det.engine.freeze import FrozenModulesInEval, freeze_parameters
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers, box_predictors
from lt_det.modeling.roi_recorder import RoIs

__all__ = ["FeatureBank", "extract_features", "prepare_classifier", "train_classifier"]


@dataclass(frozen=True)
class FeatureBank:
    """Stored RoIs, as a sequence of visits to images.

    Args:
        features: (N, D), what reaches the classifier.
        gt_classes: (N,) in [0, K].
        visits: (V, 3) of (image index, first row, one past the last row). An image may be visited
            several times, each time under other augmentation and with other RoIs.
    """

    features: torch.Tensor
    gt_classes: torch.Tensor
    visits: torch.Tensor

    def __post_init__(self) -> None:
        """Check that rows and visits fit."""
        if len(self.features) != len(self.gt_classes):
            raise ValueError(
                f"Expected as many labels as features, but got {len(self.gt_classes)} and "
                f"{len(self.features)}"
            )
        if not len(self.visits):
            raise ValueError("A feature bank needs at least one image")

    def save(self, path: str | Path) -> None:
        """Write the bank, atomically."""
        path = Path(path)
        temporary = path.with_suffix(".tmp")
        names = (field.name for field in fields(self))
        torch.save({name: getattr(self, name) for name in names}, temporary)
        temporary.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> FeatureBank:
        """Read a bank written by :meth:`save`."""
        return cls(**torch.load(path, weights_only=True))

    def batches(self, image_stream: Iterable[int], images_per_batch: int, seed: int) -> Iterator:
        """Endless :class:`RoIs` of ``images_per_batch`` drawn images.

        Args:
            image_stream: endless image indices, a training sampler. Images that are not in the
                bank are passed over.
            images_per_batch: as ``SOLVER.IMS_PER_BATCH``.
            seed: chooses among the visits of an image.
        """
        images = (image for image in image_stream if image in self._visits_of)
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield self.rois(itertools.islice(images, images_per_batch), generator)

    def rois(self, images: Iterable[int], generator: torch.Generator) -> RoIs:
        """The RoIs of one visit, drawn at random, to each of ``images``."""
        rows, numbers = [], []
        for image in images:
            choices = self._visits_of[image]
            choice = int(torch.randint(len(choices), (), generator=generator))
            _, start, end = self.visits[choices[choice]].tolist()
            rows.append(torch.arange(start, end))
            numbers.append(end - start)
        rows = torch.cat(rows)
        return RoIs(self.features[rows].float(), self.gt_classes[rows], numbers)

    @functools.cached_property
    def _visits_of(self) -> dict[int, list[int]]:
        visits_of: dict[int, list[int]] = {}
        for visit, image in enumerate(self.visits[:, 0].tolist()):
            visits_of.setdefault(image, []).append(visit)
        return visits_of


@torch.no_grad()
def extract_features(
    model: nn.Module,
    dataset_dicts: Sequence[dict],
    mapper: Callable[[dict], dict],
    *,
    num_views: int = 1,
    seed: int = 0,
) -> FeatureBank:
    """Run a frozen detector in training mode and keep what reaches its classifier.

    RoIs are those of training: the RPN's proposals and the ground truth, sampled as in training.

    Args:
        model: a model with one :class:`LTFastRCNNOutputLayers`; nothing in it changes.
        dataset_dicts: the training records; their order is the bank's image index.
        mapper: the training mapper (augmentation included).
        num_views: visits to each image.
        seed: every visit is seeded by (seed, its number), so a bank depends on nothing else.

    Raises:
        ValueError: if the model has no lt_det box predictor, or several (cascade).
    """
    predictor = _only_predictor(model)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    model.train()
    FrozenModulesInEval(model).before_step()
    features, labels, visits = [], [], []
    hooks = [
        predictor.cls_score.register_forward_pre_hook(lambda _, args: features.append(args[0])),
        predictor.cls_loss.register_forward_pre_hook(lambda _, args: labels.append(args[1])),
    ]
    num_rows = 0
    try:
        with EventStorage():
            for number in trange(len(dataset_dicts) * num_views, desc="features", unit="img"):
                index = number % len(dataset_dicts)
                seed_all_rng(seed + 1 + number)
                model([mapper(dataset_dicts[index])])
                features[-1] = features[-1].half()
                visits.append((index, num_rows, num_rows + len(labels[-1])))
                num_rows += len(labels[-1])
    finally:
        for hook in hooks:
            hook.remove()
        for parameter in trainable:
            parameter.requires_grad_(True)
    return FeatureBank(torch.cat(features), torch.cat(labels), torch.tensor(visits))


def train_classifier(
    cfg: CfgNode, model: nn.Module, bank: FeatureBank, image_stream: Iterable[int]
) -> None:
    """Train the classifier of ``model`` on a bank, with the optimiser and schedule of ``cfg``.

    A step sees the RoIs of ``SOLVER.IMS_PER_BATCH`` images drawn from ``image_stream``, as a step
    of the whole detector does.

    Args:
        cfg: ``SOLVER`` is read; ``SOLVER.TRAINABLE_PARAMS`` must lie within the classifier.
        model: the model the bank was extracted with.
        bank: its features.
        image_stream: a training sampler.

    Raises:
        ValueError: if a trainable parameter lies below the classifier.
    """
    predictor, optimizer, scheduler = prepare_classifier(cfg, model)
    batches = bank.batches(image_stream, cfg.SOLVER.IMS_PER_BATCH, seed=max(cfg.SEED, 0))
    with EventStorage() as storage:
        for rois in itertools.islice(batches, cfg.SOLVER.MAX_ITER):
            logits = predictor.cls_score(rois.features)
            loss = predictor.classification_loss(logits, rois.gt_classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            storage.step()


def prepare_classifier(
    cfg: CfgNode, model: nn.Module
) -> tuple[LTFastRCNNOutputLayers, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Freeze all but the classifier; the box predictor, its optimiser and learning rates.

    Raises:
        ValueError: if a trainable parameter lies below the classifier.
    """
    predictor = _only_predictor(model)
    freeze_parameters(model, cfg.SOLVER.TRAINABLE_PARAMS)
    below = [n for n, p in model.named_parameters() if p.requires_grad and "cls_score" not in n]
    if below:
        raise ValueError(
            "A feature bank trains the classifier alone; SOLVER.TRAINABLE_PARAMS also matches "
            f"{below[:3]}: set it to ('*cls_score*',)"
        )
    predictor.train()
    optimizer = build_optimizer(cfg, model)
    return predictor, optimizer, build_lr_scheduler(cfg, optimizer)


def _only_predictor(model: nn.Module) -> LTFastRCNNOutputLayers:
    predictors = list(box_predictors(model))
    if len(predictors) != 1:
        raise ValueError(
            f"A feature bank needs a model with one lt_det box predictor, but got "
            f"{len(predictors)}: set MODEL.ROI_HEADS.NAME 'LTStandardROIHeads'"
        )
    return predictors[0]
