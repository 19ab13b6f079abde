import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from toy_coco import write_toy_coco

from lt_det.class_stats import ClassStats
from lt_det.data.class_plot import plot_class_distribution
from lt_det.data.inspection import format_summary, inspect_dataset, load_summary, summarize
from lt_det.data.lvis import register_lvis_format


def record(classes, height=10, width=20, crowd=(), file_name=None):
    annotations = [{"category_id": c} for c in classes]
    annotations += [{"category_id": c, "iscrowd": 1} for c in crowd]
    values = {"height": height, "width": width, "annotations": annotations}
    return values if file_name is None else {**values, "file_name": file_name}


@pytest.fixture
def register():
    """Returns a function that registers dicts under a name for this test."""
    names = []

    def _register(name, load, **metadata):
        names.append(name)
        DatasetCatalog.register(name, load)
        MetadataCatalog.get(name).set(**metadata)

    yield _register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def table(text, first_header):
    """Rows of the Markdown table in ``text`` whose header starts with ``first_header``."""
    lines = [[c.strip() for c in s.strip("|").split("|")] for s in text.splitlines() if "|" in s]
    start = next(i for i, cells in enumerate(lines) if cells[0] == first_header)
    rows = {}
    for cells in lines[start + 2 :]:
        if cells[0] in ("id", "group"):
            break
        rows[cells[0]] = cells[1:]
    return rows


def test_groups_count_classes_and_instances_and_keep_unseen_classes_apart():
    # Images a class: a 1, b 2, c 3, d none; instances: a 1, b 3, c 3.
    dicts = [record([0, 1, 1, 2]), record([1, 2]), record([2]), record([])]
    summary = summarize("toy", dicts, ["a", "b", "c", "d"], (1, 2))
    assert summary.num_pictures == 4
    assert summary.num_empty == 1
    rows = table(format_summary(summary), "group")
    assert rows["rare"] == ["1 to 1", "1", "1", "1"]
    assert rows["common"] == ["2 to 2", "1", "2", "3"]
    assert rows["frequent"] == ["over 2", "1", "3", "3"]
    assert rows["none"] == ["0", "1", "0", "0"]
    assert rows["all"] == ["", "4", "6", "7"]


def test_text_names_unseen_classes_sizes_and_crowds():
    dicts = [record([0], 10, 20), record([0], 30, 40, crowd=[1]), record([], 20, 60)]
    text = format_summary(summarize("toy", dicts, ["a", "b", "c"]))
    assert "toy: 3 pictures, 1 without instances" in text
    assert "Height: 10 to 30 pixels, median 20; width: 20 to 60, median 40" in text
    assert "Crowd regions: 1, not counted" in text
    assert "Classes without an instance (2): b, c" in text


def test_pictures_of_one_size_have_one_size():
    text = format_summary(summarize("toy", [record([0]), record([0])], ["a"]))
    assert "Size: 10 x 20 pixels (height x width)" in text


def test_sizes_that_are_not_known_are_left_out():
    text = format_summary(summarize("toy", [{"annotations": [{"category_id": 0}]}], ["a"]))
    assert "Size" not in text
    assert "Height" not in text


def test_many_unseen_classes_are_cut():
    text = format_summary(summarize("toy", [record([0])], [f"c{i}" for i in range(50)]))
    assert "Classes without an instance (49): c1, c2," in text
    assert "c20 and 29 more" in text


def test_few_classes_are_all_listed_by_count():
    dicts = [record([1]), record([1, 0]), record([1, 2, 2])]
    rows = table(format_summary(summarize("toy", dicts, ["a", "b", "c"])), "id")
    assert list(rows) == ["1", "0", "2"]  # ties in the order of ids
    assert rows["2"] == ["c", "rare", "1", "2"]


def test_extremes_of_many_classes():
    # Class i occurs in i images, class 0 nowhere.
    dicts = [record(range(1 + i, 30)) for i in range(29)][::-1]
    text = format_summary(summarize("toy", dicts, [f"c{i}" for i in range(30)]))
    most, least = text.split("Most frequent:")[1].split("Least frequent:")
    assert list(table(most, "id")) == [str(i) for i in range(29, 19, -1)]
    assert list(table(least, "id")) == [str(i) for i in range(10, 0, -1)]


def test_missing_pictures_are_reported(tmp_path):
    there, gone = tmp_path / "there.png", tmp_path / "gone.png"
    there.touch()
    dicts = [record([0], file_name=str(there)), record([0], file_name=str(gone))]
    summary = summarize("toy", dicts, ["a"])
    assert summary.missing_files == (str(gone),)
    assert f"MISSING picture files: 1 of 2 looked for, such as {gone}" in format_summary(summary)


@pytest.mark.parametrize("counts", [[5, 200, 0, 50], [0, 0, 0, 0]])
def test_plot_is_written(tmp_path, counts):
    path = tmp_path / "new" / "plot.png"
    counts = np.array(counts)
    plot_class_distribution(ClassStats(4, 200, counts, 2 * counts), path, title="toy")
    with Image.open(path) as picture:
        assert picture.width > 500
        colors = np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0).tolist()
    assert [214, 39, 40] in colors  # rare, in the legend at least


