"""What stage `compress` measures of a cell or an original: its points, and all that decides them.

The Snakefile imports this module, so it imports nothing heavy.
"""

from dataclasses import dataclass
from typing import Literal

from nern.addresses import Cell, OriginalCell
from nern.codecs import DISTILLABLE, AnyCodec
from nern.compression_settings import Stored
from nern.config import Config, layered
from nern.distilling import network_steps
from nern.errors import NernError
from nern.matrix import FRONTIER, frontier_cells
from nern.resolved import fit_settings, names_of, network_of, original_of, original_settings, task_of, variant_layers
from nern.settings import Phase, Protocol, Settings

DISTILLED = "-distilled"
"""Behind a codec's name: the point whose values were trained while they were coded."""


@dataclass(frozen=True)
class Point:
    """One way to store tensors: a codec, and the learning rate of its distillation; None without one."""

    codec: AnyCodec
    rate: float | None


class CompressionSettings(Settings):
    """What decides how a cell's predictor or an original's weights are stored and measured."""

    subject: dict[str, object]
    points: dict[str, dict[str, object]]
    distillation: dict[str, object] | None


def compression_phase(config: Config, target: Cell | OriginalCell) -> tuple[Protocol, Phase]:
    """The protocol and the phase by which `compress` distills what is coded.

    Raises:
        NernError: the variant that `compression.variant` names is unknown, or has no second phase, or steps in it that
            are not distilled.
    """
    task, network = task_of(config, target.task), network_of(config, target.task, target.network)
    name = config.compression.variant
    layers = variant_layers(config, name)
    protocol = layered(f"variants.{name}", config.protocol, task.protocol, network.protocol, *layers)
    if protocol.distillation is None:
        raise NernError(f"compression.variant: {name} has no second phase to distill by; give it a distillation")
    iterations = stored(config, target).iterations
    changed = {} if iterations is None else {"iterations": iterations}
    phase = protocol.distillation.model_copy(update=changed)
    if (phase.losses.alpha or phase.losses.beta) and network_steps(protocol, phase) < phase.iterations:
        raise NernError(
            f"compression.variant: the second phase of {name} has steps that run no network (by its warmup or "
            "distillation_gradient), and what is coded has none; name one that distills from its first step on"
        )
    return protocol, phase


def kind_of(target: Cell | OriginalCell) -> Literal["predictor", "original"]:
    """Which part of `compression` is about a cell or an original."""
    return "predictor" if isinstance(target, Cell) else "original"


def stored(config: Config, target: Cell | OriginalCell) -> Stored:
    """How a cell's predictor or an original's weights are stored."""
    found: Stored = getattr(config.compression, kind_of(target))
    return found


def compression_points(config: Config, target: Cell | OriginalCell) -> dict[str, Point]:
    """Every point that `compress` measures of a cell or an original, by its name.

    Raises:
        NernError: a codec is unknown, stands there twice, or its values cannot be distilled.
    """
    points: dict[str, Point] = {}
    for name, rate in stored(config, target).points:
        place = f"compression.{kind_of(target)}.{'codecs' if rate is None else 'distilled'}"
        if name not in config.codecs:
            raise NernError(f"{place}: unknown codec {name!r}: the configuration has {names_of(config.codecs)}")
        codec = config.codecs[name]
        if rate is not None and not isinstance(codec, DISTILLABLE):
            raise NernError(f"{place}: {name}: values of the kind {codec.kind} cannot be distilled; remove it")
        key = name if rate is None else f"{name}{DISTILLED}"
        if key in points or (rate is not None and key in config.codecs):
            raise NernError(f"{place}: there is a point {key} already; name each codec once, and none like a point")
        points[key] = Point(codec, rate)
    return points


def compression_settings(config: Config, target: Cell | OriginalCell) -> CompressionSettings:
    """The resolved settings of stage `compress` for a cell or an original; NernError as for its parts."""
    points = compression_points(config, target)
    distills = any(point.rate is not None for point in points.values())
    subject: Settings = fit_settings(config, target) if isinstance(target, Cell) else original_settings(config, target)
    learnable = network_of(config, target.task, target.network).learnable
    return CompressionSettings(
        subject=subject.model_dump(mode="json") | {"learnable": learnable},
        points={name: point.codec.model_dump(mode="json") | {"rate": point.rate} for name, point in points.items()},
        distillation=_distillation(config, target) if distills else None,
    )


def _distillation(config: Config, target: Cell | OriginalCell) -> dict[str, object]:
    """What counts of the phase: the rate is each point's own, and an original's weights all get gradients."""
    protocol, phase = compression_phase(config, target)
    passes, parts = {"inputs", "precision"}, {"iterations", "batch", "losses"}
    if isinstance(target, Cell):
        passes, parts = passes | {"predictor_precision"}, parts | {"sampling"}
    return (
        protocol.model_dump(mode="json", include=passes)
        | phase.model_dump(mode="json", include=parts)
        | phase.optimizer.model_dump(mode="json", include={"betas", "final_lr"})
        | config.compression.model_dump(mode="json", include={"warmup", "clip"})
    )


def check(config: Config) -> None:
    """Find what every frontier and figure 5a need, before anything runs. Raises NernError."""
    for name in config.frontiers:
        try:
            _check_frontier(config, f"{FRONTIER}{name}")
        except NernError as error:
            raise NernError(f"frontiers.{name}: {error}") from None
    pruning = config.figures.meta_compression
    for name in pruning.codecs if pruning else []:
        if name not in config.codecs or config.codecs[name].kind != "sparse":
            known = names_of(each for each, codec in config.codecs.items() if codec.kind == "sparse")
            raise NernError(f"figures.meta_compression.codecs: {name} is no codec of kind sparse; there are {known}")


def _check_frontier(config: Config, name: str) -> None:
    """Codecs that are there, and of each network one original: what stands side by side stands for the same weights."""
    learned: dict[str, OriginalCell] = {}
    count = 0
    if not frontier_cells(config, name):
        raise NernError(
            "all its variants reorder kernels, and no mode of its smoothing stores their order; add cross-filter or "
            "in-filter"
        )
    for cell in {(c.network, c.variant): c for c in frontier_cells(config, name)}.values():
        original = original_of(config, cell)
        if learned.setdefault(cell.network, original) != original:
            names = f"{learned[cell.network].name} and {original.name}"
            raise NernError(f"its variants learn two originals of {cell.network}, {names}; make a frontier of each")
        count += sum(len(compression_points(config, target)) for target in (cell, original))
    if count == 0:
        raise NernError("compression names no codec; add some to compression.original and compression.predictor")
