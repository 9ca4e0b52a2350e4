"""A task's images as they lie on disk: one safetensors file a split and `data.json`, the manifest that names them.

Loading maps a file into memory and checks that it is the one of the manifest, by size, header and the digest in the
header; reading 154 MB only to hash them again is left to `verify`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from nern import checkpoint, files
from nern.addresses import MANIFEST
from nern.config import fingerprint
from nern.data.splits import SPLITS, Split, Splits, check_splits
from nern.errors import NernError
from nern.resolved import DataSettings


@dataclass(frozen=True)
class ImageSet:
    """One split on one device: images uint8 [n, C, H, W] and labels int64 [n]."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Manifest:
    """What `data.json` says of a task's images."""

    fingerprint: str
    classes: int
    class_names: list[str]
    """In the order of the labels; empty if the source has none."""
    shape: tuple[int, int, int]
    streaming: bool
    counts: dict[str, int]
    sha256: dict[str, str]
    """Of each split's file; when streaming, which has none, of its source."""
    sources: dict[str, str]
    """The digest of the files that each split was read from (`nern.data.contents`); empty if there are none."""
    content: dict[str, str]
    """The digest in the header of each split's file, by which loading knows that file and manifest belong together."""


def _file(folder: Path, split: Split) -> Path:
    return folder / f"{split}.safetensors"


def write(
    folder: Path,
    splits: Splits,
    settings: DataSettings,
    class_names: Sequence[str] = (),
    sources: Mapping[Split, str] | None = None,
) -> None:
    """Check and write both splits, then the manifest: without it the folder counts as unfinished.

    Args:
        folder: of the task's images.
        splits: both, as their source has them.
        settings: what decides them.
        class_names: in the order of the labels, where the source has them.
        sources: the digests of the files that they were read from, where there are such.

    Raises:
        NernError: the splits do not fit the task, or the folder cannot be written.
    """
    check_splits(splits, settings.classes, settings.channels, f"tasks.{settings.task}.images")
    # From here until the new manifest the folder may hold files of two runs: no manifest may vouch for them.
    discard_manifest(folder)
    sha256, content, counts = {}, {}, {}
    for split in SPLITS:
        images, labels = splits[split]
        path = _file(folder, split)
        metadata = {"fingerprint": fingerprint(settings), "split": split}
        checkpoint.write_tensors(path, {"images": images, "labels": labels}, metadata)
        sha256[split], content[split], counts[split] = files.sha256(path), _header(path)["sha256"], len(labels)
    shape = tuple(splits["train"][0].shape[1:])
    write_manifest(folder, settings, class_names, shape, counts, sources or {}, sha256, content, streaming=False)


def discard_manifest(folder: Path) -> None:
    """Remove the manifest of an earlier run."""
    try:
        (folder / MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        raise NernError(f"{folder / MANIFEST}: cannot be replaced ({error.strerror}); mend the permissions") from None


def write_manifest(
    folder: Path,
    settings: DataSettings,
    class_names: Sequence[str],
    shape: tuple[int, ...],
    counts: Mapping[Split, int],
    sources: Mapping[Split, str],
    sha256: Mapping[Split, str],
    content: Mapping[Split, str],
    *,
    streaming: bool,
) -> None:
    """Write `data.json`."""
    value = {
        "task": settings.task,
        "fingerprint": fingerprint(settings),
        "classes": settings.classes,
        "class_names": list(class_names),
        "shape": list(shape),
        "streaming": streaming,
        "counts": dict(counts),
        "sources": dict(sources),
        "sha256": dict(sha256),
        "content": dict(content),
    }
    files.write_json(folder / MANIFEST, value)


def read_manifest(folder: Path, settings: DataSettings | None = None) -> Manifest:
    """The manifest of a folder.

    Raises:
        NernError: it is missing or damaged, or was written for other settings than `settings`.
    """
    path = folder / MANIFEST
    value = files.read_json(path)
    try:
        manifest = _parse(value)
    except (KeyError, TypeError, ValueError):
        raise NernError(f"{path}: is no manifest of prepared images; run prepare_data again") from None
    if settings is not None and manifest.fingerprint != fingerprint(settings):
        raise NernError(f"{path}: was made with other settings of this task's images; run prepare_data again")
    return manifest


def _parse(value: dict[str, Any]) -> Manifest:
    channels, height, width = map(int, value["shape"])
    return Manifest(
        fingerprint=str(value["fingerprint"]),
        classes=int(value["classes"]),
        class_names=[str(name) for name in value["class_names"]],
        shape=(channels, height, width),
        streaming=bool(value["streaming"]),
        counts={split: int(value["counts"][split]) for split in SPLITS},
        sources={str(split): str(digest) for split, digest in value["sources"].items()},
        sha256={split: str(value["sha256"][split]) for split in SPLITS},
        content={str(split): str(digest) for split, digest in value["content"].items()},
    )


def _header(path: Path) -> dict[str, str]:
    with safetensors.safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def load(
    folder: Path, split: Split, device: torch.device | str = "cpu", settings: DataSettings | None = None
) -> ImageSet:
    """One split on `device`. On the CPU the file is mapped, not read: pages come in as they are used.

    Raises:
        NernError: the folder is unfinished, the file is damaged or not the manifest's, or `settings` are others.
    """
    manifest, path = read_manifest(folder, settings), _file(folder, split)
    if manifest.streaming:
        raise NernError(f"{folder}: the images of this task are streamed, not prepared; set streaming: false to load")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            images, labels = file.get_tensor("images"), file.get_tensor("labels")
    except (OSError, safetensors.SafetensorError) as error:
        raise NernError(f"{path}: cannot be read ({error}); run prepare_data again") from None
    shape = (manifest.counts[split], *manifest.shape)
    fits = tuple(images.shape) == shape and images.dtype == torch.uint8 and tuple(labels.shape) == shape[:1]
    if not fits or metadata.get("sha256") != manifest.content.get(split):
        raise NernError(f"{path}: is not the file that {MANIFEST} names; run prepare_data again")
    return ImageSet(images.to(device), labels.to(device))


def verify(folder: Path) -> None:
    """Read every file and compare its SHA-256 with the manifest's. Raises NernError at the first that differs."""
    manifest = read_manifest(folder)
    if manifest.streaming:
        return
    for split in SPLITS:
        if files.sha256(_file(folder, split)) != manifest.sha256[split]:
            raise NernError(f"{_file(folder, split)}: its checksum does not fit {MANIFEST}; run prepare_data again")
