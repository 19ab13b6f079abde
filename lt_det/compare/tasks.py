"""Tasks side by side, of which one may fail, or die, without the others."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from lt_det.utils.interrupt import deferred_interrupt

__all__ = ["OutOfTimeError", "Task", "TaskRunner"]

# Of the packages that report on a task.
_LOGGERS = ("lt_det", "detectron2", "fvcore")


class OutOfTimeError(Exception):
    """The time given is over, and there is more to do."""


@dataclass(frozen=True)
class Task:
    """A method of the runner's subject, to be called with ``arguments``."""

    name: str
    method: str
    arguments: tuple


@dataclass
class TaskRunner:
    """Calls methods of one object, in processes that are forked from this one.

    The object is shared by the fork, so nothing of it is copied or sent: methods leave their
    results in files. What workers print goes to ``log``.

    Args:
        subject: whose methods tasks name.
        num_jobs: processes; 0 calls in this one, as a GPU wants it, which no fork may share.
        log: file.
        deadline: of ``time.monotonic``; no task begins after it.
        errors: task name -> message of those that failed.
    """

    subject: object
    num_jobs: int
    log: Path
    deadline: float = float("inf")
    errors: dict[str, str] = field(default_factory=dict)

    def run(self, title: str, tasks: Sequence[Task]) -> None:
        """Run all tasks; those that fail are noted in ``errors``.

        Raises:
            OutOfTimeError: if the deadline came before the last task began.
        """
        if not tasks:
            return
        with tqdm(total=len(tasks), desc=title, unit="run") as progress:
            run = self._run_in_processes if self.num_jobs else self._run_here
            if run(tasks, progress):
                raise OutOfTimeError

    def _run_in_processes(self, tasks: Sequence[Task], progress: tqdm) -> Sequence[Task]:
        """Returns the tasks for which there was no time."""
        waiting = tasks
        while waiting and not self._is_late():
            suspects, waiting = self._run_in_pool(waiting, self.num_jobs, progress)
            # One of them was killed and took the pool along: each alone shows which.
            for number, task in enumerate(suspects):
                killed, left = self._run_in_pool([task], 1, progress)
                if left:
                    return [*suspects[number:], *waiting]
                if killed:
                    self._note(task, "its process was killed (out of memory?)", progress)
        return waiting

    def _run_here(self, tasks: Sequence[Task], progress: tqdm) -> Sequence[Task]:
        for number, task in enumerate(tasks):
            if self._is_late():
                return tasks[number:]
            try:
                with _quiet_log(self.log):
                    _logged_call(self.subject, task.method, task.arguments, self.log)
            except Exception as error:
                self._note(task, _message(error), progress)
            else:
                progress.update()
        return []

    def _run_in_pool(
        self, tasks: Sequence[Task], num_jobs: int, progress: tqdm
    ) -> tuple[list[Task], list[Task]]:
        """Returns the tasks that ran when the pool broke, if it did, and those never begun."""
        waiting, running = list(tasks), {}
        with deferred_interrupt() as stop_if_interrupted, self._pool(num_jobs) as pool:
            while running or (waiting and not self._is_late()):
                while waiting and len(running) < num_jobs and not self._is_late():
                    try:
                        future = pool.submit(_call, waiting[0].method, waiting[0].arguments)
                    except BrokenProcessPool:
                        return list(running.values()), waiting
                    running[future] = waiting.pop(0)
                done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                stop_if_interrupted()
                broken = [f for f in done if isinstance(f.exception(), BrokenProcessPool)]
                for future in done.difference(broken):
                    self._finish(running.pop(future), future, progress)
                if broken:
                    return list(running.values()), waiting
        return [], waiting

    def _finish(self, task: Task, future: Future, progress: tqdm) -> None:
        error = future.exception()
        if error is None:
            progress.update()
        else:
            self._note(task, _message(error), progress)

    def _note(self, task: Task, message: str, progress: tqdm) -> None:
        progress.update()
        if task.name not in self.errors:
            self.errors[task.name] = message
            progress.write(f"{task.name} failed: {message} (more in {self.log})")

    @contextlib.contextmanager
    def _pool(self, num_jobs: int) -> Iterator[ProcessPoolExecutor]:
        pool = ProcessPoolExecutor(
            num_jobs,
            mp_context=multiprocessing.get_context("fork"),
            initializer=_begin_worker,
            initargs=(self.subject, self.log),
        )
        try:
            yield pool
        except BaseException:
            # What runs would otherwise be waited for.
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _is_late(self) -> bool:
        return time.monotonic() >= self.deadline


def _begin_worker(subject: object, log: Path) -> None:
    _call.subject, _call.log = subject, log
    # A fork has none of its parent's OpenMP threads, and waits for them for ever if it wants any.
    torch.set_num_threads(1)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(file, stream)


def _call(method: str, arguments: Sequence) -> None:
    _logged_call(_call.subject, method, arguments, _call.log)


def _logged_call(subject: object, method: str, arguments: Sequence, log: Path) -> None:
    """Call the method; how it fails is in ``log`` in full."""
    try:
        getattr(subject, method)(*arguments)
    except Exception:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{method}{arguments!r} failed\n")
            traceback.print_exc(file=file)
        raise


@contextlib.contextmanager
def _quiet_log(log: Path) -> Iterator[None]:
    """Inside, messages below a warning go to ``log`` alone."""
    handler = logging.FileHandler(log)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    shown = {other: other.level for logger in loggers for other in logger.handlers}
    # Detectron2's set-up cuts loggers off from the root.
    ends = {logging.getLogger(), *(logger for logger in loggers if not logger.propagate)}
    for logger in ends:
        logger.addHandler(handler)
    try:
        for other in shown:
            other.setLevel(max(other.level, logging.WARNING))
        yield
    finally:
        for other, level in shown.items():
            other.setLevel(level)
        for logger in ends:
            logger.removeHandler(handler)
        handler.close()


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
