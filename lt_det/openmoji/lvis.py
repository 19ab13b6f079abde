"""The annotation files of a generated data set, in LVIS's format."""

from __future__ import annotations

from collections.abc import Sequence

from lt_det.class_stats import ClassStats
from lt_det.openmoji.plan import Catalogue
from lt_det.openmoji.sprites import sprite_name

__all__ = ["ATTRIBUTION", "categories", "count", "lvis_content"]

_FREQUENCY = ("r", "c", "f")
ATTRIBUTION = (
    "Pictures composed from OpenMoji drawings, https://openmoji.org, licence CC BY-SA 4.0. "
    "Made by lt_det's tools/make_openmoji.py."
)


def count(made: Sequence, num_classes: int) -> ClassStats:
    """Class statistics of a made split: (image record, annotations) pairs."""
    dicts = [{"annotations": [{"category_id": a["category"]} for a in anns]} for _, anns in made]
    return ClassStats.from_dicts(dicts, num_classes)


def categories(catalogue: Catalogue, stats: ClassStats) -> list[dict]:
    """LVIS's category records, ids from 1, with the training set's counts and groups."""
    names = [sprite_name(code) for code in catalogue.codes]
    return [
        {
            "id": c + 1,
            "name": name,
            "synonyms": [name],
            "synset": f"{name}.n.01",
            "def": f"OpenMoji {code}",
            "supercategory": f"family_{family:03d}",
            "frequency": _FREQUENCY[group],
            "image_count": int(images),
            "instance_count": int(instances),
        }
        for c, (name, code, family, group, images, instances) in enumerate(
            zip(
                names,
                catalogue.codes,
                catalogue.family,
                stats.groups(),
                stats.image_count,
                stats.instance_count,
                strict=True,
            )
        )
    ]


def lvis_content(made: Sequence, categories: list[dict], image_id: int, annotation_id: int) -> dict:
    """A whole annotation file; ids count up from the given first ones."""
    images, annotations = [], []
    for record, of_image in made:
        images.append({"id": image_id, **record})
        for annotation in of_image:
            values = {key: value for key, value in annotation.items() if key != "category"}
            annotations.append(
                {
                    "id": annotation_id,
                    "image_id": image_id,
                    "category_id": annotation["category"] + 1,
                    **values,
                }
            )
            annotation_id += 1
        image_id += 1
    return {
        "info": {"description": ATTRIBUTION, "version": "1"},
        "licenses": [
            {
                "id": 1,
                "name": "CC BY-SA 4.0",
                "url": "https://creativecommons.org/licenses/by-sa/4.0/",
            }
        ],
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }
