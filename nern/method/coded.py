"""Tensors that are trained while they are coded: a pass sees what the bytes hold, and gradients go straight through.

Of Ŵ = q · s with q = round(w / s), w and s are trained. The gradient in Ŵ passes to w as if there were no rounding,
and to s by the same rule (Esser et al. 2020, LSQ, eqs. 3 and 5). Of a codebook's Ŵ = s · c the centers c are trained,
too, and w, which decides which center is nearest. Scales are trained by their logarithm and centers at unit scale, so
that one learning rate suits all.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nern.codecs.base import Array, Arrays, Codec
from nern.codecs.entropy import EntropyCoded
from nern.codecs.scaled import Integers, Scaled, quotients
from nern.codecs.streams import Halves
from nern.codecs.vector import VectorChoice, VectorCodebook, cut, root_mean_squares


class Coded(ABC):
    """Arrays in training. On the CPU: a codec's values are the same on every machine.

    Attributes:
        parameters: what an optimizer trains, by name.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.parameters = {f"value.{name}": torch.from_numpy(array.copy()) for name, array in arrays.items()}
        self.matrices = [name for name in sorted(arrays) if arrays[name].ndim >= 2]
        self.vectors = [name for name in arrays if name not in self.matrices]

    def value(self, name: str) -> Tensor:
        """What an array would be if it were not coded."""
        return self.parameters[f"value.{name}"]

    def values(self) -> dict[str, Array]:
        """The arrays that the bytes stand for now, to the bit; vectors are stored in 16 bits."""
        return {name: self.value(name).half().float().numpy() for name in self.vectors} | self.choose()

    def backward(self, gradients: Mapping[str, Tensor]) -> None:
        """Set the gradients of the parameters from those in the last `values`."""
        for name, gradient in gradients.items():
            self.value(name).grad = gradient.clone()
        self.pass_on(gradients)

    @abstractmethod
    def choose(self) -> dict[str, Array]:
        """Choose what is stored of the matrices, and return what it stands for."""

    @abstractmethod
    def pass_on(self, gradients: Mapping[str, Tensor]) -> None:
        """Set the gradients of what is not `value`, and take from `value` what does not reach it."""

    @abstractmethod
    def encode(self) -> bytes:
        """The bytes of the last `values`."""

    def _half(self, scale: Tensor, growth: Tensor) -> Halves:
        """Scales that have grown by a logarithm."""
        return (scale * growth.exp()).half().numpy()

    def _vectors(self) -> dict[str, Array]:
        return {name: self.value(name).numpy() for name in self.vectors}


class CodedIntegers(Coded):
    """Integers times scales."""

    def __init__(self, codec: Scaled, arrays: Arrays) -> None:
        super().__init__(arrays)
        self.codec, self.chosen = codec, dict[str, tuple[Integers, Halves]]()
        self.first = {name: torch.from_numpy(codec.scales(arrays[name])).float() for name in self.matrices}
        self.parameters |= {f"growth.{name}": torch.zeros_like(scale) for name, scale in self.first.items()}

    def choose(self) -> dict[str, Array]:
        """The integers nearest to the values under the present scales."""
        for name, first in self.first.items():
            scales = self._half(first, self.parameters[f"growth.{name}"])
            self.chosen[name] = self.codec.integers(self.value(name).numpy(), scales), scales
        return {name: self.codec.values(*chosen) for name, chosen in self.chosen.items()}

    def pass_on(self, gradients: Mapping[str, Tensor]) -> None:
        """Inside of the clipping bounds w takes the gradient and s what rounding left; outside s takes it all."""
        for name, (integers, scales) in self.chosen.items():
            value = self.value(name)
            scale = torch.from_numpy(scales).float().view(-1, *[1] * (value.dim() - 1))
            quotient = torch.where(scale > 0, value / scale, 0.0)
            inside = quotient.abs() <= self.codec.largest
            assert value.grad is not None
            value.grad.mul_(inside)
            share = torch.from_numpy(integers.astype(np.float32)) - quotient * inside
            of_scale = (gradients[name] * share * scale).reshape(len(value), -1).sum(dim=1)
            self.parameters[f"growth.{name}"].grad = of_scale

    def encode(self) -> bytes:
        """The bytes of the last `values`."""
        return self.codec.pack(self.chosen, self._vectors())


