"""Compare a validation set with the training set it is to judge."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from tabulate import tabulate

from lt_det.class_stats import GROUP_NAMES
from lt_det.data.splits.evaluation_groups import EvaluationGroups
from lt_det.data.splits.shared_files import find_shared_files
from lt_det.data.splits.splits import Split
from lt_det.data.splits.threshold_proposal import FEWEST_CLASSES

__all__ = ["FEWEST_OBJECTS", "compare_splits"]

# A group's AP that rests on fewer validation objects says little.
FEWEST_OBJECTS = 30
_NUM_NAMES = 20
_NUM_FILES = 3


def compare_splits(training: Split, validation: Split, groups: EvaluationGroups | None) -> str:
    """Describe what makes a validation set judge a training badly.

    Args:
        training: the training set.
        validation: the validation set.
        groups: groups of the classes by which the evaluation reports, if they are known.

    Returns:
        Text: shared images first, then categories, classes without validation objects, and how
        many objects each group's AP rests on.
    """
    blocks = [f"Training set {training.name} against {validation.name}:"]
    blocks += _shared_images(training, validation)
    difference = _category_difference(training, validation)
    if difference:
        return "\n\n".join([*blocks, difference])
    if validation.stats is None or training.stats is None:
        return "\n\n".join([*blocks, f"{validation.name} has no annotations to compare."])
    blocks += _unseen_classes(training, validation)
    if groups is not None:
        blocks += _group_blocks(training, validation, groups)
    return "\n\n".join(blocks)


def _shared_images(training: Split, validation: Split) -> Iterator[str]:
    shared = find_shared_files(training.files, validation.files)
    number = len(set(validation.files))
    if shared.identical:
        yield (
            f"LEAK: {len(shared.identical)} of {number} images of {validation.name} are training "
            f"images, the same file with the same name, such as "
            f"{', '.join(shared.identical[:_NUM_FILES])}. A model is trained on what it is then "
            "tested on: take them out of one of the two."
        )
    if shared.same_name:
        yield (
            f"{len(shared.same_name)} of {number} images of {validation.name} have the file name "
            "of a training image, and another content, such as "
            f"{', '.join(shared.same_name[:_NUM_FILES])}: see that they are not the same scene "
            "(--images finds near-duplicates)."
        )
    if not shared.identical and not shared.same_name:
        yield "No image file name is in both."


def _category_difference(training: Split, validation: Split) -> str:
    pairs = enumerate(itertools.zip_longest(training.class_names, validation.class_names))
    number, pair = next(((n, p) for n, p in pairs if p[0] != p[1]), (None, None))
    if pair is None:
        return ""
    details = _only_in_one(training, validation)
    there, here = ("missing" if name is None else repr(name) for name in pair)
    return (
        f"Categories differ: {len(training.class_names)} in {training.name}, "
        f"{len(validation.class_names)} in {validation.name}. The first difference, in the order "
        f"of category ids, is class {number}: {there} against {here}.{details} "
        "Give both files the same list of categories, those without an object too."
    )


def _only_in_one(training: Split, validation: Split) -> str:
    parts = []
    for one, other in ((training, validation), (validation, training)):
        names = [name for name in one.class_names if name not in set(other.class_names)]
        if names:
            parts.append(f" Only in {one.name}: {_listed(names)}.")
    return "".join(parts)


def _unseen_classes(training: Split, validation: Split) -> Iterator[str]:
    trained = training.stats.instance_count > 0
    tested = validation.stats.instance_count > 0
    for chosen, text in (
        (trained & ~tested, f"Classes with training objects, but none in {validation.name}"),
        (~trained & tested, f"Classes with objects in {validation.name}, but no training objects"),
    ):
        names = [validation.class_names[c] for c in np.flatnonzero(chosen)]
        if names:
            yield f"{text} ({len(names)} of {len(chosen)}): {_listed(names)}"


def _group_blocks(training: Split, validation: Split, groups: EvaluationGroups) -> Iterator[str]:
    source = (
        f"the image counts of {groups.source}, thresholds {groups.thresholds[0]} and "
        f"{groups.thresholds[1]}"
        if groups.thresholds
        else f"the `frequency` in the file of {validation.name}"
    )
    rows, weak = [], []
    tested = validation.stats.image_count > 0
    for group, name in enumerate(GROUP_NAMES):
        members = groups.groups == group
        num_tested = int((members & tested).sum())
        num_objects = int(validation.stats.instance_count[members].sum())
        trained = int((members & (training.stats.image_count > 0)).sum())
        rows.append([name, members.sum(), trained, num_tested, num_objects])
        if members.any() and (num_tested < FEWEST_CLASSES or num_objects < FEWEST_OBJECTS):
            weak.append(
                f"{num_objects} object{'' if num_objects == 1 else 's'} of {num_tested} "
                f"class{'' if num_tested == 1 else 'es'} ({name})"
            )
    headers = (
        "group", "classes", "with training objects",
        f"with objects in {validation.name}", f"objects in {validation.name}",
    )  # fmt: skip
    table = tabulate(rows, headers=headers, tablefmt="pipe")
    yield f"What the AP of each group rests on; groups by {source}, as in evaluation:\n{table}"
    if weak:
        yield (
            f"A group's AP rests on only {', '.join(weak)}: read it as uncertain (fewer than "
            f"{FEWEST_CLASSES} classes or {FEWEST_OBJECTS} objects)."
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NUM_NAMES} more" if len(names) > _NUM_NAMES else ""
    return ", ".join(names[:_NUM_NAMES]) + more
