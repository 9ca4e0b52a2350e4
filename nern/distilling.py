"""Which steps of a fit run a network, and see images. The Snakefile asks, so nothing heavy is imported."""

from nern.addresses import Cell
from nern.config import Config
from nern.errors import NernError
from nern.resolved import FitSettings, fit_settings
from nern.settings import Phase, Protocol


def needs_network(phase: Phase, step: int, *, gradient: bool) -> bool:
    """Whether a step of the phase has to run a network: not in the warm-up, nor where distillation weighs nothing.

    A warm-up is on L_recon; where that weighs nothing there is none to do.
    """
    losses = phase.losses
    warm = step >= phase.warmup or losses.reconstruction == 0
    return gradient and warm and (losses.alpha > 0 or losses.beta > 0)


def network_steps(protocol: Protocol, phase: Phase) -> int:
    """How many steps of a phase run a network: those of which `needs_network` says so."""
    losses = phase.losses
    if not protocol.distillation_gradient or losses.alpha == losses.beta == 0:
        return 0
    return phase.iterations - (min(phase.warmup, phase.iterations) if losses.reconstruction else 0)


def settings_to_fit_by(config: Config, cell: Cell) -> FitSettings:
    """`fit_settings` of a cell that is about to be fitted.

    Raises:
        NernError: a name is unknown, or a warm-up leaves no step to the distillation that the protocol asks for.
    """
    settings = fit_settings(config, cell)
    protocol = settings.protocol
    for name, phase in (("training", protocol.training), ("distillation", protocol.distillation)):
        if phase is None or phase.iterations == 0 or network_steps(protocol, phase) > 0:
            continue
        if protocol.distillation_gradient and (phase.losses.alpha or phase.losses.beta):
            raise NernError(
                f"{cell.path}: the warm-up of its protocol, {name}.warmup: {phase.warmup}, leaves none of "
                f"{phase.iterations:,} iterations to alpha and beta; set it to 0, or both of these"
            )
    return settings
