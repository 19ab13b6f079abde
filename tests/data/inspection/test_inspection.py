import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from lt_det.class_stats import ClassStats
from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.data.inspection.inspection import inspect_dataset, load_summary
from lt_det.data.inspection.summary import summarize
from lt_det.data.inspection.summary_text import format_summary
from lt_det.pages.class_plot import plot_class_distribution


def record(classes, height=10, width=20, crowd=(), file_name=None):
    annotations = [{"category_id": c} for c in classes]
    annotations += [{"category_id": c, "iscrowd": 1} for c in crowd]
    values = {"height": height, "width": width, "annotations": annotations}
    return values if file_name is None else {**values, "file_name": file_name}


@pytest.fixture
def register():
    """Returns a function that registers dicts under a name for this test."""
    names = []

    def _register(name, load, **metadata):
        names.append(name)
        DatasetCatalog.register(name, load)
        MetadataCatalog.get(name).set(**metadata)

    yield _register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def table(text, first_header):
    """Rows of the Markdown table in ``text`` whose header starts with ``first_header``."""
    lines = [[c.strip() for c in s.strip("|").split("|")] for s in text.splitlines() if "|" in s]
    start = next(i for i, cells in enumerate(lines) if cells[0] == first_header)
    rows = {}
    for cells in lines[start + 2 :]:
        if cells[0] in ("class", "group"):
            break
        rows[cells[0]] = cells[1:]
    return rows


def test_groups_count_classes_and_instances_and_keep_unseen_classes_apart():
    # Images a class: a 1, b 2, c 3, d none; instances: a 1, b 3, c 3.
    dicts = [record([0, 1, 1, 2]), record([1, 2]), record([2]), record([])]
    summary = summarize("toy", dicts, ["a", "b", "c", "d"], (1, 2))
    assert summary.num_pictures == 4
    assert summary.num_empty == 1
    rows = table(format_summary(summary), "group")
    assert rows["rare"] == ["1 to 1", "1", "1", "1"]
    assert rows["common"] == ["2 to 2", "1", "2", "3"]
    assert rows["frequent"] == ["over 2", "1", "3", "3"]
    assert rows["none"] == ["0", "1", "0", "0"]
    assert rows["all"] == ["", "4", "6", "7"]


def test_text_names_unseen_classes_sizes_and_crowds():
    dicts = [record([0], 10, 20), record([0], 30, 40, crowd=[1]), record([], 20, 60)]
    text = format_summary(summarize("toy", dicts, ["a", "b", "c"]))
    assert "toy: 3 pictures, 1 without instances" in text
    assert "Height: 10 to 30 pixels, median 20; width: 20 to 60, median 40" in text
    assert "Crowd regions: 1, not counted" in text
    assert "Classes without an instance (2): b, c" in text


def test_pictures_of_one_size_have_one_size():
    text = format_summary(summarize("toy", [record([0]), record([0])], ["a"]))
    assert "Size: 10 x 20 pixels (height x width)" in text


def test_sizes_that_are_not_known_are_left_out():
    text = format_summary(summarize("toy", [{"annotations": [{"category_id": 0}]}], ["a"]))
    assert "Size" not in text
    assert "Height" not in text


def test_many_unseen_classes_are_cut():
    text = format_summary(summarize("toy", [record([0])], [f"c{i}" for i in range(50)]))
    assert "Classes without an instance (49): c1, c2," in text
    assert "c20 and 29 more" in text


def test_few_classes_are_all_listed_by_count():
    dicts = [record([1]), record([1, 0]), record([1, 2, 2])]
    rows = table(format_summary(summarize("toy", dicts, ["a", "b", "c"])), "class")
    assert list(rows) == ["1", "0", "2"]  # ties in the order of ids
    assert rows["2"] == ["", "c", "rare", "1", "2"]


def test_category_ids_stand_beside_the_classes():
    summary = summarize("toy", [record([1])], ["a", "b"], category_ids=[7, 90])
    assert table(format_summary(summary), "class")["1"] == ["90", "b", "rare", "1", "1"]


def test_given_groups_have_no_thresholds():
    dicts = [record([0, 1, 2]), record([0])]
    summary = summarize("toy", dicts, ["a", "b", "c", "d"], groups=np.array([2, 2, 0, 1]))
    text = format_summary(summary)
    assert "Groups by the file's `frequency`" in text
    rows = table(text, "group")
    assert rows["frequent"] == ["2", "3", "3"]
    assert rows["rare"] == ["1", "1", "1"]
    assert rows["common"] == ["0", "0", "0"]
    assert rows["none"] == ["1", "0", "0"]
    assert rows["all"] == ["4", "4", "4"]
    assert table(text, "class")["0"] == ["", "a", "frequent", "2", "2"]


def test_extremes_of_many_classes():
    # Class i occurs in i images, class 0 nowhere.
    dicts = [record(range(1 + i, 30)) for i in range(29)][::-1]
    text = format_summary(summarize("toy", dicts, [f"c{i}" for i in range(30)]))
    most, least = text.split("Most frequent:")[1].split("Least frequent:")
    assert list(table(most, "class")) == [str(i) for i in range(29, 19, -1)]
    assert list(table(least, "class")) == [str(i) for i in range(10, 0, -1)]


