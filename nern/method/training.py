"""One step of training the predictor (paper, sections 3.2 to 3.4).

The paper predicts every kernel in every step and lets only a sample of them pass gradients back. Here:

- With distillation, all kernels are predicted. Then the gradient of the objective in these kernels is computed. Then
  the sampled ones are predicted again, and their share is carried back: the same gradient. Where all kernels get
  gradients, and memory allows, activations are kept instead.
- Without distillation, only the sample is predicted. L_recon's gradient at a kernel is the kernel's error divided by
  the RMSE of all kernels. That one number comes from a table of each kernel's squared error when it was last sampled.
  The table starts exact, and every kernel is seen again after a few steps.

L_recon is a root, with a kink where the reconstruction is perfect. Its gradient there is 0, the least subgradient, and
so it is wherever the error is only rounding: else the step would have full length and a direction of chance.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nern.method.backpropagation import PredictorPass
from nern.method.distillation import Distillation
from nern.method.kernels import KernelLayout
from nern.method.predictor import CoordinateMLP, CoordinateTable
from nern.method.reordering import better_places, better_places_in_filters
from nern.method.sampling import Sample, Sampler
from nern.method.workers import Workers
from nern.seeding import generator
from nern.settings import Losses, Phase, PredictorPrecision

ROUNDING = 32
"""‖W − Ŵ‖₂ up to so many machine epsilons times ‖W‖₂ is rounding; two orders of summation differ by about 4."""


class Distiller(Protocol):
    """Gives the gradient of α·L_KD + β·L_FMD with respect to the reconstructed kernels on a batch of images."""

    def __call__(self, images: Tensor, kernels: list[Tensor], losses: Losses) -> Distillation:
        """Gradients of each layer's shape, L_KD and L_FMD."""


@dataclass(frozen=True)
class StepLosses:
    """The losses of one step, scalars on the device. L_KD and L_FMD are None where they were not computed."""

    reconstruction: Tensor
    output: Tensor | None = None
    features: Tensor | None = None


def cosine_lr(step: int, steps: int, start: float, end: float, rise: float = 0.0) -> float:
    """The learning rate of step 0 … steps − 1: half a cosine from `start` down towards `end`.

    In the share `rise` of the steps a factor rises to 1. An optimizer that divides by the gradient's size takes first
    steps as long as the rate, however short the gradient: from a predictor that is near they lead away.
    """
    cosine = end + (start - end) * (1 + math.cos(math.pi * step / steps)) / 2
    return cosine * min(1.0, (step + 1) / (math.ceil(rise * steps) + 1))


