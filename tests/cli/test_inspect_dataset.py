"""``tools/inspect_dataset.py``: its options, and one line for whatever is wrong."""

import contextlib
import json
import os
import signal

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.lvis import get_lvis_instances_meta, register_lvis_instances
from PIL import Image
from tool_modules import load_tool
from toy_coco import write_toy_coco
from toy_images import cut_to_half, write_16_bit

from lt_det.data.images.facts import facts_of_bytes

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
            (["lt_det_test_toy", "--images"], "no COCO or LVIS format"),
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
    note = f"{NAME}: test set without annotations, 11 images\n"
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
        assert capsys.readouterr().out == f"{name}: test set without annotations, 11 images\n"
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


# --- images ------------------------------------------------------------------------------------


def test_images_are_decoded_on_demand(inspect, coco_set):
    images = coco_set[1] / "images"
    (images / "picture 2.png").write_text("<html>404</html>")
    (images / "picture 3.png").write_bytes(b"")
    Image.new("RGB", (50, 40)).save(images / "picture 4.png")
    assert inspect()[0] == 0
    code, output = inspect("--images")
    assert code == 1
    assert "annotations.json has 3 faults" in output
    assert "image cannot be decoded" in output
    assert "picture 2.png: cannot identify image file" in output
    assert "picture 3.png: the file is empty" in output
    assert "image has another size than the file says" in output
    assert "picture 4.png: 50 x 40, not 96 x 96 pixels" in output


def test_good_images_have_no_fault(inspect):
    assert inspect("--images")[0] == 0


def test_images_lie_as_detectron2_turns_them(inspect, coco_set):
    folder, exif = coco_set[1], Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 40)).save(folder / "images" / "turned.jpg", exif=exif)

    def change(content):
        content["images"][3].update(file_name="turned.jpg", width=40, height=50)

    change_content(folder, change)
    assert inspect("--images")[0] == 0


def test_a_size_that_exif_swaps_is_named(inspect, coco_set):
    folder, exif = coco_set[1], Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 40)).save(folder / "images" / "turned.jpg", exif=exif)

    def change(content):
        content["images"][3].update(file_name="turned.jpg", width=50, height=40)

    change_content(folder, change)
    code, output = inspect("--images")
    assert code == 1
    assert "turned by its EXIF orientation" in output
    assert "turned.jpg: 40 x 50, not 50 x 40 pixels (orientation 6)" in output


def test_truncated_and_clipped_images_are_listed_together(inspect, coco_set):
    images = coco_set[1] / "images"
    image = Image.open(images / "picture 2.png")
    image.save(images / "picture 2.png", "JPEG")
    cut_to_half(images / "picture 2.png")
    write_16_bit(images / "picture 3.png")
    code, output = inspect("--images")
    assert code == 1
    assert "annotations.json has 2 faults" in output
    assert "| image cannot be decoded " in output
    assert "picture 2.png: image file is truncated" in output
    assert "| image has values that 8 bits cannot hold " in output
    assert "picture 3.png: mode I;16, values 0 to 59900" in output


def test_a_missing_image_has_a_hint(inspect, coco_set):
    images = coco_set[1] / "images"
    (images / "picture 2.png").rename(images / "Picture 2.PNG")
    change_content(coco_set[1], lambda c: c["images"][3].update(file_name=".\\picture 3.png"))
    code, output = inspect()
    assert code == 1
    assert "picture 2.png (file_name has another case: the file is Picture 2.PNG)" in output
    assert "(file_name has backslashes: the file is picture 3.png)" in output


def test_images_that_are_there_twice_are_named(inspect, coco_set):
    images = coco_set[1] / "images"
    (images / "picture 4.png").write_bytes((images / "picture 5.png").read_bytes())
    code, output = inspect("--images")
    assert code == 0
    assert f"Within {NAME}: 1 pair of identical images" in output
    assert f"{images}/picture 4.png = {images}/picture 5.png" in output


def test_ctrl_c_ends_without_a_traceback(inspect, monkeypatch, tmp_path):
    def interrupt(content, digest):
        with contextlib.suppress(FileExistsError):
            (tmp_path / "interrupted").touch(exist_ok=False)  # once
            os.kill(os.getppid(), signal.SIGINT)
        return facts_of_bytes(content, digest)

    monkeypatch.setattr("lt_det.data.images.reader.facts_of_bytes", interrupt)
    assert inspect("--images") == (130, "\ninspect_dataset.py: interrupted\n")


