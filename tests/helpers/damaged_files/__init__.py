"""Generated annotation files that are odd in known ways, and what is right for each of them."""

from damaged_files import file_damages, id_damages, object_damages, value_damages
from damaged_files.catalogue import DAMAGES, damaged, files
from damaged_files.clean import write_images
from damaged_files.judge import check
from damaged_files.odd_file import OddFile

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
