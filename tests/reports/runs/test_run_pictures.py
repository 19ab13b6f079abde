import base64
import io
import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from toy_lvis import ToyLVIS

from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.evaluation.group_evaluator import PREDICTIONS_FILE
from lt_det.evaluation.results import write_results
from lt_det.reports.runs.folder import RunFolder
from lt_det.reports.runs.methods import group_runs
from lt_det.reports.runs.pictures import NoPicturesError, best_and_worst, class_galleries

NAME = "lt_det_test_pictures"


def test_worst_and_best_by_hand():
    ap = np.array([0.0, 0.0, 90.0, np.nan, 90.0, 40.0])
    groups = np.array([2, 0, 2, 0, 1, -1])
    assert best_and_worst(ap, groups, 2) == ([1, 0], [4, 2])
    assert best_and_worst(ap, groups, 1) == ([1], [4])
    assert best_and_worst(ap, groups, 9) == ([1, 0, 5], [4, 2])
    assert best_and_worst(np.full(3, np.nan), groups[:3], 2) == ([], [])


@pytest.fixture
def data(tmp_path):
    """Black pictures of 40 x 40: class 1, frequent, on pictures 1 and twice on 2; 2, rare, on 1."""
    toy = ToyLVIS("fr")
    for image_id in (1, 2, 3):
        toy.image(image_id, 40, 40)
        Image.new("RGB", (40, 40)).save(tmp_path / f"{image_id}.jpg")
    toy.box(1, 1, [4, 4, 20, 20])
    toy.box(1, 2, [20, 20, 16, 16])
    toy.box(2, 1, [2, 2, 12, 12])
    toy.box(2, 1, [20, 20, 12, 12])
    register_lvis_format(NAME, toy.write(tmp_path / "toy.json"), tmp_path)
    yield tmp_path
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def make_run(output, detections, aps=(30.0, 0.0)):
    folder = output / "inference" / NAME
    rows = [
        {"class_id": c, "category_id": c + 1, "name": name, "group": group}
        | {"train_image_count": 5, "val_instances": 1, "bbox_AP": ap}
        for c, (name, group, ap) in enumerate(
            zip(("f<b>", "rär"), ("frequent", "rare"), aps, strict=True)
        )
    ]
    write_results(folder, {"bbox": {"AP": 15.0}}, rows)
    (folder / PREDICTIONS_FILE).write_text(json.dumps(detections))
    return RunFolder.open(output)


def detection(image_id, category_id, score, box=(4, 4, 20, 20)):
    return {"image_id": image_id, "category_id": category_id, "score": score, "bbox": list(box)}


def count(jpeg, more, less):
    """Number of pixels with clearly more of one channel (0 red, 2 blue) than of the other."""
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
    return int((pixels[..., more] - pixels[..., less] > 40).sum())


def rare_drawn(jpeg):
    return count(jpeg, 0, 2) > 100


def frequent_drawn(jpeg):
    return count(jpeg, 2, 0) > 100


def test_ground_truth_beside_the_detections_of_each_method(data):
    weak = [detection(1, 2, 0.06), detection(1, 1, 0.29), detection(2, 1, 0.9)]
    runs = [make_run(data / "weak", weak), make_run(data / "none", [], aps=(50.0, 0.0))]
    worst, best = class_galleries(group_runs(runs), "bbox", 4)
    assert (worst.title, best.title) == ("Classes found worst", "Classes found best")
    (rare,), (frequent,) = worst.pictures, best.pictures
    assert rare.caption == "rär (rare, 5 training images)"
    names = [name for name, _ in frequent.jpegs]
    assert names == ["ground truth", "weak: AP 30.00", "none: AP 50.00"]
    truth, found, nothing = (jpeg for _, jpeg in rare.jpegs)  # picture 1
    assert rare_drawn(truth)
    assert frequent_drawn(truth)
    assert rare_drawn(found)  # its own class, at 6%
    assert not frequent_drawn(found)  # another one, below 30%
    assert not rare_drawn(nothing)
    assert not frequent_drawn(nothing)
    truth, found, _ = (jpeg for _, jpeg in frequent.jpegs)  # picture 2 has more of its objects
    assert not rare_drawn(truth)
    assert frequent_drawn(found)


def test_size_is_bounded(data):
    methods = group_runs([make_run(data / "run", [])])
    worst, _ = class_galleries(methods, "bbox", 1)
    size = sum(len(base64.b64encode(jpeg)) for _, jpeg in worst.pictures[0].jpegs)
    (only,) = class_galleries(methods, "bbox", 1, max_bytes=size)
    assert only.title == "Classes found worst"
    assert class_galleries(methods, "bbox", 1, max_bytes=size - 1) == []


def test_detections_of_another_data_set_are_refused(data):
    methods = group_runs([make_run(data / "run", [detection(77, 1, 0.5)])])
    with pytest.raises(ValueError, match=r"no image ids \[77\]"):
        class_galleries(methods, "bbox", 1)


def test_why_there_are_no_pictures(data):
    run = make_run(data / "run", [])
    (data / "1.jpg").unlink()
    with pytest.raises(NoPicturesError, match=r"there is no picture .*1\.jpg"):
        class_galleries(group_runs([run]), "bbox", 1)
    (run.evaluation / PREDICTIONS_FILE).rename(data / "moved.json")
    with pytest.raises(NoPicturesError, match=r"no lvis_instances_results\.json"):
        class_galleries(group_runs([run]), "bbox", 1)
    (data / "moved.json").rename(run.evaluation / PREDICTIONS_FILE)
    other = RunFolder.open(run.evaluation.rename(run.training / "inference" / "unknown"))
    with pytest.raises(NoPicturesError, match="data set 'unknown' is not registered"):
        class_galleries(group_runs([other]), "bbox", 1)
    bare = RunFolder.open(other.evaluation.rename(data / "evaluated"))
    with pytest.raises(NoPicturesError, match="do not tell their data set"):
        class_galleries(group_runs([bare]), "bbox", 1)


def test_the_data_set_of_the_config_is_registered(data):
    run = make_run(data / "run", [])
    name = "lt_det_test_from_config"
    entry = [name, "lvis", str(data / "toy.json"), str(data)]
    (run.training / "config.yaml").write_text(json.dumps({"DATASETS": {"REGISTER": [entry]}}))
    run = RunFolder.open(run.evaluation.rename(run.training / "inference" / name))
    try:
        worst, _ = class_galleries(group_runs([run]), "bbox", 1)
        assert len(worst.pictures[0].jpegs) == 2
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
