"""A detector to be frozen, its checkpoint, and a config that makes bank and detector agree."""

import pytest
from detectron2.modeling import build_model
from toy_stage1 import frozen_stage1

from lt_det.engine.checkpoint import LTCheckpointer


@pytest.fixture
def bank_cfg(tiny_cfg, tmp_path):
    """See :func:`frozen_stage1`."""
    return frozen_stage1(tiny_cfg, tmp_path)


@pytest.fixture
def stage1(bank_cfg):
    """The detector of ``MODEL.WEIGHTS``."""
    model = build_model(bank_cfg)
    LTCheckpointer(model).load(bank_cfg.MODEL.WEIGHTS)
    return model
