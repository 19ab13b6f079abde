"""docs/methods.md is what the classes say."""

import ast
import re

import pytest
from detectron2.config import get_cfg
from paths import ROOT

from lt_det.config import add_lt_det_config
from lt_det.losses import SoftmaxLoss
from lt_det.registry import MethodCard, hyper_parameters

import methods_page
from methods_page import COMBINATIONS, SECTIONS, SETTINGS, markdown, own_classes

PAGE = ROOT / "docs" / "methods.md"
README = PAGE.parents[1] / "README.md"


def test_page_is_not_stale():
    assert PAGE.read_text() == markdown(), "run `python docs/methods_page.py > docs/methods.md`"


def test_every_own_class_is_a_row():
    lines = markdown().splitlines()
    for _, registry, *_ in SECTIONS:
        for cls in own_classes(registry):
            (row,) = [line for line in lines if line.startswith(f"| `{cls.__name__}`<br>")]
            # A bar inside a cell would make another column.
            assert row.replace("\\|", "").count("|") == 5


def listed(row: str) -> tuple[dict, str]:
    """What the parameters cell of a row says: parameter -> default, and whose others are taken."""
    cell = row.replace("\\|", "").split(" | ")[2].partition(": ")[2]
    cell, _, parent = cell.partition("the others of ")
    pairs = re.findall(r"([A-Z][A-Z_]*) (.+?)(?=, [A-Z]|, $|$)", cell)
    return {name.lower(): ast.literal_eval(value) for name, value in pairs}, parent.strip("`")


def test_parameters_and_those_of_the_parents_are_all():
    lines = markdown().splitlines()
    for _, registry, *_ in SECTIONS:
        rows = {
            cls.__name__: listed(next(line for line in lines if f"| `{cls.__name__}`<br>" in line))
            for cls in own_classes(registry)
        }
        for cls in own_classes(registry):
            own, parent = rows[cls.__name__]
            while parent:
                others, parent = rows[parent]
                own = others | own
            assert own == hyper_parameters(cls), cls.__name__


def test_combinations_are_of_classes_and_configs_that_exist():
    known = {cls.__name__ for _, registry, *_ in SECTIONS for cls in own_classes(registry)}
    known |= {setting.split()[-1] for setting, _, _ in SETTINGS}
    for _, parts, config in COMBINATIONS:
        names = re.findall(
            r"\b[A-Z]\w*(?:Loss|Classifier|Sampler|Reweighter|Augmentation)\b", parts
        )
        assert set(names) <= known, parts
        assert names or "REPEAT_FREQUENCY" in parts, parts
        file = f"configs/OpenMoji-InstanceSegmentation/mask_rcnn_small_{config}.yaml"
        assert f"](../{file}) |" in markdown()
        assert (PAGE.parents[1] / file).is_file()


def test_readme_says_where_every_method_sits():
    section = README.read_text().split("\n## Methods\n")[1].split("\n## ")[0]
    for _, registry, *_ in SECTIONS:
        for cls in own_classes(registry):
            assert f"`{cls.__name__}`" in section, f"add {cls.__name__} to README.md's Methods"
    for setting, _, _ in SETTINGS:
        assert f"`{setting.split()[-1].split('.')[-1]}`" in section, setting


def test_every_setting_is_a_row_and_a_key():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    lines = markdown().splitlines()
    for setting, _, _ in SETTINGS:
        (row,) = [line for line in lines if line.startswith(f"| `{setting}`<br>")]
        assert row.count("|") == 5
        node = cfg
        for name in setting.split()[0].split("."):
            node = node[name]


def test_a_class_without_a_card_of_its_own_is_named(monkeypatch):
    class InheritsLoss(SoftmaxLoss):
        """Has its parent's card."""

    monkeypatch.setattr(methods_page, "own_classes", lambda registry: [InheritsLoss])
    with pytest.raises(ValueError, match=r"InheritsLoss.*CARD"):
        markdown()


@pytest.mark.parametrize("field", ["paper", "equation", "released", "cost", "use_when"])
def test_every_field_is_on_the_page(field, monkeypatch):
    values = {"equation": "a", "cost": "b", "use_when": "c", field: "what is | new"}
    monkeypatch.setattr(SoftmaxLoss, "CARD", MethodCard(**values))
    assert "what is \\| new" in markdown()
