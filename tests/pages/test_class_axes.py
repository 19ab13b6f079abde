import numpy as np

from lt_det.pages.class_axes import bin_means


def test_bin_means_by_hand():
    x = np.array([1.0, 4.0, 100.0, 10000.0])
    centres, means = bin_means(x, np.array([10.0, 20.0, 5.0, 7.0]), num_bins=4)
    np.testing.assert_allclose(centres, [2.0, 100.0, 10000.0])
    np.testing.assert_allclose(means, [15.0, 5.0, 7.0])


def test_bin_means_of_one_place_and_of_nothing():
    centres, means = bin_means(np.array([3.0, 3.0]), np.array([1.0, 2.0]))
    np.testing.assert_allclose([centres, means], [[3.0], [1.5]])
    assert [len(part) for part in bin_means(np.empty(0), np.empty(0))] == [0, 0]
