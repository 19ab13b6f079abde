"""``add_lt_det_config(cfg)``: registers everything and adds every key.

Defaults leave Detectron2 as it is.
"""

from __future__ import annotations

import logging

from detectron2.config import CfgNode
from fvcore.common.registry import Registry

from lt_det.class_stats import check_group_thresholds
from lt_det.data.datasets.lvis_builtin import extend_lvis_metadata
from lt_det.data.repeat_factors import check_repeat_factors
from lt_det.data.samplers import SAMPLER_SUFFIX, TRAIN_SAMPLER_REGISTRY
from lt_det.evaluation.metric_options import MetricOptions
from lt_det.evaluation.official.backends import check_backend
from lt_det.losses import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.base import LOSS_SUFFIX
from lt_det.modeling.calibrations.base import CALIBRATION_REGISTRY, CALIBRATION_SUFFIX
from lt_det.modeling.classifiers.base import CLASSIFIER_REGISTRY, CLASSIFIER_SUFFIX
from lt_det.modeling.feature_augmentations.base import (
    FEATURE_AUGMENTATION_REGISTRY,
    FEATURE_AUGMENTATION_SUFFIX,
)
from lt_det.registry import hyper_parameters, node_name
from lt_det.utils.compat import check_detectron2

__all__ = ["add_lt_det_config", "check_config"]

logger = logging.getLogger(__name__)


