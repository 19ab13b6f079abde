"""Copies of an image are found, other images are not, and not all pairs are looked at."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image
from toy_images import textured

from lt_det.data.images import hash_bands
from lt_det.data.images.fingerprint import SIDE, fingerprint, sampling_matrix
from lt_det.data.images.hash_bands import close_hashes
from lt_det.data.images.near_duplicates import has_contrast, near_duplicates


def reencoded(image, quality=40):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


COPIES = {
    "encoded again": reencoded,
    "smaller": lambda image: image.resize((80, 60)),
    "larger": lambda image: image.resize((240, 180)),
    "cut at the top left": lambda image: image.crop((8, 6, 160, 120)),
    "cut at the right": lambda image: image.crop((0, 0, 152, 120)),
    "cut by a tenth": lambda image: image.crop((8, 6, 152, 114)),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_among_other_images(kind):
    images = [textured(seed) for seed in range(30)]
    images.append(COPIES[kind](images[7]))
    for order in (images, images[::-1]):
        (pair,) = near_duplicates([fingerprint(image) for image in order])
        expected = {7, 30} if order is images else {0, 23}
        assert {pair.first, pair.second} == expected
        assert pair.first < pair.second
        assert 0.9 <= pair.similarity <= 1 + 1e-6


def test_equal_images_have_similarity_1():
    one = fingerprint(textured(0))
    (pair,) = near_duplicates([one, one])
    assert pair.similarity == pytest.approx(1, abs=1e-5)


def test_the_same_shapes_in_other_colours_are_other_images():
    pixels = np.array(textured(0))
    recoloured = Image.fromarray(pixels[..., [2, 0, 1]])
    grey = [np.asarray(image.convert("L"), dtype=float) for image in (textured(0), recoloured)]
    assert np.corrcoef(grey[0].ravel(), grey[1].ravel())[0, 1] < 1
    assert near_duplicates([fingerprint(textured(0)), fingerprint(recoloured)]) == []


def test_images_of_nearly_one_colour_are_not_compared():
    plain = fingerprint(Image.new("RGB", (50, 50), (10, 20, 10)))
    assert not has_contrast(plain)
    assert near_duplicates([plain] * 5) == []


def test_a_common_tint_makes_no_duplicates():
    tinted = []
    for seed in range(8):
        pixels = np.asarray(textured(seed)) // 8 + np.array([0, 40, 200], dtype=np.uint8)
        tinted.append(fingerprint(Image.fromarray(pixels)))
    assert all(map(has_contrast, tinted))
    assert near_duplicates(tinted, max_distance=128) == []


def test_no_images_have_no_pairs():
    assert near_duplicates([]) == []
    assert near_duplicates([fingerprint(textured(0))]) == []


def flipped(hash_, bits):
    """A hash with some bits changed."""
    unpacked = np.unpackbits(hash_)
    unpacked[list(bits)] ^= 1
    return np.packbits(unpacked)


def test_close_hashes_are_those_of_all_pairs_that_share_a_band():
    """A slow oracle: all pairs, bits counted one by one."""
    rng = np.random.default_rng(0)
    references = rng.integers(0, 256, (60, 16), dtype=np.uint8)
    queries = np.stack(
        [
            flipped(references[rng.integers(60)], rng.permutation(128)[: rng.integers(40)])
            for _ in range(60)
        ]
    )
    expected = []
    for (q, query), (r, reference) in itertools.product(enumerate(queries), enumerate(references)):
        distance = int((np.unpackbits(query) != np.unpackbits(reference)).sum())
        shares = any((query[b : b + 2] == reference[b : b + 2]).all() for b in range(0, 16, 2))
        if shares and distance <= 24:
            expected.append([q, r, distance])
    assert close_hashes(queries, references).tolist() == expected
    assert len(expected) > 20


def test_seven_bits_never_hide_a_pair():
    """Eight bands, seven bits: one band is left alone, wherever the bits are."""
    rng = np.random.default_rng(1)
    references = rng.integers(0, 256, (200, 16), dtype=np.uint8)
    # At worst: each bit in a band of its own.
    queries = np.stack(
        [flipped(h, 16 * rng.permutation(8)[:7] + rng.integers(0, 16, 7)) for h in references]
    )
    found = close_hashes(queries, references)
    assert {(q, r) for q, r, _ in found.tolist()} >= {(n, n) for n in range(200)}


def test_blocks_of_pairs_do_not_matter(monkeypatch):
    hashes = np.random.default_rng(2).integers(0, 4, (100, 16), dtype=np.uint8)
    whole = close_hashes(hashes, hashes, 128)
    monkeypatch.setattr("lt_det.data.images.hash_bands._BLOCK", 7)
    assert (close_hashes(hashes, hashes, 128) == whole).all()
    assert len(whole) > 100


def test_few_pairs_are_looked_at(monkeypatch):
    """Random hashes share a band with one in 8192 others."""
    looked_at = []
    original = hash_bands._distances

    def counted(queries, references, pairs):
        looked_at.append(len(pairs))
        return original(queries, references, pairs)

    monkeypatch.setattr(hash_bands, "_distances", counted)
    hashes = np.random.default_rng(3).integers(0, 256, (3000, 16), dtype=np.uint8)
    close_hashes(hashes[:1500], hashes[1500:])
    assert sum(looked_at) < 1500 * 1500 / 1000


@pytest.mark.parametrize(
    ("start", "kept", "cells"), [(0.0, 1.0, 8), (0.05, 0.9, 9), (0.0875, 0.9125, 24)]
)
def test_a_sampling_matrix_averages(start, kept, cells):
    weights = sampling_matrix(start, kept, cells)
    assert weights.shape == (cells, SIDE)
    assert weights.sum(axis=1) == pytest.approx(np.ones(cells), abs=1e-5)
    # Averages of a fine staircase of the thumbnail's pixels.
    fine = np.repeat(np.sin(np.arange(SIDE)), 1000)
    for cell in range(cells):
        low, high = (round(SIDE * 1000 * (start + kept * (cell + i) / cells)) for i in (0, 1))
        assert weights[cell] @ np.sin(np.arange(SIDE)) == pytest.approx(
            fine[low:high].mean(), abs=2e-3
        )
