"""From a packed file back to the network: of the present format, and of two that earlier versions wrote.

A file may claim anything. What it says is checked before memory is taken for it.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from nern import checkpoint
from nern.codecs.float import Float
from nern.codecs.permutation import decode_in_filter_orders, decode_orders
from nern.config import Execution
from nern.errors import NernError
from nern.method.kernels import KernelLayout
from nern.method.permutation import in_filter_order
from nern.method.predictor import CoordinateMLP, predictor_of
from nern.method.workers import Workers
from nern.stages.pack import CODED, FORMAT, LARGEST, PERMUTATION, REST, PackedPredictor, Plan, new
from nern.stages.reconstruct import predicted_weights
from nern.stages.runtime import start

FIRST, SECOND = "nern 1", "nern 2"
RESNET = re.compile(r"(conv1|layer\d+\.\d+\.(conv\d|downsample\.0))\.weight")
"""A convolution of a ResNet for CIFAR or of torchvision's: they stand in the network in the order of their names."""


def unpack(path: Path, target: Path) -> str:
    """Write the state dict of a packed file as safetensors; returns a sentence. Raises NernError as `unpacked`."""
    new(target, ".safetensors")
    tensors = unpacked(path)
    checkpoint.write_tensors(target, tensors, {"format": "pt"})
    return f"{target}: {len(tensors)} tensors, a state dict"


def unpacked(path: Path) -> dict[str, Tensor]:
    """The state dict of the network in a packed file: to the bit the one that was measured.

    Raises:
        NernError: the file is missing, damaged, of another format, or claims what it does not hold.
    """
    start(Execution(device="cpu"), 1)
    tensors, metadata = checkpoint.read_tensors(path)
    if metadata.get("format") not in (FORMAT, SECOND, FIRST):
        raise NernError(f"{path}: has the format {metadata.get('format')!r}, not {FORMAT!r}; pack it with this version")
    try:
        values = json.loads(metadata["plan"])
        first = metadata["format"] == FIRST
        plan = Plan.model_validate(_plan_of_first(values) if first else values)
        if metadata["format"] != FORMAT and plan.predictor is not None:
            plan = plan.model_copy(update={"layers": _in_order(plan.layers)})
        if sum(math.prod(shape) for shape in plan.layers.values()) > LARGEST:
            raise NernError(f"{path}: claims more than {LARGEST:,} weights; pack it again")
        weights = _of_first(tensors, plan) if first else _weights(tensors, plan)
    except (LookupError, TypeError, ValueError, ValidationError, RuntimeError, OverflowError) as error:
        line = " ".join(str(error).split())[:150]
        raise NernError(f"{path}: is no sound packed file ({line}); pack it again") from None
    except NernError as error:
        raise NernError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    return _with(tensors, REST) | weights


def _weights(tensors: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    data, permutation = (tensors[name].numpy().tobytes() for name in (CODED, PERMUTATION))
    if plan.predictor is None:
        decoded = plan.codec.decode(data, {name.removesuffix(".weight"): s for name, s in plan.layers.items()})
        return {name: torch.from_numpy(decoded[name.removesuffix(".weight")]) for name in plan.layers}
    shapes = list(plan.layers.values())
    layout = KernelLayout(shapes, _orders(plan.predictor.smoothing, permutation, shapes))
    with torch.device("meta"):  # takes no memory for what the file may not hold
        expected = _predictor(plan.predictor, layout).state_dict()
    decoded = plan.codec.decode(data, {name: tuple(value.shape) for name, value in expected.items()})
    return _predicted(plan, plan.predictor, layout, {name: torch.from_numpy(each) for name, each in decoded.items()})


def _orders(smoothing: str, data: bytes, shapes: list[tuple[int, int, int, int]]) -> list[Tensor]:
    pairs = [shape[:2] for shape in shapes]
    if smoothing == "none":
        return [torch.arange(filters * channels) for filters, channels in pairs]
    in_filter = smoothing == "in-filter"
    orders = (
        decode_in_filter_orders(data, pairs) if in_filter else decode_orders(data, [math.prod(pair) for pair in pairs])
    )
    return [torch.from_numpy(order) for order in orders]


def _predicted(
    plan: Plan, settings: PackedPredictor, layout: KernelLayout, parameters: dict[str, Tensor]
) -> dict[str, Tensor]:
    with torch.device("meta"):
        predictor = _predictor(settings, layout)
    predictor.load_state_dict(parameters, assign=True)
    weights = predicted_weights(predictor, layout, settings.embedding.normalized, torch.device("cpu"), Workers())
    return dict(zip(plan.layers, weights, strict=True))


def _predictor(settings: PackedPredictor, layout: KernelLayout) -> CoordinateMLP:
    return predictor_of(settings.embedding, settings.activation, settings.hidden, layout)


def _in_order(layers: Mapping[str, tuple[int, int, int, int]]) -> dict[str, tuple[int, int, int, int]]:
    """The layers of a file before `nern 3`, which has them by name, in the order in which the predictor counts them.

    Raises:
        NernError: nobody knows that order.
    """
    if not all(map(RESNET.fullmatch, layers)):
        raise NernError(
            "was written by an earlier version, which did not keep the order of the layers by which a predictor is "
            "asked; pack the cell again"
        )
    numbered = {name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)] for name in layers}
    return {name: layers[name] for name in sorted(layers, key=numbered.__getitem__)}


def _plan_of_first(values: dict[str, object]) -> dict[str, object]:
    """The plan of `nern 1` in today's terms: sinusoids, and all numbers as they are."""
    embedding = {name: values[name] for name in ("base", "levels", "normalized")}
    predictor = {"hidden": values["hidden"], "embedding": embedding, "smoothing": values["smoothing"]}
    codec = Float(kind="float", bits=32).model_dump()
    return {"path": values["cell"], "codec": codec, "predictor": predictor, "layers": values["layers"]}


def _of_first(tensors: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The weights of `nern 1`, where parameters are tensors and an order has whole bits an index."""
    assert plan.predictor is not None
    shapes = list(plan.layers.values())
    orders = []
    for layer, (filters, channels, _, _) in enumerate(shapes):
        parts = _with(tensors, f"order.{layer}.")
        orders.append(_order_of_first(plan.predictor.smoothing, parts, filters, channels))
    return _predicted(plan, plan.predictor, KernelLayout(shapes, orders), _with(tensors, "predictor."))


def _order_of_first(smoothing: str, parts: dict[str, Tensor], filters: int, channels: int) -> Tensor:
    count = filters * channels
    if smoothing == "cross-filter":
        return _integers(parts["kernels"], count, count)
    if smoothing == "in-filter":
        moved = _integers(parts["channels"], channels, count).view(filters, channels)
        order = _integers(parts["filters"], filters, filters)
        # stored in the order of the moved filters; in_filter_order wants them as they were before
        return in_filter_order(order, moved[order.argsort()])
    return torch.arange(count)


def _integers(packed: Tensor, count: int, length: int) -> Tensor:
    """Integers [length] from 0 to count − 1, each in ⌈log2 count⌉ bits, the lowest first."""
    bits = math.ceil(math.log2(count))
    flags = np.unpackbits(packed.numpy(), count=length * bits, bitorder="little").reshape(length, bits)
    return torch.from_numpy(flags.astype(np.int64) << np.arange(bits)).sum(dim=1)


def _with(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
