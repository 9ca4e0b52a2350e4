"""What a network says of a task's test images, and how near that is to the labels and to another network."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nern.errors import NernError
from nern.method.workers import Workers

TEST_BATCH = 125
"""Images that go through a network at once: enough batches for several threads."""
_PIECE = 1000
"""Images whose divergence is computed at once: of ImageNet's, all at once would take a gigabyte."""


class NotFiniteError(NernError):
    """A network says nothing of some images."""


@dataclass(frozen=True)
class Predictions:
    """What a network says of the test images.

    Attributes:
        classes: [n, 5] the five likeliest classes (or all), best first.
        labels: [n].
        log_probabilities: [n, classes], the logarithms of the softmax outputs.
    """

    classes: Tensor
    labels: Tensor
    log_probabilities: Tensor

    @property
    def hits(self) -> Tensor:
        """[n] whether the likeliest class is the label."""
        return self.classes[:, 0] == self.labels

    def top(self, k: int) -> float:
        """Per cent of images whose label is among the k likeliest classes."""
        hits = (self.classes[:, :k] == self.labels.unsqueeze(1)).any(dim=1)
        return 100 * hits.sum().item() / len(hits)

    def agreement(self, other: "Predictions") -> float:
        """Per cent of images on which both say the same class."""
        same = self.classes[:, 0] == other.classes[:, 0]
        return 100 * same.sum().item() / len(same)

    def divergence(self, original: "Predictions") -> float:
        """KL(original ‖ this) of the softmax outputs in nats, averaged over the images; exact, without METHOD's ε."""
        total = 0.0
        pairs = zip(original.log_probabilities.split(_PIECE), self.log_probabilities.split(_PIECE), strict=True)
        for p, q in pairs:
            # again: what is stored in 16 bits no longer adds up to 1
            log_p, log_q = (torch.log_softmax(part.double(), dim=1) for part in (p, q))
            total += (log_p.exp() * (log_p - log_q)).sum().item()
        return max(total / len(self.labels), 0.0)  # of equal networks rounding may leave −1e-17

    def against(self, original: "Predictions") -> dict[str, float]:
        """How near a reconstructed network's predictions are to its original's, by the names of metrics.json."""
        return {
            "accuracy": self.top(1),
            "agreement": self.agreement(original),
            "divergence": self.divergence(original),
            "won_images": int((self.hits & ~original.hits).sum()),
            "lost_images": int((original.hits & ~self.hits).sum()),
        }


def predict(module: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], workers: Workers, where: str) -> Predictions:
    """Run a network in evaluation mode over batches of images [b, C, H, W] and labels [b]; results on the CPU.

    Args:
        module: the network.
        batches: of test images.
        workers: threads that each take whole batches.
        where: whose network it is, for messages.

    Raises:
        NotFiniteError: a logit is NaN or infinite. Some class would be the likeliest all the same.
    """
    was_training = module.training
    module.eval()

    @torch.no_grad()  # of each thread
    def of_batch(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        logits = module(batch[0])
        # stable order: of equal logits the lower class first, on every device
        classes = logits.sort(dim=1, descending=True, stable=True).indices[:, :5]
        return classes.cpu(), batch[1].cpu(), torch.log_softmax(logits.float(), dim=1).cpu()

    parts = zip(*workers.map(of_batch, batches), strict=True)
    module.train(was_training)
    found = Predictions(*(torch.cat(part) for part in parts))
    _check_finite(found, where)
    return found


def _check_finite(found: Predictions, where: str) -> None:
    wrong = int((~found.log_probabilities.isfinite().all(dim=1)).sum())
    if wrong:
        raise NotFiniteError(
            f"{where}: its logits of {wrong} of {len(found.labels)} test images are NaN or infinite; look for what is "
            "wrong with its weights, such as a variance below 0, and make or fetch them again"
        )
