"""The predictor's optimizers: how long a first step is, and that a saved state goes on to the same bytes."""

import pytest
import torch

from nern.method.optimizers import PredictorOptimizer
from nern.method.predictor import Predictor, initialize_default
from nern.method.workers import Workers
from nern.settings import Optimizer

NAMES = ["ranger", "muon"]
LR = 1e-3


def set_up(name, weight_decay=0.0):
    predictor = Predictor(6, kernel_size=3, levels=2, base=0.76)
    initialize_default(predictor, torch.Generator().manual_seed(0))
    settings = Optimizer(name=name, lr=LR, betas=(0.9, 0.99), weight_decay=weight_decay, centralize=False)
    return PredictorOptimizer(predictor, settings, Workers())


def step(optimizer, seed, size=1.0):
    """One step along a gradient of chance; returns how far each parameter went."""
    stream = torch.Generator().manual_seed(seed)
    before = [parameter.detach().clone() for parameter in optimizer.parameters]
    for parameter in optimizer.parameters:
        parameter.grad = size * torch.randn(parameter.shape, generator=stream)
    optimizer.step(LR)
    return [new.detach() - old for new, old in zip(optimizer.parameters, before, strict=True)]


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_a_first_step_of_muon_is_as_long_as_the_rate_and_rangers_as_the_gradient(size):
    for change in step(set_up("muon"), seed=1, size=size):  # a matrix about a fifth of it, a bias all of it
        assert 0.1 * LR < change.square().mean().sqrt() < 1.1 * LR
    ranger = set_up("ranger")
    changes = step(ranger, seed=1, size=size)
    for parameter, change in zip(ranger.parameters, changes, strict=True):
        torch.testing.assert_close(change, -LR * parameter.grad, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_goes_on_to_the_same_bytes(name):
    whole, resumed = set_up(name, weight_decay=1e-3), set_up(name, weight_decay=1e-3)
    for seed in range(7):  # Lookahead's turn is every sixth
        step(whole, seed)
    tensors = {key: value.clone() for key, value in whole.tensors().items()}
    with torch.no_grad():
        for parameter, saved in zip(resumed.parameters, whole.parameters, strict=True):
            parameter.copy_(saved)
    resumed.restore(tensors)
    for seed in range(7, 14):
        step(whole, seed)
        step(resumed, seed)
    for ours, theirs in zip(resumed.parameters, whole.parameters, strict=True):
        assert torch.equal(ours, theirs)
