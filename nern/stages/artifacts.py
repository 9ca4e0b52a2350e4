"""The files that stages hand to each other: an original, its permutations, and a rebuilt network."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nern import checkpoint, files
from nern.addresses import OriginalCell, manifest_path
from nern.config import Config, fingerprint
from nern.data import contents
from nern.errors import NernError
from nern.method.permutation import in_filter_order, overhead_bits
from nern.networks.learnable import learnable_layers, weight_of
from nern.networks.loading import load_weights
from nern.networks.pretrained import transform_as_trained
from nern.networks.zoo import build
from nern.resolved import network_of, original_settings, permutation_settings, task_of, weights_file
from nern.stages.accuracy import Predictions


@dataclass(frozen=True)
class TrainedOriginal:
    """An original network, on the CPU and in evaluation mode, with the names of its learnable layers."""

    module: nn.Module
    layers: list[str]
    sha256: str

    @property
    def weights(self) -> list[Tensor]:
        """The learnable weights, [F, C, height, width] each."""
        return [weight_of(self.module, name).detach() for name in self.layers]

    @property
    def shapes(self) -> list[tuple[int, int, int, int]]:
        """Their shapes."""
        return [(w.shape[0], w.shape[1], w.shape[2], w.shape[3]) for w in self.weights]


def build_network(config: Config, original: OriginalCell) -> nn.Module:
    """The architecture of an original, without its weights."""
    settings, found = network_of(config, original.task, original.network), task_of(config, original.task)
    module = build(
        settings.architecture,
        classes=found.classes,
        in_channels=len(found.mean),
        depth=settings.depth,
        width=settings.width,
        shortcut=settings.shortcut,
    )
    weights = original_settings(config, original).recipe.weights
    transform_as_trained(module, settings.architecture, weights)
    return module


def network_file(original: OriginalCell) -> Path:
    """Where the weights of an original lie."""
    return Path(original.path) / "network.safetensors"


def check_images(task: str, record: Path, inputs: Mapping[str, str], again: str) -> None:
    """Refuse what was made of other images than those that are prepared now; where there are none, all is taken.

    Args:
        task: whose images they are.
        record: the file of a stage that says what it was made of.
        inputs: what it says: digests of files by their paths.
        again: how to make it anew.

    Raises:
        NernError: the images are others.
    """
    manifest = Path(manifest_path(task))
    recorded = inputs.get(str(manifest))
    if recorded is not None and manifest.exists() and files.sha256(manifest) != recorded:
        raise NernError(f"{record}: its input {manifest} has changed since; {again}")


def load_original(config: Config, original: OriginalCell) -> TrainedOriginal:
    """The trained original of a cell.

    Raises:
        NernError: it is missing, damaged, or was made with other settings, weights or images than the configuration's.
    """
    path, again = network_file(original), f"run: nern train-original {original.path}"
    if not path.exists():
        raise NernError(f"{path}: is missing; {again}")
    tensors, metadata = checkpoint.read_tensors(path)
    if metadata.get("fingerprint") != fingerprint(original_settings(config, original)):
        raise NernError(f"{path}: was made with other settings; {again}")
    record = Path(original.path) / "metrics.json"
    if contents.weights(config, original) not in (None, contents.recorded_weights(original)):
        raise NernError(f"{record}: its input {weights_file(config, original)} has changed since; {again}")
    check_images(original.task, record, contents.recorded(record, "inputs"), again)
    module = build_network(config, original)
    load_weights(module, tensors, str(path))
    learnable = network_of(config, original.task, original.network).learnable
    return TrainedOriginal(module.eval(), learnable_layers(module, include=learnable), files.sha256(path))


@dataclass(frozen=True)
class Permutation:
    """The order of every learnable layer for one smoothing mode: the kernel f·C + c at each position."""

    orders: list[Tensor]
    overhead_bits: float
    sha256: str


def write_permutation(path: Path, arrays: dict[str, Tensor], facts: dict[str, str]) -> None:
    """Write a permutation's arrays and facts as npz, atomically. Integers only: reading runs no code."""
    buffer = io.BytesIO()
    values = {name: np.asarray(array.to(torch.int32)) for name, array in arrays.items()}
    np.savez(buffer, allow_pickle=False, **values, **{key: np.array(value) for key, value in facts.items()})
    files.write_bytes(path, buffer.getvalue())


