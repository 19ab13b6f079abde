"""Detectron2's own LVIS data sets, with the groups of their classes.

Detectron2 registers LVIS v0.5 and v1.0 under the names of its configs. What it lacks is added to
their metadata; loaders and folders stay its own.
"""

from __future__ import annotations

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import lvis_v0_5_categories, lvis_v1_categories

__all__ = ["extend_lvis_metadata"]

_CATEGORIES = {
    "lvis_v0.5_": lvis_v0_5_categories.LVIS_CATEGORIES,
    "lvis_v1_": lvis_v1_categories.LVIS_CATEGORIES,
}


def extend_lvis_metadata() -> None:
    """Add to the metadata of every LVIS split that Detectron2 registered.

    - ``class_groups``: 0 rare, 1 common, 2 frequent, for each class, as LVIS published them;
    - ``thing_dataset_id_to_contiguous_id``: category id -> class, which is id - 1;
    - ``is_whole_json_file``: class statistics are cached by the file's content.

    Image counts need the training set's file (``lt_det.data.statistics.compute_class_stats``), but
    for v1.0, whose ``class_image_count`` Detectron2 has.
    """
    for prefix, categories in _CATEGORIES.items():
        frequency = {category["id"]: category["frequency"] for category in categories}
        ids = sorted(frequency)
        groups = ["rcf".index(frequency[category_id]) for category_id in ids]
        for name in DatasetCatalog.list():
            # The cocofied sets have COCO's classes.
            if name.startswith(prefix) and "cocofied" not in name:
                MetadataCatalog.get(name).set(
                    class_groups=groups,
                    thing_dataset_id_to_contiguous_id={i: c for c, i in enumerate(ids)},
                    is_whole_json_file=True,
                )
