"""Stage `fit`: train one predictor on one original (paper, sections 3 and 4). Resumes where it was killed."""

import contextlib
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from nern import checkpoint, files
from nern.addresses import Cell, manifest_path
from nern.code_digest import code_digest
from nern.config import Config, fingerprint
from nern.data.batches import TestBatches, TrainingBatches
from nern.distilling import needs_network, settings_to_fit_by
from nern.errors import NernError
from nern.method.backpropagation import PredictorPass
from nern.method.embedding import kernel_coordinates
from nern.method.kernels import KernelLayout
from nern.method.optimizers import PredictorOptimizer
from nern.method.predictor import CoordinateTable, initialize, initialize_default, predictor_of
from nern.method.sampling import Sampler
from nern.method.training import PredictorStep, StepLosses, cosine_lr, training_sampler
from nern.method.workers import Workers
from nern.resolved import original_of
from nern.seeding import generator
from nern.settings import Phase
from nern.stages import history
from nern.stages.accuracy import TEST_BATCH, NotFiniteError, predict
from nern.stages.artifacts import TrainedOriginal, load_original, load_permutation, network_file, rebuild
from nern.stages.reconstruct import ORDER, orders_in
from nern.stages.runtime import Run, provenance, start_in_pieces
from nern.stages.teacher import Teacher

log = logging.getLogger(__name__)

HISTORY_ROWS = 400
"""Rows of losses in history.csv: enough for a smooth curve, few enough for every resumable state to hold them."""
PURPOSES = ("training", "distillation")
"""The phases, and the names of their random streams."""


@dataclass(frozen=True)
class Stretch:
    """A phase with its name and the number of iterations before it."""

    name: str
    phase: Phase
    first: int