def load_permutation(config: Config, original: OriginalCell, mode: str, trained: TrainedOriginal) -> Permutation:
    """The permutation of an original for one smoothing mode.

    Raises:
        NernError: it is missing, damaged, or belongs to other settings or to another original.
    """
    path = Path(original.permutation(mode))
    again = f"run: nern permute {original.path} --mode {mode}"
    if not path.exists():
        raise NernError(f"{path}: is missing; {again}")
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        facts = {key: str(values[key]) for key in ("fingerprint", "original")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise NernError(f"{path}: is no readable permutation ({error}); {again}") from None
    if facts["fingerprint"] != fingerprint(permutation_settings(config, original, mode)):
        raise NernError(f"{path}: was made with other settings; {again}")
    if facts["original"] != trained.sha256:
        raise NernError(f"{path}: belongs to another original than {network_file(original)}; {again}")
    orders, bits = [], 0.0
    for layer, (filters, channels, _, _) in enumerate(trained.shapes):
        try:
            if mode == "none":
                order = torch.arange(filters * channels)
            elif mode == "cross-filter":
                order = torch.from_numpy(values[f"order.{layer}"]).long()
            else:
                parts = (torch.from_numpy(values[f"{name}.{layer}"]).long() for name in ("filters", "channels"))
                order = in_filter_order(*parts)
        except (KeyError, IndexError, RuntimeError, TypeError) as error:
            raise NernError(f"{path}: does not fit layer {layer} ({error}); {again}") from None
        if not torch.equal(order.sort().values, torch.arange(filters * channels)):
            raise NernError(f"{path}: layer {layer} is no permutation of {filters * channels} kernels; {again}")
        orders.append(order)
        bits += overhead_bits(mode, filters, channels)
    return Permutation(orders, bits, files.sha256(path))


@torch.no_grad()
def rebuild(module: nn.Module, layers: list[str], weights: list[Tensor]) -> None:
    """Write weights into the learnable layers of a network: the reconstructed network, all else the original's.

    Raises:
        NernError: a layer has other weights afterwards than were written.
    """
    for name, weight in zip(layers, weights, strict=True):
        weight_of(module, name).copy_(weight)
    for name, weight in zip(layers, weights, strict=True):
        there = weight_of(module, name).to(weight)
        if not torch.equal(there.nan_to_num(), weight.nan_to_num()):
            raise NernError(f"{name}: cannot keep what is written into its weight; give each layer a weight of its own")


def write_predictions(original: OriginalCell, predictions: Predictions, sha256: str) -> None:
    """Store what an original says of the test images, so that no evaluation has to run it again.

    Logarithms of probabilities are stored in 16 bits: 100 MB for ImageNet's 50,000 images. Their relative error of
    2^-11 adds about ½·2^-22·E[(log p)²] to a divergence, some 1e-8 for a network that is sure of most images. Those
    below 16 bits' range are stored as its end, which is that of a probability of zero, too.
    """
    least = torch.finfo(torch.float16).min
    tensors = {
        "classes": predictions.classes,
        "labels": predictions.labels,
        "log_probabilities": predictions.log_probabilities.clamp_min(least).half(),
    }
    checkpoint.write_tensors(Path(original.path) / "predictions.safetensors", tensors, {"network": sha256})


def load_predictions(original: OriginalCell, trained: TrainedOriginal) -> Predictions:
    """The stored predictions of an original; NernError if they are not those of its present weights."""
    path, again = Path(original.path) / "predictions.safetensors", f"run: nern train-original {original.path}"
    tensors, metadata = checkpoint.read_tensors(path)
    if metadata.get("network") != trained.sha256:
        raise NernError(f"{path}: belongs to other weights; {again}")
    try:
        return Predictions(*(tensors[name] for name in ("classes", "labels", "log_probabilities")))
    except KeyError as error:
        raise NernError(f"{path}: is of an earlier version, without {error}; {again}") from None