def test_missing_pictures_are_reported(tmp_path):
    there, gone = tmp_path / "there.png", tmp_path / "gone.png"
    there.touch()
    dicts = [record([0], file_name=str(there)), record([0], file_name=str(gone))]
    summary = summarize("toy", dicts, ["a"])
    assert summary.missing_files == (str(gone),)
    assert f"MISSING picture files: 1 of 2 looked for, such as {gone}" in format_summary(summary)


@pytest.mark.parametrize("counts", [[5, 200, 0, 50], [0, 0, 0, 0]])
def test_plot_is_written(tmp_path, counts):
    path = tmp_path / "new" / "plot.png"
    counts = np.array(counts)
    plot_class_distribution(ClassStats(4, 200, counts, 2 * counts), path, title="toy")
    with Image.open(path) as picture:
        assert picture.width > 500
        colors = np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0).tolist()
    assert [214, 39, 40] in colors  # rare, in the legend at least


def test_plot_of_given_groups_has_their_colours_and_no_lines(tmp_path):
    stats = ClassStats(2, 200, [5, 200], [5, 200])
    plots = []
    for groups in (None, np.array([1, 1])):
        plot_class_distribution(stats, tmp_path / "plot.png", groups=groups)
        with Image.open(tmp_path / "plot.png") as picture:
            plots.append(np.asarray(picture.convert("L")).copy())
    by_thresholds, given = (np.isclose(plot, 102).sum() for plot in plots)  # grey 0.4
    assert by_thresholds > given


def test_inspect_says_where_the_plot_is(register, tmp_path):
    register("lt_det_test_toy", lambda: [record([0])], thing_classes=["a"])
    text = inspect_dataset("lt_det_test_toy", tmp_path)
    path = tmp_path / "lt_det_test_toy_classes.png"
    assert text.splitlines()[-1].endswith(str(path))
    assert path.is_file()
    assert "drawn" not in inspect_dataset("lt_det_test_toy")


def test_unknown_name_lists_near_matches():
    with pytest.raises(ValueError, match=r"'lvis_v1_tarin'.*Near matches: lvis_v1_train"):
        load_summary("lvis_v1_tarin")


def test_a_name_like_nothing_lists_no_names():
    with pytest.raises(ValueError, match=r"None of the [0-9]+ registered names is like it$"):
        load_summary("###")


def test_set_without_instances_is_refused(register):
    register("lt_det_test_toy", lambda: [])
    with pytest.raises(ValueError, match="thing_classes"):
        load_summary("lt_det_test_toy")


def test_detectron2_sets_that_are_not_there_say_what_to_do(register, tmp_path):
    register("lt_det_test_toy", lambda: open(tmp_path / "gone.json"), thing_classes=["a"])
    with pytest.raises(FileNotFoundError, match=r"gone\.json.*DETECTRON2_DATASETS"):
        load_summary("lt_det_test_toy")


def test_our_loader_keeps_its_own_words(register, tmp_path):
    name = "lt_det_test_lvis"
    register_lvis_format(name, tmp_path / "gone.json", tmp_path)
    try:
        with pytest.raises(FileNotFoundError, match=r"^Annotation file not found.*gone\.json"):
            load_summary(name)
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def drawn_names(monkeypatch, tmp_path, num_classes):
    """Names below the classes of a plot, from left to right."""
    drawn = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig",
        lambda figure, *_, **__: drawn.extend(
            t.get_text() for t in figure.axes[0].get_xticklabels()
        ),
    )
    counts = np.arange(1, num_classes + 1)
    stats = ClassStats(num_classes, num_classes, counts, counts)
    names = [f"c{count}$" for count in counts]
    plot_class_distribution(stats, tmp_path / "plot.png", class_names=names)
    return drawn


def test_a_plot_of_up_to_60_classes_names_them_by_rank(monkeypatch, tmp_path):
    names = drawn_names(monkeypatch, tmp_path, 60)
    assert names == [rf"c{count}\$" for count in range(60, 0, -1)]


def test_a_plot_of_more_classes_has_no_names(monkeypatch, tmp_path):
    assert not any("c" in name for name in drawn_names(monkeypatch, tmp_path, 61))


def test_thresholds_that_leave_small_groups_are_named_in_the_summary(register):
    # Class i is in i + 1 images.
    register(
        "toy_small",
        lambda: [record(range(n, 12)) for n in range(12)],
        thing_classes=list("abcdefghijkl"),
    )
    text = inspect_dataset("toy_small")
    assert "Thresholds 10 and 100 leave 2 common and 0 frequent of 12 classes" in text
    assert "--thresholds 4 8 (DATASETS.GROUP_THRESHOLDS) makes groups of 4, 4 and 4" in text
    assert "leave" not in inspect_dataset("toy_small", thresholds=(4, 8))
