"""The benchmarks' measuring is exact on steps whose cost is known. Nothing is timed for real."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.utils.events import EventStorage
from tool_modules import load_tool

from lt_det.class_stats import ClassStats
from lt_det.losses import BalancedSigmoidLoss, BalancedSoftmaxLoss, SoftmaxLoss

from benchmarks import benchmark_names, count, head, run_benchmark
from benchmarks.parts import timing
from benchmarks.parts.timing import (
    BenchmarkResult,
    Comparison,
    Quartiles,
    compare,
    comparison_table,
    peak_memory,
    time_pairs,
    time_rounds,
)

MIB = 2**20


class FakeMachine:
    """A clock that only steps move, and the order in which they ran."""

    def __init__(self):
        self.now = 0.0
        self.order = ""

    def step(self, name, seconds):
        durations = iter(seconds)

        def run():
            self.order += name
            self.now += next(durations)

        return run

    def clock(self):
        return self.now


def test_pairs_are_timed_side_by_side_in_alternating_order():
    machine = FakeMachine()
    ours = machine.step("a", [100, 3, 6, 9])
    baseline = machine.step("b", [200, 2, 4, 6])
    seconds = time_pairs(ours, baseline, pairs=3, warmup=1, clock=machine.clock)
    assert machine.order == "baabbaab"
    np.testing.assert_array_equal(seconds, [[3, 6, 9], [2, 4, 6]])


def test_rounds_are_timed_one_by_one():
    machine = FakeMachine()
    seconds = time_rounds(machine.step("a", [5, 2, 3]), rounds=3, clock=machine.clock)
    assert seconds.tolist() == [5, 2, 3]


def test_ratio_is_of_pairs_not_of_totals():
    # A machine that is ten times as slow in the last pair: the ratio does not notice.
    slow_in_the_end = np.array([1.0, 1.0, 1.0, 10.0])
    comparison = Comparison("x", 1.2 * slow_in_the_end, slow_in_the_end, 3 * MIB, 2 * MIB)
    assert comparison.ratio == pytest.approx(Quartiles(1.2, 1.2, 1.2))
    assert comparison.memory_ratio == 1.5


def test_quartiles():
    assert Quartiles.of([4, 1, 3, 2, 5]) == Quartiles(2, 3, 4)
    assert str(Quartiles(1, 2, 3)) == "2.000 [1.000, 3.000]"


@pytest.mark.parametrize(("pairs", "warmup"), [(0, 0), (1, -1)])
def test_nothing_to_measure_raises(pairs, warmup):
    with pytest.raises(ValueError, match="pairs"):
        time_pairs(lambda: None, lambda: None, pairs=pairs, warmup=warmup)


def test_peak_memory_counts_what_lives_together():
    def step():
        first = torch.empty(MIB, dtype=torch.uint8)
        second = torch.empty(2 * MIB, dtype=torch.uint8)  # peak: 3
        del first, second
        return torch.empty(2 * MIB, dtype=torch.uint8)

    assert peak_memory(step) == 3 * MIB
    assert peak_memory(lambda: None) == 0


def test_peak_memory_sees_temporaries_inside_operators():
    # log_softmax of rows needs its output; a float64 cast inside needs twice the input beside it.
    x = torch.ones(MIB // 4)
    assert peak_memory(lambda: torch.log_softmax(x, 0)) == MIB
    assert peak_memory(lambda: torch.log_softmax(x, 0, dtype=torch.float64)) >= 2 * MIB


def test_peak_memory_gives_no_credit_for_memory_of_an_earlier_step():
    kept = []

    def step():
        kept.clear()
        kept.append(torch.empty(MIB, dtype=torch.uint8))

    # The second and third step free what the one before allocated under the profiler.
    assert [peak_memory(step) for _ in range(3)] == [MIB, MIB, MIB]


def test_compare_joins_time_and_memory():
    comparison = compare(
        "two against one", lambda: torch.zeros(2 * MIB), lambda: torch.zeros(MIB), pairs=3
    )
    assert comparison.memory_ratio == 2
    assert comparison.ours_s.shape == comparison.baseline_s.shape == (3,)
    row = comparison_table([comparison]).splitlines()[-1]
    assert "two against one" in row
    assert "2.000" in row


def test_machine_is_named():
    assert f"torch {torch.__version__}, {torch.get_num_threads()} threads" in timing.machine()


def test_one_thread_is_given_back():
    before = torch.get_num_threads()
    with timing.one_thread():
        assert "1 threads" in timing.machine()
    assert torch.get_num_threads() == before


def test_json_line():
    result = BenchmarkResult("head", True, {"ratio": 1.25}, "table")
    line = result.to_json()
    assert "\n" not in line
    assert json.loads(line) == {"name": "head", "quick": True, "figures": {"ratio": 1.25}}


def test_json_refuses_what_is_no_number():
    with pytest.raises(ValueError, match="not JSON compliant"):
        BenchmarkResult("head", True, {"ratio": float("nan")}, "").to_json()


def test_unknown_name_lists_what_exists():
    with pytest.raises(ValueError, match=r"There are: .*head.* Did you mean 'head'"):
        run_benchmark("haed")


def test_names_are_files_with_a_run_function():
    names = ["bank", "count", "eval", "head", "load", "losses", "meta"]
    assert benchmark_names() == names


@pytest.fixture
def small_head(monkeypatch):
    monkeypatch.setattr(head, "FEATURE_SIZE", 8)
    monkeypatch.setattr(head, "PAIRS", {5: 2, 9: 2})
    monkeypatch.setattr(head, "QUICK_NUM_ROIS", {5: 16, 9: 8})
    monkeypatch.setattr(
        head,
        "CASES",
        {
            "ratio_balanced_softmax": (BalancedSoftmaxLoss, False, 5),
            "ratio_balanced_sigmoid_20k": (BalancedSigmoidLoss, True, 9),
        },
    )


def test_head_reports_its_figures(small_head):
    result = run_benchmark("head", quick=True)
    assert result.name == "head"
    assert result.quick
    assert set(result.figures) == {
        "ratio_balanced_softmax",
        "ratio_balanced_sigmoid_20k",
        "memory_ratio",
    }
    assert all(value > 0 for value in result.figures.values())
    assert "BalancedSoftmaxLoss, K = 5, R = 16" in result.text


def test_head_has_the_figures_of_the_design():
    names = {"ratio_balanced_softmax", "ratio_balanced_sigmoid"}
    assert set(head.CASES) == names | {f"{name}_20k" for name in names}
    assert {k for _, _, k in head.CASES.values()} == {1203, 20000} == set(head.QUICK_NUM_ROIS)
    assert min(head.PAIRS.values()) >= 10


def test_both_sides_of_head_do_the_same_work(small_head):
    # With the plain loss and equal weights every gradient of the two sides is equal.
    ours, stock = head.ours(SoftmaxLoss, 5), head.stock(False, 5)
    stock.load_state_dict(ours.state_dict(), strict=False)
    features = torch.randn(16, 8, requires_grad=True)
    proposals = head.make_proposals(16, 5)
    gradients = []
    with EventStorage():
        for predictor in (ours, stock):
            head.training_step(predictor, features, proposals)()
            gradients.append([features.grad, *(p.grad for p in predictor.parameters())])
    assert len(gradients[0]) == len(gradients[1]) == 5
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)


def test_a_balanced_shift_costs_no_second_matrix_of_shifts():
    # fg_only shifts some rows: S as a matrix would be one more (R, K) than the sum.
    num_rois, num_classes = 64, 512
    loss = BalancedSigmoidLoss(num_classes, head.long_tailed_stats(num_classes))
    logits, gt_classes = torch.zeros(num_rois, num_classes), torch.arange(num_rois)
    matrix = logits.numel() * logits.element_size()
    assert matrix <= peak_memory(lambda: loss.shifted(logits, gt_classes)) < 1.5 * matrix


def test_count_reports_its_figures(monkeypatch):
    monkeypatch.setattr(count, "NUM_IMAGES", 400)
    monkeypatch.setattr(count, "NUM_INSTANCES", 3000)
    full, quick = (run_benchmark("count", quick) for quick in (False, True))
    assert set(quick.figures) == {"cpu_s", "instances"}
    assert (full.figures["instances"], quick.figures["instances"]) == (3000, 150)
    assert quick.figures["cpu_s"] > 0
    assert "150 instances in 20 pictures" in quick.text
    # Twice in one process: the data set was registered for the time of the benchmark only.
    assert count.DATASET not in DatasetCatalog


def test_count_has_the_shape_of_lvis_v1():
    assert (count.NUM_IMAGES, count.NUM_INSTANCES) == (100_170, 1_270_141)
    dicts = count.make_dicts(50, 5000)
    stats = ClassStats.from_dicts(dicts, 1203)
    assert len(dicts) == 50
    assert stats.instance_count.sum() == 5000
    # A long tail: the first class is nearly everywhere, most are hardly seen.
    assert stats.image_count.argmax() == 0
    assert stats.image_count[0] > 40
    assert np.median(stats.instance_count) <= 2


def test_tool_prints_json_last(monkeypatch, capsys):
    tool = load_tool("benchmark")
    monkeypatch.setattr(
        tool, "run_benchmark", lambda name, quick: BenchmarkResult(name, quick, {"r": 1.0}, "text")
    )
    assert tool.main(["head", "--quick", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == {"name": "head", "quick": True, "figures": {"r": 1.0}}
    assert tool.main(["head"]) == 0
    assert capsys.readouterr().out == "text\n"


def test_tool_names_the_benchmarks_there_are(capsys):
    assert load_tool("benchmark").main(["nothing_like_it"]) == 1
    assert "There are: " in capsys.readouterr().err
