"""The original as a teacher: what a distillation step asks it for."""

import torch
from torch import Tensor

from nern.config import Config
from nern.data.batches import TrainingBatches, training_batches
from nern.errors import NernError
from nern.method.distillation import Distillation, distillation_gradient
from nern.method.workers import Workers
from nern.networks.graph import FunctionalNetwork
from nern.settings import Inputs, Losses, Precision
from nern.stages.artifacts import TrainedOriginal


class Teacher:
    """An original whose outputs and feature maps a network with other kernels is to have."""

    def __init__(
        self,
        config: Config,
        task: str,
        original: TrainedOriginal,
        precision: Precision,
        device: torch.device,
        workers: Workers,
    ) -> None:
        self.config, self.task, self.precision, self.device, self.workers = config, task, precision, device, workers
        self.module = original.module.to(device)
        self.network = FunctionalNetwork(self.module, original.layers)
        with torch.no_grad():
            self.folded = self.network.fold(self.network.kernels)

    def check(self, losses: Losses, seed: int, path: str, where: str) -> None:
        """Refuse, before the first step, a network that cannot be distilled by a phase's losses.

        Args:
            losses: of a phase whose steps run the network.
            seed: of the noise that the network is tried on.
            path: of the cell or the original, for messages.
            where: the losses' place in the configuration.

        Raises:
            NernError: there are no feature maps to distill, or the network's graph is not the network.
        """
        if losses.beta and not self.network.maps:
            raise NernError(
                f"{path}: no tensor of {type(self.module).__name__} enters an activation of torch.nn, so there are no "
                f"feature maps; set {where}.beta to 0"
            )
        noise = self.batches("normal", batch=2, seed=seed, purpose="fit/check")
        self.network.check(self.module, noise.batch(0))

    def batches(self, inputs: Inputs, *, batch: int, seed: int, purpose: str) -> TrainingBatches:
        """The inputs of a phase."""
        return training_batches(
            self.config,
            self.task,
            inputs,
            batch=batch,
            seed=seed,
            purpose=purpose,
            device=self.device,
            channels_last=True,
        )

    def distill(self, images: Tensor, kernels: list[Tensor], losses: Losses) -> Distillation:
        """Gradients of α·L_KD + β·L_FMD in the kernels, and both losses (`nern.method.distillation`)."""
        return distillation_gradient(
            self.network,
            images,
            self.folded,
            kernels,
            alpha=losses.alpha,
            beta=losses.beta,
            epsilon=losses.epsilon,
            precision=self.precision,
            workers=self.workers,
            sums_twice=losses.sums_twice,
        )
