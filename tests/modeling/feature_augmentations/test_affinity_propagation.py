"""Affinity propagation against a loop over the published messages, scikit-learn, and by eye."""

import string

import numpy as np
import pytest

from lt_det.modeling.feature_augmentations.affinity_propagation import affinity_propagation

DIGITS = string.digits + string.ascii_letters
# By (seed, sign): AffinityPropagation(affinity="precomputed", random_state=1), scikit-learn 1.9.1.
SCIKIT_LEARN = {
    (0, 1): "011223333010110111102113201301033031322223333111210220002101",
    (1, 1): "012233223020020011332221200230302300231032300032123101201302",
    (2, 1): "012110121303020231231312313301230003112211333000010021333212",
    (3, 1): "011110021133233122113302332212000332220301100313102213103132",
    (4, 1): "011011123003010201203120132111130101020030312022033310311022",
    (5, 1): "012130031233032222212012333121112303000210133122302132011132",
    (0, -1): "000111111000000000001001100100011010101111111000100110001010",
    (1, -1): "010011001001001000110010011010000100010010101010011000000100",
    (2, -1): "012120020101120211110102101001210001102211121000000020111202",
    (3, -1): "000000000011001000001100110000000110000100010101000001001010",
    (4, -1): "011011000000010101100110101111100101010000011000010010011011",
    (5, -1): "001010010110011111101001111010001101000100010011101010100011",
}


def blobs(seed, number=40, groups=4, spread=0.3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, groups, number)
    centres = 10 * rng.normal(size=(groups, 5))
    return centres[truth] + spread * rng.normal(size=(number, 5)), truth


def negative_distance(points):
    return -((points[:, None] - points[None]) ** 2).sum(-1)


def canonical(labels):
    """Clusters numbered in order of appearance."""
    numbers = {}
    return [numbers.setdefault(int(label), len(numbers)) for label in labels]


def slow_exemplars(similarity, rounds, damping=0.5):
    """The messages of the paper, one by one."""
    n = len(similarity)
    s = similarity.copy()
    np.fill_diagonal(s, np.median(s))
    r, a = np.zeros((n, n)), np.zeros((n, n))
    for _ in range(rounds):
        new = np.zeros((n, n))
        for i in range(n):
            for k in range(n):
                new[i, k] = s[i, k] - max(a[i, j] + s[i, j] for j in range(n) if j != k)
        r = damping * r + (1 - damping) * new
        new = np.zeros((n, n))
        for i in range(n):
            for k in range(n):
                support = sum(max(0.0, r[j, k]) for j in range(n) if j not in (i, k))
                new[i, k] = support if i == k else min(0.0, r[k, k] + support)
        a = damping * a + (1 - damping) * new
    return [k for k in range(n) if r[k, k] + a[k, k] > 0]


@pytest.mark.parametrize("seed", range(3))
def test_exemplars_are_those_of_a_slow_loop(seed):
    points, _ = blobs(seed, number=14, groups=3, spread=2.0)
    similarity = negative_distance(points)
    labels = affinity_propagation(similarity)
    exemplars = slow_exemplars(similarity, rounds=60)
    assert 1 < len(exemplars) == labels.max() + 1
    # A cluster is what has its exemplar for the closest; its best member may then take its place.
    closest = similarity[:, exemplars].argmax(axis=1)
    closest[exemplars] = np.arange(len(exemplars))
    centres = [
        max(np.flatnonzero(closest == c), key=lambda i: similarity[closest == c, i].sum())
        for c in range(len(exemplars))
    ]
    final = similarity[:, centres].argmax(axis=1)
    final[centres] = np.arange(len(centres))
    assert canonical(labels) == canonical(final)


def test_clusters_that_lie_apart_are_kept_apart():
    points, truth = blobs(0)
    labels = affinity_propagation(negative_distance(points))
    # The median preference may split a cluster; it never joins two.
    for label in np.unique(labels):
        assert len(set(truth[labels == label])) == 1
    assert len(np.unique(labels)) < len(points) / 2


@pytest.mark.parametrize(("seed", "sign"), SCIKIT_LEARN)
def test_clusters_are_scikit_learns(seed, sign):
    """Sign 1 is similarity, -1 what FASA's released code hands over."""
    points, _ = blobs(seed, number=60, spread=3.0)
    labels = canonical(affinity_propagation(sign * negative_distance(points)))
    assert labels == [DIGITS.index(digit) for digit in SCIKIT_LEARN[seed, sign]]


@pytest.mark.parametrize("number", [0, 1])
def test_without_a_second_point_there_is_nothing_to_do(number):
    assert affinity_propagation(np.zeros((number, number))).tolist() == list(range(number))


def test_pairs_are_clusters():
    """Though neither of a pair is the better exemplar."""
    points = np.array([[0.0, 0.0], [9.0, 9.0], [0.1, 0.2], [9.1, 9.3], [0.0, 9.0], [0.2, 9.1]])
    assert canonical(affinity_propagation(negative_distance(points))) == [0, 1, 0, 1, 2, 2]


def test_the_input_stays_as_it_is():
    similarity = negative_distance(blobs(0)[0])
    before = similarity.copy()
    affinity_propagation(similarity)
    np.testing.assert_array_equal(similarity, before)
