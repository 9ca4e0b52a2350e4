"""The reconstructed network of a fitted cell: predictor + permutation + the original's other parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nern import checkpoint, files
from nern.addresses import Cell
from nern.config import Config, fingerprint
from nern.errors import NernError
from nern.method.embedding import kernel_coordinates
from nern.method.kernels import KernelLayout
from nern.method.predictor import CoordinateMLP, predictor_of
from nern.method.workers import Workers
from nern.networks.learnable import learnable_layers, weight_of
from nern.resolved import FitSettings, fit_settings, original_of
from nern.stages.artifacts import (
    Permutation,
    TrainedOriginal,
    build_network,
    check_images,
    load_original,
    load_permutation,
)

ORDER = "order."
"""Before the number of a layer: the name of its kernels' order in the predictor's file, where the fit made it."""
PIECE = 2**14
"""Coordinates that a predictor is given at once."""


@dataclass(frozen=True)
class FittedCell:
    """A cell's original, permutation and predictor, each checked against what the fit recorded."""

    settings: FitSettings
    record: dict[str, Any]
    """The contents of fit.json."""
    original: TrainedOriginal
    permutation: Permutation
    layout: KernelLayout
    predictor: CoordinateMLP

    @property
    def digest(self) -> dict[str, str]:
        """SHA-256 of the predictor's file, by its path."""
        return {f"{self.settings.cell}/predictor.safetensors": self.record["outputs"]["predictor.safetensors"]}

    @property
    def coordinates(self) -> Tensor:
        """[n, 3] of all kernels, in the layout's order."""
        normalized = self.settings.protocol.embedding.normalized
        return kernel_coordinates([shape[:2] for shape in self.layout.shapes], normalized=normalized)

    def weights(self, device: torch.device, workers: Workers) -> list[Tensor]:
        """The predicted weights of each learnable layer, on the CPU."""
        normalized = self.settings.protocol.embedding.normalized
        return predicted_weights(self.predictor.to(device), self.layout, normalized, device, workers)


def predicted_weights(
    predictor: CoordinateMLP, layout: KernelLayout, normalized: bool, device: torch.device, workers: Workers
) -> list[Tensor]:
    """The predicted weights of each learnable layer, on the CPU.

    By the predictor's definition, not by the factored table that it was trained with, and always in the same pieces:
    whoever calls this on one device gets the same bits.
    """
    coordinates = kernel_coordinates([shape[:2] for shape in layout.shapes], normalized=normalized)

    @torch.no_grad()  # of each thread
    def of_piece(piece: Tensor) -> Tensor:
        return predictor(piece.to(device)).cpu()  # type: ignore[no-any-return]

    return layout.weights(torch.cat(workers.map(of_piece, coordinates.split(PIECE))))


def load_fitted(config: Config, cell: Cell) -> FittedCell:
    """Load a fitted cell, so that no swapped predictor, retrained original or other images can pass for the cell's.

    Raises:
        NernError: a file is missing or damaged, or is not the one that the fit was made with.
    """
    settings, folder = fit_settings(config, cell), Path(cell.path)
    record = _checked_record(folder, settings)
    original = load_original(config, original_of(config, cell))
    permutation = load_permutation(config, original_of(config, cell), cell.smoothing, original)
    if not {original.sha256, permutation.sha256} <= set(record["inputs"].values()):
        raise NernError(
            f"{folder}: was fitted to another original or permutation than those that now lie there; "
            f"run: nern fit {folder}"
        )
    check_images(cell.task, folder / "fit.json", record["inputs"], f"run: nern fit {folder}")
    path, again = folder / "predictor.safetensors", f"run: nern fit {folder}"
    tensors, _ = checkpoint.read_tensors(path)
    try:
        layout = _layout(tensors, settings, original, permutation)
    except NernError as error:
        raise NernError(f"{path}: {error}; {again}") from None
    parameters = {name: tensor for name, tensor in tensors.items() if not name.startswith(ORDER)}
    predictor = loaded_predictor(path, parameters, settings, layout, again)
    return FittedCell(settings, record, original, permutation, layout, predictor)


