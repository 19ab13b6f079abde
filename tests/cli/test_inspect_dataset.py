"""``tools/inspect_dataset.py``: its options, and one line for whatever is wrong."""

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.lvis import get_lvis_instances_meta, register_lvis_instances
from PIL import Image
from tool_modules import load_tool
from toy_coco import write_toy_coco

NAME = "lt_det_test_coco"


@pytest.fixture
def tool():
    return load_tool("inspect_dataset")


@pytest.fixture
def coco_set(tmp_path):
    """Name and config file of a good COCO-format set."""
    folder = write_toy_coco(tmp_path / "set")
    write_config(tmp_path)
    yield NAME, folder
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def write_config(tmp_path, data_format="coco", model=None, **datasets):
    folder = tmp_path / "set"
    entry = [NAME, data_format, str(folder / "annotations.json"), str(folder / "images")]
    config = {
        "DATASETS": {"REGISTER": [entry], **datasets},
        "MODEL": {"ROI_HEADS": {"NUM_CLASSES": 3}, **(model or {})},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))  # JSON is YAML


def change_content(folder, change):
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def inspect(tool, coco_set, tmp_path, capsys):
    """Runs the tool on the set; returns its exit code and what it printed."""

    def _inspect(*options):
        config = ["--config-file", str(tmp_path / "config.yaml"), "--output", str(tmp_path)]
        code = tool.main([NAME, *config, *options])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return _inspect


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
    content["annotations"][0]["bbox"][2] = "0"
    content["categories"].append({"id": 8, "name": "one too many"})
    (folder / "annotations.json").write_text(json.dumps(content))
    (folder / "images" / "picture 3.png").unlink()
    arguments = [name, "--config-file", str(tmp_path / "config.yaml"), "--output", str(tmp_path)]
    assert tool.main(arguments) == 1
    text = capsys.readouterr().err
    assert "annotations.json has 3 faults" in text
    for words in ("bbox is no list", "picture 3.png", "3 against 4 categories"):
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


def test_tool_ends_with_one_line_instead_of_a_traceback(tool, tmp_path, capsys):
    names = ["lt_det_test_gone", "lt_det_test_toy"]
    DatasetCatalog.register(names[0], lambda: open(tmp_path / "gone.json"))
    DatasetCatalog.register(names[1], lambda: [{"annotations": [{"category_id": 0}]}])
    for name in names:
        MetadataCatalog.get(name).thing_classes = ["a"]
    try:
        for arguments, words in (
            (["lvis_v1_trian"], "Near matches"),
            (["lt_det_test_gone"], "gone.json, which is missing"),
            (["lt_det_test_toy", "--thresholds", "10", "5"], "two increasing"),
            (["lt_det_test_toy", "--pictures"], "no COCO or LVIS format"),
        ):
            assert tool.main([*arguments, "--output", str(tmp_path)]) == 1
            captured = capsys.readouterr()
            assert captured.out == ""
            assert captured.err.startswith("inspect_dataset.py: ")
            assert words in captured.err
    finally:
        for name in names:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"),
        ("DATASETS:\n\tTRAIN: []\n", "is not valid YAML: while scanning for the next token"),
        ("DATASETS:\n  REGISTERS: []\n", "Non-existent config key: DATASETS.REGISTERS"),
        ("_BASE_: gone.yaml\n", "gone.yaml"),
        ("DATASETS: 5\n", "DATASETS"),
        ("", "config.yaml: "),
        ("[1, 2]", "config.yaml: "),
    ],
)
def test_a_broken_config_is_named_in_one_line(inspect, tmp_path, text, words):
    (tmp_path / "config.yaml").unlink()
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    code, output = inspect()
    assert code == 1
    assert output.count("\n") == 1
    assert str(tmp_path / "config.yaml") in output
    assert words in output


# --- what the config asks ----------------------------------------------------------------------


def test_masks_that_the_config_does_not_fit(inspect, coco_set, tmp_path):
    write_config(tmp_path, model={"MASK_ON": True})
    change_content(coco_set[1], lambda c: c["annotations"][1].pop("segmentation"))
    code, output = inspect()
    assert code == 1
    assert "annotation has no segmentation, but MODEL.MASK_ON is True" in output
    assert "RLE masks need INPUT.MASK_FORMAT bitmask" in output
    write_config(tmp_path, model={"MASK_ON": False})
    assert inspect()[0] == 0


def test_masks_of_a_test_set_may_be_rle(inspect, tmp_path):
    write_config(tmp_path, model={"MASK_ON": True}, TEST=[NAME])
    assert inspect()[0] == 0
    write_config(tmp_path, model={"MASK_ON": True}, TEST=[NAME], TRAIN=[NAME])
    assert inspect()[0] == 1


