"""State dicts from a user's files. Loading never runs code from a file."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from nern.errors import NernError

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_SYNONYMS = {"linear.": "fc.", ".shortcut.": ".downsample."}
"""Names that other CIFAR ResNets use for what is called fc and downsample here."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors`, `.pt`, `.pth` or `.th` file, without wrapper and `module.` prefix.

    Raises:
        NernError: the file is missing, truncated, no state dict, or would run code.
    """
    if not path.is_file():
        raise NernError(f"{path}: there is no such file; give the path of a state dict (.safetensors, .pt or .th)")
    try:
        if path.suffix == ".safetensors":
            loaded: object = safetensors.torch.load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise NernError(
            f"{path}: holds something else than tensors, which only running its code could load; "
            "save its state_dict() as .safetensors"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NernError(f"{path}: is truncated or no checkpoint ({_line(error)}); fetch it again") from None
    except safetensors.SafetensorError as error:
        raise NernError(f"{path}: is truncated or no safetensors file ({error}); fetch it again") from None
    for wrapper in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise NernError(f"{path}: holds no state dict (names with tensors); save model.state_dict()")
    tensors = {str(name): value for name, value in loaded.items()}
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load a state dict into a network; every key and shape must fit.

    Args:
        module: the network.
        tensors: its state dict, perhaps under other CIFAR ResNets' names.
        where: the file, for messages.

    Raises:
        NernError: keys are missing or unexpected, a shape differs, or a weight is not finite.
    """
    wanted = module.state_dict()
    found = {_renamed(name, wanted): value for name, value in tensors.items()}
    # checkpoints older than PyTorch 0.4.1 do not count batches; nothing reads the count in evaluation mode
    for name in wanted:
        if name.endswith("num_batches_tracked"):
            found.setdefault(name, wanted[name])
    missing, unexpected = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    kind = type(module).__name__
    if missing or unexpected:
        parts = [f"{word} {_few(names)}" for word, names in (("lacks", missing), ("has", unexpected)) if names]
        hint = ""
        if any("downsample" in name for name in missing + unexpected):
            hint = "; for a ResNet with zero-padding shortcuts set shortcut: A, with projections shortcut: B"
        raise NernError(f"{where}: does not fit {kind}: it {' and '.join(parts)}{hint or '; check the architecture'}")
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise NernError(
                f"{where}: {name} has shape {list(value.shape)}, but {kind} needs {list(wanted[name].shape)}; "
                "check depth, width and classes"
            )
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise NernError(f"{where}: {name} holds NaN or infinity; train or fetch the weights again")
    module.load_state_dict({name: found[name] for name in wanted})


def _renamed(name: str, wanted: Mapping[str, Tensor]) -> str:
    if name in wanted:
        return name
    for theirs, ours in _SYNONYMS.items():
        if theirs in name and name.replace(theirs, ours) in wanted:
            return name.replace(theirs, ours)
    return name


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
