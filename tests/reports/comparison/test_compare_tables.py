import pytest
from fake_comparison import comparison, fail

from lt_det.reports.comparison import tables as compare_tables

METHODS = ("control", "better", "best")


@pytest.fixture
def data():
    return comparison(METHODS, num_classes=12, seeds=(1, 2))


def texts(row):
    return [cell.text for cell in row]


def column(table, name):
    return [row[table.columns.index(name)].text for row in table.rows]


def test_scores_are_mean_and_sample_deviation_stage_1_first(data):
    for run, ap in zip(data["rows"][0]["runs"], (10.0, 13.0), strict=True):
        run["results"]["segm"]["AP"] = ap
        run.update(train_seconds=ap, evaluate_seconds=None)
    data["stage1"]["results"]["segm"]["AP"] = 4.125
    table = compare_tables.scores_table(data)
    assert column(table, "method") == ["stage 1", *METHODS]
    assert column(table, "AP mask")[:2] == ["4.12", "11.50 ± 2.12"]
    assert table.rows[1][table.columns.index("AP mask")].value == 11.5
    assert column(table, "train s")[:2] == ["-", "11.5"]
    assert column(table, "eval s")[:2] == ["-", "-"]


def test_failed_and_interrupted_rows_stay_and_say_so(data):
    fail(data["rows"][1], "Traceback\n  RuntimeError: out of memory")
    del data["rows"][2]["runs"][0]
    assert column(compare_tables.scores_table(data), "seeds") == ["1", "2", "failed", "1 of 2"]
    assert set(column(compare_tables.scores_table(data), "AP box")[2:3]) == {"-"}
    assert [texts(row) for row in compare_tables.failures_table(data).rows] == [
        ["better", "failed", "Traceback RuntimeError: out of memory"],
        ["best", "1 of 2", "interrupted: no run of seed 1"],
    ]


def test_a_group_without_classes_is_a_dash(data):
    data["rows"][0]["runs"][0]["results"]["bbox"]["APr"] = None
    assert column(compare_tables.scores_table(data), "APr box")[1] == "-"


def test_differences_are_strong_where_the_interval_excludes_zero(data):
    for task in data["tasks"]:
        data["rows"][2]["differences"] = []
        (entry,) = (d for d in data["rows"][1]["differences"] if d["task"] == task)
        entry["AP"] = {"mean": 1.0, "lo": 0.25, "hi": 2.0}
        entry["APr"] = {"mean": -1.0, "lo": -2.0, "hi": 0.5}
        entry["APc"] = {"mean": -1.0, "lo": -2.0, "hi": -0.5}
        entry["APf"] = dict.fromkeys(("mean", "lo", "hi"))
    boxes, masks = compare_tables.differences_tables(data)
    assert (boxes.title, masks.title) == (
        "Paired differences, box AP",
        "Paired differences, mask AP",
    )
    assert [(cell.text, cell.strong) for cell in boxes.rows[0]] == [
        ("better", False),
        ("control", False),
        ("+1.0 [+0.2, +2.0]", True),
        ("-1.0 [-2.0, +0.5]", False),
        ("-1.0 [-2.0, -0.5]", True),
        ("-", False),
    ]


def test_settings_name_the_set_they_were_chosen_on(data):
    trials = [{"settings": {"SOLVER.BASE_LR": lr}, "AP": ap} for lr, ap in ((0.1, 5.0), (1, None))]
    data["rows"][0]["selection"] = {"trials": trials, "chosen": {"SOLVER.BASE_LR": 0.1}}
    data["rows"][0]["settings"] = {"A": "x", "B": ["*cls*", 1.5, True]}
    data["rows"][1]["selection"] = None
    table = compare_tables.settings_table(data)
    assert "`openmoji_quick_dev`" in table.note
    settings = "A=x, B=[*cls*, 1.5, True]"
    assert texts(table.rows[0]) == ["control", "SOLVER.BASE_LR=0.1", "2", "5.00", settings]
    assert texts(table.rows[1])[1:4] == ["-", "0", "-"]
    assert "dev" not in compare_tables.settings_table(data | {"dev": None}).note


def test_common_settings_are_said_once(data):
    trained = {"EPOCHS": 4, "SOLVER.TRAINABLE_PARAMS": ["*cls*"]}
    own = {"MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME": "Loss"}
    for row, settings in zip(
        data["rows"], (trained, trained | own, {**trained, "EPOCHS": 8}), strict=True
    ):
        row["settings"] = settings
    post_hoc = {"name": "post", "after": "stage 1", "settings": {"TEST.CALIBRATION.NAME": "Cal"}}
    data["rows"].append({**data["rows"][0], **post_hoc})
    table = compare_tables.settings_table(data)
    common = "Every trained method has `EPOCHS=4`, `SOLVER.TRAINABLE_PARAMS=[*cls*]`"
    assert common in table.note
    assert column(table, "settings") == [
        "-",
        "CLS_LOSS.NAME=Loss",
        "EPOCHS=8",
        "after stage 1; CALIBRATION.NAME=Cal",
    ]
    # Of one, nothing is common.
    data["rows"] = data["rows"][:1]
    table = compare_tables.settings_table(data)
    assert column(table, "settings") == ["EPOCHS=4, SOLVER.TRAINABLE_PARAMS=[*cls*]"]
    assert "Every" not in table.note


def test_a_row_in_which_nothing_is_random_has_one_run(data):
    row = data["rows"][1]
    row["after"] = "stage 1"
    row["runs"] = [row["runs"][0] | {"seed": None}]
    table = compare_tables.scores_table(data)
    assert column(table, "seeds") == ["1", "2", "1", "2"]
    assert "±" not in column(table, "AP mask")[2]
    assert compare_tables.failures_table(data).rows == []
    row["runs"] = []
    assert column(compare_tables.scores_table(data), "seeds") == ["1", "2", "0 of 1", "2"]
    (failure,) = compare_tables.failures_table(data).rows
    assert texts(failure) == ["better", "0 of 1", "interrupted: no run"]


def test_classes_show_stage_1_the_control_and_the_best_rows_once(data):
    for row, values in zip(data["rows"], ((9, 9, 9), (1, 2, 8), (4, 1, 1)), strict=True):
        for run in row["runs"]:
            run["results"]["segm"] |= dict(zip(("APr", "APc", "APf"), values, strict=True))
    data["classes"][0] |= {"name": "cat", "group": ""}
    table = compare_tables.class_table(data)
    assert table.columns[5:] == ("stage 1", "control", "best (best APr)", "better (best APc, APf)")
    assert len(table.rows) == 12
    assert texts(table.rows[0])[:5] == ["cat", "-", "2000", "4600", "3"]
    expected = sum(run["per_class"]["segm"][0] for run in data["rows"][0]["runs"]) / 2
    assert table.rows[0][6].value == pytest.approx(expected)


def test_stage_1_as_the_control_of_most_is_shown_once(data):
    for row in data["rows"]:
        row["controls"] = ["stage 1"]
        for entry in row["differences"]:
            entry["control"] = "stage 1"
    boxes, _ = compare_tables.differences_tables(data)
    assert column(boxes, "minus") == ["stage 1", "stage 1"]
    columns = compare_tables.class_table(data).columns
    assert sum(name.startswith("stage 1") for name in columns) == 1
