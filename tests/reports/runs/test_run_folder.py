import json

import numpy as np
import pytest
from fake_runs import CATEGORY_IDS, DATASET, add_all, class_ap, make_matches, make_run

from lt_det.reports.runs.folder import RunFolder


@pytest.fixture
def whole(tmp_path):
    """A run with every file, as (OUTPUT_DIR, the evaluation's folder)."""
    folder = make_run(tmp_path / "run")
    add_all(tmp_path / "run", folder)
    return tmp_path / "run", folder


def test_output_dir_and_its_evaluation_are_the_same_run(whole):
    for path in whole:
        run = RunFolder.open(path)
        assert (run.evaluation, run.training, run.dataset) == (whole[1], whole[0], DATASET)
        assert run.weight_norms is not None
        assert run.results["segm"]["AP_fixed"] == 12.345678
        np.testing.assert_array_equal(run.column("bbox_AP"), class_ap())


def test_a_folder_of_tools_evaluate_has_no_training(whole, tmp_path):
    run = RunFolder.open(whole[1].rename(tmp_path / "evaluated"))
    assert run.dataset is None
    assert run.weight_norms is run.gradient_sums is run.class_rates is None
    assert run.config == {}
    assert run.matches("segm") is not None


def test_model_classes_come_in_the_order_of_the_rows(whole):
    """CLASS_IDS are 4, 0, 1, 3, 2; norms of the model's classes are 1, 2, 3, 4, 5."""
    run = RunFolder.open(whole[0])
    np.testing.assert_allclose(run.weight_norms, [5, 1, 2, 4, 3], rtol=1e-6)
    np.testing.assert_allclose(run.class_rates, [0.5, 0.1, 0.2, 0.4, 0.3])
    np.testing.assert_allclose(run.gradient_sums.ratio()[-1], [0.25, 0.5, 1, 2, 1.5])
    assert run.groups.tolist() == [0, 0, 1, 2, 2]


def test_a_category_that_is_not_the_models_has_no_values(whole):
    path = whole[1] / "per_class.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("\n3,7,dog,", "\n,7,dog,"))
    np.testing.assert_allclose(RunFolder.open(whole[0]).weight_norms, [5, 1, 2, np.nan, 3])


def test_of_several_data_sets_one_is_chosen(whole):
    make_run(whole[0], seed=3, dataset="other")
    with pytest.raises(ValueError, match=rf"\['{DATASET}', 'other'\]: choose one with --dataset"):
        RunFolder.open(whole[0])
    with pytest.raises(ValueError, match=r"no results on 'third', but on"):
        RunFolder.open(whole[0], "third")
    assert RunFolder.open(whole[0], "other").results["bbox"]["AP_fixed"] == 15.345678


def test_all_but_the_results_is_optional(tmp_path):
    run = RunFolder.open(make_run(tmp_path, rows=False))
    assert (run.rows, run.diagnostics, run.matches("bbox")) == ([], {}, None)
    assert run.column("val_instances") is run.weight_norms is run.gradient_sums is None


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Output folder not found: .*none"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"has neither results\.json nor inference/"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "read"),
    [
        ("inference/{}/results.json", "{", lambda run: run),
        ("inference/{}/per_class.csv", "name,group\nx,y\n", lambda run: run),
        ("inference/{}/matches_segm.npz", "PK", lambda run: run.matches("segm")),
        ("inference/{}/diagnostics.json", "[1]", lambda run: run.diagnostics),
        ("config.yaml", "a: [", lambda run: run.config),
        ("model_final.pth", "PK", lambda run: run.weight_norms),
        ("class_rates.json", '{"rates": []}', lambda run: run.class_rates),
        ("class_rates.json", '{"rate": [0.5]}', lambda run: run.class_rates),
        ("gradient_ratio.csv", "a,b\n", lambda run: run.gradient_sums),
    ],
)
def test_what_is_broken_is_named(whole, file, content, read):
    file = file.format(DATASET)
    (whole[0] / file).write_text(content)
    with pytest.raises(ValueError, match=file.rsplit("/", 1)[-1].replace(".", r"\.")):
        read(RunFolder.open(whole[0]))


def test_matches_of_other_classes_are_refused(whole):
    make_matches(category_ids=[1, *CATEGORY_IDS[1:]]).save(whole[1] / "matches_segm.npz")
    with pytest.raises(ValueError, match=r"matches_segm\.npz' has other classes"):
        RunFolder.open(whole[0]).matches("segm")


def test_null_is_nan(whole):
    path = whole[1] / "results.json"
    path.write_text(json.dumps({"bbox": {"AP": None}}))
    assert np.isnan(RunFolder.open(whole[0]).results["bbox"]["AP"])
