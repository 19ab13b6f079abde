"""All damages, and files with one to three of them.

Each damage says itself what is right for what it did, from the project's decisions and never by
lt_det's code. Kinds that public reports brought beside those of the project's own list:

- cvat-ai/cvat #748 and cocodataset/cocoapi #332: annotation ids start with 0;
- roboflow/supervision #205: one polygon without the outer list;
- tensorpack/tensorpack #1041: a polygon of four numbers, which are a box;
- obss/sahi #1028: ``image_id`` null and an empty box beside ``segmentation`` and ``area`` 0;
- facebookresearch/Detic #126: lists and annotations of categories that the file does not have;
- cocodataset/cocoapi #546: polygons of negative coordinates, which cover no pixel.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Collection
from typing import NamedTuple

from damaged_files.odd_file import OddFile

__all__ = ["DAMAGES", "Damage", "damage", "damaged", "files"]


class Damage(NamedTuple):
    """One thing that can be done to a file.

    Attributes:
        name: of its function.
        do: changes a file; says whether it could.
        is_fault: whether it makes a file that must be refused.
        formats: of the files it can be done to.
        scope: what it changes as a whole; two of a scope never meet. Those that change single
            objects have none.
    """

    name: str
    do: Callable[[OddFile], bool]
    is_fault: bool
    formats: Collection[str]
    scope: Collection[str]


DAMAGES: dict[str, Damage] = {}
# The scope of damages that leave nothing to do for others.
_WHOLE = "whole file"


def damage(
    is_fault: bool, formats: Collection[str] = ("coco", "lvis"), scope: Collection[str] = ()
) -> Callable:
    """Put a function of a file into the catalogue; it says whether it could do its damage."""

    def register(do: Callable[[OddFile], bool]) -> Callable[[OddFile], bool]:
        DAMAGES[do.__name__] = Damage(do.__name__, do, is_fault, formats, scope)
        return do

    return register


def damaged(seed: int, data_format: str, names: Collection[str]) -> OddFile:
    """A file with the damages of these names, as far as they can be done to it together."""
    odd, scopes = OddFile.draw(seed, data_format), set()
    for name in names:
        found = DAMAGES[name]
        if odd.damages and _WHOLE in scopes | set(found.scope):
            continue
        if data_format not in found.formats or scopes & set(found.scope):
            continue
        trial = copy.deepcopy(odd)
        if found.do(trial):
            odd = trial
            odd.damages.append(name)
            scopes |= set(found.scope)
    return odd


def files(number: int, seed: int = 0) -> list[OddFile]:
    """Files of both formats, every other one to be refused.

    Damages are dealt like cards: each is seen before any comes again. A file has up to
    three; one to be refused has, by chance, two faults and something else.
    """
    rng = random.Random(seed)
    decks = {kind: _Deck(rng, kind) for kind in (False, True)}
    found = []
    for n in range(number):
        refused = n % 2 == 1
        names = decks[refused].deal(rng.randint(2, 3))
        if refused and len(names) == 2 and rng.random() < 0.5:
            names += decks[False].deal(1)
        data_format = rng.choice(sorted(DAMAGES[names[0]].formats))
        # Not every damage can be done to every file.
        tries = (damaged(10_000 * seed + 10 * n + i, data_format, names) for i in range(5))
        odd = max(tries, key=lambda odd: len(odd.damages))
        for name in names:
            if name not in odd.damages:
                decks[DAMAGES[name].is_fault].put_back(name)
        found.append(odd)
    return found


class _Deck:
    """Names of damages in a random order, again and again; some come back to be dealt next."""

    def __init__(self, rng: random.Random, is_fault: bool):
        self._rng = rng
        self._names = [name for name, found in DAMAGES.items() if found.is_fault == is_fault]
        self._cards: list[str] = []

    def deal(self, number: int) -> list[str]:
        while len(self._cards) < number:
            self._cards += self._rng.sample(self._names, len(self._names))
        dealt, self._cards = self._cards[:number], self._cards[number:]
        return list(dict.fromkeys(dealt))

    def put_back(self, name: str) -> None:
        self._cards.insert(0, name)
