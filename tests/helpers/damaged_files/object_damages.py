"""Damages to boxes and masks."""

from __future__ import annotations

from damaged_files.catalogue import damage
from damaged_files.clean import encode_empty
from damaged_files.odd_file import OddFile

NAN, INF = float("nan"), float("inf")


def _has_polygons(annotation: dict) -> bool:
    return isinstance(annotation.get("segmentation"), list)


def _has_rle(annotation: dict) -> bool:
    return isinstance(annotation.get("segmentation"), dict)


def _has_mask(annotation: dict) -> bool:
    return bool(annotation.get("segmentation"))


@damage(is_fault=False)
def box_without_area(odd: OddFile) -> bool:
    """Left out everywhere: flat, mirrored, or nowhere in its image."""
    taken = odd.take(odd.rng.randint(1, 2)) if len(odd.counted) > 3 else []
    for k in taken:
        image, (x, y, w, h) = odd.image_of(odd.objects[k]), odd.objects[k]["bbox"]
        boxes = (
            [x, y, 0, h],
            [x, y, w, -h],
            [x + w, y + h, -w, -h],
            [x, y, w, 0.0],
            [image["width"], y, w, h],
            [x, image["height"] + 50, w, h],
            [x, -h - 1, w, h],
            [-w, y, w, h],
            [x, y, 1e-6, h],
            [x, y, w, 1e-30],
        )
        odd.annotations[k]["bbox"] = odd.rng.choice(boxes)
        del odd.objects[k]
        odd.note("box")
    return bool(taken)


@damage(is_fault=False)
def box_that_leaves_the_image(odd: OddFile) -> bool:
    """Read as it is; a training clips it."""
    taken = odd.take(2)
    for k in taken:
        image, (x, y, w, h) = odd.image_of(odd.objects[k]), odd.objects[k]["bbox"]
        boxes = (
            [image["width"] - 6, y, 30, h],
            [x, image["height"] - 7, w, 41.5],
            [-9, y, 9 + w, h],
            [-5, -6, 1000, 1000],
        )
        box = odd.rng.choice(boxes)
        odd.annotations[k]["bbox"], odd.objects[k]["bbox"] = list(box), box
        odd.note("box")
    return bool(taken)


@damage(is_fault=True)
def boxes_by_corners(odd: OddFile) -> bool:
    """Taken for sizes, most leave their image; taken for corners, none does."""
    taken, leaving = odd.take_all(), 0
    for k in taken:
        image, (x, y, w, h) = odd.image_of(odd.objects[k]), odd.objects[k]["bbox"]
        odd.annotations[k]["bbox"] = [x, y, x + w, y + h]
        leaving += x + x + w > image["width"] + 2 or y + y + h > image["height"] + 2
    odd.fault("x1, y1, x2, y2")
    return leaving > max(4, 0.3 * len(taken))


@damage(is_fault=True)
def boxes_as_fractions(odd: OddFile) -> bool:
    taken = odd.take_all()
    for k in taken:
        image, (x, y, w, h) = odd.image_of(odd.objects[k]), odd.objects[k]["bbox"]
        width, height = image["width"], image["height"]
        odd.annotations[k]["bbox"] = [x / width, y / height, w / width, h / height]
    if taken:
        odd.fault("normalised")
    return bool(taken)


@damage(is_fault=True)
def box_of_no_numbers(odd: OddFile) -> bool:
    taken = odd.take(2)
    for k in taken:
        x, y, w, h = odd.objects[k]["bbox"]
        boxes = (
            [str(x), y, w, h],
            [x, y, w],
            [x, y, w, h, 1],
            [],
            [[x, y], [w, h]],
            f"{x},{y},{w},{h}",
            {"x": x, "y": y, "width": w, "height": h},
            None,
            [x, y, None, h],
            [x, y, w, True],
            [NAN, y, w, h],
            [x, y, INF, h],
        )
        odd.annotations[k]["bbox"] = odd.rng.choice(boxes)
    odd.fault("bbox is no", number=len(taken))
    return bool(taken)


@damage(is_fault=True)
def box_that_is_missing(odd: OddFile) -> bool:
    taken = odd.take(1)
    for k in taken:
        del odd.annotations[k]["bbox"]
        odd.fault("annotations", "lack")
    return bool(taken)


@damage(is_fault=False)
def some_polygons_are_not_valid(odd: OddFile) -> bool:
    taken = odd.take(2, _has_polygons)
    for k in taken:
        bad = odd.rng.choice(([], [1, 1, 2, 2], [1, 1, 9, 9], [1, 2, 3, 4, 5, 6, 7], [NAN] * 6))
        place = odd.rng.choice((0, len(odd.annotations[k]["segmentation"])))
        odd.annotations[k]["segmentation"].insert(place, bad)
        odd.note("polygon")
    return bool(taken)


