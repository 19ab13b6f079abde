"""COCO-format sets: pycocotools' numbers, and the groups beside them."""

import contextlib
import copy
import io
import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from toy_coco import CATEGORY_IDS, IMAGE_COUNT, SIDE, write_toy_coco

from lt_det.data.datasets.coco import register_coco_format
from lt_det.evaluation.coco_evaluator import LTCOCOEvaluator
from lt_det.evaluation.metrics.bootstrap import average_precision

# Position in COCOeval's stats.
STATS = {"AP": 0, "AP50": 1, "AP75": 2, "APs": 3, "APm": 4, "APl": 5}
STATS |= {"AR": 8, "ARs": 9, "ARm": 10, "ARl": 11}
GROUPS = np.array([2, 1, 0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_toy_coco(tmp_path_factory.mktemp("coco") / "set")


@pytest.fixture
def register():
    names = []

    def _register(folder) -> str:
        names.append(f"lt_det_toy_coco_{len(names)}")
        register_coco_format(names[-1], folder / "annotations.json", folder / "images")
        DatasetCatalog.get(names[-1])
        return names[-1]

    yield _register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def noisy_detections(folder, rng, num_false=130):
    """Shifted ground truth and, in one picture and class, more detections than the cap."""
    coco = quiet(COCO, folder / "annotations.json")
    outputs = {}
    for number, image_id in enumerate(sorted(coco.imgs)):
        boxes, classes = [], []
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image_id], iscrowd=None)):
            x, y, w, h = annotation["bbox"]
            for _ in range(rng.integers(0, 3)):
                dx, dy = rng.integers(-3, 4, 2)
                boxes.append([x + dx, y + dy, x + w + dx, y + h + dy])
                classes.append(CATEGORY_IDS.index(annotation["category_id"]))
        for _ in range(num_false if number == 3 else 3):
            x, y = rng.uniform(0, 60, 2)
            boxes.append([x, y, x + rng.uniform(1, 36), y + rng.uniform(1, 36)])
            classes.append(0 if number == 3 else int(rng.integers(3)))
        outputs[image_id] = as_instances(boxes, classes, np.round(rng.random(len(boxes)), 2))
    return outputs


def as_instances(boxes, classes, scores) -> Instances:
    instances = Instances((SIDE, SIDE))
    instances.pred_boxes = Boxes(torch.tensor(np.array(boxes).reshape(-1, 4), dtype=torch.float32))
    instances.pred_classes = torch.tensor(classes).long()
    instances.scores = torch.tensor(scores, dtype=torch.float32)
    masks = torch.zeros(len(classes), SIDE, SIDE, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, instances.pred_boxes.tensor.int(), strict=True):
        mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    instances.pred_masks = masks
    return instances


def truth(folder):
    coco = quiet(COCO, folder / "annotations.json")
    outputs = {}
    for image_id in coco.imgs:
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id], iscrowd=False))
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in annotations)]
        classes = [CATEGORY_IDS.index(a["category_id"]) for a in annotations]
        outputs[image_id] = as_instances(boxes, classes, [1.0] * len(classes))
    return outputs


def evaluate(name, outputs, **options):
    evaluator = LTCOCOEvaluator(name, distributed=False, **options)
    for image_id, instances in outputs.items():
        evaluator.process([{"image_id": image_id}], [{"instances": instances}])
    return evaluator.evaluate(), evaluator


def quiet(function, *args):
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*args)


def official(folder, results, task) -> np.ndarray:
    """The steps of pycocotools' own demo."""

    def run():
        ground_truth = COCO(folder / "annotations.json")
        coco_eval = COCOeval(ground_truth, ground_truth.loadRes(results), task)
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
        return coco_eval.stats

    return quiet(run)


@pytest.fixture
def outputs(folder):
    return noisy_detections(folder, np.random.default_rng(1))


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equal_to_pycocotools_bit_for_bit(folder, register, outputs, tmp_path, task):
    results, _ = evaluate(
        register(folder), outputs, output_dir=tmp_path, groups=GROUPS, save_predictions=True
    )
    written = json.loads((tmp_path / "lvis_instances_results.json").read_text())
    for record in written if task == "segm" else ():
        del record["bbox"]  # beside a box, pycocotools takes the box's area as the mask's
    stats = official(folder, written, task)
    assert 5 < results[task]["AP"] < 95
    for metric, index in STATS.items():
        ours = results[task][metric]
        assert ours == stats[index] * 100 or (np.isnan(ours) and stats[index] == -1), metric


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equal_to_detectron2(folder, register, outputs, tmp_path, task):
    name = register(folder)
    evaluator = COCOEvaluator(name, (task,), distributed=False, use_fast_impl=False)
    evaluator.reset()
    for image_id, instances in copy.deepcopy(outputs).items():
        evaluator.process([{"image_id": image_id}], [{"instances": instances}])
    theirs = quiet(evaluator.evaluate)[task]
    ours = evaluate(name, outputs, tasks=(task,))[0][task]
    for metric in ("AP", "AP50", "AP75", "APs", "APm", "APl"):
        assert ours[metric] == theirs[metric] or np.isnan(ours[metric]), metric


