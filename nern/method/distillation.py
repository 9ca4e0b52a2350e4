"""The gradient of α·L_KD + β·L_FMD with respect to the reconstructed kernels (paper, section 3.2), fast and exact.

Three things make it fast; `nern.method.losses` has the definitions that it must equal:

- L_FMD compares a feature map a of the original with the map b of the reconstruction. It needs only ‖a‖², ‖b‖² and
  a·b. Its gradient in b is u·a + v·b, with two numbers u and v per sample. So no normalized copy of a map is stored.
- Images go through in chunks that fit the processor's cache, each in one thread; the losses are sums over samples, so
  gradients add up.
- The original runs without a graph, and the factors of batch normalization are applied once, not per image.

Where the networks run in 16 bits, these sums, the losses and the sums of gradients are still of 32.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nern.method.losses import FEATURE_EPSILON
from nern.method.precision import passes_in, widened
from nern.method.workers import Workers
from nern.networks.graph import FunctionalNetwork
from nern.settings import Precision

Distillation = tuple[list[Tensor], Tensor | None, Tensor | None]
"""Gradients in the kernels, of the kernels' shapes; L_KD and L_FMD, None where their weight is 0: not computed."""
CPU_CHUNK = 32
"""Images in a chunk on a CPU: the largest maps of a ResNet20 take 2 MB each then, about a core's share of the cache."""


class _DistilledMap(torch.autograd.Function):
    """The identity on a feature map b, that adds the gradient of its share of L_FMD to what flows back."""

    @staticmethod
    def forward(ctx: Any, ours: Tensor, theirs: Tensor, weight: float, times: int, total: Tensor) -> Tensor:
        """Add Σ over samples of ‖a/(‖a‖+ε) − b/(‖b‖+ε)‖² to `total`, so many times; `weight` is β / batch."""
        dims, a, b = tuple(range(1, ours.dim())), widened(theirs), widened(ours)
        norm_a = torch.linalg.vector_norm(a, dim=dims, keepdim=True)
        norm_b = torch.linalg.vector_norm(b, dim=dims, keepdim=True)
        dot = (b * a).sum(dim=dims, keepdim=True)
        over_a, over_b = 1 / (norm_a + FEATURE_EPSILON), 1 / (norm_b + FEATURE_EPSILON)
        # a norm may overflow: b / ∞ is 0 then and has no gradient, as by the plain formula in as many bits
        finite_a, finite_b = norm_a.isfinite(), norm_b.isfinite()
        cosine = torch.where(finite_a & finite_b, dot * over_a * over_b, 0.0)
        theirs_squared = torch.where(finite_a, (norm_a * over_a).square(), 0.0)
        ours_squared = torch.where(finite_b, (norm_b * over_b).square(), 0.0)
        total += times * (theirs_squared + ours_squared - 2 * cosine).sum()
        safe = norm_b.clamp_min(torch.finfo(norm_b.dtype).tiny)
        # d(‖b‖ / (‖b‖+ε))² / db = 2ε / (‖b‖+ε)³ · b; the rest comes from the cosine, through b and through ‖b‖
        weight = weight * times
        ours_factor = 2 * weight * (FEATURE_EPSILON * over_b**3 + cosine * over_b / safe)
        theirs_factor = -2 * weight * over_a * over_b
        ctx.save_for_backward(ours, theirs, ours_factor, theirs_factor)
        return ours.view_as(ours)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Gradient in b."""
        ours, theirs, ours_factor, theirs_factor = ctx.saved_tensors
        total = torch.addcmul(widened(gradient), widened(ours), ours_factor).addcmul_(widened(theirs), theirs_factor)
        return total.to(gradient.dtype), None, None, None, None


_distilled: Callable[..., Tensor] = _DistilledMap.apply


def _output_gradient(student: Tensor, teacher: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """L_KD summed over samples, and its gradient in the student's logits, in closed form."""
    log_p, p = F.log_softmax(teacher, dim=1), F.softmax(teacher, dim=1)
    if epsilon == 0:
        log_q = F.log_softmax(student, dim=1)
        return (p * (log_p - log_q)).sum(), log_q.exp() - p
    q = F.softmax(student, dim=1)
    share = p * q / (q + epsilon)  # −dL/dq · q
    loss = (p * (log_p - (q + epsilon).log())).sum()
    return loss, q * share.sum(dim=1, keepdim=True) - share


