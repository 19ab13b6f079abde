"""docs/methods.md from the registries: ``python -m lt_det.methods_table > docs/methods.md``."""

from __future__ import annotations

from collections.abc import Iterator

from fvcore.common.registry import Registry

from lt_det.data.repeat_factors import INSTANCE_AWARE_CARD, REPEAT_CAP_CARD
from lt_det.data.samplers import SAMPLER_SUFFIX, TRAIN_SAMPLER_REGISTRY
from lt_det.losses import BOX_CLS_LOSS_REGISTRY
from lt_det.method_card import MethodCard
from lt_det.modeling.build import LOSS_SUFFIX
from lt_det.modeling.calibration import CALIBRATION_REGISTRY, CALIBRATION_SUFFIX
from lt_det.modeling.classifiers import CLASSIFIER_REGISTRY, CLASSIFIER_SUFFIX
from lt_det.modeling.feature_augmentation import (
    FEATURE_AUGMENTATION_REGISTRY,
    FEATURE_AUGMENTATION_SUFFIX,
)
from lt_det.modeling.mask_head import NormedMaskRCNNConvUpsampleHead
from lt_det.registry import hyper_parameters, node_name

__all__ = ["SECTIONS", "methods_page", "own_classes"]

#: Title, registry, class name suffix, config key that names the class, node of its parameters.
SECTIONS = (
    (
        "Losses",
        BOX_CLS_LOSS_REGISTRY,
        LOSS_SUFFIX,
        "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME",
        "MODEL.ROI_BOX_HEAD.CLS_LOSS",
    ),
    (
        "Classifiers",
        CLASSIFIER_REGISTRY,
        CLASSIFIER_SUFFIX,
        "MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME",
        "MODEL.ROI_BOX_HEAD.CLASSIFIER",
    ),
    (
        "Samplers",
        TRAIN_SAMPLER_REGISTRY,
        SAMPLER_SUFFIX,
        "DATALOADER.SAMPLER_TRAIN",
        "DATALOADER",
    ),
    (
        "Feature augmentations",
        FEATURE_AUGMENTATION_REGISTRY,
        FEATURE_AUGMENTATION_SUFFIX,
        "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME",
        "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION",
    ),
    (
        "Calibrations",
        CALIBRATION_REGISTRY,
        CALIBRATION_SUFFIX,
        "TEST.CALIBRATION.NAME",
        "TEST.CALIBRATION",
    ),
)
#: Methods that are settings of a part of Detectron2's: setting, card, further keys with defaults.
SETTINGS = (
    (
        "DATALOADER.REPEAT_FREQUENCY image_and_instance",
        INSTANCE_AWARE_CARD,
        "`DATALOADER`: SAMPLER_TRAIN RepeatFactorTrainingSampler, REPEAT_THRESHOLD, REPEAT_SQRT",
    ),
    ("DATALOADER.REPEAT_CAP", REPEAT_CAP_CARD, "REPEAT_CAP 0.0"),
    (
        "MODEL.ROI_MASK_HEAD.NAME NormedMaskRCNNConvUpsampleHead",
        NormedMaskRCNNConvUpsampleHead.CARD,
        "`MODEL.ROI_MASK_HEAD.NORMED_PREDICTOR`: TEMPERATURE 20.0, POWER 1.0",
    ),
)
_HEADER = """\
# All methods

Written by `python -m lt_det.methods_table` from the classes themselves; a test fails when it is
stale. A config key chooses a class; its parameters are keys below its node. Combinations (a sampler
and a loss, a classifier and a loss, a calibration after a plain loss) are settings.

z are logits, u = z + S the logits a loss sees. n_j is the count of class j, q_j its share of all,
f_j the share of pictures that have it; K is the number of foreground classes, R that of RoIs. The
background is neither shifted, nor weighted, nor calibrated, unless a row says so.
`tools/compare.py` compares methods on one detector.
"""
_COLUMNS = (
    "Class",
    "Paper",
    "Equation",
    "The released code",
    "Parameters and defaults",
    "Cost",
    "Use when",
)


def own_classes(registry: Registry) -> list[type]:
    """lt_det's own classes of a registry, by name; a user's are not on the page."""
    classes = (cls for _, cls in registry if cls.__module__.startswith("lt_det."))
    return sorted(classes, key=lambda cls: cls.__name__)


def methods_page() -> str:
    """The page, in Markdown.

    Raises:
        ValueError: naming the classes without a card.
    """
    classes = [cls for _, registry, *_ in SECTIONS for cls in own_classes(registry)]
    missing = [cls.__name__ for cls in classes if not isinstance(vars(cls).get("CARD"), MethodCard)]
    if missing:
        raise ValueError(
            f"{missing} have no card: give each a class attribute CARD = MethodCard(...), see "
            "lt_det/method_card.py"
        )
    return "\n".join([_HEADER, *_tables()])


def _tables() -> Iterator[str]:
    for title, registry, suffix, key, node in SECTIONS:
        yield f"## {title}\n\n`{key}`; parameters below `{node}`.\n"
        yield _row(*_COLUMNS)
        yield _row(*["---"] * len(_COLUMNS))
        for cls in own_classes(registry):
            yield _method_row(cls, suffix)
        yield ""
    yield "## Settings of parts that are Detectron2's\n"
    yield _row("Setting", *_COLUMNS[1:])
    yield _row(*["---"] * len(_COLUMNS))
    for setting, card, parameters in SETTINGS:
        yield _card_row(setting, card, parameters)
    yield ""


def _method_row(cls: type, suffix: str) -> str:
    keys = [f"{name.upper()} {default!r}" for name, default in hyper_parameters(cls).items()]
    parameters = f"`{node_name(cls, suffix)}`: {', '.join(keys)}" if keys else ""
    return _card_row(cls.__name__, cls.CARD, parameters)


def _card_row(name: str, card: MethodCard, parameters: str) -> str:
    link = f"[{card.arxiv}](https://arxiv.org/abs/{card.arxiv})" if card.arxiv else ""
    return _row(
        f"`{name}`",
        ", ".join(part for part in (card.paper, link) if part),
        f"`{card.equation}`",
        card.released,
        parameters,
        card.cost,
        card.use_when,
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') or '-' for cell in cells)} |"


if __name__ == "__main__":
    print(methods_page(), end="")