# --- paths and splits --------------------------------------------------------------------------

SPLITS = ("lt_det_test_train", "lt_det_test_val")


@pytest.fixture
def splits(tmp_path):
    """JSON files of a training and a validation set of the same images, each with its own half."""
    folder = write_toy_coco(tmp_path / "set")
    content = json.loads((folder / "annotations.json").read_text())
    files = []
    for name, images in (("train", content["images"][:7]), ("val", content["images"][7:])):
        ids = {image["id"] for image in images}
        of_images = [a for a in content["annotations"] if a["image_id"] in ids]
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps({**content, "images": images, "annotations": of_images}))
    yield files
    for name in SPLITS:
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


@pytest.fixture
def run(tool, tmp_path, capsys):
    """Runs the tool; returns its exit code, what it printed, and its errors."""

    def _run(*arguments):
        code = tool.main([*map(str, arguments), "--output", str(tmp_path / "output")])
        return code, *capsys.readouterr()

    return _run


def write_config_of_splits(path, files, **datasets):
    entries = [
        [name, "coco", str(file), str(file.parent / "images")]
        for name, file in zip(SPLITS, files, strict=True)
    ]
    values = {"TRAIN": [SPLITS[0]], "TEST": [SPLITS[1]], "GROUP_THRESHOLDS": [2, 4], **datasets}
    config = {
        "DATASETS": {"REGISTER": entries, **values},
        "MODEL": {"MASK_ON": False, "ROI_HEADS": {"NUM_CLASSES": 3}},
    }
    path.write_text(json.dumps(config))
    return path


def test_a_path_is_inspected_as_a_name_is_and_leaves_no_name(splits, run, tmp_path):
    before = DatasetCatalog.list()
    code, output, errors = run(splits[0])
    assert (code, errors) == (0, "")
    assert output.startswith(
        f"train: {splits[0]}, COCO format (found from its content), images in "
    )
    assert "train: 7 pictures, 1 without instances" in output
    assert (tmp_path / "output" / "train_classes.png").is_file()
    assert DatasetCatalog.list() == before


def test_image_folder_of_a_path(splits, run, tmp_path):
    other = tmp_path / "elsewhere"
    (splits[0].parent / "images").rename(other)
    code, _, errors = run(splits[0])
    assert code == 1
    assert "picture is missing" in errors
    assert run(splits[0], "--image-root", other)[0] == 0
    # Beside the folder of the file, as in COCO.
    annotations = tmp_path / "set" / "annotations"
    annotations.mkdir()
    splits[0].rename(annotations / "train.json")
    other.rename(tmp_path / "set" / "images")
    assert run(annotations / "train.json")[0] == 0


def test_format_of_a_path(splits, run):
    content = json.loads(splits[0].read_text())
    for category in content["categories"]:
        category["frequency"] = "f"
    splits[0].write_text(json.dumps(content))
    code, output, _ = run(splits[0])
    assert code == 0
    assert "COCO format" in output
    assert "WARNING: its categories have a frequency" in output
    code, output, errors = run(splits[0], "--format", "lvis")
    assert code == 1
    assert "LVIS format (as --format says)" in output
    assert "image lacks neg_category_ids" in errors
    for image in content["images"]:
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    splits[0].write_text(json.dumps(content))
    code, output, _ = run(splits[0])
    assert code == 0
    assert "LVIS format (found from its content)" in output


def test_two_files_of_one_name_are_told_apart(splits, run, tmp_path):
    (tmp_path / "set" / "val").mkdir()
    val = splits[1].rename(tmp_path / "set" / "val" / "train.json")
    code, output, _ = run(splits[0], "--val", val)
    assert code == 0
    assert "Training set train against val_train:" in output


def test_a_path_that_is_missing(run, tmp_path):
    code, _, errors = run(tmp_path / "gone.json")
    assert code == 1
    assert errors.count("\n") == 1
    assert "gone.json" in errors


