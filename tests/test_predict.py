"""``tools/demo.py``: a trained model on a user's own pictures."""

import logging
import math
import re

import numpy as np
import pytest
import torch
from detectron2.data.detection_utils import read_image
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from detectron2.utils.logger import setup_logger
from PIL import Image
from tool_modules import load_tool

from lt_det.predict import Predictor, find_pictures


@pytest.fixture
def trained(tiny_cfg, tmp_path):
    """Config file of a model that finds something, with its checkpoint."""
    torch.manual_seed(0)
    model = build_model(tiny_cfg)
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.5)
    path = tmp_path / "model_final.pth"
    torch.save({"model": model.state_dict()}, path)
    tiny_cfg.MODEL.WEIGHTS = str(path)
    config = tmp_path / "config.yaml"
    config.write_text(tiny_cfg.dump())
    return config


@pytest.fixture
def tool():
    """The command; its handler, which writes to this test's output, ends with the test."""
    logger = logging.getLogger("lt_det")
    before = logger.handlers[:], logger.propagate
    setup_logger.cache_clear()
    yield load_tool("demo").main
    logger.handlers[:], logger.propagate = before
    setup_logger.cache_clear()


@pytest.mark.parametrize("channels", ["BGR", "RGB"])
def test_finds_what_detectron2s_predictor_finds(trained, tiny_cfg, toy_lvis, channels):
    tiny_cfg.INPUT.FORMAT = channels
    image = read_image(str(toy_lvis.image_root / "3.png"), format="BGR")
    ours = Predictor(tiny_cfg)(image)
    theirs = DefaultPredictor(tiny_cfg)(image)["instances"]
    assert len(ours)
    assert ours.scores.equal(theirs.scores)
    assert ours.pred_boxes.tensor.equal(theirs.pred_boxes.tensor)
    assert ours.pred_masks.equal(theirs.pred_masks)


@pytest.mark.integration
def test_draws_pictures_and_passes_over_what_is_none(
    tool, trained, tiny_cfg, toy_lvis, tmp_path, capsys
):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("0.png", "3.png"):
        (folder / name).write_bytes((toy_lvis.image_root / name).read_bytes())
    (folder / "notes.txt").write_text("no picture")
    arguments = ["--config-file", str(trained), "--input", str(folder), "--threshold", "0.0"]
    assert tool([*arguments, "--output", str(tmp_path / "drawn")]) == 0
    find = Predictor(tiny_cfg)
    images = [read_image(str(folder / name), format="BGR") for name in ("0.png", "3.png")]
    number = sum(len(find(image)) for image in images)
    assert f"{number} detections of score 0 or more on 2 of 3 pictures" in capsys.readouterr().out
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert drawn == ["0.png", "3.png"]
    before = np.asarray(Image.open(folder / "3.png").convert("RGB"), dtype=int)
    picture = Image.open(tmp_path / "drawn" / "3.png").convert("RGB").resize((64, 64))
    assert np.abs(np.asarray(picture, dtype=int) - before).mean() > 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--input": "nowhere/*.jpg"}, "No picture matches --input 'nowhere/*.jpg'"),
        ({"MODEL.WEIGHTS": ""}, "MODEL.WEIGHTS is empty"),
        ({"MODEL.ROI_HEADS.NUM_CLASSES": "7"}, "check MODEL.ROI_HEADS.NUM_CLASSES"),
    ],
)
def test_mistakes_end_in_one_line(tool, trained, toy_lvis, tmp_path, capsys, change, words):
    values = {"--input": str(toy_lvis.image_root), "--output": str(tmp_path / "drawn")}
    values = {"--config-file": str(trained), **values, **change}
    assert tool([part for pair in values.items() for part in pair]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


@pytest.mark.integration
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], r"0 detections of score 1.5 or more on 8 of 8 .*The best score seen is {}: a lower"),
        (
            ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", "1.0"],
            r"None has a score above MODEL.ROI_HEADS.SCORE_THRESH_TEST 1",
        ),
    ],
)
def test_the_best_score_is_named_where_nothing_passes(
    tool, trained, tiny_cfg, toy_lvis, tmp_path, capsys, options, words
):
    arguments = ["--config-file", str(trained), "--input", str(toy_lvis.image_root)]
    arguments += ["--threshold", "1.5", "--output", str(tmp_path / "drawn")]
    assert tool([*arguments, *options]) == 0
    find = Predictor(tiny_cfg)
    images = [read_image(str(path)) for path in sorted(toy_lvis.image_root.iterdir())]
    best = max(find(image).scores.max().item() for image in images)
    # Rounded down: as a threshold, it draws the detection.
    named = math.floor(1000 * best) / 1000
    assert re.search(words.format(named), capsys.readouterr().out)


def test_folders_and_patterns_are_expanded(toy_lvis):
    folder = find_pictures([str(toy_lvis.image_root)])
    assert len(folder) == 8
    assert find_pictures([f"{toy_lvis.image_root}/*.png"]) == folder
    assert find_pictures([str(folder[0]), str(folder[1])]) == folder[:2]
