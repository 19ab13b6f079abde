"""A row of a shipped comparison is the method of its config."""

import pytest
from shipped_configs import ROOT, load

from lt_det.compare.rows import Comparison
from lt_det.compare.settings import with_settings

OPENMOJI = "configs/OpenMoji-InstanceSegmentation"
# A row of a comparison on features is the method of this config.
STAGE2 = {
    "softmax control": "softmax",
    "softmax control, class-aware": "softmax_class_aware",
    "cRT, class-aware": "crt",
    "LWS, class-aware": "lws",
    "MARC": "marc",
    "DisAlign": "disalign",
    "BAGS": "bags",
    "Balanced Softmax": "balanced_softmax",
    "BALMS, Meta Reweighter": "balanced_softmax_meta_reweighter",
    "BALMS, Meta Sampler": "balanced_softmax_meta_sampler",
    "sigmoid control": "sigmoid",
    "sigmoid control, class-aware": "sigmoid_class_aware",
    "Balanced Sigmoid": "balanced_sigmoid",
}
SOFTMAX_LOSSES = {
    "equilibrium loss": "equilibrium",
    "class-balanced weights": "class_balanced_softmax",
    "LDAM": "ldam",
    "Seesaw": "seesaw",
}
SIGMOID_LOSSES = {
    "ACSL": "acsl",
    "EQLv2": "eqlv2",
    "focal loss": "focal",
    "EFL": "efl",
    "ECM": "ecm",
    "verified negatives": "sigmoid_verified",
}
ROWS = [(f"{OPENMOJI}/comparisons/quick.yaml", *row) for row in STAGE2.items()]
ROWS += [("configs/comparisons/softmax_losses.yaml", *row) for row in SOFTMAX_LOSSES.items()]
ROWS += [("configs/comparisons/sigmoid_losses.yaml", *row) for row in SIGMOID_LOSSES.items()]


@pytest.mark.parametrize(("comparison", "row_name", "method"), ROWS)
def test_a_row_of_a_comparison_is_its_config(comparison, row_name, method):
    """But for the schedule and the rates, which each chooses on dev."""
    rows = Comparison.load(ROOT / comparison).rows
    (row,) = (row for row in rows if row.name == row_name)
    softmax = load(f"{OPENMOJI}/mask_rcnn_small_softmax.yaml")
    ours = with_settings(softmax, row.settings, num_pictures=100)
    theirs = load(f"{OPENMOJI}/mask_rcnn_small_{method}_stage2.yaml")
    # From a softmax detector, where the config starts from a sigmoid one.
    if "igmoid" in row_name or "sigmoid" in comparison:
        theirs.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    ours.defrost()
    for cfg in (ours, theirs):
        del cfg["OUTPUT_DIR"], cfg.MODEL["WEIGHTS"], cfg.SOLVER.META["BASE_LR"]
        for key in ("BASE_LR", "MAX_ITER", "STEPS", "WARMUP_ITERS"):
            del cfg.SOLVER[key]
    assert ours.dump() == theirs.dump()
