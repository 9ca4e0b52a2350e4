"""One file for one compressed network: predictor, permutation and the original's other parameters; and its way back.

It is a safetensors file with a checksum of all its content. Predictor and other parameters are stored as they are, a
permutation as integers of as many bits as an index needs (paper, section 3.3, rounded up to whole bits an index).
"""

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from nern import checkpoint, files
from nern.config import Config, Execution
from nern.errors import NernError
from nern.matrix import Cell
from nern.method.bits import pack_integers, unpack_integers
from nern.method.kernels import KernelLayout
from nern.method.permutation import in_filter_order
from nern.method.workers import Workers
from nern.settings import Embedding, PositionalEmbedding, Settings
from nern.stages.artifacts import rebuild
from nern.stages.reconstruct import FittedCell, load_fitted, loaded_predictor, predicted_weights
from nern.stages.runtime import start, start_in_pieces

FORMAT, BEFORE = "nern 2", "nern 1"
PREDICTOR, ORDER, REST = "predictor.", "order.", "rest."


class Plan(Settings):
    """What a packed file must say besides its tensors."""

    cell: str
    hidden: int
    kernel_size: int
    embedding: Embedding
    smoothing: str
    layers: dict[str, list[int]]
    """Name and shape [filters, channels, height, width] of each learnable weight."""


def packed(fitted: FittedCell) -> bytes:
    """The file of a fitted cell."""
    settings = fitted.settings
    names = [f"{layer}.weight" for layer in fitted.original.layers]
    plan = Plan(
        cell=settings.cell,
        hidden=settings.hidden,
        kernel_size=fitted.layout.kernel_size,
        embedding=settings.protocol.embedding,
        smoothing=settings.permutation.mode,
        layers=dict(zip(names, map(list, fitted.layout.shapes), strict=True)),
    )
    tensors = {f"{PREDICTOR}{name}": value for name, value in fitted.predictor.state_dict().items()}
    state = fitted.original.module.state_dict()
    tensors |= {f"{REST}{name}": value for name, value in state.items() if name not in plan.layers}
    for layer, (order, (filters, channels, _, _)) in enumerate(
        zip(fitted.layout.orders, fitted.layout.shapes, strict=True)
    ):
        tensors |= {f"{ORDER}{layer}.{part}": v for part, v in _parts(plan.smoothing, order, filters, channels).items()}
    return checkpoint.tensor_bytes(tensors, {"format": FORMAT, "plan": json.dumps(plan.model_dump(), sort_keys=True)})


def _parts(smoothing: str, order: Tensor, filters: int, channels: int) -> dict[str, Tensor]:
    """A layer's order in bits: all kernels (cross-filter), or filters and each filter's channels (in-filter)."""
    if smoothing == "cross-filter":
        return {"kernels": pack_integers(order, filters * channels)}
    if smoothing == "in-filter":
        return {
            "filters": pack_integers(order[::channels] // channels, filters),
            "channels": pack_integers(order % channels, channels),
        }
    return {}


def _order(smoothing: str, parts: dict[str, Tensor], filters: int, channels: int) -> Tensor:
    count = filters * channels
    if smoothing == "cross-filter":
        return unpack_integers(parts["kernels"], count, count)
    if smoothing == "in-filter":
        moved = unpack_integers(parts["channels"], channels, count).view(filters, channels)
        order = unpack_integers(parts["filters"], filters, filters)
        # stored in the order of the moved filters; in_filter_order wants them as they were before
        return in_filter_order(order, moved[order.argsort()])
    return torch.arange(count)


def unpacked(path: Path) -> dict[str, Tensor]:
    """The state dict of the reconstructed network in a packed file.

    Raises:
        NernError: the file is missing or damaged, or of another format.
    """
    start(Execution(device="cpu"), 1)
    tensors, metadata = checkpoint.read_tensors(path)
    if metadata.get("format") not in (FORMAT, BEFORE):
        raise NernError(f"{path}: has the format {metadata.get('format')!r}, not {FORMAT!r}; pack it with this version")
    values = json.loads(metadata["plan"])
    if metadata["format"] == BEFORE:
        values["embedding"] = {name: values.pop(name) for name in PositionalEmbedding.model_fields if name in values}
    try:
        plan = Plan.model_validate(values)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise NernError(f"{path}: has a plan that cannot be read ({place}: {wrong['msg']}); pack it anew") from None
    shapes = [(shape[0], shape[1], shape[2], shape[3]) for shape in plan.layers.values()]
    orders = []
    for layer, (filters, channels, _, _) in enumerate(shapes):
        orders.append(_order(plan.smoothing, _with(tensors, f"{ORDER}{layer}."), filters, channels))
    layout = KernelLayout(shapes, orders)
    predictor = loaded_predictor(path, _with(tensors, PREDICTOR), plan.embedding, plan.hidden, layout, "pack it anew")
    weights = predicted_weights(predictor, layout, plan.embedding.normalized, torch.device("cpu"), Workers())
    return _with(tensors, REST) | dict(zip(plan.layers, weights, strict=True))


def _with(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def pack(config: Config, cell: Cell, path: Path) -> str:
    """Write the packed file of a cell; returns a sentence about its size. Raises NernError as `load_fitted`."""
    new(path, ".nern")
    fitted = load_fitted(config, cell)
    content = packed(fitted)
    files.write_bytes(path, content)
    whole = sum(value.numel() * value.element_size() for value in fitted.original.module.state_dict().values())
    return f"{path}: {len(content):,} bytes, {100 * len(content) / whole:.1f} % of the original's {whole:,}"


def unpack(path: Path, target: Path) -> str:
    """Write the state dict of a packed file as safetensors; returns a sentence. Raises NernError as `unpacked`."""
    new(target, ".safetensors")
    tensors = unpacked(path)
    checkpoint.write_tensors(target, tensors, {"format": "pt"})
    return f"{target}: {len(tensors)} tensors, a state dict"


def export(config: Config, cell: Cell, target: Path) -> str:
    """Write the reconstructed network of a cell as a state dict with its architecture's own keys.

    Raises:
        NernError: as `load_fitted`, or the file is already there.
    """
    new(target, ".safetensors")
    device, workers = start_in_pieces(config.execution, config.execution.threads.evaluate)
    fitted = load_fitted(config, cell)
    module = fitted.original.module
    rebuild(module, fitted.original.layers, fitted.weights(device, workers))
    checkpoint.write_tensors(target, module.state_dict(), {"format": "pt"})
    return f"{target}: {fitted.settings.original.architecture['architecture']}, a state dict"


def new(path: Path, suffix: str) -> None:
    """Refuse a name that is taken, or has another ending than its content."""
    if path.suffix != suffix:
        raise NernError(f"{path}: the file's name must end with {suffix}")
    if path.exists():
        raise NernError(f"{path}: is there already; remove it, or choose another name")