@pytest.mark.parametrize("key_is_there", [True, False])
def test_annotations_are_asked_of_a_training_set(inspect, coco_set, tmp_path, key_is_there):
    def change(content):
        if key_is_there:
            content["annotations"] = []
        else:
            del content["annotations"]

    change_content(coco_set[1], change)
    note = f"{NAME}: test set without annotations, 11 pictures\n"
    write_config(tmp_path, TEST=[NAME])
    assert inspect() == (0, note)
    write_config(tmp_path, TEST=[NAME], TRAIN=[NAME])
    code, output = inspect()
    assert code == 1
    assert "no annotations" in output
    write_config(tmp_path)  # which names it nowhere
    code, output = inspect()
    assert (code, output == note) == ((1, False) if key_is_there else (0, True))


def test_a_test_set_of_detectron2s_has_its_pictures_checked(tool, coco_set, tmp_path, capsys):
    """Its loader, the LVIS API, fails on a file without annotations."""

    def change(content):
        del content["annotations"]
        for category in content["categories"]:
            category["frequency"] = "f"

    folder, name = coco_set[1], "lvis_v1_of_a_test_set"
    change_content(folder, change)
    meta = get_lvis_instances_meta("lvis_v1")
    register_lvis_instances(name, meta, str(folder / "annotations.json"), str(folder / "images"))
    try:
        assert tool.main([name, "--output", str(tmp_path)]) == 0
        assert capsys.readouterr().out == f"{name}: test set without annotations, 11 pictures\n"
        (folder / "images" / "picture 3.png").unlink()
        assert tool.main([name, "--output", str(tmp_path)]) == 1
        assert "picture 3.png" in capsys.readouterr().err
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


# --- groups ------------------------------------------------------------------------------------


def test_thresholds_are_the_configs_unless_given(inspect, tmp_path):
    write_config(tmp_path, GROUP_THRESHOLDS=[2, 4])
    assert "own image counts, thresholds 2 and 4" in inspect()[1]
    assert "own image counts, thresholds 3 and 5" in inspect("--thresholds", "3", "5")[1]
    write_config(tmp_path)
    assert "own image counts, thresholds 10 and 100" in inspect()[1]


def test_an_lvis_file_is_grouped_by_its_frequency(inspect, coco_set, tmp_path):
    def change(content):
        for category, frequency in zip(content["categories"], "rcf", strict=True):
            category["frequency"] = frequency
        for image in content["images"]:
            image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}

    change_content(coco_set[1], change)
    write_config(tmp_path, "lvis", TEST=[NAME])
    code, output = inspect()
    assert code == 0
    assert "Groups by the file's `frequency`" in output
    # Class 0 is the lowest id, the last category of the file, in nine pictures.
    row = next(line for line in output.splitlines() if "| thing 7 " in line)
    assert [cell.strip() for cell in row.split("|")[1:6]] == ["0", "7", "thing 7", "frequent", "9"]
    write_config(tmp_path, "lvis", TRAIN=[NAME])
    assert "own image counts, thresholds 10 and 100" in inspect()[1]


# --- pictures ----------------------------------------------------------------------------------


def test_pictures_are_opened_on_demand(inspect, coco_set):
    images = coco_set[1] / "images"
    (images / "picture 2.png").write_text("<html>404</html>")
    (images / "picture 3.png").write_bytes(b"")
    Image.new("RGB", (50, 40)).save(images / "picture 4.png")
    assert inspect()[0] == 0
    code, output = inspect("--pictures")
    assert code == 1
    assert "annotations.json has 3 faults" in output
    assert "picture cannot be read" in output
    assert "picture 2.png: cannot identify image file" in output
    assert "picture 3.png: cannot identify image file" in output
    assert "picture has another size than the file says" in output
    assert "picture 4.png: 50 x 40, not 96 x 96 pixels" in output


def test_good_pictures_have_no_fault(inspect):
    assert inspect("--pictures")[0] == 0


def test_pictures_lie_as_detectron2_turns_them(inspect, coco_set):
    folder, exif = coco_set[1], Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 40)).save(folder / "images" / "turned.jpg", exif=exif)

    def change(content):
        content["images"][3].update(file_name="turned.jpg", width=40, height=50)

    change_content(folder, change)
    assert inspect("--pictures")[0] == 0


def test_ctrl_c_ends_without_a_traceback(inspect, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lt_det.data.inspection.picture_faults.Image.open", interrupt)
    assert inspect("--pictures") == (130, "\ninspect_dataset.py: interrupted\n")
