"""One picture's ground truth beside its detections, coloured by class-frequency group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from detectron2.data.detection_utils import read_image
from detectron2.structures import BoxMode
from detectron2.utils.visualizer import Visualizer
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as mask_utils

from lt_det.pages.class_plot import GROUP_COLORS

__all__ = ["NO_GROUP", "DrawnObject", "PanelPainter", "enlargement", "montage"]

# Of a class whose data set gives it no group.
NO_GROUP, _NO_GROUP_COLOR = "no group", "#2ca02c"
# Text is readable on pictures of about this size.
_SHORT_SIDE = 448
_MARGIN, _LINE_HEIGHT = 8, 26
_MONTAGE_COLUMNS = 2


class DrawnObject(NamedTuple):
    """An object to draw.

    Attributes:
        class_id: contiguous class.
        box: x0, y0, x1, y1 in pixels.
        mask: polygons, an RLE, or None.
        score: of a detection; None for ground truth.
    """

    class_id: int
    box: Sequence[float]
    mask: Any
    score: float | None

    @classmethod
    def from_annotation(cls, annotation: Mapping[str, Any]) -> DrawnObject:
        """From an annotation of Detectron2's standard format."""
        box = BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS)
        return cls(annotation["category_id"], box, annotation.get("segmentation"), None)

    @classmethod
    def from_result(cls, result: Mapping[str, Any], class_id: int) -> DrawnObject:
        """From a detection of the COCO / LVIS result format; its box may come from its mask."""
        mask = result.get("segmentation")
        box = result["bbox"] if "bbox" in result else mask_utils.toBbox(_compressed(mask)).tolist()
        x, y, width, height = box
        return cls(class_id, (x, y, x + width, y + height), mask, result["score"])


class PanelPainter:
    """Draws panels: ground truth left, detections right, a legend below.

    Args:
        class_names: K names.
        groups: the group of each class, :data:`NO_GROUP` where it has none.
    """

    def __init__(self, class_names: Sequence[str], groups: Sequence[str]):
        self._class_names = class_names
        self._groups = groups
        # Matplotlib carries this font; Pillow's own is of one small size.
        self._font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 14)

    def panel(
        self, record: Mapping[str, Any], detections: Sequence[DrawnObject], note: str = ""
    ) -> Image.Image:
        """One picture.

        Args:
            record: in Detectron2's standard format.
            detections: the model's, in pixels of the original picture.
            note: behind the title of the detections.
        """
        left, right = self.pictures(record, [detections])
        width, height = left.size
        panel = Image.new("RGB", (2 * width + _MARGIN, height + 2 * _LINE_HEIGHT), "white")
        self._paste(panel, left, 0, f"image {record['image_id']}: ground truth")
        self._paste(panel, right, width + _MARGIN, f"predictions{note}")
        self._draw_legend(panel, height + _LINE_HEIGHT)
        return panel

    def pictures(
        self, record: Mapping[str, Any], detections: Sequence[Sequence[DrawnObject]]
    ) -> list[Image.Image]:
        """The ground truth of a picture, then each model's detections on it, all of one size.

        Args:
            record: in Detectron2's standard format.
            detections: of each model, in pixels of the original picture.
        """
        image = read_image(record["file_name"], format="RGB")
        truth = [DrawnObject.from_annotation(a) for a in record.get("annotations", ())]
        return [self._draw(image, objects) for objects in (truth, *detections)]

    def _draw(self, image: np.ndarray, objects: Sequence[DrawnObject]) -> Image.Image:
        """The picture (H, W, 3), enlarged where it is small, with the objects on it."""
        height, width = image.shape[:2]
        scale = enlargement(height, width)
        # Not by the visualizer's own scale, which enlarges lines and text too.
        size = (width * scale, height * scale)
        visualizer = Visualizer(
            np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        )
        if objects:
            masks = [_enlarged_mask(o.mask, scale) for o in objects]
            visualizer.overlay_instances(
                boxes=np.array([o.box for o in objects], dtype=np.float64) * scale,
                labels=[self._label(o) for o in objects],
                masks=None if any(mask is None for mask in masks) else masks,
                assigned_colors=[_color(self._groups[o.class_id]) for o in objects],
                alpha=0.4,
            )
        return Image.fromarray(visualizer.get_output().get_image())

    def _label(self, drawn: DrawnObject) -> str:
        name = self._class_names[drawn.class_id]
        return name if drawn.score is None else f"{name} {drawn.score:.0%}"

    def _paste(self, panel: Image.Image, picture: Image.Image, x: int, title: str) -> None:
        ImageDraw.Draw(panel).text((x + 4, 4), title, fill="black", font=self._font)
        panel.paste(picture, (x, _LINE_HEIGHT))

    def _draw_legend(self, panel: Image.Image, y: int) -> None:
        """A coloured square and the name of each group that exists, at height ``y``."""
        draw, x = ImageDraw.Draw(panel), 4
        for group in (*GROUP_COLORS, NO_GROUP):
            if group in self._groups:
                draw.rectangle((x, y + 6, x + 14, y + 20), fill=_color(group))
                draw.text((x + 20, y + 4), group, fill="black", font=self._font)
                x += 36 + int(draw.textlength(group, font=self._font))


def montage(panels: Sequence[Image.Image]) -> Image.Image:
    """All panels in rows of two, each row as high as its higher panel."""
    columns = min(_MONTAGE_COLUMNS, len(panels))
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    cell = max(panel.width for panel in panels) + 2 * _MARGIN
    heights = [max(panel.height for panel in row) + _MARGIN for row in rows]
    whole = Image.new("RGB", (columns * cell - 2 * _MARGIN, sum(heights)), "white")
    for index, row in enumerate(rows):
        for column, panel in enumerate(row):
            whole.paste(panel, (column * cell, sum(heights[:index])))
    return whole


def enlargement(height: int, width: int) -> int:
    """Whole factor that brings a small picture's short side to about 448 pixels."""
    return max(1, round(_SHORT_SIDE / min(height, width)))


def _enlarged_mask(segmentation: Any, scale: int) -> Any:
    """Polygons or a binary mask (H, W) ``scale`` times as large; None stays None."""
    if segmentation is None:
        return None
    if isinstance(segmentation, Mapping):
        mask = mask_utils.decode(_compressed(segmentation))
        return mask.repeat(scale, axis=0).repeat(scale, axis=1)
    return [np.asarray(polygon, dtype=np.float64) * scale for polygon in segmentation]


def _compressed(rle: Mapping[str, Any]) -> Mapping[str, Any]:
    """The RLE with compressed counts; annotation files hold lists too."""
    if isinstance(rle["counts"], list):
        return mask_utils.frPyObjects(rle, *rle["size"])
    return rle


def _color(group: str) -> str:
    return GROUP_COLORS.get(group, _NO_GROUP_COLOR)
