"""What other libraries print at every start does not reach the user; everything else does."""

import ast
import os
import subprocess
import sys

import pytest
from paths import ROOT

TOOLS = sorted((ROOT / "tools").glob("*.py"))


def run(*arguments) -> subprocess.CompletedProcess:
    environment = {**os.environ, "CUDA_HOME": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONWARNINGS", None)
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_every_tool_is_quiet_before_anything_else(tool):
    imports = [n for n in ast.parse(tool.read_text()).body if isinstance(n, ast.Import)]
    assert [alias.name for alias in imports[0].names] == ["lt_det.utils.quiet"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["train_net.py", "--help"], ""),
        (
            ["inspect_dataset.py", "nothing_like_it"],
            "inspect_dataset.py: Unknown data set 'nothing_like_it': give --config-file CONFIG, ",
        ),
    ],
)
def test_a_tool_prints_its_own_errors_alone(arguments, error):
    done = run(ROOT / "tools" / arguments[0], *arguments[1:])
    assert done.stderr.startswith(error)
    assert len(done.stderr.splitlines()) == bool(error)


LINES = """
import logging, torch.fx, torch.utils.cpp_extension
torch.fx._symbolic_trace.is_fx_tracing()
torch.utils.cpp_extension._find_cuda_home()
for name in ("torch.fx._symbolic_trace", "torch.utils.cpp_extension"):
    logging.getLogger(name).warning("something else")
"""


def test_two_log_lines_are_hidden_and_others_of_their_loggers_are_not():
    loud, quiet = run("-c", LINES), run("-c", f"import lt_det.utils.quiet\n{LINES}")
    assert loud.returncode == quiet.returncode == 0, loud.stderr + quiet.stderr
    for words in ("is_fx_tracing", "No CUDA runtime"):
        assert words in loud.stderr
        assert words not in quiet.stderr
    assert quiet.stderr.count("something else") == 2