def add_lt_det_config(cfg: CfgNode) -> None:
    """Add lt_det's keys to a config from ``detectron2.config.get_cfg()``.

    Classes registered outside lt_det before this call get their keys too.

    Raises:
        ImportError: if the installed Detectron2 is too old.
        ValueError: if a registered class would take the place of another one's keys.
    """
    check_detectron2()
    extend_lvis_metadata()

    box_head = cfg.MODEL.ROI_BOX_HEAD
    # The classification loss. Each registered loss has a node of its own parameters.
    box_head.CLS_LOSS = CfgNode({"NAME": "SoftmaxLoss", "WEIGHT": 1.0})
    _add_nodes(box_head.CLS_LOSS, BOX_CLS_LOSS_REGISTRY, LOSS_SUFFIX)
    # The layer from features to logits.
    box_head.CLASSIFIER = CfgNode({"NAME": "LinearClassifier"})
    # Start training with a fresh classifier instead of the one in MODEL.WEIGHTS.
    box_head.CLASSIFIER.REINIT = False
    _add_nodes(box_head.CLASSIFIER, CLASSIFIER_REGISTRY, CLASSIFIER_SUFFIX)
    # Features that train the classifier beside those of the RoIs, "" for none.
    box_head.FEATURE_AUGMENTATION = CfgNode({"NAME": ""})
    # Steps between evaluations on the held-out pictures; 0 is one pass over the training pictures.
    box_head.FEATURE_AUGMENTATION.PERIOD = 0
    _add_nodes(
        box_head.FEATURE_AUGMENTATION, FEATURE_AUGMENTATION_REGISTRY, FEATURE_AUGMENTATION_SUFFIX
    )

    # Of NormedMaskRCNNConvUpsampleHead.
    cfg.MODEL.ROI_MASK_HEAD.NORMED_PREDICTOR = CfgNode({"TEMPERATURE": 20.0, "POWER": 1.0})

    # A user's own data sets, each [name, "coco" or "lvis", annotation file, image folder]. Relative
    # paths are below $DETECTRON2_DATASETS.
    cfg.DATASETS.REGISTER = ()
    # Share of the training pictures that is set aside to adapt a feature augmentation. Neither
    # detector nor classifier trains on them; a class keeps at least one picture for training.
    cfg.DATASETS.HOLDOUT = 0.0
    # Class statistics: "" computes them from DATASETS.TRAIN, "checkpoint" takes them from the
    # checkpoint, anything else is a file written by ClassStats.save.
    cfg.DATASETS.CLASS_STATS_FILE = ""
    # rare <= first < common <= second < frequent, in training images.
    cfg.DATASETS.GROUP_THRESHOLDS = (10, 100)

    # Of RepeatFactorTrainingSampler, beside REPEAT_THRESHOLD: "image" is Detectron2's frequency,
    # "image_and_instance" that of instance-aware repeat factors.
    cfg.DATALOADER.REPEAT_FREQUENCY = "image"
    # Largest repeat factor of a picture, 0 for none.
    cfg.DATALOADER.REPEAT_CAP = 0.0
    # Count classes as the training sampler shows them, not as the data set has them.
    cfg.DATALOADER.REPEAT_CORRECTED = False
    _add_nodes(cfg.DATALOADER, TRAIN_SAMPLER_REGISTRY, SAMPLER_SUFFIX)

    # What a bank of RoI features keeps (lt_det.bank, tools/compare.py).
    cfg.FEATURE_BANK = CfgNode()
    # Visits to every training picture, each under other augmentation.
    cfg.FEATURE_BANK.NUM_VIEWS = 1
    # Background RoIs kept of a picture, beside all foreground; -1 is all.
    cfg.FEATURE_BANK.NUM_BACKGROUND = 128
    # "float16" or "float32".
    cfg.FEATURE_BANK.DTYPE = "float16"
    # Keep the feature maps of test pictures too, so that masks need no pass through the backbone.
    # LVIS val at 800 px: 45 MB a picture.
    cfg.FEATURE_BANK.STORE_MAPS = False
    cfg.FEATURE_BANK.SHARD_PICTURES = 256
    # Pictures in a forward pass of a process.
    cfg.FEATURE_BANK.IMS_PER_BATCH = 8
    # "" draws the pictures of DATALOADER.SAMPLER_TRAIN, "class_aware" draws RoIs: a class, then an
    # RoI of it.
    cfg.FEATURE_BANK.ROI_SAMPLER = ""

    # Globs over parameter names (fnmatch). Everything else is frozen.
    cfg.SOLVER.TRAINABLE_PARAMS = ("*",)
    # The bilevel step of BALMS: "" is none, or "MetaReweighter", "MetaSampler".
    cfg.SOLVER.META = CfgNode({"NAME": ""})
    # Adam's, on the class rates.
    cfg.SOLVER.META.BASE_LR = 0.01
    # Pictures of the class-balanced meta batch; 0 is SOLVER.IMS_PER_BATCH.
    cfg.SOLVER.META.IMS_PER_BATCH = 0
    # "plain" as in the paper, or "balanced": the inner loss, what the released detector code has.
    cfg.SOLVER.META.OUTER_LOSS = "plain"
    # Give Adam the hypergradient in a size it can read, whatever the learning rate is.
    cfg.SOLVER.META.RESCALE = True
    # Both batches in one pass through the body: fewer calls, twice the memory.
    cfg.SOLVER.META.ONE_PASS = False
    # Scale the weights to a mean of 1 over the foreground, as released; False is the paper's text.
    cfg.SOLVER.META.REWEIGHTER = CfgNode({"NORMALIZED": True})
    # Steps between the rates that a batch is drawn under and the step that trains on it.
    cfg.SOLVER.META.SAMPLER = CfgNode({"LAG": 8})
    # Steps between two rows of gradient_ratio.csv, the positive-to-negative gradient ratio of each
    # class; 0 is none.
    cfg.SOLVER.GRADIENT_RATIO = CfgNode({"PERIOD": 0})
    # "float16" or "bfloat16", with SOLVER.AMP.ENABLED, on GPU and CPU.
    cfg.SOLVER.AMP.PRECISION = "float16"

    # Post-hoc calibration of the probabilities of a trained model, "" for none.
    cfg.TEST.CALIBRATION = CfgNode({"NAME": ""})
    _add_nodes(cfg.TEST.CALIBRATION, CALIBRATION_REGISTRY, CALIBRATION_SUFFIX)
    # Who evaluates LVIS-format sets, with the same numbers: "hotcoco", where it is installed, or
    # "lvis", the official API.
    cfg.TEST.LVIS_BACKEND = "hotcoco"
    # Groups of classes of your own: a JSON object, category id -> name, see docs/evaluation.md.
    cfg.TEST.GROUPS_FILE = ""
    # AP_fixed and AP_pool: over the best so many detections of each class of a test set (10000 in
    # the paper), for which the model keeps all above MODEL.ROI_HEADS.SCORE_THRESH_TEST. 0 is none.
    cfg.TEST.DETECTIONS_PER_CLASS = 0
    # Boundary AP: width of a boundary as a share of the image's diagonal (0.02 in the paper).
    cfg.TEST.BOUNDARY_DILATION = 0.0
    # Shares of the kinds of errors and confused classes, into diagnostics.json.
    cfg.TEST.ERROR_ANALYSIS = True
    # Write the detections, too, in the result format of LVIS and COCO: about 500 bytes each.
    cfg.TEST.SAVE_PREDICTIONS = False