def test_a_name_that_the_config_lacks_has_another_remedy(splits, run, tmp_path):
    config = write_config_of_splits(tmp_path / "config.yaml", splits)
    code, _, errors = run("lt_det_test_trian", "--config-file", config)
    assert code == 1
    assert f"name it in DATASETS.REGISTER of {config}" in errors
    assert f"Near matches: {SPLITS[0]}" in errors


def test_an_unknown_name_has_its_remedy(run):
    code, _, errors = run("my_set_train")
    assert code == 1
    assert errors.count("\n") == 1
    assert "give --config-file CONFIG" in errors
    assert "path of its JSON file" in errors
    assert len(errors) < 500


def test_val_of_a_path_is_compared(splits, run):
    code, output, errors = run(splits[0], "--val", splits[1])
    assert (code, errors) == (0, "")
    assert "Training set train against val:" in output
    assert "No image file name is in both." in output
    assert "Classes with training objects, but none in val (1 of 3): thing 1003" in output


def test_val_that_is_train_is_a_leak(splits, run):
    code, output, _ = run(splits[0], "--val", splits[0])
    assert code == 0
    assert "LEAK: 7 of 7 images of train are training images" in output


def test_a_training_set_of_a_config_is_compared_with_its_test_sets(splits, run, tmp_path):
    config = write_config_of_splits(tmp_path / "config.yaml", splits)
    code, output, errors = run(SPLITS[0], "--config-file", config)
    assert (code, errors) == (0, "")
    assert "own image counts, thresholds 2 and 4" in output
    assert f"Training set {SPLITS[0]} against {SPLITS[1]}:" in output
    assert f"by the image counts of {SPLITS[0]}, thresholds 2 and 4" in output


def test_a_test_set_of_a_config_is_grouped_by_the_training_sets_counts(splits, run, tmp_path):
    config = write_config_of_splits(tmp_path / "config.yaml", splits)
    code, output, errors = run(SPLITS[1], "--config-file", config)
    assert (code, errors) == (0, "")
    assert f"{SPLITS[1]}: 4 pictures" in output
    assert f"Groups by the image counts of {SPLITS[0]}, thresholds 2 and 4, as in" in output
    assert f"Training set {SPLITS[0]} against {SPLITS[1]}:" in output
    # Class 0 is in six training images, which is frequent, and in three here, which would not be.
    row = next(line for line in output.splitlines() if "| thing 7 " in line)
    assert [cell.strip() for cell in row.split("|")[1:6]] == ["0", "7", "thing 7", "frequent", "3"]


def test_faults_of_the_other_split_are_listed_too(splits, run, tmp_path):
    config = write_config_of_splits(tmp_path / "config.yaml", splits)
    content = json.loads(splits[1].read_text())
    content["annotations"][0]["bbox"] = [1, 2, 3]
    splits[1].write_text(json.dumps(content))
    code, output, errors = run(SPLITS[0], "--config-file", config)
    assert code == 1
    assert f"{splits[1]} has 1 fault" in errors
    assert f"{SPLITS[0]}: 7 pictures" in output
    assert "against" not in output


def test_a_test_set_that_is_not_registered_is_named(splits, run, tmp_path):
    config = write_config_of_splits(tmp_path / "config.yaml", splits, TEST=["my_val"])
    code, output, errors = run(SPLITS[0], "--config-file", config)
    assert code == 1
    assert "Data set 'my_val' of the config's DATASETS.TRAIN or TEST is not registered" in errors
    assert f"{SPLITS[0]}: 7 pictures" in output


def test_images_of_both_splits_are_compared(splits, run):
    images = splits[0].parent / "images"
    (images / "picture 9.png").write_bytes((images / "picture 1.png").read_bytes())
    code, output, errors = run(splits[0], "--val", splits[1], "--images")
    assert (code, errors) == (0, "")
    assert "LEAK between train and val: 1 pair of identical images" in output
    assert f"{images}/picture 1.png = {images}/picture 9.png" in output


def test_val_may_have_no_annotations_and_train_may_not(splits, run):
    content = json.loads(splits[1].read_text())
    splits[1].write_text(json.dumps({**content, "annotations": []}))
    code, output, errors = run(splits[0], "--val", splits[1])
    assert (code, errors) == (0, "")
    assert "val has no annotations to compare" in output
    code, output, errors = run(splits[1], "--val", splits[0])
    assert code == 1
    assert "there is nothing to train on" in errors
