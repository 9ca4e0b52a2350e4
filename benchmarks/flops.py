"""Floating-point operations of a step, a multiplication and an addition as two, and the time they take at least.

Counted is what no program of this method can leave out: products of matrices, and convolutions in their direct form.
"""

import torch
from torch import Tensor, nn

from benchmarks.problem import Problem


@torch.no_grad()
def convolutions(module: nn.Module, images: Tensor) -> list[int]:
    """FLOPs of every convolution of one forward pass, in the order in which they run."""
    found: list[int] = []

    def count(layer: nn.Conv2d, _: object, output: Tensor) -> None:
        found.append(2 * output.numel() * layer.weight[0].numel())

    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    try:
        module(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def networks(problem: Problem) -> int:
    """Of a distillation step: the original forward, the reconstructed network forward and backward.

    Backward is a pass for the gradients in the weights and one for those in the inputs; the images need none.
    """
    layers = convolutions(problem.module, problem.images)
    return 4 * sum(layers) - layers[0]


def predictor(problem: Problem, forward: int, backward: int) -> int:
    """Of the predictor: forward on so many kernels, gradients of so many.

    The first layer is a sum of one product per distinct index (nern.method.predictor), so it is counted on those.
    """
    later = sum(layer.weight.numel() for layer in problem.predictor.linears[1:])
    first = sum(part.numel() for part in problem.table.parts) * problem.predictor.linears[0].out_features
    return 2 * (forward * later + first) + 2 * (2 * backward * later + first)


def distillation(problem: Problem) -> int:
    """Of a full step: all kernels are predicted, the sampled ones get gradients."""
    return networks(problem) + predictor(problem, len(problem.target), problem.sampler.count)


def reconstruction(problem: Problem) -> int:
    """Of a step on L_recon alone: only the sample is predicted."""
    return predictor(problem, problem.sampler.count, problem.sampler.count)
