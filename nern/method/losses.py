"""The three losses of the objective L = L_recon + α·L_KD + β·L_FMD (paper, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

FEATURE_EPSILON = 1e-3
"""Added to a feature map's norm before dividing by it, as in the authors' code; the text has no such term."""


def reconstruction_loss(predicted: list[Tensor], original: list[Tensor]) -> Tensor:
    """The root of the mean squared error over all learnable weights, the code's form of L_recon.

    Args:
        predicted: weights of each learnable layer, any shapes.
        original: the original's, of the same shapes.

    Returns:
        A scalar.
    """
    return (squared_error(predicted, original) / sum(w.numel() for w in original)).sqrt()


def reconstruction_loss_text(predicted: list[Tensor], original: list[Tensor]) -> Tensor:
    """The text's form of L_recon, ‖W − Ŵ‖₂ / |W|; a scalar."""
    return squared_error(predicted, original).sqrt() / sum(w.numel() for w in original)


def squared_error(predicted: list[Tensor], original: list[Tensor]) -> Tensor:
    """The sum of squared errors over all weights; a scalar."""
    return torch.stack([(p - o).square().sum() for p, o in zip(predicted, original, strict=True)]).sum()


def feature_distillation_loss(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """L_FMD: squared distance of ℓ2-normalized feature maps, summed over maps, averaged over the batch.

    Args:
        student: maps of the reconstructed network, each [batch, …].
        teacher: maps of the original, of the same shapes.

    Returns:
        A scalar. Each sample's map m enters as m / (‖m‖ + 1e-3).
    """
    total = student[0].new_zeros(())
    for ours, theirs in zip(student, teacher, strict=True):
        difference = _normalized(ours) - _normalized(theirs)
        total = total + difference.square().sum(dim=1).mean()
    return total


def _normalized(maps: Tensor) -> Tensor:
    flat = maps.flatten(start_dim=1)
    norm: Tensor = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
    return flat / (norm + FEATURE_EPSILON)


def output_distillation_loss(student_logits: Tensor, teacher_logits: Tensor, *, epsilon: float = 1e-4) -> Tensor:
    """L_KD: KL(original ‖ reconstructed) of the softmax outputs, averaged over the batch.

    Args:
        student_logits: [batch, classes].
        teacher_logits: [batch, classes].
        epsilon: added to the student's probabilities before the logarithm, as in the authors' code; 0 is the exact KL.

    Returns:
        A scalar.
    """
    teacher = F.log_softmax(teacher_logits, dim=1)
    student = F.log_softmax(student_logits, dim=1)
    if epsilon:
        student = (student.exp() + epsilon).log()
    return (teacher.exp() * (teacher - student)).sum(dim=1).mean()