def test_inspect_says_where_the_plot_is(register, tmp_path):
    register("lt_det_test_toy", lambda: [record([0])], thing_classes=["a"])
    text = inspect_dataset("lt_det_test_toy", tmp_path)
    path = tmp_path / "lt_det_test_toy_classes.png"
    assert text.splitlines()[-1].endswith(str(path))
    assert path.is_file()
    assert "drawn" not in inspect_dataset("lt_det_test_toy")


def test_unknown_name_lists_near_matches():
    with pytest.raises(ValueError, match=r"'lvis_v1_tarin'.*Near matches: lvis_v1_train"):
        load_summary("lvis_v1_tarin")


def test_name_like_nothing_lists_all():
    with pytest.raises(ValueError, match=r"Registered: .*coco_2017_train.*lvis_v1_train"):
        load_summary("###")


def test_set_without_instances_is_refused(register):
    register("lt_det_test_toy", lambda: [])
    with pytest.raises(ValueError, match="thing_classes"):
        load_summary("lt_det_test_toy")


def test_detectron2_sets_that_are_not_there_say_what_to_do(register, tmp_path):
    register("lt_det_test_toy", lambda: open(tmp_path / "gone.json"), thing_classes=["a"])
    with pytest.raises(FileNotFoundError, match=r"gone\.json.*DETECTRON2_DATASETS"):
        load_summary("lt_det_test_toy")


def test_our_loader_keeps_its_own_words(register, tmp_path):
    name = "lt_det_test_lvis"
    register_lvis_format(name, tmp_path / "gone.json", tmp_path)
    try:
        with pytest.raises(FileNotFoundError, match=r"^Annotation file not found.*gone\.json"):
            load_summary(name)
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def tool():
    pytest.importorskip("lt_det.data.openmoji")
    path = Path(__file__).parents[2] / "tools" / "inspect_dataset.py"
    spec = importlib.util.spec_from_file_location("tool_inspect_dataset", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def coco_set(tmp_path):
    """Name and config file of a good COCO-format set."""
    name, folder = "lt_det_test_coco", write_toy_coco(tmp_path / "set")
    entry = [name, "coco", str(folder / "annotations.json"), str(folder / "images")]
    config = {"DATASETS": {"REGISTER": [entry]}, "MODEL": {"ROI_HEADS": {"NUM_CLASSES": 3}}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    yield name, folder
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_tool_prints_the_summary(tool, coco_set, tmp_path, capsys):
    arguments = [coco_set[0], "--config-file", str(tmp_path / "config.yaml")]
    assert tool.main([*arguments, "--output", str(tmp_path), "--thresholds", "3", "5"]) == 0
    output = capsys.readouterr().out
    assert "thing 1003" in output
    assert "over 5" in output
    assert "Crowd regions: 2" in output


def test_tool_lists_all_faults_and_ends_with_1(tool, coco_set, tmp_path, capsys):
    name, folder = coco_set
    content = json.loads((folder / "annotations.json").read_text())
    content["annotations"][0]["bbox"][2] = 0
    content["categories"].append({"id": 8, "name": "one too many"})
    (folder / "annotations.json").write_text(json.dumps(content))
    (folder / "images" / "picture 3.png").unlink()
    arguments = [name, "--config-file", str(tmp_path / "config.yaml"), "--output", str(tmp_path)]
    assert tool.main(arguments) == 1
    text = capsys.readouterr().err
    assert "annotations.json has 3 faults" in text
    for words in ("bbox has no area", "picture 3.png", "3 against 4 categories"):
        assert words in text


def test_one_fault_is_singular(tool, coco_set, tmp_path, capsys):
    name, folder = coco_set
    (folder / "images" / "picture 3.png").unlink()
    arguments = [name, "--config-file", str(tmp_path / "config.yaml"), "--output", str(tmp_path)]
    assert tool.main(arguments) == 1
    assert "annotations.json has 1 fault:" in capsys.readouterr().err


def test_tool_says_that_a_file_is_truncated(tool, coco_set, tmp_path, capsys):
    name, folder = coco_set
    text = (folder / "annotations.json").read_text()
    (folder / "annotations.json").write_text(text[: len(text) // 2])
    arguments = [name, "--config-file", str(tmp_path / "config.yaml"), "--output", str(tmp_path)]
    assert tool.main(arguments) == 1
    assert "not valid JSON (truncated download?)" in capsys.readouterr().err


def test_tool_ends_with_one_line_instead_of_a_traceback(tool, register, tmp_path, capsys):
    register("lt_det_test_gone", lambda: open(tmp_path / "gone.json"), thing_classes=["a"])
    register("lt_det_test_toy", lambda: [record([0])], thing_classes=["a"])
    for arguments, words in (
        (["lvis_v1_trian"], "Near matches"),
        (["lt_det_test_gone"], "gone.json, which is missing"),
        (["lt_det_test_toy", "--thresholds", "10", "5"], "two increasing"),
    ):
        assert tool.main([*arguments, "--output", str(tmp_path)]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("inspect_dataset.py: ")
        assert words in captured.err
