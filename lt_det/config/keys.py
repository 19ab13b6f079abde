"""Every key that lt_det adds to a Detectron2 config: default, meaning, and who reads it.

The parameters of registered classes are keys too, by themselves: :mod:`lt_det.config.method_nodes`
says below which node.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["KEYS", "Key"]


class Key(NamedTuple):
    """One key.

    Attributes:
        name: its full name.
        default: leaves Detectron2 as it is.
        owner: full name of the class or function that reads it, a name alone because most owners
            stand above this package.
        text: what it means.
    """

    name: str
    default: Any
    owner: str
    text: str


_BOX_HEAD = (
    Key(
        "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME",
        "SoftmaxLoss",
        "lt_det.modeling.build.build_box_cls_loss",
        "The classification loss of the box head.",
    ),
    Key(
        "MODEL.ROI_BOX_HEAD.CLS_LOSS.WEIGHT",
        1.0,
        "lt_det.modeling.box_predictor.LTFastRCNNOutputLayers",
        "Weight of loss_cls among the losses.",
    ),
    Key(
        "MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME",
        "LinearClassifier",
        "lt_det.modeling.build.build_classifier",
        "The layer from features to logits.",
    ),
    Key(
        "MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT",
        False,
        "lt_det.engine.trainer.initialize_from_weights",
        "Start training with a fresh classifier instead of the one in MODEL.WEIGHTS.",
    ),
    Key(
        "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME",
        "",
        "lt_det.modeling.build.build_feature_augmentation",
        "Features that train the classifier beside those of the RoIs; '' for none.",
    ),
    Key(
        "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.PERIOD",
        0,
        "lt_det.engine.feature_adaptation.FeatureAdaptation",
        "Steps between evaluations on the held-out images; 0 is one pass over the training images.",
    ),
    Key(
        "MODEL.ROI_MASK_HEAD.NORMED_PREDICTOR.TEMPERATURE",
        20.0,
        "lt_det.modeling.mask_head.NormedMaskRCNNConvUpsampleHead",
        "Scale of the normalised weights and features of the mask predictor.",
    ),
    Key(
        "MODEL.ROI_MASK_HEAD.NORMED_PREDICTOR.POWER",
        1.0,
        "lt_det.modeling.mask_head.NormedMaskRCNNConvUpsampleHead",
        "Power of the weights' norm that they are divided by.",
    ),
)
_DATA = (
    Key(
        "DATASETS.IGNORE",
        "fault",
        "lt_det.data.datasets.register.register_from_config",
        "What an object with `ignore` 1 is in a COCO-format file of DATASETS.REGISTER: fault "
        "refuses the file, for pycocotools does not read `ignore`; crowd takes the object as a "
        "crowd. In the LVIS format such objects are ignored, as the LVIS API does.",
    ),
    Key(
        "DATASETS.REGISTER",
        (),
        "lt_det.data.datasets.register.register_from_config",
        "A user's own data sets, each [name, 'coco' or 'lvis', annotation file, image folder]. "
        "Relative paths are below $DETECTRON2_DATASETS.",
    ),
    Key(
        "DATASETS.HOLDOUT",
        0.0,
        "lt_det.data.held_out.split_held_out",
        "Share of the training images that is set aside to adapt a feature augmentation. Neither "
        "detector nor classifier trains on them, and the class prior does not count them; a class "
        "keeps at least one image for training.",
    ),
    Key(
        "DATASETS.CLASS_STATS_FILE",
        "",
        "lt_det.data.statistics.class_stats_from_config",
        "Class statistics: '' computes them from DATASETS.TRAIN, 'checkpoint' takes them from the "
        "checkpoint, anything else is a file written by ClassStats.save.",
    ),
    Key(
        "DATASETS.GROUP_THRESHOLDS",
        (10, 100),
        "lt_det.engine.test_sets.build_evaluator",
        "rare <= first < common <= second < frequent, in training images.",
    ),
    Key(
        "DATALOADER.REPEAT_FREQUENCY",
        "image",
        "lt_det.data.repeat_factors.repeat_factors",
        "Frequency of RepeatFactorTrainingSampler, beside REPEAT_THRESHOLD: 'image' is "
        "Detectron2's, 'image_and_instance' that of instance-aware repeat factors.",
    ),
    Key(
        "DATALOADER.REPEAT_CAP",
        0.0,
        "lt_det.data.repeat_factors.repeat_factors",
        "Largest repeat factor of an image; 0 for none.",
    ),
    Key(
        "DATALOADER.REPEAT_CORRECTED",
        False,
        "lt_det.data.statistics.class_stats_from_config",
        "Count classes as the training sampler shows them, not as the data set has them.",
    ),
)
_BANK = (
    Key(
        "FEATURE_BANK.NUM_VIEWS",
        1,
        "lt_det.bank.extract_training_set.build_feature_bank",
        "Visits to every training image, each under other augmentation.",
    ),
    Key(
        "FEATURE_BANK.NUM_BACKGROUND",
        128,
        "lt_det.bank.extract_training_set.build_feature_bank",
        "Background RoIs kept of an image, beside all foreground; -1 is all.",
    ),
    Key(
        "FEATURE_BANK.DTYPE",
        "float16",
        "lt_det.bank.extract_training_set.build_feature_bank",
        "'float16' or 'float32'.",
    ),
    Key(
        "FEATURE_BANK.STORE_MAPS",
        False,
        "lt_det.bank.extract_test_set.build_proposal_bank",
        "Keep the feature maps of test images too, so that masks need no pass through the "
        "backbone. LVIS val at 800 px: 45 MB an image.",
    ),
    Key(
        "FEATURE_BANK.SHARD_PICTURES",
        256,
        "lt_det.bank.extraction.extract",
        "Images in a file of the bank.",
    ),
    Key(
        "FEATURE_BANK.IMS_PER_BATCH",
        8,
        "lt_det.bank.extract_training_set.build_feature_bank",
        "Images in a forward pass of a process.",
    ),
    Key(
        "FEATURE_BANK.ROI_SAMPLER",
        "",
        "lt_det.bank.training.train_classifier",
        "'' draws the images of DATALOADER.SAMPLER_TRAIN, 'class_aware' draws RoIs: a class, then "
        "an RoI of it.",
    ),
)
_SOLVER = (
    Key(
        "SOLVER.TRAINABLE_PARAMS",
        ("*",),
        "lt_det.engine.freeze.freeze_parameters",
        "Globs over parameter names (fnmatch). Everything else is frozen.",
    ),
    Key(
        "SOLVER.META.NAME",
        "",
        "lt_det.engine.bilevel.trainer.build_meta_step",
        "The bilevel step of BALMS: '' is none, or 'MetaReweighter', 'MetaSampler'.",
    ),
    Key(
        "SOLVER.META.BASE_LR",
        0.01,
        "lt_det.engine.bilevel.trainer.build_meta_step",
        "Learning rate of Adam on the class rates.",
    ),
    Key(
        "SOLVER.META.IMS_PER_BATCH",
        0,
        "lt_det.data.loaders.build_meta_plan",
        "Images of the class-balanced meta batch; 0 is SOLVER.IMS_PER_BATCH.",
    ),
    Key(
        "SOLVER.META.OUTER_LOSS",
        "plain",
        "lt_det.engine.bilevel.trainer.build_meta_step",
        "'plain' as in the paper, or 'balanced': the inner loss, what the released detector code "
        "has.",
    ),
    Key(
        "SOLVER.META.RESCALE",
        True,
        "lt_det.engine.bilevel.trainer.build_meta_step",
        "Give Adam the hypergradient in a size it can read, whatever the learning rate is.",
    ),
    Key(
        "SOLVER.META.ONE_PASS",
        False,
        "lt_det.engine.trainer.LTTrainer",
        "Both batches in one pass through the body: fewer calls, twice the memory.",
    ),
    Key(
        "SOLVER.META.REWEIGHTER.NORMALIZED",
        True,
        "lt_det.engine.bilevel.trainer.build_meta_step",
        "Scale the weights to a mean of 1 over the foreground, as released; False is the paper's "
        "text.",
    ),
    Key(
        "SOLVER.META.SAMPLER.LAG",
        8,
        "lt_det.data.loaders.build_batch_plan",
        "Steps between the rates that a batch is drawn under and the step that trains on it.",
    ),
    Key(
        "SOLVER.GRADIENT_RATIO.PERIOD",
        0,
        "lt_det.engine.gradient_ratio.GradientRatio",
        "Steps between two rows of gradient_ratio.csv, the positive-to-negative gradient ratio of "
        "each class; 0 is none.",
    ),
    Key(
        "SOLVER.AMP.PRECISION",
        "float16",
        "lt_det.engine.trainer.LTTrainer",
        "'float16' or 'bfloat16', with SOLVER.AMP.ENABLED, on GPU and CPU.",
    ),
)
_TEST = (
    Key(
        "TEST.CALIBRATION.NAME",
        "",
        "lt_det.modeling.calibrations.base.build_calibration",
        "Post-hoc calibration of the probabilities of a trained model; '' for none.",
    ),
    Key(
        "TEST.LVIS_BACKEND",
        "hotcoco",
        "lt_det.engine.test_sets.build_evaluator",
        "Who evaluates LVIS-format sets, with the same numbers: 'hotcoco', where it is installed, "
        "or 'lvis', the official API.",
    ),
    Key(
        "TEST.GROUPS_FILE",
        "",
        "lt_det.engine.test_sets.build_evaluator",
        "Groups of classes of your own: a JSON object, category id -> name, see "
        "docs/evaluation.md.",
    ),
    Key(
        "TEST.DETECTIONS_PER_CLASS",
        0,
        "lt_det.evaluation.metric_options.MetricOptions",
        "AP_fixed and AP_pool: over the best so many detections of each class of a test set (10000 "
        "in the paper), for which the model keeps all above MODEL.ROI_HEADS.SCORE_THRESH_TEST. 0 "
        "is none.",
    ),
    Key(
        "TEST.BOUNDARY_DILATION",
        0.0,
        "lt_det.evaluation.metric_options.MetricOptions",
        "Boundary AP: width of a boundary as a share of the image's diagonal (0.02 in the paper).",
    ),
    Key(
        "TEST.ERROR_ANALYSIS",
        True,
        "lt_det.evaluation.metric_options.MetricOptions",
        "Shares of the kinds of errors and confused classes, into diagnostics.json.",
    ),
    Key(
        "TEST.SAVE_PREDICTIONS",
        False,
        "lt_det.engine.test_sets.build_evaluator",
        "Write the detections, too, in the result format of LVIS and COCO: about 500 bytes each.",
    ),
)

KEYS: tuple[Key, ...] = (*_BOX_HEAD, *_DATA, *_BANK, *_SOLVER, *_TEST)
