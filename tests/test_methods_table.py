"""docs/methods.md is what the classes say."""

from pathlib import Path

import pytest
from detectron2.config import get_cfg

from lt_det import methods_table
from lt_det.config import add_lt_det_config
from lt_det.losses import SoftmaxLoss
from lt_det.method_card import MethodCard
from lt_det.methods_table import SECTIONS, SETTINGS, methods_page, own_classes

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"


def test_page_is_not_stale():
    assert PAGE.read_text() == methods_page(), (
        "run `python -m lt_det.methods_table > docs/methods.md`"
    )


def test_every_own_class_is_a_row():
    lines = methods_page().splitlines()
    for _, registry, *_ in SECTIONS:
        for cls in own_classes(registry):
            (row,) = [line for line in lines if line.startswith(f"| `{cls.__name__}` |")]
            # A bar inside a cell would make another column.
            assert row.replace("\\|", "").count("|") == 8


def test_every_setting_is_a_row_and_a_key():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    lines = methods_page().splitlines()
    for setting, _, _ in SETTINGS:
        (row,) = [line for line in lines if line.startswith(f"| `{setting}` |")]
        assert row.count("|") == 8
        node = cfg
        for name in setting.split()[0].split("."):
            node = node[name]


def test_a_class_without_a_card_of_its_own_is_named(monkeypatch):
    class InheritsLoss(SoftmaxLoss):
        """Has its parent's card."""

    monkeypatch.setattr(methods_table, "own_classes", lambda registry: [InheritsLoss])
    with pytest.raises(ValueError, match=r"InheritsLoss.*CARD"):
        methods_page()


@pytest.mark.parametrize("field", ["paper", "equation", "released", "cost", "use_when"])
def test_every_field_is_on_the_page(field, monkeypatch):
    values = {"equation": "a", "cost": "b", "use_when": "c", field: "what is | new"}
    monkeypatch.setattr(SoftmaxLoss, "CARD", MethodCard(**values))
    assert "what is \\| new" in methods_page()
