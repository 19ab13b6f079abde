"""docs/add-a-method.md, followed literally."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from paths import ROOT

PAGE = (ROOT / "docs" / "add-a-method.md").read_text()
# The page's other files, and the setting that chooses what is in each.
OTHERS = {
    "no_bias.py": ("MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME", "NoBiasClassifier"),
    "rarest_class.py": ("DATALOADER.SAMPLER_TRAIN", "RarestClassTrainingSampler"),
    "mixup.py": ("MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME", "MixupAugmentation"),
    "group_temperature.py": ("TEST.CALIBRATION.NAME", "GroupTemperatureCalibration"),
}
# Where they go inside lt_det: folder, package that exports the class, file of the contract's table
# below tests/, row in it.
INSIDE = {
    "capped_shift.py": (
        "losses/softmax",
        "losses",
        "helpers/contract.py",
        '"CappedShiftLoss": {"cap": (1.0, [-1.0])}',
    ),
    "no_bias.py": ("modeling/classifiers", "modeling", None, None),
    "rarest_class.py": (
        "data/samplers",
        "data/samplers",
        "data/test_samplers.py",
        '"RarestClassTrainingSampler": {"power": (0.5, [-0.1, 1.5])}',
    ),
    "mixup.py": (
        "modeling/feature_augmentations",
        "modeling",
        "modeling/feature_augmentations/test_feature_augmentation_contract.py",
        '"MixupAugmentation": {"share": (0.5, [0.0, 1.5]), "weight": (0.5, [-1.0])}',
    ),
    "group_temperature.py": (
        "modeling/calibrations",
        "modeling",
        "modeling/calibrations/test_calibration_contract.py",
        '"GroupTemperatureCalibration": {"temperatures": ((1.0, 2.0, 3.0), [(1.0, 0.0, 2.0)])}',
    ),
}

CLASSES = {"capped_shift.py": "CappedShiftLoss", **{file: cls for file, (_, cls) in OTHERS.items()}}
CONTRACTS = [
    "tests/losses/test_contract.py",
    "tests/losses/test_contract_config.py",
    "tests/losses/test_contract_state.py",
    "tests/test_registry.py",
    "tests/modeling/classifiers/test_classifiers.py",
    "tests/data/test_samplers.py",
    "tests/modeling/feature_augmentations/test_feature_augmentation_contract.py",
    "tests/modeling/calibrations/test_calibration_contract.py",
]


def saved_files() -> dict[str, str]:
    """File name -> text: each block is saved as the file that was named last before it."""
    files, before = {}, 0
    for block in re.finditer(r"```\w+\n(.*?)```", PAGE, re.DOTALL):
        *_, name = re.findall(r"`([\w.]+\.(?:py|yaml))`", PAGE[before : block.start()])
        files[name] = block[1]
        before = block.end()
    return files


def run(folder: Path, *command: str) -> None:
    command = [sys.executable, *command]
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
    of_the_loss = ["capped_shift.py", "check.py", "train.py", "capped_shift.yaml", "tool.py"]
    assert list(saved_files()) == of_the_loss + list(OTHERS)


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


@pytest.mark.integration
def test_a_tool_knows_the_loss(project, tiny_cfg):
    tool = ROOT / "tools" / "train_net.py"
    run(
        project,
        *("tool.py", str(tool), "--config-file", "config.yaml"),
        *("MODEL.ROI_HEADS.NAME", "LTStandardROIHeads"),
        *("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "CappedShiftLoss"),
    )
    assert (Path(tiny_cfg.OUTPUT_DIR) / "model_final.pth").is_file()


@pytest.mark.integration
def test_a_step_trains_with_all_the_others(project, tiny_cfg):
    (project / "tool.py").write_text(
        "".join(f"import {name.removesuffix('.py')}\n" for name in OTHERS)
        + (project / "tool.py").read_text()
    )
    tool = ROOT / "tools" / "train_net.py"
    command = ["tool.py", str(tool), "--config-file", "config.yaml"]
    settings = [word for setting in OTHERS.values() for word in setting]
    run(project, *command, "MODEL.ROI_HEADS.NAME", "LTStandardROIHeads", *settings)
    weights = Path(tiny_cfg.OUTPUT_DIR) / "model_final.pth"
    trained = torch.load(weights, weights_only=True)["model"]
    bias = trained["roi_heads.box_predictor.cls_score.bias"]
    assert bias[:-1].eq(0).all()  # as at the start: no gradient reached it
    assert bias[-1] != 0
    assert trained["roi_heads.box_predictor.feature_augmentation.num_steps"] == 1


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    """lt_det with the page's files where the page puts them."""
    root = tmp_path_factory.mktemp("inside")
    for folder in ("lt_det", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", root)
    files = saved_files()
    for name, (folder, *_) in INSIDE.items():
        (root / "lt_det" / folder / name).write_text(files[name])
    return root


def export(init: Path, file: str, cls: str) -> None:
    """Add the line that the page shows to a package, and the class to its ``__all__``."""
    module = f"lt_det/{file.removesuffix('.py')}".replace("/", ".")
    text = init.read_text().replace(
        "\n__all__ = [", f"\nfrom {module} import {cls}\n\n__all__ = [", 1
    )
    init.write_text(text.replace("__all__ = [", f'__all__ = ["{cls}", ', 1))


def contract_tests(root: Path) -> str:
    """What pytest prints for the contract tests of the page's classes."""
    names = [name.removesuffix("Loss") for name in CLASSES.values()]
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider"]
    command += [*CONTRACTS, "-k", " or ".join(names)]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=300
    )
    return done.stdout


@pytest.mark.integration
def test_inside_lt_det_the_contract_asks_for_rows_and_then_passes(inside):
    asked = contract_tests(inside)
    for name, (folder, package, table, row) in INSIDE.items():
        cls = CLASSES[name]
        assert f"export {cls} in lt_det/{package}/__init__.py" in asked, name
        export(inside / "lt_det" / package / "__init__.py", f"{folder}/{name}", cls)
        if row is None:
            continue
        assert f"of {cls} to PARAMETERS in tests/{table}" in asked, name
        file = inside / "tests" / table
        text = file.read_text()
        assert text.count("\nPARAMETERS = {") == 1
        text = text.replace("\nPARAMETERS = {", f"\nPARAMETERS = {{{row}, ")
        neutral = '"GroupTemperatureCalibration": {"temperatures": (1.0, 1.0, 1.0)}'
        file.write_text(text.replace("\nNEUTRAL = {", f"\nNEUTRAL = {{{neutral}, "))
    assert "add a setting that changes nothing to NEUTRAL" in asked
    answered = contract_tests(inside)
    assert " failed" not in answered, answered
    assert " error" not in answered, answered
    assert int(re.search(r"(\d+) passed", answered)[1]) > 100


def test_files_of_its_table_exist():
    section = PAGE.split("## What else a loss may say")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    names = re.findall(r"`([\w/]+\.py)`", "\n".join(rows))
    assert len(names) == 9
    for name in names:
        assert (ROOT / "lt_det" / "losses" / name).is_file(), name
