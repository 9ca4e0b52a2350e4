"""The matrix: which cells there are, and which of them a table, a figure or a frontier needs."""

from nern.addresses import COMPRESSION, SECONDS, Cell, OriginalCell
from nern.config import Config, layered
from nern.errors import NernError
from nern.report_settings import CellsFigure, FitFigure, Frontier, Table, TableFigure
from nern.resolved import fit_settings, names_of, original_of, stores_order, variant_layers
from nern.settings import Settings

FRONTIER = "frontier_"
"""Before a frontier's name: the name of its table and of its figure."""
COMPUTED_TABLES = ("conv_sizes", "permutation_overhead", "summary")
"""Tables that have no settings."""


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
    """The cells of a frontier, by network, then by variant, smoothing mode and size.

    A variant that reorders kernels has none in the modes that cannot store its order.
    """
    frontier = frontier_of(config, name)
    cells = [
        Cell(frontier.task, network, smoothing, hidden, variant, seed)
        for network, sizes in frontier.sizes.items()
        for variant in frontier.variants
        for smoothing in frontier.smoothing
        for hidden in sizes
        for seed in config.seeds
    ]
    return [cell for cell in cells if stores_order(config, cell)]


def frontier_originals(config: Config, name: str) -> list[OriginalCell]:
    """The originals whose weights a frontier compares with the predictors of its cells."""
    return list(dict.fromkeys(original_of(config, cell) for cell in frontier_cells(config, name)))


def frontier_inputs(config: Config, name: str) -> list[str]:
    """The files that a frontier's table and figure are made of."""
    targets: list[Cell | OriginalCell] = [*frontier_originals(config, name), *frontier_cells(config, name)]
    return [f"{target.path}/{file}" for target in targets for file in (COMPRESSION, SECONDS)]


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
    """Find a wrong name, and a mean or a deviation of bytes, before anything runs. Raises NernError."""
    for name in config.variants:
        layered(f"variants.{name}", *variant_layers(config, name))
    for name, task in config.tasks.items():
        if max(map(abs, [*task.mean, *task.std])) > 1:
            said = f"mean {task.mean} and std {task.std}"
            raise NernError(f"tasks.{name}: pixels count from 0 to 1, but {said} are of bytes; divide both by 255")
    places = [("tables", name, table_cells) for name in config.tables]
    places += [("figures", name, figure_cells) for name in config.figures.names]
    places += [("frontiers", name, frontier_cells) for name in config.frontiers]
    for kind, name, cells_of in places:
        try:
            cells = cells_of(config, f"{FRONTIER}{name}" if kind == "frontiers" else name)
            for cell in {(c.network, c.variant, c.smoothing): c for c in cells}.values():
                fit_settings(config, cell)
        except NernError as error:
            raise NernError(f"{kind}.{name}: {error}") from None
    for name in config.tables:
        if name in COMPUTED_TABLES or name.startswith(FRONTIER):
            raise NernError(f"tables.{name}: the name belongs to a table without settings; choose another")
