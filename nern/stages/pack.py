"""One file for one compressed network: coded weights or a coded predictor, its permutation, and all other parameters.

It is a safetensors file with a checksum of all its content. `nern.stages.unpack` is the way back.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from nern import checkpoint, files
from nern.addresses import COMPRESSION, Cell, OriginalCell
from nern.codecs import AnyCodec
from nern.codecs.float import Float
from nern.compression import compression_points, compression_settings
from nern.config import Config, Execution, fingerprint
from nern.data.current import check_sources
from nern.errors import NernError
from nern.settings import Activation, Embedding, Settings
from nern.stages.artifacts import check_images, rebuild
from nern.stages.reconstruct import load_fitted
from nern.stages.runtime import start, start_in_pieces
from nern.stages.subjects import Subject, subject_of

FORMAT = "nern 3"
CODED, PERMUTATION, REST = "coded", "permutation", "rest."
LARGEST = 2**28
"""Learnable weights that a file may have: a gigabyte of them. Who unpacks it takes no memory for more."""
POINTS = "compressed.safetensors"
"""The bytes of the points that `compress` distilled: to pack one, its training is not repeated."""


Length = Annotated[int, Field(ge=1, le=2**24)]


class PackedPredictor(Settings):
    """What a file says of a predictor, besides its parameters."""

    hidden: int
    embedding: Embedding
    activation: Activation = "relu"  # files of before say nothing
    smoothing: Literal["none", "in-filter", "cross-filter"]


class Plan(Settings):
    """What a packed file says besides its tensors."""

    path: str
    """Of the cell or the original."""
    codec: AnyCodec
    predictor: PackedPredictor | None
    """None: the weights themselves are coded."""
    layers: dict[str, tuple[Length, Length, Length, Length]]
    """Name and shape [filters, channels, height, width] of each learnable weight, in the order of the predictor's l."""


def packed(subject: Subject, codec: AnyCodec, data: bytes) -> bytes:
    """The file of a cell or an original whose arrays a codec has stored as `data`."""
    names = [f"{layer}.weight" for layer in subject.original.layers]
    predictor = None
    if subject.fitted is not None:
        settings = subject.fitted.settings
        predictor = PackedPredictor(
            hidden=settings.hidden,
            embedding=settings.protocol.embedding,
            activation=settings.protocol.activation,
            smoothing=settings.permutation.mode,
        )
    plan = Plan(
        path=subject.path,
        codec=codec,
        predictor=predictor,
        layers=dict(zip(names, subject.original.shapes, strict=True)),
    )
    state = subject.original.module.state_dict()
    tensors = {f"{REST}{name}": value for name, value in state.items() if name not in plan.layers}
    tensors |= {CODED: tensor_of(data), PERMUTATION: tensor_of(subject.permutation)}
    text = json.dumps(plan.model_dump(mode="json"))  # not by name: the order of the layers is part of it
    return checkpoint.tensor_bytes(tensors, {"format": FORMAT, "plan": text})


def tensor_of(data: bytes) -> Tensor:
    """Bytes as a tensor [n] of uint8."""
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())


def coded_bytes(config: Config, target: Cell | OriginalCell, subject: Subject, name: str) -> tuple[AnyCodec, bytes]:
    """A codec of the configuration, or a point that was distilled, and the bytes that it stores.

    Raises:
        NernError: there is no such codec or point, or `compress` has not measured it.
    """
    if name in config.codecs:
        codec = config.codecs[name]
        return codec, codec.encode(subject.arrays)
    points = compression_points(config, target)
    if name not in points:
        known = ", ".join(dict.fromkeys([*config.codecs, *points]))
        raise NernError(f"unknown codec {name!r}: the configuration has {known or 'none'}")
    folder, again = Path(target.path), f"run: nern compress {target.path}"
    record = files.read_json(folder / COMPRESSION)
    if record.get("fingerprint") != fingerprint(compression_settings(config, target)):
        raise NernError(f"{folder / COMPRESSION}: was made with other settings; {again}")
    check_images(target.task, folder / COMPRESSION, record["inputs"], again)
    if not subject.inputs.items() <= dict(record["inputs"]).items():
        raise NernError(f"{folder / COMPRESSION}: was made of other files than those that now lie there; {again}")
    kept = checkpoint.read_tensors(folder / POINTS)[0].get(name)
    data = b"" if kept is None else kept.numpy().tobytes()
    wanted = {point["codec"]: point["sha256"] for point in record["points"]}
    if hashlib.sha256(data).hexdigest() != wanted[name]:
        raise NernError(f"{folder / POINTS}: {name} is not what {COMPRESSION} records; {again}")
    return points[name].codec, data


def pack(config: Config, target: Cell | OriginalCell, path: Path, name: str | None) -> str:
    """Write the packed file of a cell or an original; returns a sentence about its size.

    Args:
        config: the configuration.
        target: the cell or the original.
        path: of the file, which must not be there.
        name: of a codec or a distilled point; None stores floats of 32 bits.

    Raises:
        NernError: as `subject_of` or `coded_bytes`, there are too many weights, or the configuration's images are
            others now.
    """
    new(path, ".nern")
    check_sources(config, target.task)
    start(Execution(device="cpu"), 1)  # as where a codec was measured: the smallest numbers are zero, without a sign
    subject = subject_of(config, target)
    codec, data = coded_bytes(config, target, subject, name) if name else exact(subject)
    if sum(weight.numel() for weight in subject.original.weights) > LARGEST:
        raise NernError(
            f"{target.path}: has more than {LARGEST:,} learnable weights, and no packed file may; export a cell of it"
        )
    content = packed(subject, codec, data)
    files.write_bytes(path, content)
    whole = sum(value.numel() * value.element_size() for value in subject.original.module.state_dict().values())
    return f"{path}: {len(content):,} bytes, {100 * len(content) / whole:.1f} % of the original's {whole:,}"


def exact(subject: Subject) -> tuple[AnyCodec, bytes]:
    """The arrays as they are."""
    codec = Float(kind="float", bits=32)
    return codec, codec.encode(subject.arrays)


def export(config: Config, cell: Cell, target: Path) -> str:
    """Write the reconstructed network of a cell as a state dict with its architecture's own keys.

    Raises:
        NernError: as `load_fitted`, the file is already there, or the configuration's images are others now.
    """
    new(target, ".safetensors")
    check_sources(config, cell.task)
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
    if path.exists() or path.is_symlink():
        raise NernError(f"{path}: is there already; remove it, or choose another name")
