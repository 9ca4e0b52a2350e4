"""The distillation step as a plain program would write it: the oracle of the tests and the baseline of the benchmarks.

Both networks are the original's modules as they are, with gradients wherever PyTorch keeps them by default, feature
maps come from hooks, all kernels are predicted with a graph and the others than the sampled ones cut off, and autograd
goes through everything.
"""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nern.method.kernels import KernelLayout
from nern.method.losses import feature_distillation_loss, output_distillation_loss, reconstruction_loss
from nern.method.predictor import CoordinateMLP
from nern.settings import Losses


class StraightforwardStep:
    """Gradients of the whole objective in a predictor's parameters, by autograd alone. ReLU networks only."""

    def __init__(
        self, module: nn.Module, layers: list[str], predictor: CoordinateMLP, layout: KernelLayout, coordinates: Tensor
    ) -> None:
        """Set up the step.

        Args:
            module: the original, with its activations as nn.ReLU modules or functions named in `maps_of`.
            layers: names of its learnable convolutions.
            predictor: its parameters get the gradients.
            layout: between rows and weights.
            coordinates: [n, 3] of all kernels.
        """
        self.teacher, self.student = copy.deepcopy(module).eval(), copy.deepcopy(module).eval()
        self.layers, self.predictor, self.layout = layers, predictor, layout
        parameters = dict(self.teacher.named_parameters())
        self.original = [parameters[f"{name}.weight"].detach() for name in layers]
        # it never changes, so the authors' code too computes it once
        self.embedding = predictor.embedding(coordinates)

    def __call__(self, sampled: Tensor, images: Tensor, losses: Losses) -> Tensor:
        """Set the gradients and return the loss. Where distillation weighs nothing no network is run.

        Args:
            sampled: indices of the kernels that get gradients.
            images: [b, C, H, W].
            losses: weights and ε.
        """
        rows = self.predictor.after_embedding(self.embedding)
        chosen = torch.zeros(len(rows), 1, dtype=torch.bool, device=rows.device).index_fill_(0, sampled, True)
        weights = self.layout.weights(torch.where(chosen, rows, rows.detach()))
        loss = losses.reconstruction * reconstruction_loss(weights, self.original)
        if losses.alpha or losses.beta:
            replaced = {f"{name}.weight": weight for name, weight in zip(self.layers, weights, strict=True)}
            wanted, wanted_maps = maps_of(self.teacher, {}, images)
            logits, maps = maps_of(self.student, replaced, images)
            output = output_distillation_loss(logits, wanted.detach(), epsilon=losses.epsilon)
            features = feature_distillation_loss(maps, [each.detach() for each in wanted_maps])
            loss = loss + losses.alpha * output + losses.beta * features
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