def test_groups_are_means_over_their_classes(folder, register, outputs):
    results, evaluator = evaluate(register(folder), outputs, groups=GROUPS)
    for row, metric in zip(evaluator.per_class, ("APf", "APc", "APr"), strict=True):
        assert row["bbox_AP"] == pytest.approx(results["bbox"][metric], rel=1e-12)
    assert results["bbox"]["AP"] == pytest.approx(
        np.mean([results["bbox"][m] for m in ("APr", "APc", "APf")]), rel=1e-12
    )


def test_matches_reproduce_ap(folder, register, outputs):
    results, evaluator = evaluate(register(folder), outputs, groups=GROUPS)
    ap = average_precision(evaluator.matches["segm"])
    assert np.nanmean(ap) == pytest.approx(results["segm"]["AP"], rel=1e-9)


def test_ground_truth_as_detections_is_100(folder, register):
    results, evaluator = evaluate(register(folder), truth(folder), groups=GROUPS)
    for task in ("bbox", "segm"):
        for metric in ("AP", "APr", "APc", "APf", "AR"):
            assert results[task][metric] == pytest.approx(100)
    # Crowds are no instances.
    assert [row["val_instances"] for row in evaluator.per_class] == [11, 4, 2]


def test_crowds_are_ignored_not_wrong(folder, register):
    """A detection inside a crowd counts neither way; the same elsewhere is false."""
    outputs = truth(folder)
    coco = quiet(COCO, folder / "annotations.json")
    crowd = coco.loadAnns(coco.getAnnIds(iscrowd=True))[0]
    x, y, w, h = crowd["bbox"]
    instances = outputs[crowd["image_id"]]
    inside = as_instances([[x, y, x + w, y + h]], [CATEGORY_IDS.index(crowd["category_id"])], [1.0])
    outputs[crowd["image_id"]] = Instances.cat([inside, instances])
    assert evaluate(register(folder), outputs)[0]["bbox"]["AP"] == pytest.approx(100)
    other = 2 if crowd["category_id"] != CATEGORY_IDS[2] else 1
    inside.pred_classes[:] = other
    outputs[crowd["image_id"]] = Instances.cat([inside, instances])
    assert evaluate(register(folder), outputs)[0]["bbox"]["AP"] < 99


@pytest.mark.parametrize("options", [{"first_annotation_id": 0}, {"complete": False}])
def test_exporters_that_count_from_0_or_leave_out_area(register, tmp_path, options):
    """What pycocotools alone would get wrong, or stop at."""
    folder = write_toy_coco(tmp_path / "set", **options)
    results, _ = evaluate(register(folder), truth_of_any(folder), groups=GROUPS)
    assert results["segm"]["AP"] == pytest.approx(100)


def truth_of_any(folder):
    content = json.loads((folder / "annotations.json").read_text())
    for annotation in content["annotations"]:
        annotation["id"] += 1
        annotation.setdefault("iscrowd", 0)
        annotation.setdefault("area", 1)
    complete = folder / "complete"
    complete.mkdir()
    (complete / "annotations.json").write_text(json.dumps(content))
    return truth(complete)


def test_without_statistics_the_groups_are_empty(folder, register, outputs, caplog):
    results, _ = evaluate(register(folder), outputs)
    assert all(np.isnan(results["bbox"][metric]) for metric in ("APr", "APc", "APf"))
    assert "CLASS_STATS_FILE" in caplog.text


def test_no_detection_is_ap_0(folder, register):
    outputs = {image_id: as_instances([], [], []) for image_id in truth(folder)}
    results, _ = evaluate(register(folder), outputs, groups=GROUPS)
    assert [results["segm"][m] for m in ("AP", "APr", "APc", "APf", "AR")] == [0] * 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0].update(image_id=1), "image_id is not in the file"),
        (lambda c: c["annotations"][0].update(category_id=8), "category_id is not in the file"),
        (lambda c: c["annotations"][1].update(id=1), "id occurs more than once in annotations"),
        (lambda c: c["annotations"][0].pop("bbox"), "annotations lacks keys(?s:.*)1: bbox"),
        (lambda c: c.pop("categories"), r"it lacks \['categories'\]"),
    ],
)
def test_bad_files_say_what_is_wrong(folder, tmp_path, change, message):
    content = json.loads((folder / "annotations.json").read_text())
    change(content)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    MetadataCatalog.get("lt_det_bad_coco").set(json_file=str(path))
    try:
        with pytest.raises(ValueError, match=message):
            LTCOCOEvaluator("lt_det_bad_coco")
    finally:
        MetadataCatalog.remove("lt_det_bad_coco")


def test_image_counts_of_the_toy_set(folder, register):
    from lt_det.data.statistics import compute_class_stats

    assert compute_class_stats(register(folder), 3).image_count.tolist() == list(IMAGE_COUNT)
