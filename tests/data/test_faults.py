"""Every kind of bad annotation file, each with its message, and all of them at once."""

import json

import pytest
from bad_input import BAD, DOCUMENT, document, expected_faults, faults_of, good_content
from toy_coco import write_toy_coco

from lt_det.data.faults import find_faults, format_faults


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
    found = faults_of(content, folder, num_classes=None)
    assert expected_faults(name, found), found


def test_the_document_lists_every_kind_with_its_message():
    text = document()
    assert text.count("\n| ") >= 40 + 4  # the heads of two tables have two lines each
    assert DOCUMENT.read_text() == text, "run python tests/bad_input.py"


def test_missing_section_is_named(content, folder):
    del content["categories"]
    assert ("section is missing", "categories") in faults_of(content, folder)


def test_number_of_classes_is_compared(content, folder):
    (fault,) = faults_of(content, folder, num_classes=80)
    assert fault.kind == "MODEL.ROI_HEADS.NUM_CLASSES differs from the file"
    assert fault.where == "80 against 3 categories"


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
    changes = ["missing picture", "box without area", "unknown category", "category name twice"]
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
