"""Configs of BALMS: their control but for the meta step, and the step that the name says."""

import re
from pathlib import Path

import pytest
import yaml
from shipped_configs import LVIS, META, ROOT, build, load

from lt_det.data.loaders import build_batch_plan
from lt_det.engine.bilevel.trainer import build_meta_step
from lt_det.engine.trainer import LTTrainer

# The outer loss, whether weights have a mean of 1 (the Meta Sampler has none), and Adam's rate.
META_SETTINGS = {
    "meta_reweighter": ("balanced", True, 0.01),
    "meta_reweighter_paper": ("plain", False, 0.001),
    "meta_sampler": ("plain", None, 0.01),
}
# Chosen on dev (docs/meta.md).
OPENMOJI_SETTINGS = {
    "meta_reweighter": ("plain", True, 0.003),
    "meta_sampler": ("plain", None, 0.01),
}


def meta_method(name: str) -> str:
    return re.search(r"_(meta_\w+)_stage2", name)[1]


def test_there_is_a_row_for_every_setting():
    assert {meta_method(name) for name in META if name in LVIS} == META_SETTINGS.keys()
    assert {meta_method(name) for name in META if name not in LVIS} == OPENMOJI_SETTINGS.keys()


@pytest.mark.parametrize("name", META)
def test_differs_from_its_control_in_the_meta_step_alone(name):
    control = yaml.safe_load((ROOT / name).read_text())["_BASE_"]
    assert Path(control).name == Path(name).name.replace(f"_{meta_method(name)}", "")
    ours, theirs = load(name), load(str(Path(name).with_name(control)))
    assert (theirs.SOLVER.META.NAME, "_balanced_" in control) == ("", True)
    for cfg in (ours, theirs):
        del cfg.SOLVER["META"], cfg["OUTPUT_DIR"]
    assert ours == theirs


@pytest.mark.parametrize("name", META)
def test_meta_step_is_what_the_name_says(name):
    cfg = load(name)
    model = build(cfg)
    # Two pictures in place of the data set; the stream of the Meta Sampler only looks at classes.
    records = [
        {"width": width, "height": 5, "annotations": [{"category_id": class_id}]}
        for class_id, width in enumerate((4, 6))
    ]
    plan = build_batch_plan(cfg, records, seed=0)
    step = build_meta_step(cfg, model, LTTrainer.build_optimizer(cfg, model), plan)

    settings = META_SETTINGS if name in LVIS else OPENMOJI_SETTINGS
    outer_loss, normalized, base_lr = settings[meta_method(name)]
    sampler = "meta_sampler" in name
    assert type(step.method).__name__ == ("MetaSampler" if sampler else "MetaReweighter")
    assert step.phi.shape == (cfg.MODEL.ROI_HEADS.NUM_CLASSES,)
    assert (cfg.SOLVER.META.OUTER_LOSS, step.adam.defaults["lr"]) == (outer_loss, base_lr)
    assert sampler or cfg.SOLVER.META.REWEIGHTER.NORMALIZED == normalized
    # Otherwise the loader refuses: its workers fetch that many batches ahead.
    assert cfg.SOLVER.META.SAMPLER.LAG >= cfg.DATALOADER.NUM_WORKERS
    if sampler:
        assert len(next(iter(plan))) == cfg.SOLVER.IMS_PER_BATCH
