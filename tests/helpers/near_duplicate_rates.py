"""Error rates of the search for near-duplicates, on real photographs.

python tests/helpers/near_duplicate_rates.py    prints them (3 minutes)

Copies of each image are made in memory. The limits are chosen on every second image; the rates are
those of the other images.
"""

import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from paths import SHARED_DATA
from PIL import Image

from lt_det.data.images.fingerprint import Fingerprint, fingerprint
from lt_det.data.images.hash_bands import MAX_DISTANCE
from lt_det.data.images.near_duplicates import MIN_SIMILARITY, near_duplicates

FOLDERS = (SHARED_DATA / "clothing" / "images", SHARED_DATA / "lvis_val64" / "val2017")
# Found by the search and looked at: each pair is one photograph, cut in two ways.
SAME_PHOTOGRAPH = {
    frozenset(pair.split())
    for pair in (
        "0594 0722", "0907 0990", "0183 0730", "0692 0732", "0197 0671", "0078 0984", "0223 0616",
    )
}  # fmt: skip
COPIES = (
    *(f"JPEG quality {quality}" for quality in (40, 70, 90)),
    *(f"resized by {scale}" for scale in (0.5, 0.75, 1.5)),
    *(f"cropped by {share} %" for share in (5, 10)),
)


class Rates(NamedTuple):
    """Errors at one choice of limits.

    Args:
        misses: kind of copy -> share of the images whose copy is not found.
        false_pairs: pairs of distinct images that are reported, with their similarity.
        num_pairs: all pairs of distinct images.
    """

    misses: dict[str, float]
    false_pairs: list[tuple[str, str, float]]
    num_pairs: int


def image_paths() -> list[Path]:
    """The photographs, in order."""
    return [path for folder in FOLDERS for path in sorted(folder.glob("*.jpg"))]


def all_fingerprints(paths: list[Path]) -> list[list[Fingerprint]]:
    """Fingerprints of each image and its copies, in the order of COPIES."""
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(_fingerprints, enumerate(paths), chunksize=8))


def rates(
    paths: list[Path],
    prints: list[list[Fingerprint]],
    min_similarity: float = MIN_SIMILARITY,
    max_distance: int = MAX_DISTANCE,
) -> Rates:
    """Search the images together with one kind of copy at a time, and alone."""
    number, misses = len(paths), {}
    originals = [of_image[0] for of_image in prints]
    for kind, name in enumerate(COPIES, start=1):
        both = originals + [of_image[kind] for of_image in prints]
        found = near_duplicates(both, min_similarity, max_distance)
        own = {pair.first for pair in found if pair.second == pair.first + number}
        misses[name] = 1 - len(own) / number
    alone = near_duplicates(originals, min_similarity, max_distance)
    named = [(paths[a].stem, paths[b].stem, similarity) for a, b, similarity in alone]
    false_pairs = [pair for pair in named if frozenset(pair[:2]) not in SAME_PHOTOGRAPH]
    stems = {path.stem for path in paths}
    num_same = sum(pair <= stems for pair in SAME_PHOTOGRAPH)
    return Rates(misses, false_pairs, number * (number - 1) // 2 - num_same)


def _fingerprints(numbered: tuple[int, Path]) -> list[Fingerprint]:
    number, path = numbered
    with Image.open(path) as image:
        image = image.convert("RGB")
    return [fingerprint(image), *map(fingerprint, _copies(image, np.random.default_rng(number)))]


def _copies(image: Image.Image, rng: np.random.Generator) -> Iterator[Image.Image]:
    width, height = image.size
    for quality in (40, 70, 90):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        yield Image.open(file).convert("RGB")
    for scale in (0.5, 0.75, 1.5):
        yield image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    for share in (0.05, 0.1):
        # Of height and of width, divided at random between the two sides.
        w, h = round(width * (1 - share)), round(height * (1 - share))
        left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        yield image.crop((left, top, left + w, top + h))


def main() -> None:
    """Print the rates of many limits on one half, and those of the chosen ones on the other."""
    paths = image_paths()
    prints = all_fingerprints(paths)
    print(f"{len(paths)} images; limits on every second, such as the first:")
    for distance in (16, 20, 24, 28):
        for similarity in (0.8, 0.84, 0.88, 0.9, 0.92, 0.95):
            found = rates(paths[::2], prints[::2], similarity, distance)
            print(distance, similarity, _line(found))
    print(f"{MAX_DISTANCE} bits, similarity {MIN_SIMILARITY}, on the other half:")
    print(_line(rates(paths[1::2], prints[1::2])))
    for name, part in (("both halves", slice(None)), ("first half", slice(0, None, 2))):
        print(f"{name}: {_line(rates(paths[part], prints[part]))}")


def _line(found: Rates) -> str:
    misses = ", ".join(f"{name} {share:.2%}" for name, share in found.misses.items())
    return f"missed: {misses}; false pairs: {len(found.false_pairs)} of {found.num_pairs}"


if __name__ == "__main__":
    main()
