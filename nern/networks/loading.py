"""State dicts from a user's files. Loading never runs code from a file."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import safetensors.torch
import torch
from torch import Tensor, nn

from nern.errors import NernError
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.foreign import what_it_is
from nern.networks.naming import named_as, the_one


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of one of `torch.save`, out of the mappings around them.

    Raises:
        NernError: the file is missing, damaged, no state dict, or would run code; or it holds several.
    """
    if not path.is_file():
        raise NernError(f"{path}: there is no such file; give the path of a state dict (.safetensors, .pt or .th)")
    try:
        with path.open("rb") as file:
            if is_safetensors(file):
                loaded: object = safetensors.torch.load_file(path)
            else:
                _check_sums(file)
                loaded = torch.load(file, map_location="cpu", weights_only=True)  # of a path, torch reads the suffix
    except Exception as error:  # of a damaged pickle: anything
        raise NernError(f"{path}: {_reason(path, error)}") from None
    found = dict(_state_dicts(loaded))
    if not found:
        raise NernError(f"{path}: holds no state dict (names with tensors); save model.state_dict()")
    return found[the_one(found, str(path))]


def is_safetensors(file: BinaryIO) -> bool:
    """Whether a file that was just opened has the header of safetensors, behind its length."""
    head = file.read(9)
    file.seek(0)
    return head[8:] == b"{"


def _check_sums(file: BinaryIO) -> None:
    """Raise BadZipFile if a part of a zip archive is not as it was written; torch would load it."""
    is_archive = file.read(4) == b"PK\3\4"
    file.seek(0)
    if not is_archive:
        return
    with zipfile.ZipFile(file) as archive:
        for part in archive.infolist():
            if part.CRC:  # torch.serialization.set_crc32_options(False) and skip_data leave it 0
                with archive.open(part) as content:
                    while content.read(2**20):
                        pass
    file.seek(0)


def _reason(path: Path, error: Exception) -> str:
    """Why a file could not be loaded, and what to do."""
    if str(error).startswith("Bad CRC-32"):
        return f"is damaged ({error}); fetch it again"
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error}); mend it"
    kind = re.search(r"GLOBAL (\S+)", str(error))
    if kind is not None:
        return (
            f"holds something else than tensors ({kind[1]}), which only running its code could load; "
            "save its state_dict() as .safetensors"
        )
    return f"is {what_it_is(path)}"


def _state_dicts(value: object, name: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The state dicts in a checkpoint, by their names in it: mappings of names to tensors, inner ones with a weight."""
    if not isinstance(value, Mapping):
        return
    tensors = {key: each for key, each in value.items() if isinstance(key, str) and isinstance(each, Tensor)}
    if tensors and len(tensors) == len(value) and (not name or any(tensor.dim() > 1 for tensor in tensors.values())):
        yield name, tensors
        return
    for key, each in value.items():
        if isinstance(key, str):  # optimizers number their states
            yield from _state_dicts(each, f"{name}.{key}" if name else key)


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load a state dict into a network; every key and shape must fit.

    Args:
        module: the network.
        tensors: its state dict, perhaps behind a prefix or under other names.
        where: the file, for messages.

    Raises:
        NernError: names are missing, unexpected or there twice, a shape or a kind of number differs, or a weight is
            not finite.
    """
    wanted = module.state_dict()
    found = named_as(wanted, tensors, where)
    # checkpoints older than PyTorch 0.4.1 do not count batches; nothing reads the count in evaluation mode
    for name in wanted:
        if name.endswith("num_batches_tracked"):
            found.setdefault(name, wanted[name])
    missing, unexpected = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    kind = type(module).__name__
    if missing or unexpected:
        parts = [f"{word} {_few(names)}" for word, names in (("lacks", missing), ("has", unexpected)) if names]
        hint = "check the architecture"
        if isinstance(module, CifarResNet) and all("downsample" in name for name in missing + unexpected):
            hint = "for a ResNet with zero-padding shortcuts set shortcut: A, with projections shortcut: B"
        raise NernError(f"{where}: does not fit {kind}: it {' and '.join(parts)}; {hint}")
    for name, value in found.items():
        plain = value.layout == torch.strided and not value.is_nested and not value.is_meta
        if not plain or value.is_floating_point() != wanted[name].is_floating_point():
            raise NernError(
                f"{where}: {name} is stored as {_kind(value)}, but {kind} computes with {_kind(wanted[name])}; "
                "save the weights as plain floating-point numbers"
            )
        if value.shape != wanted[name].shape:
            raise NernError(
                f"{where}: {name} has shape {list(value.shape)}, but {kind} needs {list(wanted[name].shape)}; "
                "check depth, width and classes"
            )
        if value.is_floating_point() and not bool(value.float().isfinite().all()):
            raise NernError(f"{where}: {name} holds NaN or infinity; train or fetch the weights again")
    wanted.update(found)  # it knows the versions of its layers, which some of them ask for
    module.load_state_dict(wanted)


def _kind(tensor: Tensor) -> str:
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return f"{kind} without its numbers (on the device meta)"
    return f"nested {kind}" if tensor.is_nested else kind if tensor.layout == torch.strided else f"sparse {kind}"


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
