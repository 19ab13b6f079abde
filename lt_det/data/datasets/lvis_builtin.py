"""Detectron2's own LVIS data sets, with the groups of their classes.

Detectron2 registers LVIS v0.5 and v1.0 under the names of its configs. What it lacks is added to
their metadata; folders and what its catalog returns stay its own. Two things that its loader leaves
open are settled where lt_det reads records: category ids in the federated lists, and test sets
without annotations.
"""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import lvis_v0_5_categories, lvis_v1_categories

from lt_det.data.datasets.lvis import FEDERATED_LISTS, load_lvis_format
from lt_det.data.cache.mapped_records import MappedRecords

__all__ = ["extend_lvis_metadata", "load_builtin_test_set", "with_contiguous_federated_lists"]

_CATEGORIES = {
    "lvis_v0.5_": lvis_v0_5_categories.LVIS_CATEGORIES,
    "lvis_v1_": lvis_v1_categories.LVIS_CATEGORIES,
}


def extend_lvis_metadata() -> None:
    """Add to the metadata of every LVIS split that Detectron2 registered.

    - ``class_groups``: 0 rare, 1 common, 2 frequent, for each class, as LVIS published them;
    - ``thing_dataset_id_to_contiguous_id``: category id -> class, which is id - 1;
    - ``names_in_file``: class names as LVIS's files have them, for one class other than
      Detectron2's;
    - ``is_whole_json_file``: class statistics are cached by the file's content;
    - ``loaded_by_detectron2``: the records' federated lists hold category ids.

    Image counts need the training set's file (``lt_det.data.statistics.compute_class_stats``), but
    for v1.0, whose ``class_image_count`` Detectron2 has.
    """
    for prefix, categories in _CATEGORIES.items():
        by_id = {category["id"]: category for category in categories}
        ids = sorted(by_id)
        groups = ["rcf".index(by_id[i]["frequency"]) for i in ids]
        for name in DatasetCatalog.list():
            if name.startswith(prefix) and _is_to_be_extended(name):
                MetadataCatalog.get(name).set(
                    class_groups=groups,
                    names_in_file=[by_id[i]["name"] for i in ids],
                    thing_dataset_id_to_contiguous_id={i: c for c, i in enumerate(ids)},
                    is_whole_json_file=True,
                    loaded_by_detectron2=True,
                )


def with_contiguous_federated_lists(records: Sequence[dict], dataset_name: str) -> Sequence[dict]:
    """Records whose ``neg_category_ids`` and ``not_exhaustive_category_ids`` are classes.

    Detectron2's LVIS loader turns the annotations' category ids into classes in [0, K), but not
    those of the lists. lt_det's own loader turns both.

    Args:
        records: as the data set's loader returns them; they are not changed.
        dataset_name: where they come from. Records of other sets than Detectron2's LVIS sets are
            returned as they are.
    """
    metadata = MetadataCatalog.get(dataset_name)
    if not metadata.get("loaded_by_detectron2", False):
        return records
    class_of = metadata.thing_dataset_id_to_contiguous_id
    if isinstance(records, MappedRecords):
        return records.with_maps(dict.fromkeys(FEDERATED_LISTS, class_of))
    return [
        {**record, **{key: [class_of[i] for i in record[key]] for key in FEDERATED_LISTS}}
        for record in records
    ]


def load_builtin_test_set(dataset_name: str) -> list[dict] | None:
    """Records of an LVIS test set of Detectron2's; None for any other data set.

    Its file lists pictures alone. The LVIS API, by which Detectron2 loads it, fails on a file that
    has no "annotations" at all.
    """
    metadata = MetadataCatalog.get(dataset_name)
    if "_test" not in dataset_name or not metadata.get("loaded_by_detectron2", False):
        return None
    return load_lvis_format(metadata.json_file, metadata.image_root)


def _is_to_be_extended(name: str) -> bool:
    # The cocofied sets have COCO's classes. A user's set of such a name, registered by lt_det, has
    # the classes of its file; it is known to be whole, as a set that is extended already.
    return "cocofied" not in name and not MetadataCatalog.get(name).get("is_whole_json_file", False)