class CodedLevels(CodedIntegers):
    """Integers times scales that have no part in choosing them: the step between levels is the matrix's own."""

    def pass_on(self, gradients: Mapping[str, Tensor]) -> None:
        """The matrix takes the gradient, and its scale what the integers take."""
        for name, (integers, scales) in self.chosen.items():
            unscaled = torch.from_numpy(integers.astype(np.float32)) * float(scales[0])
            self.parameters[f"growth.{name}"].grad = (gradients[name] * unscaled).sum().view(1)


class CodedVectors(Coded):
    """Centers of kernels times scales."""

    def __init__(self, codec: VectorCodebook, arrays: Arrays) -> None:
        super().__init__(arrays)
        self.codec, self.choice = codec, codec.choose({name: arrays[name] for name in self.matrices})
        self.shapes = {name: arrays[name].shape for name in self.matrices}
        self.sizes = codec.sizes(self.shapes)
        self.first = {name: torch.from_numpy(scales).float() for name, scales in self.choice.scales.items()}
        self.units = {name: torch.from_numpy(root_mean_squares(arrays[name])).float() for name in self.matrices}
        self.parameters |= {f"growth.{name}": torch.zeros_like(scale) for name, scale in self.first.items()}
        centers = {size: torch.from_numpy(each).float() for size, each in self.choice.centers.items()}
        self.parameters |= {f"centers.{size}": each for size, each in centers.items()}

    def choose(self) -> dict[str, Array]:
        """The center nearest to each vector of the values under the present scales."""
        growth = {name: self.parameters[f"growth.{name}"] for name in self.matrices}
        scales = {name: self._half(self.first[name], growth[name]) for name in self.matrices}
        units = {name: self._half(self.units[name], growth[name]) for name in self.matrices}
        centers = {size: self.parameters[f"centers.{size}"].half().numpy() for size in self.choice.centers}
        indices = {
            name: _nearest(cut(quotients(self.value(name).numpy(), units[name]), size), centers[size])
            for name, size in self.sizes.items()
        }
        self.choice = VectorChoice(centers, indices, scales)
        return self.codec.values(self.choice, self.shapes)

    def pass_on(self, gradients: Mapping[str, Tensor]) -> None:
        """A center takes what its vectors take, a scale what its filter takes."""
        totals = {size: torch.zeros_like(self.parameters[f"centers.{size}"]) for size in self.choice.centers}
        for name, size in self.sizes.items():
            scale = torch.from_numpy(self.choice.scales[name]).float()[:, None, None]
            vectors = torch.from_numpy(cut(gradients[name].numpy(), size))
            indices = torch.from_numpy(self.choice.indices[name])
            centers = torch.from_numpy(self.choice.centers[size]).float()[indices]
            totals[size].index_add_(0, indices.flatten(), (vectors * scale).flatten(0, 1))
            self.parameters[f"growth.{name}"].grad = (vectors * centers * scale).sum(dim=(1, 2))
        for size, total in totals.items():
            self.parameters[f"centers.{size}"].grad = total

    def encode(self) -> bytes:
        """The bytes of the last `values`."""
        return self.codec.pack(self.choice, self.shapes, self._vectors())


def _nearest(vectors: Array, centers: Halves) -> NDArray[np.int64]:
    """The index [F, n] of the nearest of centers [K, d] for vectors [F, n, d]."""
    flat, wide = torch.from_numpy(vectors).flatten(0, 1), torch.from_numpy(centers).float()
    # ‖v − c‖² without ‖v‖², which is the same for all centers
    found = torch.addmm(wide.square().sum(dim=1) / 2, flat, wide.T, alpha=-1).argmin(dim=1)
    return found.view(vectors.shape[:2]).numpy()


def coded(codec: Codec, arrays: Arrays) -> Coded:
    """Arrays to be trained while a codec stores them; it must be one of `nern.codecs.DISTILLABLE`."""
    if isinstance(codec, VectorCodebook):
        return CodedVectors(codec, arrays)
    if isinstance(codec, EntropyCoded):
        return CodedLevels(codec, arrays)
    assert isinstance(codec, Scaled), codec.kind
    return CodedIntegers(codec, arrays)
