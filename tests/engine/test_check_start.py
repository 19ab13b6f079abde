"""Weights that are not there and a GPU that is not there are found before a model is built."""

from pathlib import Path

import pytest
import torch

from lt_det.engine.check_start import check_device, check_weights
from lt_det.engine.run import evaluate, train
from lt_det.engine.trainer import LTTrainer


@pytest.fixture
def never_built(monkeypatch):
    monkeypatch.setattr(LTTrainer, "build_model", None)


def mark_as_trained(cfg) -> Path:
    output = Path(cfg.OUTPUT_DIR)
    output.mkdir()
    (output / "last_checkpoint").write_text("model_final.pth")
    return output


@pytest.mark.parametrize("name", ["model_final.pth", "model_0004999.pth"])
@pytest.mark.parametrize("start", [train, evaluate])
@pytest.mark.usefixtures("never_built")
def test_stage_two_before_stage_one(tiny_cfg, tmp_path, start, name):
    tiny_cfg.MODEL.WEIGHTS = str(tmp_path / "stage1" / name)
    with pytest.raises(
        FileNotFoundError,
        match=rf"MODEL.WEIGHTS .*/stage1/{name} does not exist.*OUTPUT_DIR, here .*/stage1: train",
    ):
        start(tiny_cfg)


def test_other_names_are_not_said_to_be_a_trainings(tiny_cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_cfg.MODEL.WEIGHTS = "R-50.pkl"
    with pytest.raises(FileNotFoundError) as info:
        check_weights(tiny_cfg)
    expected = f"MODEL.WEIGHTS R-50.pkl does not exist (looked for from {tmp_path})"
    assert str(info.value) == expected


@pytest.mark.parametrize(
    "weights",
    [
        "",
        "detectron2://ImageNetPretrained/MSRA/R-50.pkl",
        "catalog://ImageNetPretrained/R-50",
        "https://dl.fbaipublicfiles.com/model.pkl",
        "here.pth",
        "here.pth?matching_heuristics=True",
    ],
)
def test_what_is_there_or_elsewhere_passes(tiny_cfg, tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    Path("here.pth").touch()
    tiny_cfg.MODEL.WEIGHTS = weights
    check_weights(tiny_cfg)


def test_a_resume_needs_no_weights(tiny_cfg, tmp_path, monkeypatch):
    """Stage 2 goes on where stage 1 is not."""

    class Built(Exception):
        pass

    def build_model(cfg):
        raise Built

    monkeypatch.setattr(LTTrainer, "build_model", staticmethod(build_model))
    tiny_cfg.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    mark_as_trained(tiny_cfg)
    for start in (train, evaluate):
        with pytest.raises(Built):
            start(tiny_cfg, resume=True)
        with pytest.raises(FileNotFoundError):
            start(tiny_cfg, resume=False)


@pytest.mark.usefixtures("never_built")
@pytest.mark.parametrize("resume", [False, True])
def test_random_weights_are_not_evaluated(tiny_cfg, resume):
    with pytest.raises(ValueError, match=r"MODEL.WEIGHTS is empty: .*output/model_final\.pth"):
        evaluate(tiny_cfg, resume=resume)


def test_other_weights_than_the_trained_ones_are_warned_of(tiny_cfg, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(LTTrainer, "test", classmethod(lambda cls, cfg, model: {}))
    output = mark_as_trained(tiny_cfg)
    model = LTTrainer.build_model(tiny_cfg).state_dict()
    for folder in (tmp_path, output):
        torch.save({"model": model}, folder / "model_final.pth")
    for folder, is_warned in ((output, False), (tmp_path, True)):
        tiny_cfg.MODEL.WEIGHTS = str(folder / "model_final.pth")
        evaluate(tiny_cfg)
        assert ("not the model that was trained in OUTPUT_DIR" in caplog.text) == is_warned
    assert f"--resume or MODEL.WEIGHTS {output}/model_final.pth" in caplog.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there(tiny_cfg, device):
    check_device(tiny_cfg)
    tiny_cfg.MODEL.DEVICE = device
    for start in (LTTrainer, LTTrainer.build_model):
        with pytest.raises(ValueError, match=rf"MODEL.DEVICE is '{device}', .* MODEL.DEVICE cpu"):
            start(tiny_cfg)
