"""The optimizers of the predictor: Ranger, the paper's (section 4), and Muon and Adam, for the decoupled protocol.

Muon (Jordan et al. 2024) orthogonalizes the momentum of each weight matrix. It is not the paper's; where only weights
are to be reconstructed it needs about a tenth of Ranger's iterations (docs/laptop.md). Ranger's first five steps are as
long as the gradient: in the distillation of a deep network they may lead away. Adam's are not (docs/fidelity.md).
"""

import contextlib
import io

import torch
from ranger_adabelief import RangerAdaBelief
from torch import Tensor

from nern.method.predictor import CoordinateMLP
from nern.method.workers import Workers
from nern.settings import Optimizer


class PredictorOptimizer:
    """One optimizer over all parameters of a predictor, with a state that can be saved and restored to the byte."""

    def __init__(self, predictor: CoordinateMLP, settings: Optimizer, workers: Workers) -> None:
        self.parameters, self.workers = list(predictor.parameters()), workers
        self.parts: list[torch.optim.Optimizer]
        lr, betas, decay = settings.lr, settings.betas, settings.weight_decay
        if settings.name == "muon":
            # Muon is defined on matrices only, and treats each by itself: one optimizer each, for the threads to share.
            # Matched to Adam's step size, matrices and biases take one learning rate.
            matrices = [parameter for parameter in self.parameters if parameter.dim() == 2]
            biases = [parameter for parameter in self.parameters if parameter.dim() == 1]
            self.parts = [
                torch.optim.Muon(
                    [matrix],
                    lr=lr,
                    momentum=betas[0],
                    weight_decay=decay,
                    adjust_lr_fn="match_rms_adamw",
                )
                for matrix in matrices
            ]
            self.parts.append(torch.optim.AdamW(biases, lr=lr, betas=betas, weight_decay=decay))
        elif settings.name == "adam":
            self.parts = [torch.optim.AdamW(self.parameters, lr=lr, betas=betas, weight_decay=decay)]
        else:
            with contextlib.redirect_stdout(io.StringIO()):  # it announces itself, which is of no use in a log
                self.parts = [
                    RangerAdaBelief(
                        self.parameters,
                        adabelief=settings.adabelief,
                        use_gc=settings.centralize,
                        lr=lr,
                        betas=betas,
                        weight_decay=decay,
                    )
                ]

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
