"""CIFAR-10 and CIFAR-100 by torchvision, which checks the MD5 of the archive and of every file (paper, section 4)."""

import contextlib
import fcntl
import http.client
import pickle
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from nern import files
from nern.config import expand
from nern.data.splits import SPLITS, Splits
from nern.errors import NernError
from nern.networks.torchvision_shim import import_torchvision
from nern.settings import TorchvisionImages

_TIMEOUT = 60.0
"""Seconds without a byte after which a download counts as failed; torchvision itself would wait for ever."""


def read_torchvision(images: TorchvisionImages, where: str) -> Splits:
    """Both splits, downloaded into `root` if they are not there.

    Raises:
        NernError: there is no network, or what is in `root` is damaged.
    """
    kind = getattr(import_torchvision().datasets, images.dataset)
    root = expand(images.root, f"{where}.root")
    splits: Splits = {}
    with _locked(root):
        for split in SPLITS:
            found = _open(kind, root, split == "train", images.dataset, where)
            pixels = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
            splits[split] = (pixels, torch.tensor(found.targets, dtype=torch.int64))
    return splits


def label_names(images: TorchvisionImages, where: str) -> list[str]:
    """What torchvision calls the classes; arguments and errors as of `read_torchvision`."""
    kind = getattr(import_torchvision().datasets, images.dataset)
    root = expand(images.root, f"{where}.root")
    with _locked(root):
        return [str(name) for name in _open(kind, root, False, images.dataset, where).classes]


def _open(kind: Any, root: Path, train: bool, name: str, where: str) -> Any:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        return kind(str(root), train=train, download=True)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError, pickle.PickleError) as error:
        archive = root / kind.filename
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        state = "is damaged and could not be downloaded again" if archive.exists() else "could not be downloaded"
        raise NernError(
            f"{where}: {name}: {archive} {state} ({reason}); put {kind.url} (MD5 {kind.tgz_md5}) into {root}, "
            "or use a parquet source"
        ) from None
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Two tasks on one data set wait for each other instead of writing one archive at once."""
    with contextlib.ExitStack() as stack:
        # A folder that cannot be written needs no lock: if the data are not there, the download will say so.
        with contextlib.suppress(OSError):
            root.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((root / ".nern-download.lock").open("a"))
            files.lock(file, fcntl.LOCK_EX)
        yield
