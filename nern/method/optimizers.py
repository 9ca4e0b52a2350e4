"""The optimizers of the predictor: Ranger, the paper's (section 4), and Muon, for the decoupled protocol.

Muon (Jordan et al. 2024) orthogonalizes the momentum of each weight matrix. It is not the paper's; where only weights
are to be reconstructed it needs about a tenth of Ranger's iterations (docs/laptop.md). Ranger's first steps are as
long as the gradient, before its variance is known: in a deep network's distillation they may lead away. Muon's do not.
"""

import contextlib
import io

import torch
from ranger_adabelief import RangerAdaBelief
from torch import Tensor

from nern.method.muon import Muon
from nern.method.precision import predictor_dtype
from nern.method.predictor import CoordinateMLP
from nern.method.workers import Workers
from nern.settings import Optimizer, PredictorPrecision


class PredictorOptimizer:
    """One optimizer over all parameters of a predictor, with a state that can be saved and restored to the byte."""

    def __init__(
        self,
        predictor: CoordinateMLP,
        settings: Optimizer,
        workers: Workers,
        precision: PredictorPrecision = "float32",
    ) -> None:
        """Set up the optimizer; `precision` is of the predictor's passes, and of the products that Muon takes."""
        self.parameters, self.workers = list(predictor.parameters()), workers
        self.parts: list[torch.optim.Optimizer]
        if settings.name == "muon":
            matrices = [parameter for parameter in self.parameters if parameter.dim() == 2]
            biases = [parameter for parameter in self.parameters if parameter.dim() == 1]
            decay = settings.weight_decay
            # Muon is defined on matrices only, and treats each by itself: one optimizer each, for the threads to share.
            # Matched to Adam's step size, matrices and biases take one learning rate.
            self.parts = [
                Muon(
                    matrix,
                    lr=settings.lr,
                    momentum=settings.betas[0],
                    weight_decay=decay,
                    dtype=predictor_dtype(precision, matrix),
                )
                for matrix in matrices
            ]
            self.parts.append(torch.optim.AdamW(biases, lr=settings.lr, betas=settings.betas, weight_decay=decay))
            return
        with contextlib.redirect_stdout(io.StringIO()):  # it announces itself, which is of no use in a log
            ranger = RangerAdaBelief(
                self.parameters,
                lr=settings.lr,
                betas=settings.betas,
                weight_decay=settings.weight_decay,
                adabelief=settings.adabelief,
                use_gc=settings.centralize,
            )
        self.parts = [ranger]

    def step(self, lr: float) -> None:
        """Update the parameters from their gradients, at one learning rate."""
        for part in self.parts:
            part.param_groups[0]["lr"] = lr
        self.workers.map(lambda part: part.step(), self.parts)

    def tensors(self) -> dict[str, Tensor]:
        """The state, by names `<parameter>.<value>`."""
        return {
            f"{index}.{name}": torch.as_tensor(value)
            for part in self.parts
            for index, parameter in enumerate(self.parameters)
            if parameter in part.state
            for name, value in part.state[parameter].items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Set the state to what `tensors` returned."""
        for key, value in tensors.items():
            index, name = key.split(".")
            parameter = self.parameters[int(index)]
            for part in self.parts:
                if any(parameter is own for own in part.param_groups[0]["params"]):
                    # Ranger counts its steps in an int, Adam in a float tensor on the CPU
                    counts = name == "step" and isinstance(part, RangerAdaBelief)
                    placed = value if name == "step" else value.to(parameter.device)
                    part.state[parameter][name] = int(value) if counts else placed.clone()
