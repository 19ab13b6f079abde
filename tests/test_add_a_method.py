"""docs/add-a-method.md, followed literally."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).parents[1] / "docs" / "add-a-method.md").read_text()


def saved_files() -> dict[str, str]:
    """File name -> text: each block is saved as the file that was named last before it."""
    files, before = {}, 0
    for block in re.finditer(r"```\w+\n(.*?)```", PAGE, re.DOTALL):
        *_, name = re.findall(r"`([\w.]+\.(?:py|yaml))`", PAGE[before : block.start()])
        files[name] = block[1]
        before = block.end()
    return files


def run(folder: Path, script: str) -> None:
    command = [sys.executable, script]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def project(tiny_cfg, toy_lvis, tmp_path):
    """A folder with the page's files and what they assume, the config of one's project."""
    for name, text in saved_files().items():
        (tmp_path / name).write_text(text)
    tiny_cfg.DATASETS.REGISTER = [
        [toy_lvis.train, "lvis", str(toy_lvis.train_json), str(toy_lvis.image_root)]
    ]
    tiny_cfg.DATASETS.TEST = ()
    tiny_cfg.SOLVER.MAX_ITER = 1
    (tmp_path / "config.yaml").write_text(tiny_cfg.dump())
    return tmp_path


def test_page_has_these_files():
    assert list(saved_files()) == ["capped_shift.py", "check.py", "train.py", "capped_shift.yaml"]


def test_check_of_the_page_passes(project):
    run(project, "check.py")


@pytest.mark.integration
def test_a_step_trains_the_loss_with_its_config_key(project, tiny_cfg):
    # Appended to the script: the shift shows that the key arrived.
    script = (project / "train.py").read_text()
    probe = """
loss = trainer.model.roi_heads.box_predictor.cls_loss
assert type(loss) is capped_shift.CappedShiftLoss
assert loss.cap == 1.0
assert loss.shift(None).abs().max() == 1.0
"""
    (project / "train.py").write_text(script + probe)
    run(project, "train.py")
    trained = torch.load(Path(tiny_cfg.OUTPUT_DIR) / "model_final.pth", weights_only=True)["model"]
    counts = trained["roi_heads.box_predictor.cls_loss.class_stats.instance_count"]
    assert counts.tolist() == [8, 3, 1, 0, 2]


def test_files_of_its_table_exist():
    names = re.findall(r"\| `(\w+\.py)` \|", PAGE)
    assert len(names) == 5
    for name in names:
        assert (Path(__file__).parents[1] / "lt_det" / "losses" / name).is_file(), name