class PredictorStep:
    """Gradients of the objective in the predictor's parameters."""

    def __init__(
        self,
        predictor: CoordinateMLP,
        table: CoordinateTable,
        layout: KernelLayout,
        target: Tensor,
        workers: Workers,
        precision: PredictorPrecision = "float32",
    ) -> None:
        """Set up the step.

        Args:
            predictor: its parameters get the gradients.
            table: coordinates of all kernels, in the layout's order.
            layout: between rows and weights.
            target: rows [n, k²] of the original's kernels.
            workers: threads for the predictor's passes.
            precision: of the predictor's passes.
        """
        self.layout, self.target, self.workers = layout, target, workers
        self.passes = PredictorPass(predictor, table, workers, precision)
        self.mask = layout.mask(target.device)
        self.rounding = ROUNDING * torch.finfo(target.dtype).eps * target.norm()
        self.errors = self._squared_errors()

    def _error(self, predicted: Tensor, indices: Tensor | None = None) -> Tensor:
        target, mask = self.target, self.mask
        if indices is not None:
            target = target.index_select(0, indices)
            mask = None if mask is None else mask.index_select(0, indices)
        error = predicted - target
        return error if mask is None else error.mul_(mask)

    @torch.no_grad()
    def _squared_errors(self) -> Tensor:
        """[n] the squared error of every kernel now."""
        return self._error(self.passes.predict()).square().sum(1)

    @torch.no_grad()
    def reorder(self, mode: str, rounds: int, seed: int, purpose: str, step: int) -> None:
        """Let kernels change places in their layer where that lowers L_recon.

        Args:
            mode: "cross-filter"; or "in-filter", where they change places in their filter, and filters in their layer.
            rounds: as `better_places` takes them.
            seed: of the cell.
            purpose: of the random stream, which each layer has one of.
            step: of the phase.
        """
        predicted = self.passes.predict()
        if not bool(predicted.isfinite().all()):
            return  # the fit ends by its loss

        def of_layer(layer: int) -> Tensor:
            own = generator(seed, f"{purpose}/reordering/{layer}", step)
            if mode == "in-filter":
                filters = self.layout.shapes[layer][0]
                return better_places_in_filters(targets[layer], predictions[layer], filters, rounds, own)
            return better_places(targets[layer], predictions[layer], rounds, own)

        targets, predictions = self.target.split(self.layout.counts), predicted.split(self.layout.counts)
        places = self.workers.map(of_layer, range(len(targets)))
        orders = [order[better.to(order.device)] for order, better in zip(self.layout.orders, places, strict=True)]
        self.order(orders)
        self.errors = self._error(predicted).square().sum(1)

    def order(self, orders: list[Tensor]) -> None:
        """Set the order of each layer's kernels; the errors stay those of the places."""
        weights = self.layout.weights(self.target)
        self.layout = KernelLayout(self.layout.shapes, [order.to(self.target.device) for order in orders])
        self.target = self.layout.rows(weights)

    def _reconstruction(self, losses: Losses) -> tuple[Tensor, Tensor]:
        """L_recon, and the factor that turns an error into its gradient."""
        norm, count = self.errors.sum().sqrt(), self.layout.parameters
        over = count if losses.form == "text" else math.sqrt(count)
        return norm / over, torch.where(norm > self.rounding, losses.reconstruction / (over * norm), 0.0)

    def reconstruct(self, sample: Sample, losses: Losses) -> StepLosses:
        """A step on L_recon alone: no network is run, and only the sample is predicted."""
        squares = self.errors.new_empty(len(sample.indices))

        def error_of(kernels: Tensor, part: slice) -> Tensor:
            error = self._error(kernels, sample.indices[part])
            squares[part] = error.square().sum(1)
            return _weighted(error, sample, part)

        self.passes.backward(sample.indices, error_of)
        # at once: copies of a kernel may be in several threads' pieces, with other rounding
        self.errors[sample.indices] = squares
        # one factor for all kernels, known when all errors are: the gradients take it as well as the errors would
        loss, factor = self._reconstruction(losses)
        self.passes.scale(factor)
        return StepLosses(loss)

    def distill(self, sample: Sample, losses: Losses, images: Tensor, distiller: Distiller) -> StepLosses:
        """A step on the whole objective, on a batch of images."""
        keep = sample.weights is None and len(sample.indices) == len(self.target) and self.passes.fits
        rows = self.passes.predict_and_keep() if keep else self.passes.predict()
        gradients, output, features = distiller(images, self.layout.weights(rows), losses)
        error = self._error(rows)
        self.errors = error.square().sum(1)
        loss, factor = self._reconstruction(losses)
        gradient = error * factor + self.layout.rows(gradients)
        if keep:
            self.passes.backward_of_kept(gradient)
        else:
            gradient = gradient.index_select(0, sample.indices)
            self.passes.backward(sample.indices, lambda _, part: _weighted(gradient[part], sample, part))
        return StepLosses(loss, output, features)


def _weighted(gradient: Tensor, sample: Sample, part: slice) -> Tensor:
    """The gradient [p, k²] of a part of the sample, each copy of a kernel with its weight."""
    return gradient if sample.weights is None else gradient * sample.weights[part].unsqueeze(1)


def training_sampler(phase: Phase, layout: KernelLayout, target: Tensor, seed: int) -> Sampler:
    """The sampler of a phase; `target` are the original's rows [n, k²]."""
    sampling = phase.sampling
    return Sampler(
        sampling.method,
        sampling.kernels,
        layers=layout.counts,
        norms=target.norm(dim=1),
        uniform_probability=sampling.uniform_probability,
        seed=seed,
    )
