"""``tools/inspect_dataset.py``: notes, ignored objects, and the judged file that it writes."""

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from pycocotools.coco import COCO
from tool_modules import load_tool
from toy_coco import write_toy_coco

from lt_det.data.datasets.coco import register_coco_format
from lt_det.data.inspection.inspection import inspect_dataset
from lt_det.data.judgement.read import read_judged

NAME = "lt_det_test_inspect_notes"


@pytest.fixture
def folder(tmp_path):
    """A good COCO-format set, with a config beside it that registers it."""
    folder = write_toy_coco(tmp_path / "set")
    write_config(folder)
    yield folder
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def write_config(folder, **datasets):
    entry = [NAME, "coco", str(folder / "annotations.json"), str(folder / "images")]
    config = {
        "DATASETS": {"REGISTER": [entry], **datasets},
        "MODEL": {"ROI_HEADS": {"NUM_CLASSES": 3}},
    }
    (folder.parent / "config.yaml").write_text(json.dumps(config))  # JSON is YAML


def change_content(folder, change):
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def inspect(folder, tmp_path, capsys):
    """Runs the tool on the set; returns its exit code and what it printed."""

    def _inspect(*options):
        config = ["--config-file", str(tmp_path / "config.yaml"), "--output", str(tmp_path)]
        code = load_tool("inspect_dataset").main([NAME, *config, *options])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return _inspect


def test_notes_are_listed_and_the_tool_ends_with_0(inspect, folder):
    def change(content):
        content["annotations"][0] |= {"iscrowd": None, "id": "a"}
        content["annotations"][1]["bbox"] = [1, 1, 0, 5]

    change_content(folder, change)
    code, output = inspect()
    assert code == 0
    assert "Odd in the file, and how it is read by every tool" in output
    for words in ("iscrowd is null: read as 0", "numbered anew from 1", "box has no area inside"):
        assert words in output


@pytest.mark.parametrize("from_config", [False, True])
def test_ignored_objects_are_a_fault_or_crowds(inspect, folder, tmp_path, from_config):
    change_content(folder, lambda c: c["annotations"][0].update(ignore=1))
    code, output = inspect()
    assert code == 1
    assert "--ignore crowd" in output
    if from_config:
        write_config(folder, IGNORE="crowd")
    code, output = inspect(*([] if from_config else ["--ignore", "crowd"]))
    assert code == 0
    assert "Crowd regions: 3" in output
    assert "ignore is 1: taken as a crowd" in output


def test_ignored_objects_of_a_set_without_config(folder):
    change_content(folder, lambda c: c["annotations"][0].update(ignore=1))
    register_coco_format(NAME, folder / "annotations.json", folder / "images")
    with pytest.raises(ValueError, match="ignore is 1"):
        inspect_dataset(NAME)
    assert "Crowd regions: 3" in inspect_dataset(NAME, ignore="crowd")


def test_the_judged_file_is_written_for_other_tools(inspect, folder, tmp_path):
    def change(content):
        content["annotations"][0]["bbox"] = [1, 1, 0, 5]
        content["annotations"][1]["iscrowd"] = None
        del content["annotations"][2]["area"]

    change_content(folder, change)
    path = tmp_path / "judged.json"
    assert inspect("--write", str(path))[0] == 0
    truth = COCO(str(path))
    assert len(truth.anns) == 18
    assert {a["iscrowd"] for a in truth.anns.values()} == {0, 1}
    second = truth.anns[3]
    assert second["area"] == second["bbox"][2] * second["bbox"][3]
    assert read_judged(path, "coco").notes == []
    assert list(tmp_path.glob("*.partial")) == []
