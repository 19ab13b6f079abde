import numpy as np
import pytest
import torch

from lt_det.reports.runs.weight_norms import weight_norms


class Evil:
    def __reduce__(self):
        return print, ("ran",)


def save(path, **weights):
    torch.save({"model": {name.replace("__", "."): w for name, w in weights.items()}}, path)
    return path


def test_rows_of_the_classes_alone(tmp_path):
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0], [5.0, 12.0], [9.0, 9.0]])
    path = save(tmp_path / "m.pth", p__cls_score__weight=weight, p__bbox_pred__weight=weight[:1])
    np.testing.assert_array_equal(weight_norms(path, 3), [5.0, 0.0, 13.0])
    with pytest.raises(ValueError, match=r"m\.pth' has a classifier of 4 logits.*of 5 classes"):
        weight_norms(path, 5)


def test_a_cascade_has_no_single_classifier(tmp_path):
    weight = torch.ones(3, 2)
    path = save(tmp_path / "m.pth", a__cls_score__weight=weight, b__cls_score__weight=weight)
    assert weight_norms(path, 2) is None


def test_nothing_in_the_file_is_run(tmp_path, capsys):
    torch.save({"model": {}, "evil": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth' cannot be read as a checkpoint of tensors"):
        weight_norms(tmp_path / "evil.pth", 2)
    assert "ran" not in capsys.readouterr().out