class Fit:
    """One predictor in training: what changes from step to step, and how."""

    def __init__(self, config: Config, cell: Cell, device: torch.device, workers: Workers) -> None:
        self.config, self.cell, self.device, self.workers = config, cell, device, workers
        self.settings = settings_to_fit_by(config, cell)
        self.protocol = protocol = self.settings.protocol
        self.original: TrainedOriginal = load_original(config, original_of(config, cell))
        permutation = load_permutation(config, original_of(config, cell), cell.smoothing, self.original)
        self.inputs = {
            str(network_file(original_of(config, cell))): self.original.sha256,
            original_of(config, cell).permutation(cell.smoothing): permutation.sha256,
            manifest_path(cell.task): files.sha256(Path(manifest_path(cell.task))),
        }
        phases = [protocol.training] + ([protocol.distillation] if protocol.distillation else [])
        firsts = [0, protocol.training.iterations]
        self.stretches = [Stretch(*each) for each in zip(PURPOSES, phases, firsts, strict=False)]
        self.total = sum(phase.iterations for phase in phases)

        layout = KernelLayout(self.original.shapes, permutation.orders).to(device)
        target = layout.rows([weight.to(device) for weight in self.original.weights])
        coordinates = kernel_coordinates(
            [shape[:2] for shape in layout.shapes], normalized=protocol.embedding.normalized
        )
        self.predictor = predictor_of(protocol.embedding, protocol.activation, cell.hidden, layout).to(device)
        table = CoordinateTable(coordinates, self.predictor.embedding).to(device)
        stream = generator(cell.seed, "initialization")
        if protocol.initialization == "default":
            initialize_default(self.predictor, stream)
        else:
            initialize(self.predictor, table, target, layout.mask(device), stream)
        precision = protocol.predictor_precision
        self.forward = PredictorStep(self.predictor, table, layout, target, workers, precision)
        self.exact = PredictorPass(self.predictor, table, workers)

        self.teacher = Teacher(config, cell.task, self.original, protocol.precision, device, workers)
        self.tests = TestBatches(config, cell.task, batch=TEST_BATCH, device=device, channels_last=True)
        self.rows: list[history.Row] = []
        for stretch in self.stretches:
            if self._distills(stretch):
                where = f"the protocol's {stretch.name}.losses"
                self.teacher.check(stretch.phase.losses, cell.seed, cell.path, where)

    def _distills(self, stretch: Stretch) -> bool:
        gradient = self.protocol.distillation_gradient
        return needs_network(stretch.phase, stretch.phase.iterations - 1, gradient=gradient)

    def batches(self, stretch: Stretch) -> TrainingBatches | None:
        """The inputs of a phase; None if none of its steps runs a network."""
        if not self._distills(stretch):
            return None
        return self.teacher.batches(
            self.protocol.inputs, batch=stretch.phase.batch, seed=self.cell.seed, purpose=f"fit/{stretch.name}"
        )

    def sampler(self, phase: Phase) -> Sampler:
        """Of a phase, for the kernels in the order in which they stand."""
        return training_sampler(phase, self.forward.layout, self.forward.target, self.cell.seed)

    def weights(self) -> list[Tensor]:
        """The reconstructed weights of each layer."""
        return self.forward.layout.weights(self.exact.predict())

    def test(self) -> float | None:
        """Accuracy of the reconstructed network now, in per cent; None if its logits overflow: they may in between."""
        module, layers = self.original.module, self.original.layers
        original = [weight.clone() for weight in self.original.weights]
        rebuild(module, layers, self.weights())
        try:
            return predict(module, self.tests, self.workers, self.cell.path).top(1)
        except NotFiniteError:
            return None
        finally:
            rebuild(module, layers, original)

    def tensors(self, optimizer: PredictorOptimizer) -> dict[str, Tensor]:
        """All tensors of the running fit."""
        tensors = {f"predictor.{name}": value for name, value in self.predictor.state_dict().items()} | self.orders()
        tensors |= {f"optimizer.{name}": value for name, value in optimizer.tensors().items()}
        return tensors | {"errors": self.forward.errors}

    def orders(self) -> dict[str, Tensor]:
        """The order of each layer's kernels, by its name in the predictor's file; none where the fit keeps them."""
        if not self.protocol.reorders:
            return {}
        return {f"{ORDER}{layer}": order.int() for layer, order in enumerate(self.forward.layout.orders)}

    def restore(self, tensors: dict[str, Tensor], optimizer: PredictorOptimizer) -> None:
        """Set the fit to saved tensors."""
        self.predictor.load_state_dict(_with_prefix(tensors, "predictor."))
        optimizer.restore(_with_prefix(tensors, "optimizer."))
        if orders := orders_in(tensors):
            self.forward.order(orders)
        self.forward.errors = tensors["errors"].to(self.device)


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def run(config: Config, cell: Cell, then: Callable[[], None]) -> None:
    """Fit one cell: `predictor.safetensors`, `history.csv`, `config.json` and `fit.json` in its folder.

    Args:
        config: the configuration.
        cell: the cell.
        then: called when these are written, while a kill could still resume. The fit stands if it raises.

    Raises:
        NernError: an input is missing or does not fit, the folder is in use, or a loss is no longer finite.
    """
    folder = Path(cell.path)
    device, workers = start_in_pieces(config.execution, config.execution.threads.fit)
    with files.exclusive(folder):
        fit = Fit(config, cell, device, workers)
        (folder / "failed.json").unlink(missing_ok=True)
        files.write_json(folder / "config.json", fit.settings.model_dump(mode="json"))
        recorder = train(fit, folder, config.execution.save_every)
        if not all(bool(parameter.isfinite().all()) for parameter in fit.predictor.parameters()):
            _stop(fit, fit.total, "the predictor's weights are not finite after")
        facts = provenance("fit", fit.inputs)
        metadata = {"cell": cell.path, "fingerprint": fingerprint(fit.settings), "code": facts["code"]["fit"]}
        checkpoint.write_tensors(folder / "predictor.safetensors", fit.predictor.state_dict() | fit.orders(), metadata)
        history.write(folder / "history.csv", fit.rows)
        outputs = {name: files.sha256(folder / name) for name in ("predictor.safetensors", "history.csv")}
        files.write_json(
            folder / "fit.json",
            {"cell": cell.path, "fingerprint": fingerprint(fit.settings), "iterations": fit.total, "outputs": outputs}
            | facts
            | recorder.record(workers.threads),  # versions and commit of all attempts, over those of this one
        )
        log.info("%s: %d iterations in %.1f s", cell.path, fit.total, recorder.seconds)
        try:
            then()
        except (NernError, MemoryError, RuntimeError) as error:  # torch's, too: the fit still holds its memory
            log.warning("%s; the fit is whole without", error)
        checkpoint.State(folder, "").clear()


def _key(fit: Fit) -> str:
    """What a resumable state belongs to: settings, inputs, code and kind of device."""
    parts = [fingerprint(fit.settings), code_digest("nern.stages.fit"), fit.device.type, *fit.inputs.values()]
    return "/".join(parts)


