"""Tensors distilled while they are coded: what stage `compress` trains. Resumes where it was killed.

The images, losses, iterations and random streams are those of the second phase of `compression.variant`: the one that
distills a decoupled fit. The optimizer is Adam with a learning rate for each codec, whatever it stores: rates were
chosen alike on training images that no phase sees (docs/frontier.md).
"""

import contextlib
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nern import checkpoint
from nern.addresses import Cell, OriginalCell
from nern.codecs.base import Array
from nern.compression import Point, compression_phase
from nern.config import Config
from nern.errors import NernError
from nern.method.coded import Coded, coded
from nern.method.losses import squared_error
from nern.method.predictor import CoordinateTable
from nern.method.training import PredictorStep, StepLosses, cosine_lr, training_sampler
from nern.method.workers import Workers
from nern.settings import Phase, PredictorPrecision
from nern.stages.runtime import Run
from nern.stages.subjects import Subject
from nern.stages.teacher import Teacher

log = logging.getLogger(__name__)


class Learner(ABC):
    """The network that decoded arrays stand for, in training."""

    @abstractmethod
    def gradients(self, values: Mapping[str, Array], step: int, images: Tensor) -> tuple[dict[str, Tensor], StepLosses]:
        """Gradients of the objective in the values, on the CPU, and its losses."""


class KernelLearner(Learner):
    """Of an original: the values are its learnable weights."""

    def __init__(self, subject: Subject, teacher: Teacher, phase: Phase) -> None:
        self.teacher, self.losses, self.names = teacher, phase.losses, subject.original.layers
        self.target = [weight.to(teacher.device) for weight in subject.original.weights]
        self.count = sum(weight.numel() for weight in self.target)

    def gradients(self, values: Mapping[str, Array], step: int, images: Tensor) -> tuple[dict[str, Tensor], StepLosses]:
        """Those of the phase's losses, as in a fit."""
        kernels = [torch.from_numpy(values[name]).to(self.teacher.device) for name in self.names]
        distilled, output, features = self.teacher.distill(images, kernels, self.losses)
        norm = squared_error(kernels, self.target).sqrt()
        over = self.count if self.losses.form == "text" else math.sqrt(self.count)
        reconstruction = norm / over
        factor = self.losses.reconstruction / (over * norm.clamp_min(torch.finfo(torch.float32).tiny))
        pairs = zip(self.names, kernels, self.target, distilled, strict=True)
        found = {name: (passed + (ours - theirs) * factor).cpu() for name, ours, theirs, passed in pairs}
        return found, StepLosses(reconstruction, output, features)


class PredictorLearner(Learner):
    """Of a cell: the values are the parameters of its predictor."""

    def __init__(
        self, subject: Subject, teacher: Teacher, phase: Phase, seed: int, precision: PredictorPrecision
    ) -> None:
        assert subject.fitted is not None
        self.teacher, self.losses = teacher, phase.losses
        layout = subject.fitted.layout.to(teacher.device)
        target = layout.rows([weight.to(teacher.device) for weight in subject.original.weights])
        self.predictor = subject.fitted.predictor.to(teacher.device)
        table = CoordinateTable(subject.fitted.coordinates, self.predictor.embedding).to(teacher.device)
        self.step = PredictorStep(self.predictor, table, layout, target, teacher.workers, precision)
        self.sampler = training_sampler(phase, layout, target, seed)

    def gradients(self, values: Mapping[str, Array], step: int, images: Tensor) -> tuple[dict[str, Tensor], StepLosses]:
        """A step of a fit, without its update."""
        parameters = dict(self.predictor.named_parameters())
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(torch.from_numpy(values[name]))
        losses = self.step.distill(self.sampler.draw(step), self.losses, images, self.teacher.distill)
        return {name: p.grad.cpu() for name, p in parameters.items() if p.grad is not None}, losses


