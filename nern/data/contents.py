"""What lies in a user's files, by content: dates, places and copies do not count. Imports nothing heavy.

Reading gigabytes at each start would cost more than many a stage, so a digest is kept with what `stat` says of its
files, and computed anew when any of that differs. Of more than `LARGEST` files names and sizes stand for the content.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NoReturn

from nern import files
from nern.addresses import RESULTS, OriginalCell, manifest_path
from nern.config import Config, expand
from nern.errors import NernError
from nern.resolved import task_of, weights_file
from nern.settings import FolderImages, ParquetImages

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"),
    *(".jpe", ".jfif", ".pbm", ".pnm", ".gif", ".jp2", ".j2k"),
)
"""Torchvision's, and those of the other formats that are read."""
_ENDINGS = tuple(suffix.encode() for suffix in SUFFIXES)
LARGEST = 100_000
"""Files of a split that are read for its digest: ImageNet's 1.3 million are 150 GB."""
KNOWN = Path(RESULTS) / ".contents.json"
"""Digests by what `stat` said of their files. A shortcut: without it they are computed anew."""
_SETTLED = 2 * 10**9
"""Nanoseconds after which every further change of a file shows in its times."""

Split = Literal["train", "test"]
Named = list[tuple[bytes, bytes]]
"""What each file is called in a digest, and its path."""


def class_files(root: bytes, name: bytes) -> Iterator[bytes]:
    """The images of one class of a split, relative to the split's folder, in no order.

    What is hidden is passed over. Links are followed, but into no folder twice, nor into one that the class lies in.

    Raises:
        NernError: a folder in it cannot be listed, or a link leads nowhere.
    """
    top = root + b"/" + name
    seen = {_identity(os.fsencode(above)) for above in Path(os.fsdecode(top)).resolve().parents}
    for parent, folders, names in os.walk(top, followlinks=True, onerror=_refuse):
        here = _identity(parent)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        # sorted, so that of two ways to one folder the same counts everywhere
        folders[:] = sorted(folder for folder in folders if not folder.startswith(b"."))
        for file in names:
            path = os.path.join(parent, file)  # noqa: PTH118 - a Path a file would take 10 s
            if file.startswith(b"."):
                continue
            if file.lower().endswith(_ENDINGS):
                yield path[len(root) + 1 :]
            elif os.path.islink(path):  # noqa: PTH114 - perhaps to a folder of images that is not there
                _stat(path)


def _refuse(error: OSError) -> NoReturn:
    """What os.walk would pass over without a word."""
    place = os.fsdecode(error.filename)
    raise NernError(f"{place}: cannot be listed ({error.strerror}); let it be read, or remove it") from None


def _identity(folder: bytes) -> tuple[int, int]:
    """The same for all ways that lead to a folder."""
    found = _stat(folder)
    return found.st_dev, found.st_ino


def places(images: ParquetImages | FolderImages, split: Split) -> list[Path]:
    """Where a split's files are said to lie; NernError if a variable in that is not set."""
    said = images.train if split == "train" else images.test
    return [expand(place, f"images.{split}") for place in ([said] if isinstance(said, str) else said)]


def source(config: Config, task: str, split: Split) -> str | None:
    """The digest of the files that a split is read from; None if there are none, or they are not where they are said.

    torchvision's and scikit-learn's have none: they are checked whenever they are read, or come with a package.

    Raises:
        NernError: a file cannot be read.
    """
    images = task_of(config, task).images
    if not isinstance(images, ParquetImages | FolderImages):
        return None
    try:
        paths = [os.fsencode(path) for path in places(images, split)]
    except NernError:  # a variable that is not set
        return None
    if not all(map(os.path.exists, paths)):
        return None
    return _kept(_images(paths[0]) if isinstance(images, FolderImages) else _numbered(paths), _of_all)


def weights(config: Config, original: OriginalCell) -> str | None:
    """The SHA-256 of the file that an original is imported from; None if there is none."""
    file = weights_file(config, original)
    if file is None or not file.is_file():
        return None
    return _kept([(b"", os.fsencode(file))], lambda _: files.sha256(file))


def present_sources(config: Config, task: str) -> list[str]:
    """The digests of both splits' files; of those that are not there any more, as they were when they were read."""
    before = recorded(Path(manifest_path(task)), "sources")
    return [source(config, task, split) or str(before.get(split, "")) for split in ("train", "test")]


def present_weights(config: Config, original: OriginalCell) -> str:
    """`weights`; of a file that is not there any more, as it was when it was imported."""
    if weights_file(config, original) is None:
        return ""
    return weights(config, original) or recorded_weights(original)


def recorded_weights(original: OriginalCell) -> str:
    """The SHA-256 of the file that an original was imported from; empty if it was not."""
    return str(recorded(Path(original.path) / "metrics.json", "inputs").get("weights", ""))


def recorded(path: Path, key: str) -> dict[str, Any]:
    """Digests that a stage recorded in its JSON file; none where it did not, or the file is damaged."""
    try:
        return dict(files.read_json(path)[key])
    except (NernError, KeyError, TypeError, ValueError):  # not made yet, or to be made again
        return {}


def _numbered(paths: list[bytes]) -> Named:
    return [(b"%d" % number, path) for number, path in enumerate(paths)]


def _images(root: bytes) -> Named:
    """The images of a split, by their names."""
    try:
        classes = [entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(b".")]
    except OSError as error:
        raise NernError(f"{os.fsdecode(root)}: cannot be listed ({error.strerror}); give an existing folder") from None
    names = sorted(file for name in classes for file in class_files(root, name))
    return [(name, root + b"/" + name) for name in names]


def _kept(named: Named, compute: Callable[[Named], str]) -> str:
    """What `compute` says of some files, or said when `stat` said the same of them."""
    places, state, newest = hashlib.sha256(), hashlib.sha256(), 0
    for name, path in named:
        found = _stat(path)
        places.update(b"%b\0%b\0" % (name, path))
        state.update(b"%d %d %d %d\n" % (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
        newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
    key, now = places.hexdigest(), state.hexdigest()
    try:
        known = files.read_json(KNOWN)
    except NernError:
        known = {}
    before, value = known.get(key, ("", ""))
    if before != now:
        value = compute(named)
        if time.time_ns() - newest > _SETTLED:
            with contextlib.suppress(NernError):
                files.write_json(KNOWN, known | {key: [now, value]})
    return str(value)


def _of_all(named: Named) -> str:
    """SHA-256 over the names of some files with their content; of very many, with their sizes."""
    digest = hashlib.sha256()
    for name, path in named:
        size, read = _stat(path).st_size, len(named) <= LARGEST
        content = files.sha256(Path(os.fsdecode(path))) if read else ""
        digest.update(b"%b\0%d %b\n" % (name, size, content.encode()))
    return digest.hexdigest()


def file_size(path: bytes) -> int:
    """In bytes; NernError if the file is not there."""
    return _stat(path).st_size


def _stat(path: bytes) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116 - a Path a file would cost ImageNet 6 s
    except OSError as error:
        raise NernError(f"{os.fsdecode(path)}: cannot be read ({error.strerror}); mend or remove it") from None