@damage(is_fault=False)
def no_polygon_is_valid(odd: OddFile) -> bool:
    """Left out everywhere, as Detectron2's loader does."""
    taken = odd.take(1, _has_polygons) if len(odd.counted) > 3 else []
    for k in taken:
        x, y, w, h = odd.objects[k]["bbox"]
        bad = ([[]], [[x, y, w, h]], [[x, y, x + w, y]], [[1, 2, 3, 4, 5, 6, 7]], [[1, NAN] * 3])
        odd.annotations[k]["segmentation"] = odd.rng.choice(bad)
        del odd.objects[k]
        odd.note("polygon")
    return bool(taken)


@damage(is_fault=False)
def mask_covers_no_pixel(odd: OddFile) -> bool:
    """Left out everywhere: a detector cannot find it, and Detectron2's mapper drops it."""
    taken = odd.take(1) if len(odd.counted) > 3 else []
    for k in taken:
        image = odd.image_of(odd.objects[k])
        height, width = image["height"], image["width"]
        masks = (
            [[-50, -60, -20, -60, -20, -9.5]],
            [[width, 1, width + 9, 1, width + 9, 9], [3, -9, 9, -9, 9, -1]],
            [[1, height + 2, 9, height + 2, 9, height + 30]],
            {"size": [height, width], "counts": [height * width]},
            {"size": [height, width], "counts": [7, 0, height * width - 7]},
            {"size": [height, width], "counts": encode_empty(height, width)},
        )
        odd.annotations[k]["segmentation"] = odd.rng.choice(masks)
        del odd.objects[k]
        odd.note("left out")
    return bool(taken)


@damage(is_fault=True, scope=["whole file"])
def all_is_left_out(odd: OddFile) -> bool:
    """It would look like a test set's file."""
    taken = odd.take_all()
    for k in taken:
        odd.annotations[k]["bbox"][2] = 0
    odd.fault("no annotation is left")
    return bool(taken)


@damage(is_fault=False)
def mask_is_absent(odd: OddFile) -> bool:
    """A box alone; masks are trained on or evaluated where all objects have one."""
    taken = odd.take(2, _has_mask)
    for k in taken:
        del odd.objects[k]["segmentation"]
        odd.annotations[k]["segmentation"] = odd.rng.choice((None, []))
        if odd.rng.random() < 0.3:
            del odd.annotations[k]["segmentation"]
    return bool(taken)


@damage(is_fault=True)
def polygon_without_its_list(odd: OddFile) -> bool:
    """One fault an object, not one a number."""
    taken = odd.take(2, _has_polygons)
    for k in taken:
        odd.annotations[k]["segmentation"] = odd.annotations[k]["segmentation"][0]
    odd.fault("list of polygons", number=len(taken))
    return bool(taken)


@damage(is_fault=True)
def polygon_of_text(odd: OddFile) -> bool:
    taken = odd.take(1, _has_polygons)
    for k in taken:
        polygon = odd.annotations[k]["segmentation"][0]
        polygon[2] = odd.rng.choice((str(polygon[2]), None, [polygon[2]], True))
        odd.fault("polygon holds")
    return bool(taken)


@damage(is_fault=True)
def segmentation_of_another_kind(odd: OddFile) -> bool:
    taken = odd.take(1, _has_mask)
    for k in taken:
        odd.annotations[k]["segmentation"] = odd.rng.choice(("mask.png", 7, True))
        odd.fault("segmentation is neither")
    return bool(taken)


@damage(is_fault=True)
def rle_of_another_size(odd: OddFile) -> bool:
    taken = odd.take(1, _has_rle)
    for k in taken:
        odd.annotations[k]["segmentation"]["size"].reverse()
        odd.fault("rle", "another size")
    return bool(taken)


@damage(is_fault=True)
def rle_that_does_not_divide_the_mask(odd: OddFile) -> bool:
    taken = odd.take(1, _has_rle)
    for k in taken:
        size = odd.annotations[k]["segmentation"]["size"]
        counts = ([5, 5], [size[0] * size[1] + 1], [-4, 4 + size[0] * size[1]], "55", [0])
        odd.annotations[k]["segmentation"]["counts"] = odd.rng.choice(counts)
        odd.fault("rle", "divide")
    return bool(taken)


@damage(is_fault=True)
def rle_that_cannot_be_read(odd: OddFile) -> bool:
    taken = odd.take(1, _has_rle)
    for k in taken:
        counts = ("hello world", "", [1, "a"], 7, {"a": 1}, "ÿ")
        odd.annotations[k]["segmentation"]["counts"] = odd.rng.choice(counts)
        odd.fault("rle counts", "read")
    return bool(taken)


@damage(is_fault=True)
def rle_without_its_parts(odd: OddFile) -> bool:
    taken = odd.take(1, _has_rle)
    for k in taken:
        rle = odd.annotations[k]["segmentation"]
        if odd.rng.random() < 0.5:
            del rle[odd.rng.choice(("size", "counts"))]
        else:
            rle["size"] = odd.rng.choice((None, 40, ["a", 9], [40], "40x56"))
        odd.fault("rle", "lacks")
    return bool(taken)