class Distilled:
    """A point's arrays after the phase, as they are stored."""

    def __init__(
        self,
        config: Config,
        target: Cell | OriginalCell,
        subject: Subject,
        device: torch.device,
        workers: Workers,
        key: str,
    ) -> None:
        """Prepare the training.

        Args:
            config: the configuration.
            target: the cell or the original.
            subject: what is coded.
            device: where it is trained.
            workers: threads of it.
            key: what a resumable state belongs to: settings, code, inputs.
        """
        self.target, self.subject, self.key = target, subject, key
        self.save_every = config.execution.save_every
        self.protocol, self.phase = compression_phase(config, target)
        self.clip = config.compression.clip
        self.warmup = config.compression.warmup
        self.seed = target.seed if isinstance(target, Cell) else 0
        self.teacher = Teacher(config, target.task, subject.original, self.protocol.precision, device, workers)
        self.teacher.check(
            self.phase.losses, self.seed, target.path, f"variants.{config.compression.variant}.distillation.losses"
        )

    def encode(self, name: str, point: Point, folder: Path) -> tuple[bytes, float]:
        """Train one point, from its saved state if there is one; returns its bytes, and what attempts before took.

        Raises:
            NernError: a loss is no longer finite.
        """
        assert point.rate is not None
        learner = self._learner()
        arrays = coded(point.codec, self.subject.arrays)
        optimizer = torch.optim.Adam(list(arrays.parameters.values()), betas=self.phase.optimizer.betas)
        state = checkpoint.State(folder, f"{self.key}/{name}")
        saved = state.load(log.warning)
        said, device = saved and saved[1], self.teacher.device
        clock = Run(folder, name, self.phase.iterations, device, saved=said, save_every=self.save_every)
        if saved is not None:
            _restore(saved[0], arrays, optimizer)
        batches = self.teacher.batches(
            self.protocol.inputs, batch=self.phase.batch, seed=self.seed, purpose="fit/distillation"
        )
        with contextlib.closing(clock), batches:
            for step in range(clock.first, self.phase.iterations):
                gradients, losses = learner.gradients(arrays.values(), step, batches.batch(step))
                arrays.backward(gradients)
                torch.nn.utils.clip_grad_norm_(arrays.parameters.values(), self.clip)
                schedule = (self.phase.iterations, point.rate, self.phase.optimizer.final_lr, self.warmup)
                optimizer.param_groups[0]["lr"] = cosine_lr(step, *schedule)
                optimizer.step()
                self._stop_if_not_finite(name, losses, step + 1)
                clock.step(step + 1, **({"loss": losses.reconstruction.item()} if clock.wants_line() else {}))
                if step + 1 < self.phase.iterations and clock.wants_save():
                    state.save(_tensors(arrays, optimizer), clock.facts(step + 1))
        arrays.values()
        return arrays.encode(), clock.seconds_before

    def _learner(self) -> Learner:
        if self.subject.fitted is None:
            return KernelLearner(self.subject, self.teacher, self.phase)
        precision = self.protocol.predictor_precision
        return PredictorLearner(self.subject, self.teacher, self.phase, self.seed, precision)

    def _stop_if_not_finite(self, name: str, losses: StepLosses, step: int) -> None:
        for value in (losses.reconstruction, losses.output, losses.features):
            if value is not None and not math.isfinite(value.item()):
                raise NernError(
                    f"{self.target.path}: {name}: a loss is {value.item()} at iteration {step}; lower its learning "
                    "rate in compression"
                )


def _tensors(arrays: Coded, optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    tensors = dict(arrays.parameters)
    for name, parameter in arrays.parameters.items():
        tensors |= {f"optimizer.{key}.{name}": torch.as_tensor(v) for key, v in optimizer.state[parameter].items()}
    return tensors


def _restore(tensors: Mapping[str, Tensor], arrays: Coded, optimizer: torch.optim.Adam) -> None:
    for name, parameter in arrays.parameters.items():
        parameter.copy_(tensors[name])
        for key in ("step", "exp_avg", "exp_avg_sq"):
            optimizer.state[parameter][key] = tensors[f"optimizer.{key}.{name}"].clone()
