import hashlib
import os
import re
import runpy
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import setuptools
from paths import ROOT

import lt_det


@pytest.fixture
def setup_arguments(monkeypatch) -> dict:
    """What setup.py passes to ``setuptools.setup``."""
    captured = {}
    monkeypatch.setattr(setuptools, "setup", lambda **kwargs: captured.update(kwargs))
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    return captured


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {_canonical(name): version for name, version in pins}


def _run_setup(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "VENV": str(tmp_path / "venv"), **variables}
    return subprocess.run(
        ["bash", str(ROOT / "tools" / "setup_env.sh")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _write_program(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    "module",
    [
        "lt_det",
        "lt_det.utils.compat",
        "lt_det.losses",
        "lt_det.class_stats",
        "lt_det.data.image_distribution",
        "lt_det.engine.bilevel.class_rates",
        "lt_det.engine.bilevel.hypergradient",
    ],
)
def test_pure_modules_import_neither_detectron2_nor_torchvision(module):
    code = (
        f"import sys, {module}\n"
        "print(sorted({'detectron2', 'torchvision'} & {m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_version_is_the_packages(setup_arguments):
    assert setup_arguments["version"] == lt_det.__version__


def test_every_package_folder_is_installed_and_nothing_else(setup_arguments):
    folders = {path.parent for path in (ROOT / "lt_det").rglob("*.py")}
    expected = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(setup_arguments["packages"]) == expected


def test_files_beside_the_python_files_are_installed(setup_arguments):
    beside = {p for p in (ROOT / "lt_det").rglob("*") if p.suffix in (".html", ".css", ".js")}
    installed = {
        path
        for package, patterns in setup_arguments["package_data"].items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    assert beside == installed != set()


def test_pip_install_leaves_torch_and_detectron2_alone(setup_arguments):
    extras = setup_arguments["extras_require"].values()
    required = setup_arguments["install_requires"] + [name for extra in extras for name in extra]
    names = {_canonical(re.split(r"[=<>\[ ]", requirement)[0]) for requirement in required}
    assert not names & {"torch", "torchvision", "detectron2", "sal-detectron2"}
    assert names <= set(_constraints())


def test_dev_tools_equal_the_constraints(setup_arguments):
    pins = dict(pin.split("==") for pin in setup_arguments["extras_require"]["dev"])
    assert pins == {name: _constraints()[name] for name in pins}


def test_pre_commit_ruff_equals_the_constraints():
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"rev: *v(\S+)", text) == [_constraints()["ruff"]]


def test_the_oldest_python_has_what_the_code_calls(setup_arguments):
    """pip refuses an older one, in place of a traceback at run time."""
    assert setup_arguments["python_requires"] == ">=3.11"
    # Both are of 3.11.
    assert hasattr(BaseException, "add_note")
    assert hasattr(hashlib, "file_digest")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["ruff"]["target-version"] == "py311"


def test_every_constraint_is_an_exact_version():
    assert all(re.fullmatch(r"\d[\w.+]*", version) for version in _constraints().values())


def test_setup_names_a_python_that_is_too_old(tmp_path):
    old = _write_program(
        tmp_path / "python3.8", 'case $1 in -c) exit 1;; *) echo "Python 3.8.2";; esac'
    )
    done = _run_setup(tmp_path, PYTHON=old)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "Python 3.8.2" in done.stderr


def test_setup_refuses_an_unknown_source_of_detectron2(tmp_path):
    done = _run_setup(tmp_path, DETECTRON2="conda")
    assert done.returncode == 1
    assert "DETECTRON2=conda is unknown; use pypi or git" in done.stderr


def _fake_venv(tmp_path: Path, pip: str) -> Path:
    """An environment of this script's whose Python has no torch and whose pip does as told."""
    binaries = tmp_path / "venv" / "bin"
    site = tmp_path / "venv" / "site-packages"
    site.mkdir(parents=True)
    binaries.mkdir()
    (tmp_path / "venv" / ".lt_det_owned").touch()
    _write_program(
        binaries / "python",
        f'case "$*" in *--version*) exit 0;; *sysconfig*) echo "{site}";; '
        f'"-m pip install"*) {pip};; *) exit 1;; esac',
    )
    return tmp_path / "venv"


def test_setup_says_how_much_disk_is_missing(tmp_path):
    _fake_venv(tmp_path, "exit 0")
    (tmp_path / "bin").mkdir()
    _write_program(tmp_path / "bin" / "df", "echo header; echo disk 1 1 3000000 1% /")
    done = _run_setup(tmp_path, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert re.search(r"10 GB of free disk space are needed.* has 3 GB", done.stderr)


def test_setup_explains_a_failing_pip_and_keeps_the_environment(tmp_path):
    venv = _fake_venv(tmp_path, "echo no route to host >&2; exit 1")
    done = _run_setup(tmp_path)
    assert done.returncode == 1
    assert "no route to host" in done.stderr
    assert "pip failed to install pip and setuptools" in done.stderr
    assert not (venv / ".lt_det_busy").exists()
    assert not (venv / ".lt_det_stamp").exists()


def test_setup_marks_half_a_package_so_that_the_next_run_starts_afresh(tmp_path):
    site = tmp_path / "venv" / "site-packages"
    venv = _fake_venv(tmp_path, f"touch {site}/half_a_package; exit 1")
    assert _run_setup(tmp_path).returncode == 1
    assert (venv / ".lt_det_busy").exists()
    missing = str(tmp_path / "no_python")
    again = _run_setup(tmp_path, PYTHON=missing)
    assert "starting afresh" in again.stdout
    assert not (site / "half_a_package").exists()


def test_setup_never_empties_an_environment_of_the_users(tmp_path):
    venv = _fake_venv(tmp_path, "exit 1")
    (venv / ".lt_det_owned").unlink()
    (venv / ".lt_det_busy").touch()
    (venv / "pyvenv.cfg").touch()
    _run_setup(tmp_path)
    assert (venv / "bin" / "python").exists()
