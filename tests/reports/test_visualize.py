import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from pycocotools import mask as mask_utils
from toy_lvis import ToyLVIS, make_instances

from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.evaluation.lvis_evaluator import PREDICTIONS_FILE, LTLVISEvaluator
from lt_det.reports.drawing import DrawnObject, PanelPainter, enlargement, montage
from lt_det.reports.visualize import choose_pictures, draw_predictions, read_predictions

NAME = "lt_det_test_visualize"
RED, BLUE = (214, 39, 40), (31, 119, 180)  # rare, frequent


@pytest.fixture
def toy(tmp_path):
    """Three black pictures of 40 x 40; classes 1 frequent, 2 rare, on pictures 1; 1, 2; none."""
    toy = ToyLVIS("fr")
    for image_id in (1, 2, 3):
        toy.image(image_id, 40, 40)
        Image.new("RGB", (40, 40)).save(tmp_path / f"{image_id}.jpg")
    toy.box(1, 1, [4, 4, 20, 20])
    toy.box(2, 1, [4, 4, 10, 10])
    toy.box(2, 2, [20, 20, 16, 16])
    register_lvis_format(NAME, toy.write(tmp_path / "toy.json"), tmp_path)
    yield toy
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def write_results(path, *results):
    path.write_text(json.dumps(list(results)))
    return path


def rle(y0, y1, x0, x1, size=(40, 40)):
    mask = np.zeros(size, dtype=np.uint8, order="F")
    mask[y0:y1, x0:x1] = 1
    encoded = mask_utils.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def result(image_id=1, category_id=1, score=0.9, **values):
    values = values or {"bbox": [4, 4, 20, 20], "segmentation": rle(4, 24, 4, 24)}
    return {"image_id": image_id, "category_id": category_id, "score": score, **values}