def _layout(
    tensors: Mapping[str, Tensor], settings: FitSettings, original: TrainedOriginal, permutation: Permutation
) -> KernelLayout:
    """The kernels in the order that the fit made, or else in the original's; NernError if there is another order."""
    orders = orders_in(tensors)
    if orders and not settings.protocol.reorders:
        raise NernError("has an order of kernels, which no fit of its protocol makes")
    if not settings.protocol.reorders:
        return KernelLayout(original.shapes, permutation.orders)
    if len(orders) != len(original.shapes):
        raise NernError(f"has orders of {len(orders)} layers, and its network {len(original.shapes)}")
    layout = KernelLayout(original.shapes, orders)
    if settings.permutation.mode == "in-filter":
        for layer, (order, (filters, channels, _, _)) in enumerate(zip(orders, original.shapes, strict=True)):
            of_filter = order.view(filters, channels) // channels
            if (of_filter != of_filter[:, :1]).any():
                raise NernError(f"the order of layer {layer} parts the kernels of a filter: it is not in-filter")
    return layout


def orders_in(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """The orders among a fit's tensors: of each layer the kernel f·C + c at each place; none where it kept them."""
    found = {name: tensor for name, tensor in tensors.items() if name.startswith(ORDER)}
    return [found[name].long() for name in sorted(found, key=lambda name: int(name.removeprefix(ORDER)))]


def predictor_parameters(config: Config, cell: Cell) -> int:
    """How many parameters a cell's predictor has, by the settings alone: nothing has to be there.

    Raises:
        NernError: the network cannot be built, or has no kernels to learn.
    """
    settings = fit_settings(config, cell)
    module = build_network(config, original_of(config, cell))
    weights = [weight_of(module, name) for name in learnable_layers(module, include=settings.permutation.learnable)]
    shapes = [(w.shape[0], w.shape[1], w.shape[2], w.shape[3]) for w in weights]
    layout = KernelLayout(shapes, [torch.arange(filters * channels) for filters, channels, _, _ in shapes])
    predictor = predictor_of(settings.protocol.embedding, settings.protocol.activation, settings.hidden, layout)
    return sum(parameter.numel() for parameter in predictor.parameters())


def _checked_record(folder: Path, settings: FitSettings) -> dict[str, Any]:
    """`fit.json`, if it and the files that it names belong to the settings."""
    path, again = folder / "fit.json", f"run: nern fit {folder}"
    if not path.exists():
        raise NernError(f"{path}: is missing; {again}")
    fitted = files.read_json(path)
    try:
        recorded = dict(fitted["outputs"])
        known = fitted["fingerprint"], dict(fitted["inputs"]), fitted["iterations"], fitted["device"], fitted["code"]
    except (KeyError, TypeError, ValueError):
        raise NernError(f"{path}: is no record of a fit; {again}") from None
    if known[0] != fingerprint(settings):
        raise NernError(f"{path}: was made with other settings than the configuration's; {again}")
    for name in ("predictor.safetensors", "history.csv"):
        if recorded.get(name) != files.sha256(folder / name):
            raise NernError(f"{folder / name}: is not the file that {path.name} records; {again}")
    return fitted


def loaded_predictor(
    path: Path, tensors: dict[str, Tensor], settings: FitSettings, layout: KernelLayout, again: str
) -> CoordinateMLP:
    """The predictor of a network's kernels with the tensors of a file.

    Args:
        path: the file.
        tensors: its state dict.
        settings: of the fit.
        layout: the network's kernels.
        again: how to make the file anew.

    Raises:
        NernError: the tensors are those of another predictor, or of another network's.
    """
    predictor = predictor_of(settings.protocol.embedding, settings.protocol.activation, settings.hidden, layout)
    try:
        predictor.load_state_dict(tensors)
    except RuntimeError as error:
        line = " ".join(str(error).split())
        raise NernError(f"{path}: does not fit the predictor of its network ({line}); {again}") from None
    return predictor
