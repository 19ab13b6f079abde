import numpy as np
import pytest

from lt_det.evaluation.detection_store import DetectionStore
from lt_det.evaluation.matching.detections import ImageDetections
from lt_det.evaluation.matching.fixed_ap import best_per_class
from lt_det.evaluation.metric_options import MetricOptions

NUM_IMAGES = 60


def detections(image_id, rng):
    num = int(rng.integers(0, 40))
    # Few levels: many equal scores.
    return ImageDetections(
        image_id,
        (10, 10),
        rng.integers(0, 5, num),
        rng.integers(0, 20, num) / 20,
        rng.random((num, 4)),
        [bytes([i]) for i in range(num)],
    )


def joined(entries):
    counts = [len(d.scores) for d in entries]
    columns = (np.concatenate([getattr(d, n) for d in entries]) for n in ("classes", "scores"))
    return np.repeat([d.image_id for d in entries], counts), *columns


@pytest.fixture
def stores(monkeypatch):
    """Returns a function: everything, and the store's entries, of the same images."""
    monkeypatch.setattr("lt_det.evaluation.detection_store._AT_LEAST", 100)

    def _stores(options):
        rng, store, everything = np.random.default_rng(0), DetectionStore(options), []
        for image_id in range(NUM_IMAGES):
            everything.append(detections(image_id, rng))
            store.add(everything[-1])
        return everything, store.entries

    return _stores


@pytest.mark.parametrize("per_image", [0, 3])
def test_what_matters_is_kept_and_memory_is_bounded(stores, per_image):
    options = MetricOptions(detections_per_class=30, detections_per_image=per_image)
    everything, kept = stores(options)
    before, after = joined(everything), joined(kept)
    assert [d.image_id for d in kept] == list(range(NUM_IMAGES))
    for key, limit in ((1, 30), (0, per_image)):
        best = [best_per_class(columns[key], columns[2], limit) for columns in (before, after)]
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old[best[0]], new[best[1]])
    bound = 2 * (5 * 30 + NUM_IMAGES * per_image) + 40
    assert len(after[0]) <= bound < len(before[0])


def test_boxes_and_masks_stay_with_their_detection(stores):
    everything, kept = stores(MetricOptions(detections_per_class=30, detections_per_image=0))
    for old, new in zip(everything, kept, strict=True):
        places = [code[0] for code in new.rles]
        np.testing.assert_array_equal(new.boxes, old.boxes[places])
        np.testing.assert_array_equal(new.scores, old.scores[places])


@pytest.mark.parametrize(
    "options", [MetricOptions(), MetricOptions(detections_per_class=5, detections_per_image=-1)]
)
def test_everything_is_kept_where_everything_matters(stores, options):
    everything, kept = stores(options)
    assert sum(len(d.scores) for d in kept) == sum(len(d.scores) for d in everything)
