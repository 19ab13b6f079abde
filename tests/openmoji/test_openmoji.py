"""The specification of a generated set: rates, presets, bad fields; and its registered names."""

from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.openmoji.register import register_openmoji
from lt_det.openmoji.spec import PRESETS, SPLITS, OpenMojiSpec


def test_the_lvis_v1_preset_has_the_classes_and_the_imbalance_of_lvis():
    spec = PRESETS["lvis_v1"]()
    rates = spec.class_rates()
    assert spec.num_classes == len(rates) == 1203
    assert (spec.num_families, spec.family_size) == (301, 4)
    assert rates.sum() == pytest.approx(1)
    assert (np.diff(rates) <= 0).all()
    assert sum(count <= 10 for count in spec.class_counts) == 337


def test_exponential_rates():
    rates = OpenMojiSpec(num_classes=3, family_size=1, imbalance_ratio=4.0).class_rates()
    np.testing.assert_allclose(rates, np.array([4, 2, 1]) / 7)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_classes", 0),
        ("family_size", 0),
        ("num_train", 0),
        ("num_val", -1),
        ("picture_size", 0),
        ("objects_per_picture", (0, 3)),
        ("objects_per_picture", (4, 2)),
        ("object_size", (32, 500)),
        ("min_visible", 1.5),
        ("verified_negative", -0.1),
        ("verified_negative", 2.0),
        ("not_exhaustive", 1.01),
        ("class_counts", (1.0, 2.0)),
        ("class_counts", (0.0,) * 80),
        ("class_counts", (float("nan"),) * 80),
        ("class_counts", (float("inf"),) * 80),
        ("num_train", float("nan")),
        ("num_dev", -1),
        ("num_val_uniform", -1),
        ("min_rare_instances", -1),
        ("min_visible", 0.0),
        ("min_visible", float("nan")),
        ("min_filling", -0.1),
        ("min_family_distance", -0.1),
        ("imbalance_ratio", 0.5),
        ("imbalance_ratio", float("inf")),
        ("objects_per_picture", (1, 2, 3)),
        ("object_size", (32, 31)),
    ],
)
def test_a_bad_field_is_named(field, value):
    with pytest.raises(ValueError, match=f"`{field}`"):
        OpenMojiSpec(**{field: value})


def test_registered_splits_are_read_on_demand_only(tiny_set, tiny_contents, tmp_path):
    register_openmoji(tmp_path / "missing", "openmoji_missing")
    register_openmoji(tiny_set, "openmoji_test")
    register_openmoji(tiny_set, "openmoji_test")
    with pytest.raises(ValueError, match=r"'openmoji_test_train' is registered already.*another"):
        register_openmoji(tmp_path, "openmoji_test")
    try:
        dicts = DatasetCatalog.get("openmoji_test_dev")
        assert len(dicts) == len(tiny_contents["dev"]["images"])
        assert all(Path(d["file_name"]).is_file() for d in dicts)
        metadata = MetadataCatalog.get("openmoji_test_dev")
        assert metadata.evaluator_type == "lvis"
        assert len(metadata.thing_classes) == PRESETS["tiny"]().num_classes
        with pytest.raises(FileNotFoundError, match=r"missing.train\.json"):
            DatasetCatalog.get("openmoji_missing_train")
    finally:
        for prefix in ("openmoji_test", "openmoji_missing"):
            for split in SPLITS:
                DatasetCatalog.remove(f"{prefix}_{split}")
                MetadataCatalog.pop(f"{prefix}_{split}", None)
