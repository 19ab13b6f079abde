"""Mistakes in the names, files and classes of data sets stop a training before it begins."""

import json
import shutil

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import lvis_v1_categories, register_coco_instances
from toy_coco import write_toy_coco

import lt_det.data.datasets.check
import lt_det.engine.trainer
from lt_det.data.datasets.check import check_datasets, check_same_classes
from lt_det.data.datasets.coco import register_coco_format
from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.engine.run import evaluate
from lt_det.engine.trainer import LTTrainer

TRAIN = "lt_det_check_train"


@pytest.fixture
def folder(tmp_path):
    return write_toy_coco(tmp_path / "toy")


@pytest.fixture
def register(folder):
    """Returns a function that registers the toy set, its categories changed, under a name."""
    registered = []

    def _register(name, change=lambda categories: None, how=register_coco_format):
        content = json.loads((folder / "annotations.json").read_text())
        change(content["categories"])
        ids = {category["id"] for category in content["categories"]}
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] in ids]
        for category in content["categories"]:
            category.setdefault("frequency", "f")
        if how is register_lvis_format:
            for image in content["images"]:
                image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content))
        args = (str(path), str(folder / "images"))
        how(name, {}, *args) if how is register_coco_instances else how(name, *args)
        registered.append(name)
        return name

    yield _register
    for name in registered:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


# --- names and files ---------------------------------------------------------------------------


def test_a_typo_lists_near_matches(register):
    register("lt_det_check_val")
    with pytest.raises(ValueError, match=r"'lt_det_chek_val'.*Near matches: lt_det_check_val"):
        check_datasets(["lt_det_check_val", "lt_det_chek_val"])


@pytest.mark.parametrize("split", ["TRAIN", "TEST"])
def test_training_stops_at_a_typo_before_the_model_is_built(tiny_cfg, split, monkeypatch):
    monkeypatch.setattr(LTTrainer, "build_model", None)
    tiny_cfg.DATASETS[split] = ("lt_det_toy_vall",)
    with pytest.raises(ValueError, match="Near matches: lt_det_toy_val"):
        LTTrainer(tiny_cfg)


def test_evaluation_stops_at_a_typo_and_needs_no_training_set(tiny_cfg):
    tiny_cfg.DATASETS.TRAIN = ("lt_det_absent",)
    with pytest.raises(ValueError, match=r"MODEL.WEIGHTS is empty"):  # the next check
        evaluate(tiny_cfg)
    tiny_cfg.DATASETS.TEST = ("lt_det_toy_vall",)
    with pytest.raises(ValueError, match="Near matches: lt_det_toy_val"):
        evaluate(tiny_cfg)


def test_missing_files_are_named(register, folder):
    name = register("lt_det_check_val")
    check_datasets([name])
    shutil.rmtree(folder / "images")
    with pytest.raises(FileNotFoundError, match=r"pictures not found: .*images.*DETECTRON2_DATA"):
        check_datasets([name])
    (folder / f"{name}.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"file not found: .*{name}\.json.*DETECTRON2_D"):
        check_datasets([name])


def test_sets_without_files_or_on_a_server_pass(register):
    names = ("lt_det_check_function", "lt_det_check_remote")
    for name in names:
        DatasetCatalog.register(name, list)
    MetadataCatalog.get(names[1]).set(json_file="s3://a/b.json", image_root="s3://a")
    try:
        check_datasets(names)
    finally:
        for name in names:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


# --- classes -----------------------------------------------------------------------------------


def drop_last(categories):
    categories.sort(key=lambda c: c["id"])
    categories.pop()


def swap_ids(categories):
    categories.sort(key=lambda c: c["id"])
    first, second, _ = categories
    first["id"], second["id"] = second["id"], first["id"]


def rename(categories):
    next(c for c in categories if c["id"] == 90)["name"] = "thing ninety"


WRONG = {
    "another number": (drop_last, r"3 and 2: number 2 is 'thing 1003' and None"),
    "swapped ids": (swap_ids, r"3 and 3: number 0 is 'thing 7' and 'thing 90'"),
    "another name": (rename, r"3 and 3: number 1 is 'thing 90' and 'thing ninety'"),
}


@pytest.fixture
def cfg(tiny_cfg):
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    tiny_cfg.INPUT.MASK_FORMAT = "bitmask"
    return tiny_cfg


@pytest.mark.parametrize(
    "how", [register_coco_format, register_lvis_format, register_coco_instances]
)
@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_other_classes_stop_the_training(register, cfg, monkeypatch, change, message, how):
    # That needs more of an LVIS file than these have; classes are compared before.
    monkeypatch.setattr(lt_det.engine.trainer, "check_test_sets", lambda *args: None)
    cfg.DATASETS.TRAIN = (register(TRAIN),)
    good, bad = register("lt_det_check_good", how=how), register("lt_det_check_bad", change, how)
    cfg.DATASETS.TEST = (good,)
    LTTrainer(cfg)
    cfg.DATASETS.TEST = (good, bad)
    with pytest.raises(ValueError, match=rf"'{TRAIN}' and '{bad}' have different.*{message}"):
        LTTrainer(cfg)


def test_a_file_is_read_only_where_the_classes_are_unknown(register, cfg, monkeypatch):
    cfg.DATASETS.TRAIN = (register(TRAIN),)
    cfg.DATASETS.TEST = (register("lt_det_check_val"),)
    reads = []
    read = lt_det.data.datasets.check.judged_file
    monkeypatch.setattr(
        lt_det.data.datasets.check,
        "judged_file",
        lambda path, *args: [reads.append(path), read(path, *args)][1],
    )
    check_same_classes(cfg)  # nothing is known of the training set
    assert reads == []
    DatasetCatalog.get(TRAIN)
    check_same_classes(cfg)
    assert [path.rsplit("/", 1)[1] for path in reads] == ["lt_det_check_val.json"]
    DatasetCatalog.get("lt_det_check_val")
    check_same_classes(cfg)
    assert len(reads) == 1


def test_lvis_files_and_detectron2s_lvis_sets_have_the_same_classes(register, cfg):
    """Though Detectron2 names one class by another word: 'bull' is its 'horned_cow'."""
    categories = [dict(c) for c in lvis_v1_categories.LVIS_CATEGORIES]

    def as_in_lvis(toy):
        toy[:] = categories

    val = register("lt_det_check_minival", as_in_lvis, register_lvis_format)
    for train in ("lvis_v1_train", "lvis_v1_val"):
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (train,), (val, "lvis_v1_val")
        check_same_classes(cfg)
    cfg.DATASETS.TEST = ("lvis_v0.5_val",)
    with pytest.raises(ValueError, match="1203 and 1230: number 0"):
        check_same_classes(cfg)


def test_evaluation_compares_the_number_before_inference(register, cfg):
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 4
    name = register("lt_det_check_val")
    with pytest.raises(ValueError, match=f"NUM_CLASSES is 4, but data set '{name}' has 3"):
        LTTrainer.build_test_loader(cfg, name)


def test_two_training_sets_say_which_class_differs_first(register, cfg):
    good, bad = register("lt_det_check_good"), register("lt_det_check_bad", rename)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (good, bad), ()
    with pytest.raises(
        ValueError,
        match=f"'{good}' and '{bad}' have different classes, {WRONG['another name'][1]}",
    ):
        LTTrainer(cfg)
