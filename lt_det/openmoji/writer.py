"""Write a generated data set: pictures, LVIS-format annotations, contact sheets."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lt_det.openmoji.index import LiveSet, write_index
from lt_det.openmoji.lvis import ATTRIBUTION, categories, count, lvis_content
from lt_det.openmoji.picture import make_picture
from lt_det.openmoji.plan import (
    Catalogue,
    Picture,
    draw_extra,
    draw_ordinary,
    draw_train,
)
from lt_det.openmoji.sheets import write_contact_sheet, write_family_sheet
from lt_det.openmoji.spec import SPLITS, OpenMojiSpec
from lt_det.utils.interrupt import deferred_interrupt

__all__ = ["generate"]


def generate(
    spec: OpenMojiSpec,
    output_dir: str | Path,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
    live: bool = False,
) -> Path:
    """Write the four splits, unless they are there already.

    A set appears whole or not at all: it is written beside ``output_dir`` and moved there. Of two
    processes that write the same set at a time, the first to finish wins and both succeed.

    Args:
        spec: what to make.
        output_dir: folder of the data set.
        seed: same seed and spec, same bytes, whatever ``workers`` is.
        workers: processes; None is one a core.
        progress: show a progress bar.
        live: leave the pictures out, to be composed when they are read
            (:mod:`lt_det.openmoji.live`); everything else is the same.

    Returns:
        ``output_dir``.

    Raises:
        ValueError: if the folder holds something else, or `seed` or `workers` cannot be.
    """
    if seed < 0:
        raise ValueError(f"Expected `seed` to be at least 0, but got {seed}")
    if workers is not None and workers < 1:
        raise ValueError(f"Expected `workers` to be at least 1, but got {workers}")
    output_dir = Path(output_dir)
    kind = {"live": True} if live else {}
    description = json.dumps({"seed": seed, **dataclasses.asdict(spec), **kind}, indent=1)
    if output_dir.exists():
        _check_same(output_dir, description)
        return output_dir
    partial = output_dir.with_name(f"{output_dir.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        (partial / "spec.json").write_text(description)
        (partial / "ATTRIBUTION.txt").write_text(ATTRIBUTION + "\n")
        _write(spec, partial, seed, workers, progress, live)
        if output_dir.exists():
            _check_same(output_dir, description)
        else:
            partial.rename(output_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output_dir


def _write(
    spec: OpenMojiSpec, folder: Path, seed: int, workers: int | None, progress: bool, live: bool
) -> None:
    catalogue = Catalogue(spec, seed)
    for split in () if live else SPLITS:
        (folder / split).mkdir()
    context = (catalogue, spec, None if live else folder, seed)
    pictures, made, stats = _make_splits(spec, seed, workers, progress, context)
    all_categories = categories(catalogue, stats)
    first_image = first_annotation = 1
    for split in SPLITS:
        content = lvis_content(made[split], all_categories, first_image, first_annotation)
        (folder / f"{split}.json").write_text(json.dumps(content, separators=(",", ":")))
        first_image += len(content["images"])
        first_annotation += len(content["annotations"])
    if live:
        write_index(folder, catalogue, pictures)
    write_family_sheet(folder / "families.png", catalogue, stats)
    read = LiveSet(folder).compose if live else lambda name: Image.open(folder / name)
    write_contact_sheet(folder / "contact_sheet.png", folder, read)


def _make_splits(spec: OpenMojiSpec, seed: int, workers, progress, context: tuple) -> tuple:
    """Make all pictures.

    Returns:
        The pictures by split, their records and annotations by split, and train's statistics.
    """
    splits, made = {"train": draw_train(spec, seed)}, {}
    total = len(splits["train"]) + spec.num_dev + spec.num_val + spec.num_val_uniform
    with (
        deferred_interrupt() as stop_if_interrupted,
        _processes(workers, *context) as pool,
        tqdm(total=total, desc="pictures", unit="img", disable=not progress) as bar,
    ):

        def make(pictures: Sequence[Picture]) -> Iterator[tuple[dict, list[dict]]]:
            for result in pool.map(_make_picture, pictures, chunksize=16):
                bar.update()
                stop_if_interrupted()
                yield result

        made["train"] = list(make(splits["train"]))
        stats = count(made["train"], spec.num_classes)
        rare = np.flatnonzero(stats.groups() == 0)
        for split in ("dev", "val"):
            ordinary = draw_ordinary(spec, split, getattr(spec, f"num_{split}"), seed)
            made[split] = list(make(ordinary))
            extra = draw_extra(spec, split, made[split], rare, seed)
            bar.total += len(extra)
            made[split] += make(extra)
            splits[split] = ordinary + extra
        uniform = np.full(spec.num_classes, 1 / spec.num_classes)
        splits["val_uniform"] = draw_ordinary(
            spec, "val_uniform", spec.num_val_uniform, seed, uniform
        )
        made["val_uniform"] = list(make(splits["val_uniform"]))
    return splits, made, stats


@contextlib.contextmanager
def _processes(workers: int | None, *context) -> Iterator[ProcessPoolExecutor]:
    """Processes for :func:`_make_picture`; what they have not begun is dropped on an error.

    Unlike ``multiprocessing.Pool``, an executor notices a worker that was killed, instead of
    waiting for its pictures for ever.
    """
    pool = ProcessPoolExecutor(workers or os.cpu_count(), initializer=_initialize, initargs=context)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _initialize(catalogue: Catalogue, spec: OpenMojiSpec, folder: Path | None, seed: int) -> None:
    """Give a worker process what every picture needs."""
    # Ctrl-C goes to the whole process group. The main process stops the work; a worker that died
    # of it on its own would only add its traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _make_picture.context = (catalogue, spec, folder, seed)


def _make_picture(picture: Picture) -> tuple[dict, list[dict]]:
    """Compose one picture and save it, unless there is no folder to; its record, annotations."""
    catalogue, spec, folder, seed = _make_picture.context
    image, record, annotations = make_picture(picture, catalogue, spec, seed)
    if folder is not None:
        image.save(folder / picture.file_name)
    return record, annotations


def _check_same(output_dir: Path, description: str) -> None:
    marker = output_dir / "spec.json"
    if not marker.is_file():
        raise ValueError(f"{output_dir} exists and is no generated data set: choose another folder")
    if json.loads(marker.read_text()) != json.loads(description):
        raise ValueError(
            f"{output_dir} holds a data set of another seed or other settings (see {marker}): "
            "remove it or choose another folder"
        )
