"""tools/evaluate.py: its tables, and mistakes in one line."""

import subprocess
import sys

import pytest
from tool_modules import TOOLS, load_quiet_tool
from written_files import DETECTIONS, WORSE, assert_same_files

from lt_det.evaluation.results import read_results


@pytest.fixture
def tool(monkeypatch):
    return load_quiet_tool("evaluate", monkeypatch)


def test_command_says_in_one_line_what_is_wrong(tool, ground_truth, tmp_path, capsys):
    (tmp_path / "cut.json").write_text('[{"image_id": 1, "score"')
    arguments = ["--predictions", str(tmp_path / "cut.json"), "--ground-truth", ground_truth]
    assert tool.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"evaluate.py: {tmp_path / 'cut.json'} is not valid JSON (truncated")
    assert len(error.splitlines()) == 1


def test_command_refuses_two_kinds_of_groups(tool, capsys):
    groups = ("--groups", "g.json", "--group-thresholds", "10", "100")
    with pytest.raises(SystemExit):
        tool.main(["--predictions", "p", "--ground-truth", "g", *groups])
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.integration
def test_command_prints_the_tables(write, ground_truth, tmp_path):
    one, other = write(DETECTIONS, "one"), write(WORSE, "other")
    files = ["--predictions", one, "--compare", other, "--ground-truth", ground_truth]
    command = [
        sys.executable,
        TOOLS / "evaluate.py",
        *files,
        "--format",
        "lvis",
        "--output",
        tmp_path / "out",
    ]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    ap = read_results(tmp_path / "one" / "results.json")["bbox"]["AP"]
    assert f"| bbox | {ap:.2f} |" in " ".join(done.stdout.split())
    assert done.stdout.count("Results in percent") == 2
    assert done.stdout.count("Paired differences in") == 2
    assert f"| {one} | {other} |" in done.stdout
    assert_same_files(tmp_path / "one", tmp_path / "out")
