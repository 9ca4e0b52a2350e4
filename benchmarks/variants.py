"""The training step here and as a plain program writes it: the same gradients by different means."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.problem import Problem, Setting
from benchmarks.straightforward import StraightforwardStep
from nern.method.distillation import Distillation, distillation_gradient
from nern.method.optimizers import PredictorOptimizer
from nern.method.sampling import Sample
from nern.method.training import PredictorStep
from nern.networks.graph import FunctionalNetwork
from nern.settings import Losses

Gradient = Callable[[Sample], object]
"""Sets the gradients of a problem's predictor for one sample of its kernels."""
Work = Callable[[int], None]
"""One iteration, by its number."""

RECONSTRUCTION = Losses(alpha=0, beta=0)
RATE = 1e-4
"""Learning rate of the measured iterations: what it is changes no time."""


def distillation(problem: Problem) -> Gradient:
    """The full step of a fit (nern.stages.fit)."""
    forward = _step(problem)
    network = FunctionalNetwork(problem.module, problem.layers)
    with torch.no_grad():
        teacher = network.fold(network.kernels)

    def distiller(images: Tensor, kernels: list[Tensor], losses: Losses) -> Distillation:
        return distillation_gradient(
            network,
            images,
            teacher,
            kernels,
            alpha=losses.alpha,
            beta=losses.beta,
            epsilon=losses.epsilon,
            precision=problem.precision,
            workers=problem.workers,
        )

    return lambda sample: forward.distill(sample, problem.losses, problem.images, distiller)


def _step(problem: Problem) -> PredictorStep:
    parts = (problem.predictor, problem.table, problem.layout, problem.target, problem.workers)
    return PredictorStep(*parts, problem.predictor_precision)


def reconstruction(problem: Problem) -> Gradient:
    """The step of a fit on L_recon alone."""
    forward = _step(problem)
    return lambda sample: forward.reconstruct(sample, RECONSTRUCTION)


def reconstruction_by_torchs_muon(problem: Problem) -> Gradient:
    """The same, with an optimizer that orthogonalizes in bfloat16, as torch's Muon does."""
    optimizer = problem.setting.phase.optimizer
    problem.optimizer = PredictorOptimizer(problem.predictor, optimizer, problem.workers, "bfloat16")
    return reconstruction(problem)


def plain_distillation(problem: Problem) -> Gradient:
    """The full step by modules and autograd, in PyTorch's default layout of images."""
    step, images = _straightforward(problem), problem.images.contiguous()
    return lambda sample: step(sample.indices, images, problem.losses)


def plain_reconstruction(problem: Problem) -> Gradient:
    """L_recon by modules and autograd as the paper does it: all kernels predicted, the sampled ones get gradients."""
    step = _straightforward(problem)
    return lambda sample: step(sample.indices, problem.images, RECONSTRUCTION)


def sampled_reconstruction(problem: Problem) -> Gradient:
    """The algorithm of `reconstruction` by modules and autograd: the sample alone is predicted."""
    predictor, target, mask = problem.predictor, problem.target, problem.layout.mask(problem.target.device)
    embedding = predictor.embedding(problem.coordinates)
    factor = 1 if mask is None else mask

    with torch.no_grad():
        errors = ((predictor.after_embedding(embedding) - target) * factor).square().sum(1)

    def gradient(sample: Sample) -> Tensor:
        indices = sample.indices
        error = predictor.after_embedding(embedding[indices]) - target[indices]
        squared = (error if mask is None else error * mask[indices]).square().sum(1)
        errors[indices] = squared.detach()
        own = (squared if sample.weights is None else squared * sample.weights).sum()
        loss = ((errors.sum() - own.detach() + own) / problem.layout.parameters).sqrt()
        predictor.zero_grad()
        loss.backward()
        return loss.detach()

    return gradient


def _straightforward(problem: Problem) -> StraightforwardStep:
    return StraightforwardStep(problem.module, problem.layers, problem.predictor, problem.layout, problem.coordinates)


VARIANTS: dict[str, Callable[[Problem], Gradient]] = {
    "distillation": distillation,
    "distillation, straightforward": plain_distillation,
    "reconstruction": reconstruction,
    "reconstruction, straightforward": plain_reconstruction,
    "reconstruction, autograd on the sample": sampled_reconstruction,
    "reconstruction, torch's Muon": reconstruction_by_torchs_muon,
}


def prepared(setting: Setting, name: str) -> Work:
    """A whole iteration of a variant: sampling, gradients and the optimizer; sets up torch's threads for it."""
    in_pieces = VARIANTS[name] in (distillation, reconstruction, reconstruction_by_torchs_muon)
    device = setting.start(1 if in_pieces else setting.threads)
    problem = Problem(setting, device)
    return iteration(problem, VARIANTS[name](problem))


def iteration(problem: Problem, gradient: Gradient) -> Work:
    """Sampling, gradients and the optimizer."""

    def work(step: int) -> None:
        gradient(problem.sampler.draw(step))
        problem.optimizer.step(RATE)

    return work


def matrix_product(setting: Setting, size: int) -> Work:
    """One product of two square matrices, size³ multiplications and additions."""
    device = setting.start(setting.threads)
    left, right = (torch.randn(size, size, device=device) / math.sqrt(size) for _ in range(2))
    out = torch.empty_like(left)

    def work(_: int) -> None:
        torch.mm(left, right, out=out)

    return work
