"""Which kernels get gradients in a step (paper, section 3.4): layer, uniform or magnitude.

A sample is a set: a kernel that is drawn twice gets its gradient once. Draws with replacement therefore come with
weights that sum to one over the copies of a kernel, which needs no data-dependent shape and so no wait for the device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nern.seeding import derive


@dataclass(frozen=True)
class Sample:
    """Kernels of one step: their indices [m], and the weight [m] of each copy; None where all are distinct."""

    indices: Tensor
    weights: Tensor | None


class Sampler:
    """Draws kernels by name of stream and step, on one device."""

    def __init__(
        self, method: str, count: int, *, layers: list[int], norms: Tensor, uniform_probability: float, seed: int
    ) -> None:
        """Set up a sampler.

        Args:
            method: layer, uniform, magnitude or all.
            count: kernels to draw, at most all there are. A random layer is taken whole where it is smaller.
            layers: number of kernels of each layer, in order.
            norms: [n] ℓ2 norms of the original's kernels (magnitude).
            uniform_probability: share of the magnitude method's steps that draw uniformly.
            seed: of the cell.
        """
        self.method, self.layers, self.uniform_probability, self.seed = method, layers, uniform_probability, seed
        self.total = len(norms)
        self.count = min(count, self.total)
        self.device = norms.device
        # torch.multinomial takes at most 2^24 categories; a cumulative sum and a binary search take any number
        # on the CPU, since a GPU adds up in an order of chance
        self.cumulative = norms.cpu().double().cumsum(0).to(norms.device) if bool((norms > 0).any()) else None
        self.generator = torch.Generator(norms.device)

    def draw(self, step: int) -> Sample:
        """The kernels of one step."""
        if self.method == "all" or (self.count == self.total and self.method != "layer"):
            return Sample(torch.arange(self.total, device=self.device), None)
        choice = derive(self.seed, "sampling-choice", step)
        self.generator.manual_seed(derive(self.seed, "sampling", step))
        if self.method == "layer":
            return Sample(self._layer(choice % len(self.layers)), None)
        uniform = self.method == "uniform" or choice / 2**63 < self.uniform_probability
        if uniform or self.cumulative is None:
            return Sample(self._distinct(self.total, self.count), None)
        return self._by_magnitude(self.cumulative)

    def _distinct(self, total: int, count: int) -> Tensor:
        return torch.randperm(total, generator=self.generator, device=self.device)[:count]

    def _layer(self, layer: int) -> Tensor:
        size = self.layers[layer]
        return sum(self.layers[:layer]) + self._distinct(size, min(size, self.count))

    def _by_magnitude(self, cumulative: Tensor) -> Sample:
        """With replacement, with probability proportional to the kernels' norms."""
        points = torch.rand(self.count, generator=self.generator, device=self.device, dtype=torch.float64)
        indices = torch.searchsorted(cumulative, points * cumulative[-1], right=True).clamp_(max=self.total - 1)
        copies = torch.zeros(self.total, device=self.device).scatter_add_(
            0, indices, torch.ones(self.count, device=self.device)
        )
        return Sample(indices, 1 / copies[indices])
