"""Composition: what the labels say is what the picture shows, and nobody is hidden too much.

The whole mask of the n-th drawing is had without looking inside: from the same seed, ``compose`` of
the first n drawings places them as it does among all, and there the n-th lies on top.
"""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lt_det.openmoji import scenes as openmoji_scenes
from lt_det.openmoji.scenes import compose
from lt_det.openmoji.spec import OpenMojiSpec

SPEC = OpenMojiSpec(picture_size=80, object_size=(24, 44), min_visible=0.5)


def drawing(number: int) -> Image.Image:
    """Discs, bars and rings with holes and soft edges."""
    sprite = Image.new("RGBA", (64, 40 + 6 * (number % 5)))
    box = (1, 1, sprite.width - 2, sprite.height - 2)
    colour = (40 * number % 256, 255 - 30 * number % 256, 90 * number % 256, 255)
    draw = ImageDraw.Draw(sprite)
    if number % 3:
        draw.ellipse(box, outline=colour, fill=colour if number % 2 else None, width=12)
    else:
        draw.rectangle(box, fill=colour)
    return sprite


def whole_masks(seed: int, sprites, spec) -> list[np.ndarray]:
    """Unoccluded mask of each drawing; empty where it was left out."""
    prefixes = (sprites[: n + 1] for n in range(len(sprites)))
    return [
        compose(np.random.default_rng(seed), some, spec)[1] == n
        for n, some in enumerate(prefixes, start=1)
    ]


@pytest.mark.parametrize("min_visible", [0.1, 0.5, 0.9, 1.0])
def test_labels_are_the_whole_masks_painted_in_order(min_visible):
    spec = OpenMojiSpec(picture_size=80, object_size=(24, 44), min_visible=min_visible)
    sprites = [drawing(n) for n in range(6)]
    left_out = overlapped = 0
    for seed in range(12):
        masks = whole_masks(seed, sprites, spec)
        painted = np.zeros((80, 80), dtype=int)
        for number, mask in enumerate(masks, start=1):
            overlapped += (painted[mask] > 0).any()
            painted[mask] = number
        _, labels = compose(np.random.default_rng(seed), sprites, spec)
        assert np.array_equal(labels, painted)
        assert masks[0].any()  # the first is never left out
        for number, mask in enumerate(masks, start=1):
            left_out += not mask.any()
            assert (labels == number).sum() >= min_visible * mask.sum()
    # The property would be empty if everything had fitted side by side.
    assert (overlapped == 0) == (min_visible == 1.0)
    assert left_out or min_visible < 0.9


def test_the_first_is_there_even_where_nothing_else_fits():
    spec = OpenMojiSpec(picture_size=64, object_size=(64, 64), min_visible=1.0)
    tiles = [Image.new("RGBA", (50, 50), (200, 0, 0, 255))] * 4
    for seed in range(20):
        _, labels = compose(np.random.default_rng(seed), tiles, spec)
        assert set(np.unique(labels)) <= {0, 1}
        assert (labels == 1).sum() > 0.5 * 64 * 64


def test_the_picture_changes_where_the_label_says_and_hardly_elsewhere(monkeypatch):
    monkeypatch.setattr(openmoji_scenes, "_camera", lambda rng, picture: picture.convert("RGB"))
    sprites = [drawing(n) for n in range(4)]
    for seed in range(10):
        pictures = [
            np.asarray(compose(np.random.default_rng(seed), sprites[:n], SPEC)[0]).astype(int)
            for n in range(5)
        ]
        masks = whole_masks(seed, sprites, SPEC)
        for before, after, mask in zip(pictures[:-1], pictures[1:], masks, strict=True):
            changed = np.abs(after - before).max(axis=-1)
            near = np.pad(mask, 2)
            near = np.any(
                [near[y : y + 80, x : x + 80] for y in range(5) for x in range(5)], axis=0
            )
            # Beyond the soft edge there is only the faint ringing of the resampling.
            assert changed[~near].max() <= 8
            assert (changed[mask] > 0).sum() >= 0.95 * mask.sum()


def test_a_pixel_is_the_drawing_s_where_it_covers_more_than_half(monkeypatch):
    monkeypatch.setattr(openmoji_scenes, "_camera", lambda rng, picture: picture.convert("RGB"))
    # Drawn with a margin: a drawing that ends at its border has no soft edge when turned.
    tile = Image.new("RGBA", (60, 50))
    ImageDraw.Draw(tile).rectangle((6, 6, 53, 43), fill=(0, 0, 0, 255))
    edge = 0
    for seed in range(10):
        before, after = (
            np.asarray(compose(np.random.default_rng(seed), some, SPEC)[0]).astype(float)
            for some in ([], [tile])
        )
        mask = compose(np.random.default_rng(seed), [tile], SPEC)[1] == 1
        colour = np.median(after[mask], axis=0)  # black, but for the jitter
        bright = (before - colour).min(axis=-1) > 50
        cover = ((before - after) / np.maximum(before - colour, 1)).mean(axis=-1)[bright]
        assert mask[bright][cover > 0.6].all()
        assert not mask[bright][cover < 0.4].any()
        edge += ((cover > 0.1) & (cover < 0.4)).sum()
    assert edge > 50


def test_sizes_fill_the_range_and_at_most_a_tenth_is_cut_off():
    # A disc's box does not depend on the rotation.
    disc = Image.new("RGBA", (96, 96))
    ImageDraw.Draw(disc).ellipse((0, 0, 95, 95), fill=(250, 250, 0, 255))
    diameters, cut = [], 0
    for seed in range(120):
        _, labels = compose(np.random.default_rng(seed), [disc], SPEC)
        y, x = np.nonzero(labels)
        sides = np.ptp(y) + 1, np.ptp(x) + 1
        inside = min(y.min(), x.min()) > 0 and max(y.max(), x.max()) < 79
        cut += not inside
        diameters.append(max(sides))
        # `expand` leaves up to a third of empty margin around a turned disc, so that at most
        # a fifth of the disc itself can lie outside.
        assert min(sides) >= 0.8 * max(sides)
    low, high = SPEC.object_size
    assert low - 2 <= min(diameters) < low + 4
    assert high - 4 < max(diameters) <= high + 2
    assert 0 < cut < 60


def test_flat_and_empty_lists_and_the_type_of_the_result():
    picture, labels = compose(np.random.default_rng(0), [], SPEC)
    assert picture.mode == "RGB"
    assert picture.size == (80, 80)
    assert labels.shape == (80, 80)
    assert not labels.any()
    first, second = (compose(np.random.default_rng(s), [drawing(1)], SPEC)[0] for s in (0, 1))
    assert first.tobytes() != second.tobytes()
    # Noise and shapes: no two backgrounds are alike, and none is flat.
    assert len(picture.getcolors(80 * 80)) > 500


def flat_sprites(colours) -> list[Image.Image]:
    return [Image.new("RGBA", (40, 30), (*colour, 255)) for colour in colours]


def test_labels_name_the_drawing_that_is_seen_at_the_pixel():
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        picture, labels = compose(rng, flat_sprites(colours.tolist()), OpenMojiSpec())
        pixels = np.asarray(picture).astype(float)
        for number in np.unique(labels[labels > 0]):
            inside = labels == number
            # Blur mixes the outermost pixels with what lies next to them.
            inside[1:-1, 1:-1] &= (
                inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
            )
            distance = np.abs(pixels[inside][:, None] - colours).sum(-1)
            assert (distance.argmin(-1) == number - 1).mean() > 0.99
