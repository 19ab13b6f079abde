"""Signal and noise of the rates' gradient."""

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng

from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.compare.studies.rate_noise import noise_by_group, rate_gradients
from lt_det.data.datasets.training_sets import training_dicts
from lt_det.engine.checkpoint import LTCheckpointer


def test_a_table_of_known_gradients():
    """Class 0 never has one, 1 always -1 +- 0.1 in turn, 2 is noise of mean 0, 3 in half."""
    steps = 100
    gradients = np.zeros((steps, 4))
    gradients[:, 1] = -1 + 0.1 * (-1.0) ** np.arange(steps)
    gradients[:, 2] = (-1.0) ** np.arange(steps)
    gradients[::2, 3] = 2.0
    rows = noise_by_group(gradients, np.array([0, 2, 2, 2]))
    spread = 0.1 * np.sqrt(steps / (steps - 1))
    middle = 1.0 / np.sqrt(steps / (steps - 1))  # class 3: mean 1, spread 1; class 1: 1 / 0.1
    assert 1 / spread > middle
    assert rows == [
        ["rare", 1, "0.0 %", "0.000", 0, 0],
        ["frequent", 3, f"{100 * 2.5 / 3:.1f} %", f"{middle:.3f}", 1, 1],
    ]


@pytest.mark.integration
@pytest.mark.parametrize("name", ["MetaReweighter", "MetaSampler"])
def test_nothing_moves(tiny_cfg, name, tmp_path):
    tiny_cfg.SOLVER.META.NAME, tiny_cfg.SOLVER.META.SAMPLER.LAG = name, 1
    tiny_cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    seed_all_rng(0)
    model = build_model(tiny_cfg)
    dicts = training_dicts(tiny_cfg)
    LTCheckpointer(model, str(tmp_path)).save("stage1")
    tiny_cfg.MODEL.WEIGHTS = str(tmp_path / "stage1.pth")
    bank = build_feature_bank(tiny_cfg, model, tmp_path / "bank")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = rate_gradients(tiny_cfg, model, bank, dicts, 4)
    assert first.shape == (4, 5)
    assert np.abs(first).max() > 0
    np.testing.assert_array_equal(rate_gradients(tiny_cfg, model, bank, dicts, 4), first)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
