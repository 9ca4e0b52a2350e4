"""Accuracy of a network, in per cent, on a task's test images."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nern.method.workers import Workers

TEST_BATCH = 125
"""Images that go through a network at once: enough batches for several threads."""


@dataclass(frozen=True)
class Predictions:
    """What a network says of the test images: the five likeliest classes (or all), best first, and the labels."""

    classes: Tensor
    labels: Tensor

    def top(self, k: int) -> float:
        """Per cent of images whose label is among the k likeliest classes."""
        hits = (self.classes[:, :k] == self.labels.unsqueeze(1)).any(dim=1)
        return 100 * hits.sum().item() / len(hits)

    def agreement(self, other: "Predictions") -> float:
        """Per cent of images on which both say the same class."""
        same = self.classes[:, 0] == other.classes[:, 0]
        return 100 * same.sum().item() / len(same)


def predict(module: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], workers: Workers) -> Predictions:
    """Run a network in evaluation mode over batches of images [b, C, H, W] and labels [b]; results on the CPU."""
    was_training = module.training
    module.eval()

    @torch.no_grad()  # of each thread
    def of_batch(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        logits = module(batch[0])
        # stable order: of equal logits the lower class first, on every device
        return logits.sort(dim=1, descending=True, stable=True).indices[:, :5], batch[1]

    classes, labels = zip(*workers.map(of_batch, batches), strict=True)
    module.train(was_training)
    return Predictions(torch.cat(classes).cpu(), torch.cat(labels).cpu())
