"""The matrix: which cells there are, where each artifact lies, and what each depends on.

A path is an address and nothing else: every setting of a cell is found by its names in the configuration.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from nern.code_digest import architecture_digest
from nern.config import Config, layered, recipe_of
from nern.errors import NernError
from nern.report_settings import CellsFigure, FitFigure, Frontier, Table, TableFigure
from nern.settings import MODES, Mode, Network, Original, Protocol, Settings, Task

RESULTS = "results"
FRONTIER = "frontier_"
"""Before a frontier's name: the name of its table and of its figure."""
COMPRESSION, SECONDS = "compression.json", "compress.json"
"""What stage `compress` measured of a cell or an original, and how long it took: in the folder of either."""
PROGRESS = "progress.json"
"""How far the stage is that works in a folder. Only there while it runs, or after it was killed."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_CELL = re.compile(
    rf"{RESULTS}/(?P<task>{_NAME})/(?P<network>{_NAME})/(?P<smoothing>none|in-filter|cross-filter)"
    rf"/h(?P<hidden>[1-9][0-9]{{0,8}})/(?P<variant>{_NAME})/seed(?P<seed>0|[1-9][0-9]{{0,8}})"
)
_ORIGINAL = re.compile(rf"{RESULTS}/(?P<task>{_NAME})/(?P<network>{_NAME})/originals/(?P<name>{_NAME})")


@dataclass(frozen=True, order=True)
class OriginalCell:
    """One original network: `results/<task>/<network>/originals/<name>/`."""

    task: str
    network: str
    name: str

    @property
    def path(self) -> str:
        """The folder of its files."""
        return f"{RESULTS}/{self.task}/{self.network}/originals/{self.name}"

    def permutation(self, mode: str) -> str:
        """The file of its permutation for one smoothing mode."""
        return f"{self.path}/permutation-{mode}.npz"

    @classmethod
    def parse(cls, path: str) -> "OriginalCell":
        """The original of a path; NernError if the path is none."""
        match = _ORIGINAL.fullmatch(path.removesuffix("/"))
        if match is None:
            raise NernError(f"{path!r} is no path of an original; it reads results/<task>/<network>/originals/<name>")
        return cls(**match.groupdict())


@dataclass(frozen=True, order=True)
class Cell:
    """One fit of one predictor: `results/<task>/<network>/<smoothing>/h<hidden>/<variant>/seed<k>/`."""

    task: str
    network: str
    smoothing: str
    hidden: int
    variant: str
    seed: int

    @property
    def path(self) -> str:
        """The folder of its files."""
        return f"{RESULTS}/{self.task}/{self.network}/{self.smoothing}/h{self.hidden}/{self.variant}/seed{self.seed}"

    @classmethod
    def parse(cls, path: str) -> "Cell":
        """The cell of a path (its folder, or a file in it); NernError if the path is none."""
        folder = re.sub(r"/[a-z]+\.(json|csv|safetensors)$", "", path.removesuffix("/"))
        match = _CELL.fullmatch(folder)
        if match is None:
            raise NernError(
                f"{path!r} is no path of a cell; it reads "
                "results/<task>/<network>/<none|in-filter|cross-filter>/h<hidden>/<variant>/seed<k>"
            )
        names = match.groupdict()
        return cls(
            task=names["task"],
            network=names["network"],
            smoothing=names["smoothing"],
            hidden=int(names["hidden"]),
            variant=names["variant"],
            seed=int(names["seed"]),
        )


def parse_target(path: str) -> Cell | OriginalCell:
    """The cell or original of a path; NernError if it is neither."""
    return OriginalCell.parse(path) if path.split("/")[3:4] == ["originals"] else Cell.parse(path)


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


def data_path(task: str) -> str:
    """The folder of a task's prepared images."""
    return f"{RESULTS}/{task}/images"


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


def fit_settings(config: Config, cell: Cell) -> FitSettings:
    """The resolved settings of a cell; NernError if any of its names is unknown."""
    original = original_of(config, cell)
    return FitSettings(
        cell=cell.path,
        original=original_settings(config, original),
        permutation=permutation_settings(config, original, cell.smoothing),
        hidden=cell.hidden,
        seed=cell.seed,
        protocol=protocol_of(config, cell),
    )


def table_of(config: Config, name: str) -> Table:
    """The settings of a table; NernError with the known names if there is none."""
    if name not in config.tables:
        known = names_of([*config.tables, *COMPUTED_TABLES, *(f"{FRONTIER}{each}" for each in config.frontiers)])
        raise NernError(f"unknown table {name!r}: the configuration has {known}")
    return config.tables[name]


def table_cells(config: Config, name: str) -> list[Cell]:
    """The cells of one table, in its order of rows."""
    table = table_of(config, name)
    return [
        Cell(table.task, network, smoothing, hidden, variant, seed)
        for network, sizes in table.sizes.items()
        for hidden in sizes
        for variant in table.variants
        for smoothing in table.smoothing
        for seed in config.seeds
    ]


