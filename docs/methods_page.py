"""docs/methods.md from the registries: ``python docs/methods_page.py > docs/methods.md``."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Any

from detectron2.config import CfgNode, get_cfg
from fvcore.common.registry import Registry

from lt_det.config import add_lt_det_config
from lt_det.config.method_nodes import METHOD_NODES
from lt_det.data.repeat_factors import INSTANCE_AWARE_CARD, REPEAT_CAP_CARD, REPEAT_FACTOR_CARD
from lt_det.engine.bilevel.methods import MetaReweighter, MetaSampler
from lt_det.modeling.mask_head import NormedMaskRCNNConvUpsampleHead
from lt_det.registry import MethodCard, hyper_parameters, node_name

__all__ = ["COMBINATIONS", "SECTIONS", "SETTINGS", "markdown", "own_classes"]

_TITLES = ("Losses", "Classifiers", "Samplers", "Feature augmentations", "Calibrations")
#: Title, registry, class name suffix, config key that names the class, node of its parameters.
SECTIONS = tuple(
    (title, node.registry, node.suffix, node.choice, node.parent)
    for title, node in zip(_TITLES, METHOD_NODES, strict=True)
)
_OF_REPEATS = ("DATALOADER", "REPEAT_THRESHOLD", "REPEAT_SQRT")
#: Methods that are settings of other parts: setting, card, node and keys of their parameters.
SETTINGS = (
    ("DATALOADER.SAMPLER_TRAIN RepeatFactorTrainingSampler", REPEAT_FACTOR_CARD, _OF_REPEATS),
    ("DATALOADER.REPEAT_FREQUENCY image_and_instance", INSTANCE_AWARE_CARD, _OF_REPEATS),
    ("DATALOADER.REPEAT_CAP", REPEAT_CAP_CARD, ("DATALOADER", "REPEAT_CAP")),
    (
        "SOLVER.META.NAME MetaReweighter",
        MetaReweighter.CARD,
        ("SOLVER.META", "BASE_LR", "OUTER_LOSS", "REWEIGHTER.NORMALIZED"),
    ),
    (
        "SOLVER.META.NAME MetaSampler",
        MetaSampler.CARD,
        ("SOLVER.META", "BASE_LR", "OUTER_LOSS", "SAMPLER.LAG"),
    ),
    (
        "MODEL.ROI_MASK_HEAD.NAME NormedMaskRCNNConvUpsampleHead",
        NormedMaskRCNNConvUpsampleHead.CARD,
        ("MODEL.ROI_MASK_HEAD.NORMED_PREDICTOR", "TEMPERATURE", "POWER"),
    ),
)
#: Names under which combinations were published: name, what it is, its config on the quick set.
COMBINATIONS = (
    (
        "cRT",
        "stage 2 of SoftmaxLoss, CLASSIFIER.REINIT, ClassAwareTrainingSampler",
        "crt_stage2",
    ),
    ("LWS", "stage 2 of LearnedScaleClassifier, ClassAwareTrainingSampler", "lws_stage2"),
    ("MARC", "stage 2 of MARCClassifier, ReweightedSoftmaxLoss", "marc_stage2"),
    ("DisAlign", "stage 2 of DisAlignClassifier, ReweightedSoftmaxLoss", "disalign_stage2"),
    ("BAGS", "stage 2 of BalancedGroupSoftmaxLoss, CLASSIFIER.REINIT", "bags_stage2"),
    (
        "BALMS",
        "stage 2 of BalancedSoftmaxLoss, MetaSampler or MetaReweighter",
        "balanced_softmax_meta_sampler_stage2",
    ),
    (
        "square-root sampling",
        "stage 2 of SoftmaxLoss, ClassAwareTrainingSampler with POWER 0.5",
        "softmax_square_root_stage2",
    ),
    ("DRW", "LDAMLoss or a class-balanced loss with START_STEP", "ldam_drw_stage2"),
    ("GOL", "DropLoss or EQLLoss with LINK gumbel; on LVIS with the normalised masks", "gol"),
    ("LOCE", "stage 2 of EquilibriumLoss, FeatureMemoryAugmentation", "loce_stage2"),
    ("IRFS", "repeat factors with REPEAT_FREQUENCY image_and_instance", "irfs"),
)
_QUICK_CONFIG = "../configs/OpenMoji-InstanceSegmentation/mask_rcnn_small_{}.yaml"
_HEADER = """\
# All methods

