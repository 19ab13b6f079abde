"""A user's error ends in one line with status 1, a bug in its traceback, Ctrl-C in status 130."""

import argparse

import pytest
from detectron2.config import CfgNode
from tool_modules import TOOLS, load_tool
from torch.utils.data import DataLoader

from lt_det.engine.finite import NonFiniteLossError
from lt_det.utils.command_line import add_debug_argument, in_words, run_command


def run(error: BaseException, debug: bool = False, **options) -> int:
    """Status of a command whose job raises."""

    def job(args):
        raise error

    return run_command("tool.py", job, argparse.Namespace(debug=debug), **options)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("bad key"), "tool.py: bad key"),
        (FileNotFoundError(2, "No such file", "a.json"), "[Errno 2] No such file: 'a.json'"),
        (PermissionError(13, "Permission denied", "out"), "Permission denied: 'out'"),
        (ModuleNotFoundError("No module named 'hotcoco'", name="hotcoco"), "'hotcoco'"),
        (NonFiniteLossError("The loss is not finite"), "tool.py: The loss is not finite"),
        (ValueError(), "tool.py: ValueError"),
    ],
)
def test_a_users_error_is_one_line(capsys, error, line):
    assert run(error) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("tool.py: ")
    assert line in printed.err
    assert printed.err.count("\n") == 1
    with pytest.raises(type(error)):
        run(error, debug=True)


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("ours"),
        TypeError("ours"),
        KeyError("ours"),
        RuntimeError("ours"),
        ImportError("cannot import name 'x' from 'lt_det.utils'", name="lt_det.utils"),
    ],
)
def test_a_bug_keeps_its_traceback(capsys, error):
    with pytest.raises(type(error)):
        run(error)
    assert capsys.readouterr().err == ""


def test_a_command_may_name_further_errors(capsys):
    assert run(RuntimeError("job 3 failed"), also=(RuntimeError,)) == 1
    assert capsys.readouterr().err == "tool.py: job 3 failed\n"


@pytest.mark.parametrize(
    "said", ["the same command continues", lambda: "the same command continues"]
)
def test_ctrl_c(capsys, said):
    assert run(KeyboardInterrupt(), interrupted=said) == 130
    assert capsys.readouterr().err == "\ntool.py: the same command continues\n"


@pytest.mark.parametrize(("returned", "status"), [(None, 0), ({"bbox": {}}, 0), (0, 0), (75, 75)])
def test_status_of_a_job_that_ends(returned, status):
    assert run_command("tool.py", lambda args: returned, argparse.Namespace(debug=False)) == status


def test_notes_of_an_error_are_in_its_line():
    error = ValueError("The loss is not finite")
    error.add_note("State: a.pth")
    assert in_words(error) == "The loss is not finite. State: a.pth"


class Broken:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ValueError("a.jpg is truncated:\nonly half of it is there")


def test_an_error_of_a_process_that_loads_images_is_its_message():
    with pytest.raises(ValueError, match="Original Traceback") as error:
        next(iter(DataLoader(Broken(), num_workers=1)))
    assert in_words(error.value) == "a.jpg is truncated:\nonly half of it is there"


def test_debug_is_an_option():
    parser = argparse.ArgumentParser()
    add_debug_argument(parser)
    assert [parser.parse_args(argv).debug for argv in ([], ["--debug"])] == [False, True]


# Arguments of every tool that a user may give by mistake, and what is said of them.
CONFIG = ("--config-file", "none.yaml")
MISTAKES = {
    "benchmark": (["nothing_like_it"], "nothing_like_it"),
    "compare": ([*CONFIG, "--comparison", "none.yml", "--output", "out"], "none.yml"),
    "demo": ([*CONFIG, "--input", "none/*.jpg", "--output", "out"], "--input 'none/*.jpg'"),
    "evaluate": (["--predictions", "none.json", "--ground-truth", "truth.json"], "truth.json"),
    "extract_features": ([*CONFIG, "--output", "out"], "Config file not found: none.yaml"),
    "gpu_table": (["--tiny", "--minutes", "-1"], "--minutes to be above 0, but got -1.0"),
    "inspect_dataset": (["nothing_like_it"], "Unknown data set 'nothing_like_it'"),
    "make_openmoji": (["--class-counts", "none.json", "--output", "out"], "none.json"),
    "rate_noise": ([*CONFIG, "--bank", "b", "--checkpoint", "c"], "Config file not found"),
    "report": (["none", "--output", "out"], "none"),
    "roi_recall": ([*CONFIG, "--dataset", "d", "c.pth"], "Config file not found: none.yaml"),
    "run_study": (["--study", "none.yml", "--output", "out"], "none.yml"),
    "train_classifier": ([*CONFIG, "--bank", "b"], "Config file not found: none.yaml"),
    "train_net": ([*CONFIG], "Config file not found: none.yaml"),
}


def test_every_tool_has_a_mistake():
    assert sorted(MISTAKES) == sorted(path.stem for path in TOOLS.glob("*.py"))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_every_tool_in_one_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for place in ("lt_det.cli.evaluate", "lt_det.cli.report", "lt_det.bank.command"):
        monkeypatch.setattr(f"{place}.setup_logger", lambda *args, **options: None)
    tool = load_tool(name)
    if hasattr(tool, "setup_logger"):
        monkeypatch.setattr(tool, "setup_logger", lambda **options: None)
    arguments, words = MISTAKES[name]
    assert tool.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{name}.py: ")
    assert words in error
    assert error.count("\n") == 1
    with pytest.raises((ValueError, OSError)):
        load_tool(name).main(["--debug", *arguments])


def test_a_bug_is_no_users_error_of_a_tool(monkeypatch):
    tool = load_tool("train_net")
    monkeypatch.setattr(tool, "run_from_args", lambda args: CfgNode().SOLVER)
    with pytest.raises(AttributeError):
        tool.main([])