def frontier_of(config: Config, name: str) -> Frontier:
    """The settings of a frontier, by its table's name; NernError with the known names if there is none."""
    known = {f"{FRONTIER}{each}": settings for each, settings in config.frontiers.items()}
    if name not in known:
        raise NernError(f"unknown frontier {name!r}: the configuration has {names_of(known)}")
    return known[name]


def frontier_cells(config: Config, name: str) -> list[Cell]:
    """The cells of a frontier, by network, then by variant, smoothing mode and size."""
    frontier = frontier_of(config, name)
    return [
        Cell(frontier.task, network, smoothing, hidden, variant, seed)
        for network, sizes in frontier.sizes.items()
        for variant in frontier.variants
        for smoothing in frontier.smoothing
        for hidden in sizes
        for seed in config.seeds
    ]


def frontier_originals(config: Config, name: str) -> list[OriginalCell]:
    """The originals whose weights a frontier compares with the predictors of its cells."""
    return list(dict.fromkeys(original_of(config, cell) for cell in frontier_cells(config, name)))


def frontier_inputs(config: Config, name: str) -> list[str]:
    """The files that a frontier's table and figure are made of."""
    targets: list[Cell | OriginalCell] = [*frontier_originals(config, name), *frontier_cells(config, name)]
    return [f"{target.path}/{file}" for target in targets for file in (COMPRESSION, SECONDS)]


COMPUTED_TABLES = ("conv_sizes", "permutation_overhead", "summary")
"""Tables that have no settings."""


def figure_names(config: Config) -> list[str]:
    """Every figure: those with settings of their own, and one of each frontier."""
    return [*config.figures.names, *(f"{FRONTIER}{name}" for name in config.frontiers)]


def figure_settings(config: Config, name: str) -> Settings:
    """The settings of a figure; NernError with the known names if there is none."""
    if name.startswith(FRONTIER):
        return frontier_of(config, name)
    if name not in config.figures.names:
        raise NernError(f"unknown figure {name!r}: the configuration has {names_of(figure_names(config))}")
    found: Settings = getattr(config.figures, name)
    return found


def figure_cells(config: Config, name: str) -> list[Cell]:
    """The cells that a figure shows; none for one that is computed."""
    figure = figure_settings(config, name)
    if isinstance(figure, Frontier):
        return frontier_cells(config, name)
    if isinstance(figure, TableFigure):
        return table_cells(config, figure.table)
    if isinstance(figure, CellsFigure):
        seeds = config.seeds[:1] if isinstance(figure, FitFigure) else config.seeds
        names = (figure.task, figure.network, figure.smoothing, figure.hidden, figure.variant)
        return [Cell(*names, seed) for seed in seeds]
    return []


def figure_inputs(config: Config, name: str) -> list[str]:
    """The files that a figure is drawn from."""
    if name.startswith(FRONTIER):
        return frontier_inputs(config, name)
    suffixes = {
        "loss_curves": ["metrics.json", "history.csv", "fit.json"],
        "cost_tradeoff": ["metrics.json", "fit.json"],
        "meta_compression": ["metrics.json", COMPRESSION],
        "weight_importance": ["metrics.json", "importance.json"],
        "kernels": ["metrics.json", "predictor.safetensors"],
        "learned_embeddings": ["metrics.json", "predictor.safetensors"],
    }.get(name, ["metrics.json"])
    return [f"{cell.path}/{suffix}" for cell in figure_cells(config, name) for suffix in suffixes]


def all_cells(config: Config) -> list[Cell]:
    """Every cell that any table, figure or frontier needs, once each, in their order."""
    of_tables = [cell for name in config.tables for cell in table_cells(config, name)]
    of_figures = [cell for name in figure_names(config) for cell in figure_cells(config, name)]
    return list(dict.fromkeys(of_tables + of_figures))


def check(config: Config) -> None:
    """Resolve every cell, so that a wrong name, or a mean of bytes, is found before anything runs. Raises NernError."""
    for name in config.variants:
        layered(f"variants.{name}", *variant_layers(config, name))
    for name, task in config.tasks.items():
        if max(map(abs, task.mean)) > 1:
            raise NernError(f"tasks.{name}.mean: pixels count from 0 to 1; divide {task.mean} and std by 255")
    places = [("tables", name, table_cells) for name in config.tables]
    places += [("figures", name, figure_cells) for name in config.figures.names]
    places += [("frontiers", name, frontier_cells) for name in config.frontiers]
    for kind, name, cells_of in places:
        try:
            cells = cells_of(config, f"{FRONTIER}{name}" if kind == "frontiers" else name)
            for cell in {(c.network, c.variant): c for c in cells}.values():
                fit_settings(config, cell)
        except NernError as error:
            raise NernError(f"{kind}.{name}: {error}") from None
    for name in config.tables:
        if name in COMPUTED_TABLES or name.startswith(FRONTIER):
            raise NernError(f"tables.{name}: the name belongs to a table without settings; choose another")


def names_of(known: Iterable[str]) -> str:
    """Names as a message lists them."""
    return ", ".join(known) or "none"
