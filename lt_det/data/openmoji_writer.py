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
import pycocotools.mask
from tqdm import tqdm

from lt_det.data.openmoji import SPLITS, OpenMojiSpec
from lt_det.data.openmoji_lvis import ATTRIBUTION, categories, count, lvis_content
from lt_det.data.openmoji_plan import (
    Catalogue,
    Picture,
    draw_extra,
    draw_ordinary,
    draw_train,
)
from lt_det.data.openmoji_scenes import compose
from lt_det.data.openmoji_sheets import write_contact_sheet, write_family_sheet
from lt_det.interrupt import deferred_interrupt

__all__ = ["generate"]


def generate(
    spec: OpenMojiSpec,
    output_dir: str | Path,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
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
    description = json.dumps({"seed": seed, **dataclasses.asdict(spec)}, indent=1)
    if output_dir.exists():
        _check_same(output_dir, description)
        return output_dir
    partial = output_dir.with_name(f"{output_dir.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write(spec, partial, seed, workers, progress)
        (partial / "ATTRIBUTION.txt").write_text(ATTRIBUTION + "\n")
        (partial / "spec.json").write_text(description)
        if output_dir.exists():
            _check_same(output_dir, description)
        else:
            partial.rename(output_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output_dir


def _write(
    spec: OpenMojiSpec, folder: Path, seed: int, workers: int | None, progress: bool
) -> None:
    catalogue = Catalogue(spec, seed)
    for split in SPLITS:
        (folder / split).mkdir()
    with (
        deferred_interrupt() as stop_if_interrupted,
        _processes(workers, catalogue, spec, folder, seed) as pool,
    ):
        train = draw_train(spec, seed)
        total = len(train) + spec.num_dev + spec.num_val + spec.num_val_uniform
        with tqdm(total=total, desc="pictures", unit="img", disable=not progress) as bar:

            def make(pictures: Sequence[Picture]) -> Iterator[tuple[dict, list[dict]]]:
                for result in pool.map(_make_picture, pictures, chunksize=16):
                    bar.update()
                    stop_if_interrupted()
                    yield result

            splits = {"train": list(make(train))}
            stats = count(splits["train"], spec.num_classes)
            rare = np.flatnonzero(stats.groups() == 0)
            for split in ("dev", "val"):
                ordinary = list(
                    make(draw_ordinary(spec, split, getattr(spec, f"num_{split}"), seed))
                )
                extra = draw_extra(spec, split, ordinary, rare, seed)
                bar.total += len(extra)
                splits[split] = ordinary + list(make(extra))
            uniform = np.full(spec.num_classes, 1 / spec.num_classes)
            pictures = draw_ordinary(spec, "val_uniform", spec.num_val_uniform, seed, uniform)
            splits["val_uniform"] = list(make(pictures))
    all_categories = categories(catalogue, stats)
    first_image = first_annotation = 1
    for split in SPLITS:
        content = lvis_content(splits[split], all_categories, first_image, first_annotation)
        (folder / f"{split}.json").write_text(json.dumps(content, separators=(",", ":")))
        first_image += len(content["images"])
        first_annotation += len(content["annotations"])
    write_family_sheet(folder / "families.png", catalogue, stats)
    write_contact_sheet(folder / "contact_sheet.png", folder)


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


def _initialize(catalogue: Catalogue, spec: OpenMojiSpec, folder: Path, seed: int) -> None:
    """Give a worker process what every picture needs."""
    # Ctrl-C goes to the whole process group. The main process stops the work; a worker that died
    # of it on its own would only add its traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _make_picture.context = (catalogue, spec, folder, seed)


def _make_picture(picture: Picture) -> tuple[dict, list[dict]]:
    """Compose and save one picture; its image record and annotations, without ids."""
    catalogue, spec, folder, seed = _make_picture.context
    rng = np.random.default_rng([seed, SPLITS.index(picture.split), 3, picture.number])
    image, labels = compose(rng, [catalogue.sprites[c] for c in picture.classes], spec)
    image.save(folder / picture.file_name)
    verifiable = set(range(spec.num_classes))
    if picture.focus is not None:
        verifiable = catalogue.family_of(picture.focus)
    annotations = [
        {"category": c, **_annotation(labels == number)}
        for number, c in enumerate(picture.classes, start=1)
        if c in verifiable and (labels == number).any()
    ]
    not_exhaustive = _leave_one_out(rng, annotations, spec) if picture.focus is None else []
    present = {annotation["category"] for annotation in annotations}
    record = {
        "file_name": picture.file_name,
        "height": spec.picture_size,
        "width": spec.picture_size,
        "neg_category_ids": _verified_absent(rng, spec, present, verifiable, picture),
        "not_exhaustive_category_ids": [c + 1 for c in not_exhaustive],
    }
    return record, annotations


def _annotation(mask: np.ndarray) -> dict:
    rle = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "bbox": pycocotools.mask.toBbox(rle).tolist(),
        "area": float(mask.sum()),
        "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode()},
    }


def _leave_one_out(rng, annotations: list[dict], spec) -> list[int]:
    """Remove one annotation of some classes that have several; returns those classes.

    Rare classes never have several at the rates in use, but for chance; the least frequent half
    of the classes is spared, so that no rare instance is lost.
    """
    classes = [annotation["category"] for annotation in annotations]
    chosen = [
        c
        for c in sorted(set(classes))
        if classes.count(c) > 1 and c < spec.num_classes // 2 and rng.random() < spec.not_exhaustive
    ]
    for c in chosen:
        del annotations[[a["category"] for a in annotations].index(c)]
    return chosen


def _verified_absent(rng, spec, present, verifiable, picture) -> list[int]:
    """Category ids verified to be absent. A class drawn but left out for room is truly absent."""
    if picture.focus is not None:
        return sorted(c + 1 for c in verifiable - present)
    verified = rng.random(spec.num_classes) < spec.verified_negative
    return [c + 1 for c in np.flatnonzero(verified).tolist() if c not in present]


def _check_same(output_dir: Path, description: str) -> None:
    marker = output_dir / "spec.json"
    if not marker.is_file():
        raise ValueError(f"{output_dir} exists and is no generated data set: choose another folder")
    if json.loads(marker.read_text()) != json.loads(description):
        raise ValueError(
            f"{output_dir} holds a data set of another seed or other settings (see {marker}): "
            "remove it or choose another folder"
        )
