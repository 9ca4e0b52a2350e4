"""The smoothness loss against two loops, closed forms and numerical gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from nern.method.smoothness import smoothness_loss


def distance(a: Tensor, b: Tensor) -> Tensor:
    if a.numel() == 1:
        return (a - b).norm()
    return 1 - cosine_similarity(a.flatten(), b.flatten(), dim=0)


def smoothness_in_loops(weights: list[Tensor]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for weight in weights:
        for f in range(weight.shape[0]):
            for c in range(weight.shape[1]):
                if f + 1 < weight.shape[0]:
                    total += distance(weight[f, c], weight[f + 1, c])
                if c + 1 < weight.shape[1]:
                    total += distance(weight[f, c], weight[f, c + 1])
    return total


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("shape", [(4, 5, 3, 3), (6, 1, 5, 5), (1, 6, 2, 3), (4, 3, 1, 1), (1, 1, 3, 3)])
def test_a_layer_is_that_of_two_loops(shape):
    weight = random(*shape)
    torch.testing.assert_close(smoothness_loss([weight]), smoothness_in_loops([weight]))


def test_layers_add_up():
    weights = [random(4, 5, 3, 3), random(3, 4, 1, 1), random(2, 2, 5, 5)]
    torch.testing.assert_close(smoothness_loss(weights), smoothness_in_loops(weights))


def test_closed_forms():
    right, up = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])
    assert smoothness_loss([torch.stack([right, up, -up]).reshape(3, 1, 1, 2)]) == 1 + 2
    assert smoothness_loss([torch.stack([right, 5 * right]).reshape(1, 2, 1, 2)]) == 0
    assert smoothness_loss([torch.tensor([1.0, -1.0, 4.0, 4.0]).reshape(2, 2, 1, 1)]) == (3 + 5) + (2 + 0)
    assert smoothness_loss([]) == 0


@pytest.mark.parametrize("shape", [(3, 2, 2, 2), (3, 4, 1, 1)])
def test_gradient_is_the_numerical_one(shape):
    assert torch.autograd.gradcheck(lambda weight: smoothness_loss([weight]), random(*shape).requires_grad_())


@pytest.mark.parametrize("norm", [0.0, 1e-12, 1e-25])
def test_a_kernel_without_direction_has_distance_one_and_no_gradient(norm):
    weight = torch.ones(1, 3, 3, 3)
    weight[0, 1] *= norm / 3
    weight.requires_grad_()
    loss = smoothness_loss([weight])
    loss.backward()
    assert loss == 2
    assert weight.grad.isfinite().all() and not weight.grad[0, 1].any()


def test_equal_1x1_kernels_have_a_finite_gradient():
    weight = torch.ones(3, 3, 1, 1, requires_grad=True)
    smoothness_loss([weight]).backward()
    assert not weight.grad.any()
