"""Tensors in files, and the state of a running stage. Tensors are safetensors: loading runs no code."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from nern.errors import NernError
from nern.files import write_bytes


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    plain = {key: value for key, value in metadata.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
        digest.update(safetensors.torch.save({"t": tensor}))
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Tensors and text as one safetensors file with a checksum of its content; atomic."""
    write_bytes(path, tensor_bytes(tensors, metadata))


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of the file that `write_tensors` writes; equal tensors and text give equal bytes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    marked = dict(metadata) | {"sha256": _digest(plain, metadata)}
    return _ordered_save(plain, marked)


def _ordered_save(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Safetensors bytes with the header's keys in one order (the library's own varies from process to process)."""
    blob = safetensors.torch.save(tensors, metadata)
    size = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + blob[8 + size :]


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and text of a file of `write_tensors`.

    Raises:
        NernError: the file is missing, truncated, or not what was written.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise NernError(f"{path}: cannot be read ({error}); make it again with its stage") from None
    if metadata.get("sha256") != _digest(tensors, metadata):
        raise NernError(f"{path}: its checksum does not fit its content; delete it and run its stage again")
    return tensors, metadata


class State:
    """The resumable state of one running stage: the newest and the one before it, keyed by a fingerprint."""

    def __init__(self, folder: Path, key: str) -> None:
        self.newest = folder / "state.safetensors"
        self.previous = folder / "state.previous.safetensors"
        self.key = key

    def save(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        """Write a new state; the newest so far becomes the previous one."""
        if self.newest.exists():
            self.newest.replace(self.previous)
        write_tensors(self.newest, tensors, dict(metadata) | {"key": self.key})

    def load(self, warn: Callable[[str], None]) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """The newest sound state of this key, or None. A damaged one is set aside; `warn` gets a sentence."""
        for path in (self.newest, self.previous):
            if not path.exists():
                continue
            try:
                tensors, metadata = read_tensors(path)
            except NernError as error:
                aside = path.with_suffix(".damaged")
                path.replace(aside)
                warn(f"{error}; it is set aside as {aside.name} and the state before it is used")
                continue
            if metadata["key"] == self.key:
                return tensors, metadata
            warn(f"{path}: belongs to other settings or code; it is not used")
        return None

    def clear(self) -> None:
        """Remove the states, at the end of the stage."""
        self.newest.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)
