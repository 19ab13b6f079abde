"""Tasks in forked processes and in this one: what fails, what is killed, what is left."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lt_det.compare.tasks import OutOfTimeError, Task, TaskRunner


class Subject:
    """Methods that leave a file each."""

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, name: str) -> None:
        # Whoever does a task twice leaves two lines.
        with open(self.folder / name, "a") as file:
            file.write(f"{os.getpid()}\n")

    def fail(self, name: str) -> None:
        self.write(name)
        raise ValueError(f"{name} cannot be")

    def die(self, name: str) -> None:
        self.write(name)
        os.kill(os.getpid(), signal.SIGKILL)

    def rest(self, name: str) -> None:
        time.sleep(1)
        self.write(name)

    def speak(self, name: str) -> None:
        logging.getLogger("lt_det.some").info("done with %s", name)
        self.write(name)

    def interrupt(self, name: str) -> None:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
        self.write(name)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def runner(folder):
    def _runner(num_jobs: int, **options) -> TaskRunner:
        return TaskRunner(Subject(folder), num_jobs, folder.parent / "workers.log", **options)

    return _runner


def tasks(*methods: str) -> list[Task]:
    """Task ``<method><number>`` for each method."""
    return [Task(f"{m}{n}", m, (f"{m}{n}",)) for n, m in enumerate(methods)]


def lines(folder: Path) -> dict[str, int]:
    """How often each task was done."""
    return {p.name: len(p.read_text().splitlines()) for p in folder.iterdir()}


@pytest.mark.parametrize("num_jobs", [0, 1, 2])
def test_one_that_fails_is_noted_and_the_others_are_done(runner, folder, num_jobs, capsys):
    running = runner(num_jobs)
    running.run("writing", tasks("write", "fail", "write", "write"))
    assert running.errors == {"fail1": "ValueError: fail1 cannot be"}
    assert lines(folder) == dict.fromkeys(["write0", "fail1", "write2", "write3"], 1)
    processes = {(folder / name).read_text().strip() for name in lines(folder)}
    assert (str(os.getpid()) in processes) == (num_jobs == 0)
    log = (folder.parent / "workers.log").read_text()
    assert "fail('fail1',) failed" in log
    assert 'raise ValueError(f"{name} cannot be")' in log
    assert "fail1 failed: ValueError: fail1 cannot be (more in " in capsys.readouterr().out


def test_the_first_error_of_a_name_is_kept(runner):
    running = runner(0)
    running.run("failing", [Task("row", "fail", (name,)) for name in ("first", "second")])
    assert running.errors == {"row": "ValueError: first cannot be"}


@pytest.mark.parametrize("num_jobs", [1, 3])
def test_one_that_kills_its_process_is_found(runner, folder, num_jobs):
    running = runner(num_jobs)
    given = tasks("write", "die", "write", "die", "write", "fail", "write")
    running.run("writing", given)
    done = lines(folder)
    assert sorted(done) == sorted(task.name for task in given)
    message = "its process was killed (out of memory?)"
    assert running.errors == {
        "die1": message,
        "die3": message,
        "fail5": "ValueError: fail5 cannot be",
    }
    # Once among others, once alone; another may break the pool before one begins.
    assert done["die1"] == 2
    assert done["die3"] in (1, 2)


def test_those_that_never_began_stay_side_by_side(runner, folder, monkeypatch):
    """A kill makes suspects of those that ran beside it, not of all that wait."""
    sizes = []
    in_pool = TaskRunner._run_in_pool

    def counted(self, given, num_jobs, progress):
        sizes.append((len(given), num_jobs))
        return in_pool(self, given, num_jobs, progress)

    monkeypatch.setattr(TaskRunner, "_run_in_pool", counted)
    running = runner(2)
    running.run("writing", tasks("rest", "die", *["write"] * 8))
    assert len(lines(folder)) == 10
    assert list(running.errors) == ["die1"]
    assert sizes == [(10, 2), (1, 1), (1, 1), (8, 2)]


@pytest.mark.parametrize("num_jobs", [0, 2])
def test_after_the_deadline_nothing_begins(runner, folder, num_jobs):
    running = runner(num_jobs, deadline=time.monotonic())
    with pytest.raises(OutOfTimeError):
        running.run("writing", tasks("write", "write"))
    assert lines(folder) == {}
    running.run("nothing to do", [])


@pytest.mark.parametrize("num_jobs", [0, 1, 2])
def test_what_began_before_the_deadline_is_finished(runner, folder, num_jobs, monkeypatch):
    running = runner(num_jobs)
    monkeypatch.setattr(TaskRunner, "_is_late", lambda self: len(lines(folder)) >= 2)
    given = tasks(*["write"] * 20)
    with pytest.raises(OutOfTimeError):
        running.run("writing", given)
    done = lines(folder)
    assert 2 <= len(done) < 20
    # In the order given, none twice.
    assert done == {f"write{n}": 1 for n in range(len(done))}
    assert running.errors == {}


def test_the_last_task_may_end_after_the_deadline(runner, folder, monkeypatch):
    monkeypatch.setattr(TaskRunner, "_is_late", lambda self: len(lines(folder)) >= 3)
    runner(0).run("writing", tasks(*["write"] * 3))


def test_messages_of_a_task_in_this_process_go_to_the_log(runner, folder, caplog, monkeypatch):
    package = logging.getLogger("lt_det")
    handler = logging.StreamHandler(sys.stdout)
    monkeypatch.setattr(package, "handlers", [handler])
    monkeypatch.setattr(package, "propagate", False)  # as Detectron2's setup_logger leaves it
    package.setLevel(logging.INFO)
    try:
        runner(0).run("speaking", tasks("speak"))
    finally:
        package.setLevel(logging.NOTSET)
    assert (folder.parent / "workers.log").read_text() == "done with speak0\n"
    assert (package.handlers, handler.level) == ([handler], logging.NOTSET)


def test_ctrl_c_ends_workers_at_once(runner, folder):
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            runner(2).run("waiting", tasks("interrupt", "write", "write"))
    finally:
        signal.signal(signal.SIGINT, previous)
    # A worker that is not ended sleeps for a minute.
    assert time.monotonic() - start < 30
    assert "interrupt0" not in lines(folder)


_THREADS = """
import sys, torch
from pathlib import Path
from lt_det.compare.tasks import Task, TaskRunner

class Subject:
    def work(self):
        torch.randn(2_000_000).exp().sum()

torch.set_num_threads(2)
subject = Subject()
subject.work()
runner = TaskRunner(subject, 1, Path(sys.argv[1]))
runner.run("", [Task("work", "work", ())])
assert not runner.errors
"""


def test_a_worker_never_waits_for_threads_of_its_parent(tmp_path):
    """OpenMP's threads do not survive a fork: two in a worker would hang."""
    command = [sys.executable, "-c", _THREADS, str(tmp_path / "log")]
    subprocess.run(command, check=True, timeout=60)
