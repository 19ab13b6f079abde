"""Images are decoded in worker processes, in order, once, and remembered."""

import os
import signal
import sqlite3
from pathlib import Path

import pytest
from PIL import Image
from toy_images import textured

from lt_det.data.images import facts_cache, reader
from lt_det.data.images.facts import ImageFacts
from lt_det.data.images.facts_cache import FactsCache
from lt_det.data.images.reader import ImageReader
from lt_det.data.images.worker_processes import map_in_workers

PARENT = os.getpid()


@pytest.fixture
def paths(tmp_path):
    """Twenty images of widths 20 to 39."""
    for number in range(20):
        Image.new("RGB", (20 + number, 10)).save(tmp_path / f"{number}.png")
    return [str(tmp_path / f"{number}.png") for number in range(20)]


@pytest.fixture
def settled(monkeypatch):
    """The files count as old enough to trust their times."""
    monkeypatch.setattr(facts_cache, "is_settled", lambda state: True)


def process_and_text(text):
    return os.getpid(), text


def interrupt_the_parent(text):
    if text == "30":
        os.kill(PARENT, signal.SIGINT)
    return text


def die(text):
    if text == "30":
        os._exit(1)
    return text


@pytest.mark.parametrize("num_workers", [1, 2])
def test_work_is_done_in_other_processes_in_order(num_workers):
    texts = [str(number) for number in range(100)]
    results = list(map_in_workers(process_and_text, texts, num_workers))
    assert [text for _, text in results] == texts
    assert os.getpid() not in {process for process, _ in results}


def test_nothing_to_do_needs_no_worker():
    assert list(map_in_workers(die, [], 2)) == []


def test_ctrl_c_ends_the_map_and_leaves_the_handler_as_it_was():
    before = signal.getsignal(signal.SIGINT)
    done = []
    with pytest.raises(KeyboardInterrupt):
        done.extend(map_in_workers(interrupt_the_parent, [str(n) for n in range(1000)], 2))
    assert len(done) < 1000
    assert signal.getsignal(signal.SIGINT) is before


def test_a_worker_that_dies_is_named():
    with pytest.raises(ValueError, match=r"died at one of 8 images from 2?\d to \d\d"):
        list(map_in_workers(die, [str(n) for n in range(100)], 1))


def test_facts_come_in_the_order_of_the_paths(paths):
    facts = ImageReader(2).read([*reversed(paths), paths[3]])
    assert [f.width for f in facts] == [*range(39, 19, -1), 23]


def test_a_file_that_is_missing_or_no_image_has_an_error(paths, tmp_path):
    Path(paths[1]).write_text("no image")
    gone = str(tmp_path / "gone.png")
    first, second, third = ImageReader().read([paths[0], paths[1], gone])
    assert first.error == ""
    assert "cannot identify image file" in second.error
    assert "No such file" in third.error


def decoded(monkeypatch, call):
    """How many files a call gives to workers."""
    counts = []
    original = reader.map_in_workers

    def counted(function, items, num_workers):
        counts.append(len(items))
        return original(function, items, num_workers)

    monkeypatch.setattr(reader, "map_in_workers", counted)
    result = call()
    monkeypatch.setattr(reader, "map_in_workers", original)
    return sum(counts), result


def test_images_are_read_once(paths, monkeypatch):
    one = ImageReader()
    first = one.read(paths)
    assert decoded(monkeypatch, lambda: one.read(paths)) == (0, first)


def test_files_that_were_left_alone_are_not_read_again(paths, monkeypatch, settled):
    first = ImageReader().read(paths)
    assert decoded(monkeypatch, lambda: ImageReader().read(paths)) == (0, first)
    textured(0).save(paths[5])
    number, second = decoded(monkeypatch, lambda: ImageReader().read(paths))
    assert number == 1
    assert second[5].width == 160
    assert second[:5] == first[:5]


def test_a_file_that_was_just_written_is_read_again(paths, monkeypatch):
    ImageReader().read(paths)
    assert decoded(monkeypatch, lambda: ImageReader().read(paths))[0] == 20


def test_known_content_is_not_decoded_again(paths, tmp_path, monkeypatch):
    """The facts of the same bytes at another place come from the cache, whatever it says."""
    (facts,) = ImageReader().read(paths[:1])
    FactsCache().remember([(paths[0], None, facts._replace(width=12345))])
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(paths[0]).read_bytes())
    assert ImageReader().read([str(copy)])[0].width == 12345


def test_without_a_cache_all_is_decoded(paths, monkeypatch, settled):
    first = ImageReader().read(paths)
    monkeypatch.setenv("LT_DET_CACHE", "")
    assert decoded(monkeypatch, lambda: ImageReader().read(paths)) == (20, first)


def test_a_damaged_cache_is_as_good_as_none(paths, tmp_path, monkeypatch, settled):
    first = ImageReader().read(paths)
    (file,) = (tmp_path / "cache" / "images").glob("*.sqlite")
    file.write_bytes(b"no database" * 1000)
    assert ImageReader().read(paths) == first


def test_a_cache_of_other_content_is_as_good_as_none(paths, tmp_path, settled):
    first = ImageReader().read(paths)
    (file,) = (tmp_path / "cache" / "images").glob("*.sqlite")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE facts SET facts = ?", (b"\x00",))
    assert ImageReader().read(paths) == first


def test_what_could_not_be_read_is_not_remembered(tmp_path):
    cache = FactsCache()
    cache.remember([("a", "state", ImageFacts("", "no such file"))])
    assert cache.by_path("a", "state") is None
    assert cache.by_digest("") is None