def train(fit: Fit, folder: Path, save_every: float) -> Run:
    """Run all phases, from the saved state if there is one; returns the clock."""
    state = checkpoint.State(folder, _key(fit))
    saved = state.load(log.warning)
    name = f"h{fit.cell.hidden} seed{fit.cell.seed}"
    clock = Run(folder, name, fit.total, fit.device, saved=saved and saved[1], save_every=save_every)
    if saved is not None:
        fit.rows = json.loads(saved[1]["rows"])
        log.info("%s: resumes at iteration %d of %d", fit.cell.path, clock.first, fit.total)
    clock.best = max((float(row[-1]) for row in fit.rows if row[-1] is not None), default=None)
    with contextlib.closing(clock):
        for stretch in fit.stretches:
            steps = range(max(clock.first - stretch.first, 0), stretch.phase.iterations)
            if not steps:
                continue
            precision = fit.protocol.predictor_precision
            optimizer = PredictorOptimizer(fit.predictor, stretch.phase.optimizer, fit.workers, precision)
            if saved is not None:
                fit.restore(saved[0], optimizer)
            saved = None
            _run_phase(fit, stretch, steps, optimizer, state, clock)
    return clock


def _run_phase(
    fit: Fit, stretch: Stretch, steps: range, optimizer: PredictorOptimizer, state: checkpoint.State, clock: Run
) -> None:
    phase, every = stretch.phase, max(1, fit.total // HISTORY_ROWS)
    optimizing = phase.optimizer
    sampler = fit.sampler(phase)
    with contextlib.ExitStack() as stack:
        batches = fit.batches(stretch)
        if batches is not None:
            stack.enter_context(batches)
        for step in steps:
            if phase.reordering is not None and step % phase.reordering.every == 0:
                rounds, purpose = phase.reordering.rounds, f"fit/{stretch.name}"
                fit.forward.reorder(fit.cell.smoothing, rounds, fit.cell.seed, purpose, step)
                sampler = fit.sampler(phase)  # at a place is another norm now
            lr = cosine_lr(step, phase.iterations, optimizing.lr, optimizing.final_lr, optimizing.rise)
            sample = sampler.draw(step)
            if batches is not None and needs_network(phase, step, gradient=fit.protocol.distillation_gradient):
                losses = fit.forward.distill(sample, phase.losses, batches.batch(step), fit.teacher.distill)
            else:
                losses = fit.forward.reconstruct(sample, phase.losses)
            optimizer.step(lr)
            done = stretch.first + step + 1
            tested = fit.test() if _is_test(fit, done) else None
            accuracy = {} if tested is None else {"accuracy": tested}
            if accuracy or done % every == 0 or done == fit.total:
                fit.rows.append([done, stretch.name, lr, *_values(losses), accuracy.get("accuracy")])
            shown = bool(accuracy) or clock.wants_line()
            if shown or fit.device.type == "cpu" or done % 100 == 0 or done == fit.total:
                _stop_if_not_finite(fit, losses, done)
            clock.step(done, **({"loss": losses.reconstruction.item()} | accuracy if shown else {}))
            # never at a phase's end: the next phase begins with an optimizer of its own
            if step + 1 < phase.iterations and clock.wants_save():
                _stop_if_not_finite(fit, losses, done)
                state.save(fit.tensors(optimizer), clock.facts(done) | {"rows": json.dumps(fit.rows)})


def _is_test(fit: Fit, done: int) -> bool:
    every = fit.protocol.evaluate_every
    return every > 0 and (done % every == 0 or done == fit.total)


def _values(losses: StepLosses) -> list[float | None]:
    terms = (losses.reconstruction, losses.output, losses.features)
    return [None if term is None else term.item() for term in terms]


def _stop_if_not_finite(fit: Fit, losses: StepLosses, done: int) -> None:
    """End the fit where a loss is NaN or infinite; the last saved state stays."""
    values = _values(losses)
    if all(value is None or math.isfinite(value) for value in values):
        return
    terms = dict(zip(("L_recon", "L_KD", "L_FMD"), values, strict=True))
    shown = ", ".join(f"{name} = {value}" for name, value in terms.items() if value is not None)
    _stop(fit, done, f"the loss is not finite ({shown}) at")


def _stop(fit: Fit, done: int, what: str) -> NoReturn:
    message = f"{fit.cell.path}: {what} iteration {done}; lower the learning rate"
    files.write_json(Path(fit.cell.path) / "failed.json", {"step": done, "message": message})
    raise NernError(message)
