"""Generated annotation files that are odd in known ways, and what is right for each of them."""

from odd_files import file_damages, id_damages, object_damages, value_damages
from odd_files.catalogue import DAMAGES, damaged, files
from odd_files.clean import write_images
from odd_files.judge import check
from odd_files.odd_file import OddFile

__all__ = [
    "DAMAGES",
    "OddFile",
    "check",
    "damaged",
    "file_damages",
    "files",
    "id_damages",
    "object_damages",
    "value_damages",
    "write_images",
]