def distillation_gradient(
    network: FunctionalNetwork,
    images: Tensor,
    teacher: Sequence[Tensor],
    kernels: Sequence[Tensor],
    *,
    alpha: float,
    beta: float,
    epsilon: float,
    precision: Precision = "float32",
    workers: Workers,
    sums_twice: bool = False,
) -> Distillation:
    """Gradient of α·L_KD + β·L_FMD in the kernels.

    Args:
        network: of the original.
        images: [b, C, H, W] on the network's device.
        teacher: the original's folded weights, `network.fold(network.kernels)`.
        kernels: the reconstructed kernels, one tensor per learnable layer.
        alpha: weight of L_KD; with 0 the outputs are not compared.
        beta: weight of L_FMD; with 0 no feature map is kept.
        epsilon: of L_KD.
        precision: of both networks' passes.
        workers: threads that share the chunks of `CPU_CHUNK` images; on a GPU there is one chunk.
        sums_twice: whether the maps that are residual sums count twice in L_FMD.

    Returns:
        Gradients of the kernels' shapes, L_KD and L_FMD (None where its weight is 0).
    """
    batch = len(images)
    if alpha == 0 and beta == 0:
        return [torch.zeros_like(kernel) for kernel in kernels], None, None
    with torch.no_grad():
        folded = network.fold([kernel.detach() for kernel in kernels])
    times = [2 if sums_twice and is_sum else 1 for is_sum in network.sums]

    def of_chunk(part: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        with passes_in(precision, part.device):
            return _chunk_gradient(network, part, teacher, folded, alpha / batch, beta / batch, epsilon, times)

    chunk = CPU_CHUNK if images.device.type == "cpu" else batch
    (gradients, output, features), *others = workers.map(of_chunk, images.split(chunk))
    for more, more_output, more_features in others:
        for total, part in zip(gradients, more, strict=True):
            total += part
        output += more_output
        features += more_features
    computed_output, computed_features = output / batch if alpha else None, features / batch if beta else None
    return network.unfold_gradient(gradients), computed_output, computed_features


def _chunk_gradient(
    network: FunctionalNetwork,
    images: Tensor,
    teacher: Sequence[Tensor],
    folded: Sequence[Tensor],
    alpha: float,
    beta: float,
    epsilon: float,
    times: Sequence[int],
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Gradients in the folded weights, and both losses summed over the images; α and β are per image of the batch."""
    output, features = images.new_zeros(()), images.new_zeros(())
    leaves = [weight.detach().requires_grad_() for weight in folded]
    with torch.no_grad():
        if beta:
            teacher_logits, maps = network.logits_and_maps(images, teacher)
        else:
            teacher_logits, maps = network.logits(images, teacher), []

    def tap(index: int, ours: Tensor) -> Tensor:
        # maps of nothing but the images have no gradient to add
        if not maps or not ours.requires_grad:
            return ours
        return _distilled(ours, maps[index], beta, times[index], features)

    with torch.enable_grad():
        logits = network.forward(images, leaves, tap)
    passed = torch.zeros_like(logits)
    if alpha:
        loss, gradient = _output_gradient(widened(logits.detach()), widened(teacher_logits), epsilon)
        output += loss
        passed = (gradient * alpha).to(logits.dtype)
    found = torch.autograd.grad(logits, leaves, passed, allow_unused=True)
    gradients = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]
    return gradients, output, features