def near(picture, color, tolerance=60):
    """Number of pixels of about this colour."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int((np.abs(pixels - color).max(axis=2) < tolerance).sum())


def halves(panel, rows=slice(30, -30)):
    """Ground truth and predictions of a panel, without titles and legend."""
    pixels = np.asarray(panel.convert("RGB"))[rows]
    middle = pixels.shape[1] // 2
    return Image.fromarray(pixels[:, :middle]), Image.fromarray(pixels[:, middle:])


def test_evaluator_output_is_drawn(toy, tmp_path):
    evaluator = LTLVISEvaluator(
        NAME, output_dir=str(tmp_path / "out"), distributed=False, save_predictions=True
    )
    detections = make_instances([(1, 0.8, [20, 20, 16, 16])], size=(40, 40))
    evaluator.process([{"image_id": 2}], [{"instances": detections}])
    evaluator.evaluate()
    paths = draw_predictions(NAME, tmp_path / "out" / PREDICTIONS_FILE, tmp_path / "pictures", 1)
    assert [p.name for p in paths] == ["image_2.png", "predictions.png"]
    truth, predicted = halves(Image.open(paths[0]))
    assert near(truth, RED) > 100
    assert near(truth, BLUE) > 100
    assert near(predicted, RED) > 100
    assert near(predicted, BLUE) == 0


def test_detections_below_the_threshold_are_left_out(toy, tmp_path):
    path = write_results(tmp_path / "r.json", result(score=0.29), result(2, 2, 0.1))
    paths = draw_predictions(NAME, path, tmp_path / "out", num_pictures=2)
    for picture in paths[:-1]:
        assert near(halves(Image.open(picture))[1], BLUE) == 0
    paths = draw_predictions(NAME, path, tmp_path / "out", num_pictures=2, score_threshold=0.2)
    drawn = {p.name: near(halves(Image.open(p))[1], BLUE) > 100 for p in paths[:-1]}
    assert drawn == {"image_1.png": True, "image_2.png": False}


def test_masks_are_drawn_where_they_are_in_every_coding(toy, tmp_path):
    uncompressed = {"size": [40, 40], "counts": [8 * 40 + 8] + [24, 16] * 23 + [24, 8 * 40 + 8]}
    pictures = []
    for segmentation in (rle(8, 32, 8, 32), uncompressed):
        path = write_results(tmp_path / "r.json", result(segmentation=segmentation))
        draw_predictions(NAME, path, tmp_path / "out", num_pictures=2)
        pictures.append(np.asarray(halves(Image.open(tmp_path / "out" / "image_1.png"))[1]))
    np.testing.assert_array_equal(*pictures)
    # Black under 40 % blue in the middle, black outside the mask.
    height, width = pictures[0].shape[:2]
    middle = pictures[0][height // 2, width // 2]
    np.testing.assert_allclose(middle, 0.4 * np.array(BLUE), atol=12)
    assert pictures[0][height // 2, width // 10].max() < 12


def test_chosen_pictures_show_rare_classes_and_do_not_repeat_them():
    def record(name, *classes):
        return {"name": name, "annotations": [{"category_id": c} for c in classes]}

    groups = ["frequent", "common", "rare", "rare"]
    dicts = [
        record("frequent", 0),
        record("rare", 2),
        record("rare again", 2, 0),
        record("empty"),
        record("common", 1, 0),
        record("other rare", 3),
    ]
    chosen = [r["name"] for r in choose_pictures(dicts, groups, 10)]
    # "rare again" has the frequent class too, so it goes before "rare", which then shows nothing
    # new and is still before a common class's second showing.
    assert chosen[:2] == ["rare again", "other rare"]
    assert set(chosen) == {"frequent", "rare", "rare again", "common", "other rare"}
    assert chosen[-1] == "frequent"
    assert choose_pictures(dicts, groups, 1)[0]["name"] == "rare again"


@pytest.mark.parametrize(
    ("height", "width", "scale"), [(112, 112, 4), (112, 150, 4), (480, 640, 1), (2000, 1500, 1)]
)
def test_small_pictures_are_enlarged(height, width, scale):
    assert enlargement(height, width) == scale


def test_panel_size_follows_the_enlargement(tmp_path):
    Image.new("RGB", (112, 112)).save(tmp_path / "x.png")
    record = {"image_id": 5, "file_name": str(tmp_path / "x.png")}
    panel = PanelPainter(["a"], ["rare"]).panel(record, [])
    assert panel.width == 2 * 448 + 8


def test_box_of_a_detection_without_mask():
    drawn = DrawnObject.from_result({"bbox": [1, 2, 3, 4], "score": 0.5}, 0)
    assert drawn == DrawnObject(0, (1, 2, 4, 6), None, 0.5)


def test_box_from_mask():
    mask = {"segmentation": rle(2, 5, 3, 9), "score": 0.5}
    assert tuple(DrawnObject.from_result(mask, 0).box) == (3, 2, 9, 5)


def test_montage_holds_every_panel_whole():
    colors = ["red", "lime", "blue"]
    sizes = [(30, 20), (20, 40), (30, 10)]
    panels = [Image.new("RGB", size, color) for size, color in zip(sizes, colors, strict=True)]
    pixels = np.asarray(montage(panels)).reshape(-1, 3)
    counts = [(pixels == panel.getpixel((0, 0))).all(axis=1).sum() for panel in panels]
    assert counts == [width * height for width, height in sizes]


def test_missing_results(tmp_path):
    with pytest.raises(FileNotFoundError, match="Evaluate the model first"):
        read_predictions(tmp_path / "gone.json")


@pytest.mark.parametrize(
    "text",
    ["{", '{"bbox": {"AP": 1}}', "[1]", '[{"image_id": 1, "category_id": 1, "score": 0.5}]', "3"],
)
def test_results_in_another_format(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match="result format"):
        read_predictions(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("wrong", "kind"), [({"image_id": 9}, "image"), ({"category_id": 9}, "category")]
)
def test_results_of_another_data_set(toy, tmp_path, wrong, kind):
    path = write_results(tmp_path / "r.json", result(**wrong, bbox=[0, 0, 4, 4]))
    with pytest.raises(ValueError, match=rf"no {kind} ids \[9\]"):
        draw_predictions(NAME, path, tmp_path / "out")


def test_number_of_pictures_must_be_positive(toy, tmp_path):
    with pytest.raises(ValueError, match="num_pictures"):
        draw_predictions(NAME, tmp_path / "r.json", tmp_path, num_pictures=0)
