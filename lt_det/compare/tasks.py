"""Tasks side by side, of which one may fail, or die, without the others."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from lt_det.interrupt import deferred_interrupt

__all__ = ["OutOfTimeError", "Task", "TaskRunner"]

logger = logging.getLogger(__name__)


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
            if self.num_jobs == 0:
                left = self._run_here(tasks, progress)
            else:
                left = self._run_in_pool(tasks, self.num_jobs, progress)
                # A worker was killed and took the pool along; the culprit is among these.
                for task in left if not self._is_late() else ():
                    if self._run_in_pool([task], 1, progress):
                        self._note(task, "its process was killed (out of memory?)", progress)
                    left = [other for other in left if other is not task]
        if left:
            raise OutOfTimeError

    def _run_here(self, tasks: Sequence[Task], progress: tqdm) -> Sequence[Task]:
        for number, task in enumerate(tasks):
            if self._is_late():
                return tasks[number:]
            try:
                with _quiet_log(self.log):
                    getattr(self.subject, task.method)(*task.arguments)
            except Exception as error:
                self._note(task, _message(error), progress)
            else:
                progress.update()
        return []

    def _run_in_pool(self, tasks: Sequence[Task], num_jobs: int, progress: tqdm) -> list[Task]:
        """Returns the tasks that were not done: for lack of time, or because the pool broke."""
        waiting, running = list(tasks), {}
        with deferred_interrupt() as stop_if_interrupted, self._pool(num_jobs) as pool:
            while running or (waiting and not self._is_late()):
                while waiting and len(running) < num_jobs and not self._is_late():
                    task = waiting.pop(0)
                    running[pool.submit(_call, task.method, task.arguments)] = task
                done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                stop_if_interrupted()
                for future in done:
                    task = running.pop(future)
                    if isinstance(future.exception(), BrokenProcessPool):
                        return [task, *running.values(), *waiting]
                    self._finish(task, future, progress)
        return waiting

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
        threads = max(1, (os.cpu_count() or 1) // num_jobs)
        pool = ProcessPoolExecutor(
            num_jobs,
            mp_context=multiprocessing.get_context("fork"),
            initializer=_begin_worker,
            initargs=(self.subject, self.log, threads),
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


def _begin_worker(subject: object, log: Path, num_threads: int) -> None:
    _call.subject = subject
    torch.set_num_threads(num_threads)
    log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)


def _call(method: str, arguments: Sequence) -> None:
    try:
        getattr(_call.subject, method)(*arguments)
    except Exception:
        logging.getLogger("lt_det").exception("%s%r failed", method, arguments)
        raise


@contextlib.contextmanager
def _quiet_log(log: Path) -> Iterator[None]:
    """Inside, messages below a warning go to ``log`` alone."""
    handler = logging.FileHandler(log)
    root = logging.getLogger()
    root.addHandler(handler)
    handlers = {h: h.level for name in ("lt_det", "detectron2", "fvcore") for h in _handlers(name)}
    try:
        for other in handlers:
            other.setLevel(logging.WARNING)
        yield
    finally:
        for other, level in handlers.items():
            other.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def _handlers(name: str) -> list[logging.Handler]:
    return logging.getLogger(name).handlers


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