Written by `python docs/methods_page.py` from the classes themselves; a test fails when it is
stale. A config key chooses a class; its parameters are keys below its node, the name before them
(`EQL`: THRESHOLD is `MODEL.ROI_BOX_HEAD.CLS_LOSS.EQL.THRESHOLD`). "The others of" a class have its
defaults. Combinations (a sampler and a loss, a classifier and a loss, a calibration after a plain
loss) are settings. A method of your own: [add-a-method.md](add-a-method.md).

z are logits, u = z + S the logits a loss sees, t one-hot targets, Omega weights of single logits.
n_j is the count of class j, q_j its share of all, f_j the share of pictures that have it; K is the
number of foreground classes, R that of RoIs. The background is neither shifted, nor weighted, nor
calibrated, unless a row says so. `tools/compare.py` compares methods on one detector.
"""
_COLUMNS = ("Method", "Equation", "Parameters and defaults", "Use when")


def own_classes(registry: Registry) -> list[type]:
    """lt_det's own classes of a registry, by name; a user's are not on the page."""
    classes = (cls for _, cls in registry if cls.__module__.startswith("lt_det."))
    return sorted(classes, key=lambda cls: cls.__name__)


def markdown() -> str:
    """The page, in Markdown.

    Raises:
        ValueError: naming the classes without a card.
    """
    classes = [cls for _, registry, *_ in SECTIONS for cls in own_classes(registry)]
    missing = [cls.__name__ for cls in classes if not isinstance(vars(cls).get("CARD"), MethodCard)]
    if missing:
        raise ValueError(
            f"{missing} have no card: give each a class attribute CARD = MethodCard(...), see "
            "lt_det/registry.py"
        )
    return "\n".join([_HEADER, *_tables()])


def _tables() -> Iterator[str]:
    for title, registry, suffix, key, node in SECTIONS:
        yield f"## {title}\n\n`{key}`; parameters below `{node}`.\n"
        yield from _head(*_COLUMNS)
        for cls in own_classes(registry):
            yield _card_row(cls.__name__, cls.CARD, _parameters(cls, registry, suffix))
        yield ""
    yield "## Settings of other parts\n"
    yield from _head("Setting", *_COLUMNS[1:])
    cfg = get_cfg()
    add_lt_det_config(cfg)
    for setting, card, (node, *keys) in SETTINGS:
        defaults = (f"{key} {_value(cfg, f'{node}.{key}')!r}" for key in keys)
        yield _card_row(setting, card, f"`{node}`: {', '.join(defaults)}")
    yield ""
    yield "## Published under a name of their own\n"
    yield from _head("Name", "What it is", "Config")
    for name, parts, config in COMBINATIONS:
        yield _row(name, parts, f"[{config}]({_QUICK_CONFIG.format(config)})")
    yield ""


def _value(cfg: CfgNode, key: str) -> Any:
    return functools.reduce(operator.getitem, key.split("."), cfg)


def _parameters(cls: type, registry: Registry, suffix: str) -> str:
    """Node and parameters of a class; those that it takes from a registered parent by its name."""
    hyper, of_parent = hyper_parameters(cls), ""
    known = own_classes(registry)
    for parent in (base for base in cls.__mro__[1:] if base in known):
        inherited = hyper_parameters(parent)
        if inherited and inherited.keys() <= hyper.keys():
            of_parent = f"the others of `{parent.__name__}`"
            hyper = {n: v for n, v in hyper.items() if inherited.get(n, ...) != v}
            break
    keys = [f"{name.upper()} {default!r}" for name, default in hyper.items()]
    listed = ", ".join([*keys, of_parent] if of_parent else keys)
    return f"`{node_name(cls, suffix)}`: {listed}" if listed else ""


def _card_row(name: str, card: MethodCard, parameters: str) -> str:
    link = f"[{card.arxiv}](https://arxiv.org/abs/{card.arxiv})" if card.arxiv else ""
    paper = ", ".join(part for part in (card.paper, link) if part)
    # Four columns are as wide as a page allows.
    return _row(
        "<br>".join(part for part in (f"`{name}`", paper) if part),
        f"`{card.equation}`" + (f"<br>Released code: {card.released}" if card.released else ""),
        parameters,
        f"{card.use_when}<br>Cost: {card.cost}.",
    )


def _head(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield _row(*["---"] * len(titles))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') or '-' for cell in cells)} |"


if __name__ == "__main__":
    print(markdown(), end="")
