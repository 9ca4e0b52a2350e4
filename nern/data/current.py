"""A task's images as they were prepared or listed, as long as their source holds the same, or is elsewhere."""

from pathlib import Path

import torch

from nern.addresses import data_path, manifest_path
from nern.config import Config, expand
from nern.data import contents, prepared
from nern.data.folders import Listing, list_folder
from nern.data.splits import SPLITS, Split
from nern.errors import NernError
from nern.resolved import data_settings, task_of
from nern.settings import FolderImages, ParquetImages


def manifest_of(config: Config, task: str, split: Split) -> prepared.Manifest:
    """The manifest of a task's images, if one split was prepared from what its source holds now, or is elsewhere.

    Raises:
        NernError: the images are not prepared, for other settings, or from others than lie there now.
    """
    manifest = prepared.read_manifest(Path(data_path(task)), data_settings(config, task))
    if contents.source(config, task, split) not in (None, manifest.sources.get(split)):
        images = task_of(config, task).images
        assert isinstance(images, ParquetImages | FolderImages)
        found, count = ", ".join(map(str, contents.places(images, split))), manifest.counts[split]
        raise NernError(
            f"tasks.{task}.images.{split}: {found} does not hold the {count} images that were prepared; restore them, "
            "or run prepare_data again"
        )
    return manifest


def check_sources(config: Config, task: str) -> None:
    """Refuse what was made of a task's images, where these are prepared, if the source of a split holds others now.

    Raises:
        NernError: it does, or the images are prepared for other settings.
    """
    if Path(manifest_path(task)).exists():
        for split in SPLITS:
            manifest_of(config, task, split)


def listed(config: Config, task: str, split: Split) -> tuple[FolderImages, Listing] | None:
    """The images of a task that streams, checked against its manifest; None if its images are prepared.

    Raises:
        NernError: as `manifest_of`, or the folder cannot be listed.
    """
    settings, where = task_of(config, task), f"tasks.{task}.images"
    if not (isinstance(settings.images, FolderImages) and settings.images.streaming):
        return None
    manifest_of(config, task, split)
    entry = settings.images.train if split == "train" else settings.images.test
    return settings.images, list_folder(expand(entry, f"{where}.{split}"), f"{where}.{split}")


def loaded(config: Config, task: str, split: Split, device: torch.device | str) -> prepared.ImageSet:
    """The prepared images of one split.

    Raises:
        NernError: as `manifest_of`, or a file is damaged.
    """
    manifest_of(config, task, split)
    return prepared.load(Path(data_path(task)), split, device, data_settings(config, task))
