"""The fast path is conservative: what it passes, the definition of one annotation passes too."""

import copy

import numpy as np
import pytest
from bad_files import BAD, good_content
from odd_files import ODD
from toy_coco import write_toy_coco

from lt_det.data.judgement import judge as judge_module
from lt_det.data.judgement.judge import judge
from lt_det.data.judgement.suspects import Columns

CHANGES = {name: change for name, (change, *_) in {**BAD, **ODD}.items()}


class EverythingIsSuspect(Columns):
    """As if there were no fast path."""

    @classmethod
    def of(cls, annotations, context):
        columns = Columns.of(annotations, context)
        return cls(columns.boxes, columns.sizes, np.ones(len(annotations), dtype=bool))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_toy_coco(tmp_path_factory.mktemp("coco") / "set")


def sorted_faults(judgement):
    return sorted(map(tuple, judgement.faults))


@pytest.mark.parametrize("data_format", ["coco", "lvis"])
@pytest.mark.parametrize("name", [None, *CHANGES])
def test_fast_and_slow_path_agree(folder, monkeypatch, name, data_format):
    content = good_content(folder)
    if name is not None:
        CHANGES[name](content)
    if data_format == "lvis":
        for annotation in (a for a in content["annotations"] if isinstance(a, dict)):
            annotation.pop("iscrowd", None)
    before = copy.deepcopy(content)
    fast = judge(content, data_format)
    monkeypatch.setattr(judge_module, "Columns", EverythingIsSuspect)
    slow = judge(content, data_format)
    assert repr(content) == repr(before)  # judging changes nothing; NaN is not equal to itself
    assert sorted_faults(fast) == sorted_faults(slow)
    assert fast.notes == slow.notes
    assert repr(fast.content) == repr(slow.content)


def test_a_good_file_has_no_suspect_and_is_not_copied(folder):
    content = good_content(folder)
    judgement = judge(content, "coco")
    pairs = zip(judgement.content["annotations"], content["annotations"], strict=True)
    assert all(judged is read for judged, read in pairs)
    assert judgement.content == content
    assert judgement.faults == judgement.notes == []
