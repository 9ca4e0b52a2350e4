"""Networks that users write."""

import torch
from networks import randomized
from torch import nn

from nern.networks.graph import FunctionalNetwork
from nern.networks.learnable import learnable_layers


def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def conv(inputs=3, outputs=4, **options):
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


class Network(nn.Module):
    """Layers by name, and a forward pass over them."""

    def __init__(self, forward, **layers):
        super().__init__()
        torch.manual_seed(0)
        for name, make in layers.items():
            self.add_module(name, make())
        self.run = forward

    def forward(self, x):
        return self.run(self, x).mean((2, 3))


def assert_same_logits(network, layers=None):
    network = randomized(network).double()
    functional = FunctionalNetwork(network, learnable_layers(network) if layers is None else layers)
    with torch.no_grad():
        got, wanted = functional.logits(images(), functional.fold(functional.kernels)), network(images())
    assert wanted.abs().max() > 0
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)
    return functional


def test_names_that_differ_in_a_dot_are_two_convolutions():
    network = Network(
        lambda self, x: self.conv_0(self.conv(x)), conv=lambda: nn.Sequential(conv()), conv_0=lambda: conv(4)
    )
    assert learnable_layers(network) == ["conv.0", "conv_0"]
    assert_same_logits(network)
    assert_same_logits(network, layers=[])


def test_a_convolution_that_is_not_learned_may_run_twice_before_two_normalizations():
    network = Network(
        lambda self, x: self.last(self.one(self.shared(x)) + self.two(self.shared(x))),
        shared=conv, one=lambda: nn.BatchNorm2d(4), two=lambda: nn.BatchNorm2d(4), last=lambda: conv(4),
    )  # fmt: skip
    assert_same_logits(network, layers=["last"])
