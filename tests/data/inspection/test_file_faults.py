"""Every kind of bad annotation file, each with its message, and all of them at once."""

import json

import pytest
from bad_files import (
    BAD,
    BAD_FOR_A_CONFIG,
    expected_faults,
    faults_of,
    good_content,
)
from bad_input import DOCUMENT, document
from odd_files import ODD, notes_of
from paths import SHARED_DATA
from toy_coco import write_toy_coco

from lt_det.data.inspection.file_faults import find_faults
from lt_det.data.inspection.requirements import Needs
from lt_det.data.judgement.fault import format_faults


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_toy_coco(tmp_path_factory.mktemp("coco") / "set")


@pytest.fixture
def content(folder):
    return good_content(folder)


def test_a_good_file_has_no_fault(content, folder):
    assert faults_of(content, folder) == []
    assert format_faults([]) == ""


@pytest.mark.parametrize("name", BAD)
def test_each_fault_is_named_with_its_place(content, folder, name):
    BAD[name][0](content)
    found = faults_of(content, folder, needs=Needs())
    assert expected_faults(name, found), found


@pytest.mark.parametrize("name", ODD)
def test_each_odd_value_is_noted_and_no_fault(content, folder, name):
    change, kind, example = ODD[name]
    change(content)
    is_lvis = "LVIS" in name
    found = [n for n in notes_of(content, is_lvis) if kind in n.kind]
    assert any(example in text for note in found for text in note.examples), found
    assert faults_of(content, folder, is_lvis=is_lvis) == []


def test_the_document_lists_every_kind_with_its_message():
    text = document()
    assert text.count("\n| ") >= 40 + 4  # the heads of two tables have two lines each
    assert DOCUMENT.read_text() == text, "run python tests/helpers/bad_input.py"


def test_missing_section_is_named(content, folder):
    del content["categories"]
    assert ("section is missing", "categories") in faults_of(content, folder)


@pytest.mark.parametrize("name", BAD_FOR_A_CONFIG)
def test_faults_of_a_config_are_none_without_it(content, folder, name):
    change, needs, kind, _ = BAD_FOR_A_CONFIG[name]
    change(content)
    found = faults_of(content, folder, needs=needs)
    assert expected_faults(name, found), found
    assert {fault.kind for fault in found} == {kind}
    without = {fault.kind for fault in faults_of(content, folder, needs=Needs())}
    assert not without


def test_boxes_alone_may_have_empty_masks(content, folder):
    for annotation in content["annotations"]:
        annotation["segmentation"] = []
    assert faults_of(content, folder, needs=Needs(masks=False)) == []


def test_crowds_need_no_masks_and_may_be_rle(content, folder):
    content["annotations"] = [a for a in content["annotations"] if a["iscrowd"]]
    content["annotations"][0]["segmentation"] = None
    assert faults_of(content, folder, needs=Needs(masks=True, polygons=True)) == []


@pytest.mark.parametrize("key_is_there", [True, False])
def test_a_set_that_is_only_tested_needs_no_annotations(content, folder, key_is_there):
    if key_is_there:
        content["annotations"] = []
    else:
        del content["annotations"]
    assert faults_of(content, folder, needs=Needs(is_training=False)) == []


def test_one_tiny_box_is_no_normalised_file(content, folder):
    content["annotations"][0]["bbox"] = [0.1, 0.1, 0.5, 0.5]
    assert faults_of(content, folder) == []


@pytest.mark.parametrize("is_lvis", [False, True])
def test_real_lvis_has_no_fault(is_lvis):
    root = SHARED_DATA / "lvis_val64"
    path = root / "lvis_v0.5_val64.json"
    if not path.is_file():
        pytest.skip(f"{path} is not on this machine")
    needs = Needs(num_classes=1230, masks=True, polygons=True, is_training=True)
    content = json.loads(path.read_text())
    assert list(find_faults(content, str(root / "val2017"), is_lvis=is_lvis, needs=needs)) == []


def test_missing_folder_names_the_variable(content, folder):
    (fault,) = find_faults(content, str(folder / "gone"))
    assert fault.kind == "image folder is missing"
    assert f"{folder}/gone (set DETECTRON2_DATASETS" in fault.where


def test_what_lvis_adds_is_not_asked_of_coco(folder):
    content = json.loads((folder / "annotations.json").read_text())
    assert faults_of(content, folder, is_lvis=False) == []
    kinds = {fault.kind for fault in faults_of(content, folder)}
    assert "frequency is none of r, c, f" in kinds


@pytest.mark.parametrize("content", [[], None, "text", 3])
def test_no_dictionary(content):
    (fault,) = find_faults(content, "anywhere")
    assert "no dictionary of sections" in fault.kind


def test_all_faults_come_at_once(content, folder):
    changes = ["missing picture", "box of NaN", "unknown category", "category id twice"]
    for name in changes:
        BAD[name][0](content)
    for annotation in content["annotations"][4:10]:
        annotation["image_id"] = 1
    text = format_faults(faults_of(content, folder))
    for name in changes:
        assert BAD[name][1] in text
    row = next(line for line in text.splitlines() if "image_id is not in the file" in line)
    assert "| 6 |" in " ".join(row.split())
    assert row.count("annotation ") == 3  # examples; the number says the rest
