"""Stage `prepare_data`: a task's images, read once from their source into `results/<task>/images/`.

Images that are streamed stay where they are; only the manifest is written.
"""

import logging
from pathlib import Path

from nern import files
from nern.addresses import data_path
from nern.config import Config
from nern.data import contents, prepared
from nern.data.decoding import check_channels
from nern.data.folders import check_files_apart, list_splits
from nern.data.sources import class_names, read_source
from nern.data.splits import SPLITS, Split, check_apart, image_digests
from nern.errors import NernError
from nern.resolved import DataSettings, data_settings, task_of
from nern.settings import FolderImages

log = logging.getLogger(__name__)


def run(config: Config, task: str) -> None:
    """Read the images of `task`, check them and write its folder.

    Raises:
        NernError: the source cannot be read, does not fit the task, or the folder cannot be written.
    """
    settings, found = data_settings(config, task), task_of(config, task)
    folder, where = Path(data_path(task)), f"tasks.{task}.images"
    with files.exclusive(folder):
        log.info("%s: reading %s (%s)", task, found.title, found.images.source)
        digests = {split: contents.source(config, task, split) for split in SPLITS}
        sources = {split: digest for split, digest in digests.items() if digest is not None}
        if sources and len(set(digests.values())) == 1:
            raise NernError(
                f"{where}.test: holds the same files as {where}.train; test on other images than those of training"
            )
        if isinstance(found.images, FolderImages) and found.images.streaming:
            _list(found.images, folder, settings, sources, where)
        else:
            splits = read_source(found.images, where, settings.channels, settings.classes)
            check_apart(set(image_digests(splits["train"][0])), image_digests(splits["test"][0]), where)
            log.info("%s: writing %s", task, folder)
            names = class_names(found.images, where)
            if names and settings.classes > len(names):
                raise NernError(
                    f"tasks.{task}.classes: is {settings.classes}, but the images are of {len(names)} classes "
                    f"({names[0]} to {names[-1]}); set {len(names)}"
                )
            prepared.write(folder, splits, settings, names, sources)
    manifest = prepared.read_manifest(folder)
    _say_order(task, manifest.class_names)
    counts = manifest.counts
    log.info("%s: %s images in %s", task, " and ".join(f"{n} {split}" for split, n in counts.items()), folder)


def _say_order(task: str, names: list[str]) -> None:
    """Which class has which label, and where a reader would expect another order."""
    if not names:
        return
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    log.info("%s: classes in the order of their labels: %s", task, shown)
    if all(name.isdecimal() for name in names) and names != sorted(names, key=int):
        label = next(label for label, name in enumerate(sorted(names, key=int)) if name != names[label])
        log.warning(
            "%s: the names of its classes are numbers, but in the order of text, as torchvision's folders: label %d is "
            "class %s; for the order of numbers give them leading zeros",
            task,
            label,
            names[label],
        )


def _list(images: FolderImages, folder: Path, settings: DataSettings, sources: dict[Split, str], where: str) -> None:
    """Write the manifest of images that are decoded where they lie."""
    check_channels(settings.channels, where)
    listings = list_splits(images, where, settings.classes)
    check_files_apart(listings, where)
    counts = {split: len(listing) for split, listing in listings.items()}
    shape = (settings.channels, images.size, images.size)
    names = listings["train"].classes
    prepared.write_manifest(folder, settings, names, shape, counts, sources, sources, {}, streaming=True)
