"""What an image file holds is what Detectron2 reads of it."""

import hashlib
import io

import cv2
import numpy as np
import pytest
from detectron2.data.detection_utils import read_image
from PIL import Image
from toy_images import cut_to_half, textured, write_16_bit

from lt_det.data.images.facts import facts_of_bytes
from lt_det.data.images.pixel_values import may_lose_values


def facts_of(path):
    content = path.read_bytes()
    return facts_of_bytes(content, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_and_pixels_are_those_that_detectron2_reads(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    textured(0, 40, 60).save(tmp_path / "turned.png", exif=exif)
    facts = facts_of(tmp_path / "turned.png")
    read = read_image(str(tmp_path / "turned.png"), "RGB")
    assert (facts.height, facts.width) == read.shape[:2]
    assert facts.orientation == orientation
    Image.fromarray(read).save(tmp_path / "plain.bmp")
    plain = facts_of(tmp_path / "plain.bmp")
    assert plain.pixels == facts.pixels
    assert plain.digest != facts.digest


def test_one_other_pixel_is_another_image(tmp_path):
    pixels = np.array(textured(0))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    pixels[-1, -1, 2] ^= 1
    Image.fromarray(pixels).save(tmp_path / "b.png")
    assert facts_of(tmp_path / "a.png").pixels != facts_of(tmp_path / "b.png").pixels


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif"])
def test_a_truncated_file_has_an_error_though_its_header_is_whole(tmp_path, name):
    path = tmp_path / name
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(path)
    assert facts_of(path).error == ""
    cut_to_half(path)
    if name != "a.tif":  # whose directory is at its end
        with Image.open(path) as image:
            assert image.size == (200, 200)
    assert facts_of(path).error


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "the file is empty"), (b"<html>404</html>", "starts with b'<html>404</html>'")],
)
def test_what_is_no_image_is_said(content, words):
    error = facts_of_bytes(content, "digest").error
    assert words in error
    assert "0x" not in error  # an address in memory, another one each time


def test_lost_values_are_those_that_the_8_bit_reading_changes(tmp_path):
    values = write_16_bit(tmp_path / "wide.png")
    lost = facts_of(tmp_path / "wide.png").lost
    read = read_image(str(tmp_path / "wide.png"), "BGR")[..., 0]
    assert (read == 255).mean() > 0.99
    assert f"values 0 to {values.max()}" in lost
    assert f"{np.mean(read != values):.1%} of the pixels change" in lost


@pytest.mark.parametrize(
    ("values", "name", "mode"),
    [
        (np.linspace(0, 1, 64, dtype=np.float32), "a.tif", "F"),
        (np.arange(64, dtype=np.int32) * 1000, "a.tif", "I"),
        (np.arange(64, dtype=np.uint16) * 1000, "a.tif", "I;16"),
        (np.arange(64, dtype=np.uint16) * 1000, "a.png", "I;16"),
    ],
)
def test_modes_that_lose_values(tmp_path, values, name, mode):
    Image.fromarray(values.reshape(8, 8)).save(tmp_path / name)
    assert facts_of(tmp_path / name).lost.startswith(f"mode {mode}, values 0 to ")
    assert may_lose_values(str(tmp_path / name))


def test_values_that_fit_are_not_lost(tmp_path):
    write_16_bit(tmp_path / "dark.png", 16, 15, factor=1)
    assert facts_of(tmp_path / "dark.png").lost == ""
    assert may_lose_values(str(tmp_path / "dark.png"))


def test_a_png_of_16_bits_a_colour_keeps_its_upper_8_bits(tmp_path):
    values = np.arange(48, dtype=np.uint16).reshape(4, 4, 3) * 1300
    path = tmp_path / "colour.png"
    cv2.imwrite(str(path), values)
    assert (read_image(str(path), "BGR") == values >> 8).all()
    assert facts_of(path).lost == ""
    assert not may_lose_values(str(path))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp"])
def test_ordinary_images_lose_nothing(tmp_path, name):
    textured(0).save(tmp_path / name)
    assert facts_of(tmp_path / name).lost == ""
    assert not may_lose_values(str(tmp_path / name))


def test_a_name_does_not_hide_the_format(tmp_path):
    write_16_bit(tmp_path / "wide.png")
    (tmp_path / "wide.png").rename(tmp_path / "wide.jpg")
    assert may_lose_values(str(tmp_path / "wide.jpg"))


def test_grey_and_palette_images_are_hashed_as_rgb():
    file = io.BytesIO()
    textured(0).convert("L").save(file, "PNG")
    facts = facts_of_bytes(file.getvalue(), "digest")
    assert facts.error == ""
    assert len(facts.fingerprint.thumbnail) == 32 * 32 * 3
