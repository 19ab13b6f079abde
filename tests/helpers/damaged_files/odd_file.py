"""An annotation file, what was done to it, and what is right for it."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from damaged_files.clean import clean_content

__all__ = ["ExpectedFault", "OddFile"]


class ExpectedFault(NamedTuple):
    """A fault that every tool must list.

    Attributes:
        words: what its kind must say, in lower case.
        number: how many of the kind there are; None where that is not the point.
    """

    words: tuple[str, ...]
    number: int | None = 1


@dataclass
class OddFile:
    """A file that damages are done to, one after the other.

    A damage changes ``content``, which is written, and ``truth``, which says what that means. It
    takes objects that no other damage has taken, so that one never hides what another does.

    Attributes:
        seed: what it was drawn from.
        data_format: ``"coco"`` or ``"lvis"``.
        content: the file.
        images: the truth: image entries, clean, in the file's order.
        categories: the truth: category entries, clean, in the file's order.
        objects: the truth: position in the file -> annotation, clean. An object that nobody counts
            is not in it.
        faults: what every tool must refuse; none if the file is to be accepted.
        train_line: words of a training's refusal of a file that can be evaluated.
        needs_images: whether only tools that read images refuse it.
        one_line: words of the refusal of a file that cannot be read at all.
        notes: words that a note must say.
        ignore: what ``ignore`` 1 is to be in the COCO format, as ``--ignore`` says it.
        damages: names of what was done.
        encode: text -> the file's bytes.
        encode_results: the same for detections on it.
        spell_results: detections -> the same ones, written otherwise.
    """

    seed: int
    data_format: str
    rng: random.Random
    content: dict
    images: list[dict]
    categories: list[dict]
    objects: dict[int, dict]
    faults: list[ExpectedFault] = field(default_factory=list)
    train_line: tuple[str, ...] | None = None
    needs_images: bool = False
    one_line: tuple[str, ...] | None = None
    notes: list[tuple[str, ...]] = field(default_factory=list)
    ignore: str = "fault"
    damages: list[str] = field(default_factory=list)
    encode: Callable[[str], bytes] = str.encode
    is_ascii: bool = True
    encode_results: Callable[[str], bytes] = str.encode
    spell_results: Callable[[list[dict]], list[dict]] = list
    _taken: set[int] = field(default_factory=set)
    _lengths: dict[str, int] = field(default_factory=dict)

    @classmethod
    def draw(cls, seed: int, data_format: str) -> OddFile:
        """A clean file."""
        rng = random.Random(seed)
        content = clean_content(rng, data_format)
        truth = copy.deepcopy(content)
        return cls(
            seed,
            data_format,
            rng,
            content,
            truth["images"],
            truth["categories"],
            dict(enumerate(truth["annotations"])),
            _lengths={section: len(entries) for section, entries in content.items()},
        )

    def __str__(self) -> str:
        """What a failing test names."""
        return f"{self.data_format} file of seed {self.seed}: {', '.join(self.damages) or 'clean'}"

    @property
    def is_lvis(self) -> bool:
        return self.data_format == "lvis"

    @property
    def is_refused(self) -> bool:
        return bool(self.faults) or self.one_line is not None

    @property
    def annotations(self) -> list[dict]:
        """The file's annotations, to be damaged."""
        return self.content["annotations"]

    def entries(self, section: str) -> list[dict]:
        """The file's entries of a section, without those that a damage has added."""
        return self.content[section][: self._lengths[section]]

    def entry(self, section: str) -> dict:
        """One of them, at random."""
        return self.rng.choice(self.entries(section))

    def bytes(self) -> bytes:
        """The file as it is written."""
        return self.encode(json.dumps(self.content, ensure_ascii=self.is_ascii))

    def take(self, number: int = 1, of: Callable[[dict], bool] = bool) -> list[int]:
        """Positions of objects for a damage alone; fewer where there are fewer.

        Args:
            number: how many at most.
            of: true annotation -> whether the damage can be done to it.
        """
        free = [k for k, a in self.objects.items() if k not in self._taken and of(a)]
        chosen = self.rng.sample(free, min(number, len(free)))
        self._taken.update(chosen)
        return chosen

    def are_free(self, positions: list[int]) -> bool:
        """Whether these are all objects of their image, and no damage has taken one."""
        image_id = self.objects[positions[0]]["image_id"]
        of_image = sum(a.get("image_id") == image_id for a in self.entries("annotations"))
        return of_image == len(positions) and not self._taken & set(positions)

    def take_all(self) -> list[int]:
        """Positions of all objects, for a damage to all; none if another has taken one."""
        return [] if self._taken else self.take(len(self.objects))

    def fault(self, *words: str, number: int | None = 1) -> None:
        self.faults.append(ExpectedFault(words, number))

    def note(self, *words: str) -> None:
        self.notes.append(words)

    def image_of(self, annotation: dict) -> dict:
        """The true image of a true annotation."""
        return next(i for i in self.images if i["id"] == annotation["image_id"])

    def without_reference(self, image_id) -> bool:
        return all(a["image_id"] != image_id for a in self.objects.values())

    @property
    def counted(self) -> list[dict]:
        """What is trained on and can be missed: neither crowd nor ignored."""
        return [a for a in self.objects.values() if is_counted(a)]

    def counts(self) -> tuple[list[int], list[int]]:
        """Images and instances of each class, by rising category id."""
        ids = sorted(c["id"] for c in self.categories)
        instances = Counter(a["category_id"] for a in self.counted)
        pairs = Counter(c for _, c in {(a["image_id"], a["category_id"]) for a in self.counted})
        return [pairs[i] for i in ids], [instances[i] for i in ids]

    def evaluated(self) -> list[int]:
        """Objects of each class that a detector can miss, by rising category id."""
        # The LVIS API passes over objects without area.
        seen = [a for a in self.counted if a["area"] > 0 or not self.is_lvis]
        instances = Counter(a["category_id"] for a in seen)
        return [instances[i] for i in sorted(c["id"] for c in self.categories)]

    @property
    def num_crowds(self) -> int:
        return sum(bool(a.get("iscrowd")) for a in self.objects.values())

    @property
    def has_masks(self) -> bool:
        """Whether every object has a mask, so that masks can be trained on and evaluated."""
        return all(a.get("segmentation") for a in self.objects.values())


def is_counted(annotation: dict) -> bool:
    return not annotation.get("iscrowd") and not annotation.get("ignore")
