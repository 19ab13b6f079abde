import numpy as np
import pytest
from fake_runs import IMAGE_IDS, NAMES, add_all, class_ap, make_matches, make_run

from lt_det.evaluation.metrics.bootstrap import average_precision, bootstrap_difference
from lt_det.evaluation.metrics.group_metrics import group_means
from lt_det.reports.runs.folder import RunFolder
from lt_det.reports.runs.methods import bootstrap_methods, group_runs, short_names


@pytest.fixture
def open_run(tmp_path):
    def _open(name, matches=None, **options):
        folder = make_run(tmp_path / name, **options)
        if matches is not None:
            add_all(tmp_path / name, folder, matches)
        return RunFolder.open(tmp_path / name)

    return _open


def test_names_are_the_last_parts_that_differ():
    assert short_names(["out/a", "out/b/"]) == ["a", "b"]
    assert short_names(["x/a/seed1", "x/a/seed2", "x/b/seed1"]) == ["a/seed1", "a/seed2", "b/seed1"]
    assert short_names(["one"]) == ["one"]


def test_equal_names_are_seeds(open_run):
    runs = [open_run(name, seed=seed) for seed, name in enumerate("abc")]
    methods = group_runs(runs, ["B", "A", "B"])
    assert [(m.name, list(m.runs)) for m in methods] == [
        ("B", [runs[0], runs[2]]),
        ("A", [runs[1]]),
    ]
    assert methods[0].values("bbox", "AP_fixed") == [12.345678, 14.345678]
    np.testing.assert_array_equal(methods[0].mean("bbox_AP"), class_ap(1))
    assert methods[0].mean("weight_norms") is None
    with pytest.raises(ValueError, match="2 names for 3 folders"):
        group_runs(runs, ["A", "A"])


def test_the_run_of_other_classes_is_named(open_run):
    runs = [open_run(n) for n in ("first", "second")]
    runs.append(open_run("third", names=(*NAMES[:3], "cat", "eel")))
    with pytest.raises(ValueError, match=r"/first and \S*/third are of different classes.*'dog'.*"
                       r"'cat'"):  # fmt: skip
        group_runs(runs)
    shorter = open_run("shorter", names=NAMES[:4])
    with pytest.raises(
        ValueError, match=r"5 and 4; the first that differs is \(.*'eel'.* and None"
    ):
        group_runs([runs[0], shorter])


def test_other_tasks_and_folders_given_twice_are_refused(open_run):
    first = open_run("first")
    with pytest.raises(ValueError, match=r"\['bbox', 'segm'\], \S*/boxes of \['bbox'\]"):
        group_runs([first, open_run("boxes", tasks=("bbox",))])
    with pytest.raises(ValueError, match=r"given twice: \S*first and \S*first"):
        group_runs([first, RunFolder.open(first.evaluation)])


def test_bootstrap_is_of_the_observed_values(open_run):
    other = make_matches()
    other.matched[:] = False
    other.matched[:5, other.class_index == 4] = True
    methods = group_runs([open_run("a", make_matches()), open_run("b", other)])
    found = bootstrap_methods(methods, "segm", 200)
    groups = methods[0].first.groups
    for name, matches in (("a", make_matches()), ("b", other)):
        expected = group_means(average_precision(matches), groups)
        for metric, interval in found.own[name].items():
            assert interval["mean"] == pytest.approx(expected[metric])
            assert interval["lo"] - 1e-9 <= interval["mean"] <= interval["hi"] + 1e-9
    assert found.differences == {
        "b": bootstrap_difference([other], [make_matches()], groups, num_replicates=200)
    }


def test_without_matches_or_replicates_there_are_no_intervals(open_run):
    methods = group_runs([open_run("a", make_matches()), open_run("b")])
    assert bootstrap_methods(methods, "segm", 10) is None
    assert bootstrap_methods(methods[:1], "segm", 0) is None


def test_runs_on_other_pictures_are_refused(open_run):
    runs = [open_run("a", make_matches()), open_run("b", make_matches((*IMAGE_IDS[:3], 9)))]
    with pytest.raises(ValueError, match=r"/b and \S*/a were evaluated on other pictures"):
        bootstrap_methods(group_runs(runs), "segm", 10)
