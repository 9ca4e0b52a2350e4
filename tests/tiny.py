"""The demonstration at tiny size, for tests of stages and workflow."""

import hashlib
import shutil
from pathlib import Path

from nern.cli import main

ROOT = Path(__file__).parents[1]
CONFIG = ["--config", "config.yaml", "workflow/config/demo.yaml", "tiny.yaml"]
ORIGINAL = "results/digits/resnet8/originals/base"
CELL = "results/digits/resnet8/cross-filter/h10/decoupled/seed0"


def nern(*arguments: str) -> int:
    """The command line in this process, on the tiny configuration."""
    return main([*arguments, *CONFIG])


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder but locks."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def checkout(folder: Path) -> Path:
    """A copy of what the workflow needs of the project."""
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "tests" / "tiny.yaml", folder)
    for name in ("workflow", "profiles", "nern"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
