"""Makes `import bilevel` and the losses' `import contract` work from here."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "losses"))


@pytest.fixture
def unequal_stage_two(tiny_cfg, toy_lvis):
    """The classifier alone, on pictures with unequal numbers of RoIs, one of them without any
    object; data registered by the config, which other processes can do too."""
    tiny_cfg.DATASETS.REGISTER = [
        [toy_lvis.train, "lvis", str(toy_lvis.train_json), str(toy_lvis.image_root)]
    ]
    tiny_cfg.DATASETS.TEST = ()
    tiny_cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    tiny_cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    tiny_cfg.SOLVER.IMS_PER_BATCH = 4
    tiny_cfg.SOLVER.MAX_ITER = 20
    tiny_cfg.SOLVER.BASE_LR = 0.05
    # More than there are proposals: a picture has as many RoIs as the RPN and the objects give,
    # but of the foreground only one, drawn at random.
    tiny_cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 128
    tiny_cfg.MODEL.ROI_HEADS.POSITIVE_FRACTION = 0.01
    return tiny_cfg
