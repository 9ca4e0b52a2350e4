"""What decides each stage's result: the settings of a cell by its names, those of all layers resolved.

A result's fingerprint is that of these settings.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from nern.addresses import Cell, OriginalCell
from nern.code_digest import architecture_digest
from nern.config import Config, layered, recipe_of
from nern.errors import NernError
from nern.settings import MODES, Mode, Network, Original, Protocol, Settings, Task


class DataSettings(Settings):
    """What decides a task's prepared images."""

    task: str
    classes: int
    channels: int
    images: dict[str, object]


class OriginalSettings(Settings):
    """What decides an original."""

    data: DataSettings
    mean: list[float]
    std: list[float]
    augmentation: dict[str, object]
    architecture: dict[str, object]
    recipe: Original


class PermutationSettings(Settings):
    """What decides a permutation, besides the weights that it orders."""

    mode: Mode
    learnable: str | list[int]
    cosine_for_1x1: bool


class FitSettings(Settings):
    """What decides a fit: the resolved configuration that is stored beside its predictor."""

    cell: str
    original: OriginalSettings
    permutation: PermutationSettings
    hidden: int = Field(ge=1)
    seed: int = Field(ge=0)
    protocol: Protocol


def task_of(config: Config, name: str) -> Task:
    """The settings of a task; NernError with the known names if there is none."""
    if name not in config.tasks:
        raise NernError(
            f"unknown task {name!r}: the configuration has {names_of(config.tasks)}; if an overlay has it, name that, "
            "too (nern: --config config.yaml OVERLAY; snakemake: --configfile OVERLAY)"
        )
    return config.tasks[name]


def network_of(config: Config, task: str, name: str) -> Network:
    """The settings of a network; NernError with the known names if there is none."""
    networks = task_of(config, task).networks
    if name not in networks:
        raise NernError(f"unknown network {name!r}: task {task!r} has {names_of(networks)}")
    return networks[name]


def data_settings(config: Config, task: str) -> DataSettings:
    """What decides the prepared images of `task`: not what it is called, nor where downloads are kept."""
    found = task_of(config, task)
    images = found.images.model_dump(mode="json", exclude={"root", "workers"})
    return DataSettings(task=task, classes=found.classes, channels=len(found.mean), images=images)


def original_settings(config: Config, original: OriginalCell) -> OriginalSettings:
    """What decides an original: data, architecture and recipe; of an imported one its weights stand for the recipe.

    Raises:
        NernError: a name is unknown, or the original has weights to import and a recipe to train by.
    """
    task, network = task_of(config, original.task), network_of(config, original.task, original.network)
    if original.name not in config.originals:
        raise NernError(f"unknown original {original.name!r}: the configuration has {names_of(config.originals)}")
    recipe = recipe_of(config, original.task, original.network, original.name)
    return OriginalSettings(
        data=data_settings(config, original.task),
        mean=task.mean,
        std=task.std,
        augmentation=task.augmentation.model_dump(mode="json"),
        architecture=_architecture(network),
        recipe=recipe if recipe.weights is None else Original(weights=recipe.weights),
    )


def weights_file(config: Config, original: OriginalCell) -> Path | None:
    """The file that an original is imported from; None if it is trained, or torchvision's.

    A variable that is not set stays as it is written: there is no such file, and only who needs it must say so.
    """
    weights = original_settings(config, original).recipe.weights
    if weights is None or weights.partition(":")[0] == "torchvision":
        return None
    return Path(os.path.expanduser(os.path.expandvars(weights)))  # noqa: PTH111 - a user that is unknown stays, too


def _architecture(network: Network) -> dict[str, object]:
    """What decides an untrained network: its settings, and of the user's own its code, which no stage's code holds."""
    decides = network.model_dump(mode="json", include={"architecture", "depth", "width", "shortcut"})
    module, _, name = network.architecture.partition(":")
    if name and module != "torchvision":
        decides["source"] = architecture_digest(module)
    return decides


def permutation_settings(config: Config, original: OriginalCell, mode: str) -> PermutationSettings:
    """What decides the permutation of an original for one smoothing mode."""
    if mode not in MODES:
        raise NernError(f"unknown smoothing mode {mode!r}: choose one of {', '.join(MODES)}")
    network = network_of(config, original.task, original.network)
    return PermutationSettings.model_validate(
        {"mode": mode, "learnable": network.learnable, "cosine_for_1x1": network.cosine_for_1x1}
    )


def protocol_of(config: Config, cell: Cell) -> Protocol:
    """The resolved protocol of a cell; NernError if its variant is unknown, or sets what another kind of it has."""
    task, network = task_of(config, cell.task), network_of(config, cell.task, cell.network)
    return layered(
        f"variants.{cell.variant}",
        config.protocol,
        task.protocol,
        network.protocol,
        *variant_layers(config, cell.variant),
    )


def variant_layers(config: Config, name: str) -> list[Protocol]:
    """What a variant overrides, behind what those override that it extends; NernError if one of them is unknown."""
    names: list[str] = []
    extended: str | None = name
    while extended is not None:
        if extended not in config.variants:
            where = f"variants.{names[-1]}.extends: " if names else ""
            raise NernError(f"{where}unknown variant {extended!r}: the configuration has {names_of(config.variants)}")
        if extended in names:
            raise NernError(f"variants.{names[-1]}.extends: {extended} extends {names[-1]} itself; break the circle")
        names.append(extended)
        extended = config.variants[extended].extends
    layers = [config.variants[each].model_dump(exclude_unset=True, exclude={"extends"}) for each in reversed(names)]
    return [Protocol.model_validate(layer) for layer in layers]


def original_of(config: Config, cell: Cell) -> OriginalCell:
    """The original that a cell learns."""
    return OriginalCell(cell.task, cell.network, protocol_of(config, cell).original)


def stores_order(config: Config, cell: Cell) -> bool:
    """Whether a cell's smoothing mode stores the order of its kernels, if its protocol makes one."""
    return cell.smoothing != "none" or not protocol_of(config, cell).reorders


def fit_settings(config: Config, cell: Cell) -> FitSettings:
    """The resolved settings of a cell.

    Raises:
        NernError: a name is unknown, or its protocol reorders kernels whose order its smoothing mode cannot store.
    """
    original = original_of(config, cell)
    if not stores_order(config, cell):
        raise NernError(
            f"{cell.path}: variant {cell.variant} reorders the kernels of each layer, and smoothing none stores no "
            "order; choose cross-filter or in-filter, or a variant without reordering"
        )
    return FitSettings(
        cell=cell.path,
        original=original_settings(config, original),
        permutation=permutation_settings(config, original, cell.smoothing),
        hidden=cell.hidden,
        seed=cell.seed,
        protocol=protocol_of(config, cell),
    )


def names_of(known: Iterable[str]) -> str:
    """Names as a message lists them."""
    return ", ".join(known) or "none"
