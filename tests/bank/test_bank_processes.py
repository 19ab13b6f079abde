"""The command that extracts banks: two processes write the bytes of one."""

import subprocess
import sys

import pytest
from paths import ROOT

pytestmark = pytest.mark.integration


def files(path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_two_processes_write_the_bytes_of_one(bank_cfg, toy_lvis, tmp_path):
    bank_cfg.DATASETS.REGISTER = (
        ("user_train", "lvis", str(toy_lvis.train_json), str(toy_lvis.image_root)),
        ("user_val", "lvis", str(toy_lvis.val_json), str(toy_lvis.image_root)),
    )
    bank_cfg.DATASETS.TRAIN, bank_cfg.DATASETS.TEST = ("user_train",), ("user_val",)
    (tmp_path / "config.yaml").write_text(bank_cfg.dump())
    command = [sys.executable, str(ROOT / "tools" / "extract_features.py"), "--config-file"]
    command += [str(tmp_path / "config.yaml")]
    for name, processes in (("one", "1"), ("two", "2")):
        subprocess.run(
            [*command, "--output", str(tmp_path / name), "--num-gpus", processes], check=True
        )
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"train", "user_val"}
    assert len(files(tmp_path / "one")) > 20
    assert files(tmp_path / "two") == files(tmp_path / "one")
