"""The distillation step as a plain program would write it: the oracle of the tests and the baseline of the benchmarks.

Both networks are the original's modules as they are, feature maps come from hooks, all kernels are predicted with a
graph and the others than the sampled ones cut off, and autograd goes through everything.
"""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nern.config import Losses
from nern.method.kernels import KernelLayout
from nern.method.losses import feature_distillation_loss, output_distillation_loss, reconstruction_loss
from nern.method.predictor import Predictor


class StraightforwardStep:
    """Gradients of the whole objective in a predictor's parameters, by autograd alone. ReLU networks only."""

    def __init__(self, module: nn.Module, layers: list[str], predictor: Predictor, layout: KernelLayout) -> None:
        """Set up the step.

        Args:
            module: the original, with its activations as nn.ReLU modules or functions named in `maps_of`.
            layers: names of its learnable convolutions.
            predictor: its parameters get the gradients.
            layout: between rows and weights.
        """
        self.teacher, self.student = module.eval(), copy.deepcopy(module).eval()
        self.layers, self.predictor, self.layout = layers, predictor, layout
        parameters = dict(module.named_parameters())
        self.original = [parameters[f"{name}.weight"].detach() for name in layers]

    def __call__(self, coordinates: Tensor, sampled: Tensor, images: Tensor, losses: Losses) -> Tensor:
        """Set the gradients and return the loss.

        Args:
            coordinates: [n, 3] of all kernels.
            sampled: indices of the distinct kernels that get gradients.
            images: [b, C, H, W].
            losses: weights and ε.
        """
        rows = self.predictor(coordinates)
        chosen = torch.zeros(len(rows), 1, dtype=torch.bool).index_fill_(0, sampled, True)
        weights = self.layout.weights(torch.where(chosen, rows, rows.detach()))
        replaced = {f"{name}.weight": weight for name, weight in zip(self.layers, weights, strict=True)}
        teacher_logits, teacher_maps = maps_of(self.teacher, {}, images)
        logits, maps = maps_of(self.student, replaced, images)
        loss = losses.reconstruction * reconstruction_loss(weights, self.original)
        loss = loss + losses.alpha * output_distillation_loss(logits, teacher_logits.detach(), epsilon=losses.epsilon)
        loss = loss + losses.beta * feature_distillation_loss(maps, [a.detach() for a in teacher_maps])
        self.predictor.zero_grad()
        loss.backward()
        return loss.detach()


def maps_of(module: nn.Module, replaced: dict[str, Tensor], images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits, and the tensors that enter torch.nn.functional.relu or an nn.ReLU module during the forward pass."""
    maps: list[Tensor] = []
    plain = nn.functional.relu

    def recording(x: Tensor, inplace: bool = False) -> Tensor:
        maps.append(x)
        return plain(x)

    nn.functional.relu = recording  # type: ignore[assignment]
    try:
        logits = functional_call(module, replaced, (images,))
    finally:
        nn.functional.relu = plain
    return logits, maps
