"""Random numbers that depend on where a training is, not on how it got there.

A resumed run repeats an uninterrupted one exactly if every random draw comes from a seed of its
own: (SEED, iteration, rank) for a step, (SEED, position in the data stream) for augmentation,
(SEED, iteration, picture) for the RoIs of a picture.
"""

from __future__ import annotations

import contextlib
import random
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch

__all__ = ["derived_seed", "own_draws", "picture_number", "seed_everything", "seeded"]

# The first number of the keys of :func:`own_draws`: no other key begins with it.
_OWN_DRAWS = 2**31


def derived_seed(*key: int) -> int:
    """A seed in [0, 2**32) for a tuple of non-negative integers; other tuples, other seeds."""
    # The length first: to SeedSequence (3,) and (3, 0) are the same.
    return int(np.random.SeedSequence((len(key), *key)).generate_state(1)[0])


def seed_everything(*key: int) -> None:
    """Seed ``random``, NumPy and torch (all devices) for a tuple of non-negative integers."""
    seed = derived_seed(*key)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextlib.contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Inside, CPU random numbers are those of ``key``; afterwards all is as it was."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = derived_seed(*key)
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@contextlib.contextmanager
def own_draws() -> Iterator[None]:
    """Inside, CPU random numbers are of a stream of its own; afterwards all is as it was.

    The stream follows from torch's random state, so other seeds give other numbers. What lt_det
    initialises beside Detectron2's layers is drawn in here, so that these get the initial weights
    that they have without lt_det.
    """
    with torch.random.fork_rng(devices=[]):
        key = torch.randint(2**31, (2,), device="cpu").tolist()
    with seeded(_OWN_DRAWS, *key):
        yield


def picture_number(record: Mapping) -> int:
    """A number in [0, 2**32) for the picture of a model input, by its id or else its file name."""
    return zlib.crc32(str(record.get("image_id", record.get("file_name"))).encode())
