"""BalancedGroupSoftmaxLoss: groups, drawn rows, a loop as oracle, limits."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lt_det.class_stats import ClassStats
from lt_det.losses import BalancedGroupSoftmaxLoss

# Instances of classes 0 to 5; no class in [100, 1000).
COUNTS = np.array([5000, 9, 10, 99, 1000, 0])
GROUPS = [3, 0, 1, 1, 3, 0]
K, G = 6, 4


@pytest.fixture
def loss():
    return BalancedGroupSoftmaxLoss(K, ClassStats(K, 9999, COUNTS, COUNTS))


def draw(loss, gt_classes, seed=0):
    torch.manual_seed(seed)
    return loss.draw_mask(gt_classes)


def case(num_rois=40):
    logits = 2 * torch.randn(num_rois, K + 2 + G, dtype=torch.float64)
    return logits, torch.randint(K + 1, (num_rois,))


def test_groups_are_half_open_bins(loss):
    assert loss.group_of_class().tolist() == GROUPS
    assert loss.num_logits == K + 2 + G


def test_layout_does_not_depend_on_the_statistics(loss):
    """They may come from a checkpoint, which is loaded into a layer that is built."""
    late = BalancedGroupSoftmaxLoss(K)
    assert late.num_logits == loss.num_logits
    logits, _ = case()
    with pytest.raises(ValueError, match="BalancedGroupSoftmaxLoss needs class statistics"):
        late.predict_probs(logits)
    late.load_state_dict(loss.state_dict())
    assert late.predict_probs(logits).equal(loss.predict_probs(logits))


def test_equals_means_over_groups_in_a_loop(loss):
    logits, gt_classes = case()
    mask = draw(loss, gt_classes)
    total = 0.0
    for group in range(-1, G):
        terms = []
        for z, label, weights in zip(logits, gt_classes.tolist(), mask, strict=True):
            if group == -1:
                columns, target = [K, K + 1], int(label < K)
            else:
                if not weights[K + 2 + group]:
                    continue
                classes = [j for j in range(K) if GROUPS[j] == group]
                columns = [*classes, K + 2 + group]
                target = classes.index(label) if label in classes else len(classes)
            e = [math.exp(z[c]) for c in columns]
            terms.append(-math.log(e[target] / sum(e)))
        if terms and (group == -1 or group in GROUPS):
            total += sum(terms) / len(terms)
    assert loss(logits, gt_classes, mask).mean().item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 3), (1.0, 6), (8.0, 27), (1000.0, 40)])
def test_number_of_drawn_rows(ratio, expected):
    """Three RoIs of group 1 among 40: 3 + 3 beta rows, never more than there are."""
    loss = BalancedGroupSoftmaxLoss(K, ClassStats(K, 9999, COUNTS, COUNTS), others_ratio=ratio)
    gt_classes = torch.tensor([2, 3, 2] + 30 * [K] + 7 * [0])
    mask = draw(loss, gt_classes)
    rows = mask[:, K + 2 + 1] > 0
    assert rows.sum() == expected
    assert rows[:3].all()
    torch.testing.assert_close(mask[rows, K + 3], torch.full((expected,), 40 / expected).double())


def test_every_other_row_is_drawn_equally_often(loss):
    gt_classes = torch.tensor([2] + 30 * [K] + 9 * [0])
    times = sum((draw(loss, gt_classes, seed)[:, K + 3] > 0).double() for seed in range(600))
    assert times[0] == 600
    # 8 of 39 rows: mean 123, standard deviation 10.
    assert ((times[1:] - 600 * 8 / 39).abs() < 45).all()


def test_a_group_without_a_roi_adds_nothing(loss):
    logits, _ = case(12)
    background = torch.full((12,), K)
    value = loss(logits, background, draw(loss, background))
    expected = F.cross_entropy(logits[:, [K, K + 1]], torch.zeros(12).long(), reduction="none")
    torch.testing.assert_close(value, expected)


def test_an_empty_groups_logit_is_never_read(loss):
    logits, gt_classes = case()
    changed = logits.clone()
    changed[:, K + 2 + 2] = math.nan
    mask = draw(loss, gt_classes)
    assert loss(changed, gt_classes, mask).equal(loss(logits, gt_classes, mask))
    assert loss.predict_probs(changed).equal(loss.predict_probs(logits))


def test_probabilities_by_hand(loss):
    logits = torch.zeros(1, K + 2 + G, dtype=torch.float64)
    logits[0, 0] = math.log(3)  # group 3: 3, 1 and others 2
    logits[0, K + 2 + 3] = math.log(2)
    logits[0, K + 1] = math.log(4)  # foreground 4 : background 1
    expected = [0.8 * 3 / 6, 0.8 / 3, 0.8 / 3, 0.8 / 3, 0.8 / 6, 0.8 / 3, 0.2]
    torch.testing.assert_close(loss.predict_probs(logits)[0], torch.tensor(expected).double())


def test_one_group_with_unlikely_others_is_a_two_step_softmax():
    """p(j) = p(j | foreground) p(foreground), which sums to 1 over the K + 1 classes."""
    loss = BalancedGroupSoftmaxLoss(K, ClassStats(K, 9999, COUNTS, COUNTS), thresholds=())
    assert loss.num_logits == K + 3
    logits = torch.randn(5, K + 3, dtype=torch.float64)
    logits[:, K + 2] = -1000
    probs = loss.predict_probs(logits)
    torch.testing.assert_close(probs.sum(1), torch.ones(5).double())
    foreground = (logits[:, K + 1] - logits[:, K]).sigmoid().unsqueeze(1)
    torch.testing.assert_close(probs[:, :K], logits[:, :K].softmax(1) * foreground)


def test_one_group_over_all_rows_is_a_cross_entropy_with_others():
    stats = ClassStats(K, 9999, COUNTS, COUNTS)
    loss = BalancedGroupSoftmaxLoss(K, stats, thresholds=(), others_ratio=1e9)
    logits, gt_classes = torch.randn(20, K + 3).double(), torch.arange(20) % (K + 1)
    in_group = F.cross_entropy(logits[:, [*range(K), K + 2]], gt_classes)
    binary = F.cross_entropy(logits[:, [K, K + 1]], (gt_classes < K).long())
    value = loss(logits, gt_classes, draw(loss, gt_classes)).mean()
    torch.testing.assert_close(value, in_group + binary)
    torch.testing.assert_close(loss(logits, gt_classes).mean(), in_group + binary)


def test_means_are_over_the_rois_of_all_ranks(loss, monkeypatch):
    """With every row drawn: each rank's part, with the sums of both, is what one process has."""
    loss.others_ratio = 1e9
    gt_classes = torch.arange(21) % (K + 1)
    together, sums = draw(loss, gt_classes), []
    ranks = [slice(0, 7), slice(7, None)]
    name = "lt_det.losses.softmax.balanced_group_softmax.sum_over_ranks"
    monkeypatch.setattr(name, lambda t: sums.append(t) or t)
    for rows in ranks:
        draw(loss, gt_classes[rows])
    monkeypatch.setattr(name, lambda t: sum(sums))
    parts = [draw(loss, gt_classes[rows]) for rows in ranks]
    torch.testing.assert_close(torch.cat(parts), together, rtol=1e-12, atol=0)
