"""Muon: the singular values that it leaves, torch's own to the bit in bfloat16, and its precision in a fit."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nern.method.muon import COEFFICIENTS, ITERATIONS, Muon, orthogonalized
from nern.method.optimizers import PredictorOptimizer
from nern.method.predictor import Predictor, initialize_default
from nern.method.workers import Workers
from nern.settings import Optimizer

SIZES = st.integers(1, 24)
LR, MOMENTUM, DECAY = 1e-2, 0.95, 1e-2


def drawn(rows, columns, seed, dtype=torch.float64):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_singular_values(matrix):
    """The closed form: the polynomial, so many times, of each singular value over the matrix's norm."""
    u, singular, v = torch.linalg.svd(matrix, full_matrices=False)
    a, b, c = COEFFICIENTS
    x = singular / matrix.norm()
    for _ in range(ITERATIONS):
        x = a * x + b * x**3 + c * x**5
    return u @ torch.diag(x) @ v


@given(rows=SIZES, columns=SIZES, seed=st.integers(0, 99))
def test_the_polynomial_acts_on_the_singular_values(rows, columns, seed):
    matrix = drawn(rows, columns, seed)
    before = matrix.clone()
    torch.testing.assert_close(orthogonalized(matrix, torch.float64), by_singular_values(matrix))
    assert torch.equal(matrix, before)


def test_a_matrix_of_zeros_stays_one():
    assert torch.equal(orthogonalized(torch.zeros(3, 5), torch.float32), torch.zeros(3, 5))


@pytest.mark.parametrize("shape", [(8, 8), (5, 17), (17, 5), (9, 64)])
def test_in_bfloat16_it_is_torchs_to_the_bit(shape):
    ours, theirs = (drawn(*shape, 0, torch.float32).requires_grad_() for _ in range(2))
    settings = {"lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY}
    optimizers = (
        Muon(ours, dtype=torch.bfloat16, **settings),
        torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **settings),
    )
    for seed in range(1, 6):
        ours.grad, theirs.grad = (drawn(*shape, seed, torch.float32) for _ in range(2))
        for optimizer in optimizers:
            optimizer.step()
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("precision", "exact"), [("float32", True), ("bfloat16", False)])
def test_a_predictors_muon_has_its_precision(precision, exact):
    predictor = Predictor(24, kernel_size=3, levels=4, base=0.76)
    initialize_default(predictor, torch.Generator().manual_seed(0))
    settings = Optimizer(name="muon", lr=LR, betas=(MOMENTUM, 0.99), weight_decay=0)
    optimizer = PredictorOptimizer(predictor, settings, Workers(), precision)
    matrices = [parameter for parameter in optimizer.parameters if parameter.dim() == 2]
    before = [matrix.detach().clone() for matrix in matrices]
    for seed, parameter in enumerate(optimizer.parameters):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    optimizer.step(LR)
    for matrix, old in zip(matrices, before, strict=True):
        step = (old - matrix.detach()) / (LR * 0.2 * max(matrix.shape) ** 0.5)
        expected = by_singular_values(matrix.grad.double()).float()
        assert torch.allclose(step, expected, rtol=0, atol=1e-3) is exact
