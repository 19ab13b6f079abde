"""Error rates of the search for near-duplicates, on real photographs.

python tests/helpers/near_duplicate_rates.py    prints them (3 minutes of CPU time)

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


class Scores(NamedTuple):
    """What a search found, however alike.

    Args:
        copies: kind of copy -> similarity of each image with its copy [N], 0 if not found.
        distinct: pairs of distinct images that shared a band, with their similarity.
        num_pairs: all pairs of distinct images.
    """

    copies: dict[str, np.ndarray]
    distinct: list[tuple[str, str, float]]
    num_pairs: int

    def misses(self, min_similarity: float = MIN_SIMILARITY) -> dict[str, float]:
        """Share of the images whose copy is not found, by kind of copy."""
        return {kind: float((s < min_similarity).mean()) for kind, s in self.copies.items()}

    def false_pairs(self, min_similarity: float = MIN_SIMILARITY) -> list[tuple[str, str, float]]:
        """Pairs of distinct images that are reported."""
        return [pair for pair in self.distinct if pair[2] >= min_similarity]


def image_paths() -> list[Path]:
    """The photographs, in order."""
    return [path for folder in FOLDERS for path in sorted(folder.glob("*.jpg"))]


def all_fingerprints(paths: list[Path]) -> list[list[Fingerprint]]:
    """Fingerprints of each image and its copies, in the order of COPIES."""
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(_fingerprints, enumerate(paths), chunksize=8))


def search(
    paths: list[Path], prints: list[list[Fingerprint]], max_distance: int = MAX_DISTANCE
) -> Scores:
    """Search the images together with one kind of copy at a time, and alone."""
    number, copies = len(paths), {}
    originals = [of_image[0] for of_image in prints]
    for kind, name in enumerate(COPIES, start=1):
        both = originals + [of_image[kind] for of_image in prints]
        copies[name] = np.zeros(number)
        for pair in near_duplicates(both, 0.0, max_distance):
            if pair.second == pair.first + number:
                copies[name][pair.first] = pair.similarity
    alone = near_duplicates(originals, 0.0, max_distance)
    named = [(paths[a].stem, paths[b].stem, similarity) for a, b, similarity in alone]
    stems = {path.stem for path in paths}
    num_same = sum(pair <= stems for pair in SAME_PHOTOGRAPH)
    distinct = [pair for pair in named if frozenset(pair[:2]) not in SAME_PHOTOGRAPH]
    return Scores(copies, distinct, number * (number - 1) // 2 - num_same)


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
    print(f"{len(paths)} images; every second of them, to choose the limits on:")
    for distance in (16, 20, 24, 28):
        scores = search(paths[::2], prints[::2], distance)
        for similarity in (0.8, 0.85, 0.88, 0.9, 0.92, 0.95):
            print(f"{distance} bits, similarity {similarity}: {_line(scores, similarity)}")
    print(f"the other half, at the chosen limits, {MAX_DISTANCE} bits and {MIN_SIMILARITY}:")
    print(_line(search(paths[1::2], prints[1::2]), MIN_SIMILARITY))
    print("all images:")
    print(_line(search(paths, prints), MIN_SIMILARITY))


def _line(scores: Scores, min_similarity: float) -> str:
    misses = ", ".join(f"{kind} {s:.2%}" for kind, s in scores.misses(min_similarity).items())
    highest = max((pair[2] for pair in scores.distinct), default=0)
    return (
        f"missed: {misses}; false pairs: {len(scores.false_pairs(min_similarity))} of "
        f"{scores.num_pairs} (most alike: {highest:.3f})"
    )


if __name__ == "__main__":
    main()