def check_config(cfg: CfgNode) -> None:
    """Raise on contradictions between keys, warn of combinations that correct twice.

    Raises:
        ValueError: saying which key to change.
    """
    check_group_thresholds(cfg.DATASETS.GROUP_THRESHOLDS)
    check_backend(cfg.TEST.LVIS_BACKEND)
    MetricOptions.from_config(cfg)
    check_repeat_factors(cfg)
    if cfg.SOLVER.AMP.PRECISION not in ("float16", "bfloat16"):
        raise ValueError(
            "Expected SOLVER.AMP.PRECISION to be 'float16' or 'bfloat16', but got "
            f"{cfg.SOLVER.AMP.PRECISION!r}"
        )
    _check_augmentation(cfg)
    loss = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS
    # An unknown name is told by whoever builds the loss.
    known = loss.NAME in BOX_CLS_LOSS_REGISTRY
    balanced = known and BOX_CLS_LOSS_REGISTRY.get(loss.NAME).corrects_imbalance
    if balanced and _sampler_corrects(cfg) and not cfg.DATALOADER.REPEAT_CORRECTED:
        logger.warning(
            "%s with %s corrects the imbalance twice: set "
            "DATALOADER.REPEAT_CORRECTED True to count classes as the sampler shows them",
            loss.NAME,
            cfg.DATALOADER.SAMPLER_TRAIN,
        )
    if balanced and cfg.TEST.CALIBRATION.NAME:
        logger.warning(
            "%s on a model trained with %s corrects the imbalance twice: set "
            "TEST.CALIBRATION.NAME '', or calibrate a model of the plain loss",
            cfg.TEST.CALIBRATION.NAME,
            loss.NAME,
        )


def _sampler_corrects(cfg: CfgNode) -> bool:
    name = cfg.DATALOADER.SAMPLER_TRAIN
    known = name in TRAIN_SAMPLER_REGISTRY
    return known and getattr(TRAIN_SAMPLER_REGISTRY.get(name), "corrects_imbalance", False)


def _check_augmentation(cfg: CfgNode) -> None:
    node = cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION
    key = "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION"
    if node.PERIOD < 0:
        raise ValueError(f"Expected {key}.PERIOD to be at least 0, but got {node.PERIOD}")
    if not node.NAME:
        return
    if cfg.SOLVER.META.NAME:
        raise ValueError(
            f"{key}.NAME {node.NAME!r} has no part in the bilevel step of SOLVER.META.NAME "
            f"{cfg.SOLVER.META.NAME!r}: set one of them to ''"
        )
    known = node.NAME in FEATURE_AUGMENTATION_REGISTRY
    if known and FEATURE_AUGMENTATION_REGISTRY.get(node.NAME).adapts and not cfg.DATASETS.HOLDOUT:
        raise ValueError(
            f"{key}.NAME {node.NAME!r} adapts to the loss on training pictures that are set aside: "
            "set DATASETS.HOLDOUT to their share, for example 0.05"
        )


def _add_nodes(parent: CfgNode, registry: Registry, suffix: str) -> None:
    owners = {key: "a key" for key, value in parent.items() if not isinstance(value, CfgNode)}
    for _, cls in registry:
        node = node_name(cls, suffix)
        if node in owners:
            raise ValueError(
                f"{cls.__name__} would have its parameters below {node}, where {owners[node]} is "
                "already: rename the class"
            )
        owners[node] = cls.__name__
        keys = {name.upper(): default for name, default in hyper_parameters(cls).items()}
        parent[node] = CfgNode(keys)
