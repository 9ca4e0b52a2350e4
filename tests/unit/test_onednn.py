"""Convolutions whose gradient writes past its memory on processors with AVX2 alone: none is left to oneDNN."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from networks import randomized
from torch import nn

from nern.networks.cifar_resnet import CifarResNet
from nern.networks.graph import FunctionalNetwork
from nern.networks.learnable import learnable_layers
from nern.networks.onednn import around_overruns, overruns
from nern.settings import Original
from nern.stages.train_original import descend

DEBUGGER = Path("/lib/x86_64-linux-gnu/libc_malloc_debug.so.0")
"""glibc's: with it a write past the memory ends the process."""
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (nn.Conv2d(4, 8, 1, stride=2), True),
        (nn.Conv2d(7, 8, 1, stride=(1, 2), padding="valid"), True),
        (nn.Conv2d(8, 8, 1, stride=2), False),
        (nn.Conv2d(4, 8, 1), False),
        (nn.Conv2d(4, 8, 3, stride=2), False),
        (nn.Conv2d(4, 8, 1, stride=2, padding=1), False),
        (nn.Linear(4, 8), False),
    ],
)
def test_which_layers_they_are(layer, wanted):
    assert overruns(layer) is wanted


@pytest.mark.parametrize(("width", "found"), [(4, 1), (8, 0)])  # the second shortcut of width 4 has 8 channels
def test_a_functional_network_skips_the_pixels_first(width, found):
    module = randomized(CifarResNet(8, classes=5, width=width, shortcut="B")).eval()
    network = FunctionalNetwork(module, learnable_layers(module))
    nodes = list(network._traced.graph.nodes)
    assert sum(node.target is F.avg_pool2d for node in nodes) == found
    skipping = [node.args[3] for node in nodes if node.target is F.conv2d and node.args[3] != (1, 1)]
    assert len(skipping) == 4 - found  # two 3×3 and two 1×1
    network.check(module, torch.randn(4, 3, 16, 16))  # the same function


def test_training_runs_such_a_network_without_onednn_and_leaves_it_on():
    seen = []
    for width in (4, 8):
        torch.manual_seed(0)
        module = CifarResNet(8, classes=5, width=width, shortcut="B")
        module.register_forward_hook(lambda *_: seen.append(torch.backends.mkldnn.enabled))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        exact = copy.deepcopy(module).double()
        images, labels = torch.randn(6, 3, 16, 16), torch.arange(6) % 5
        descend(module, optimizer, images, labels, Original(), [])
        descend(exact, torch.optim.SGD(exact.parameters(), lr=0.1), images.double(), labels, Original(), [])
        for ours, theirs in zip(module.parameters(), exact.parameters(), strict=True):
            torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-5)
    assert seen == [False, False, True, True] and torch.backends.mkldnn.enabled


def test_any_other_network_keeps_onednn():
    with around_overruns(CifarResNet(8, classes=5, width=8, shortcut="B")):
        assert torch.backends.mkldnn.enabled


@pytest.mark.skipif(not DEBUGGER.exists(), reason="glibc's checking allocator is not there")
def test_nothing_writes_past_its_memory():
    """On a processor with AVX2 alone this process died before."""
    program = """
import torch
from nern.method.distillation import distillation_gradient
from nern.method.workers import Workers
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.graph import FunctionalNetwork
from nern.networks.learnable import learnable_layers
from nern.settings import Original
from nern.stages.train_original import descend

module = CifarResNet(8, classes=5, width=4, shortcut="B").to(memory_format=torch.channels_last)
images = torch.randn(16, 3, 8, 8).to(memory_format=torch.channels_last)
optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
network = FunctionalNetwork(module.eval(), learnable_layers(module))
teacher = network.fold(network.kernels)
kernels = [1.1 * kernel for kernel in network.kernels]
for _ in range(10):
    distillation_gradient(network, images, teacher, kernels, alpha=1, beta=1, epsilon=1e-4, workers=Workers())
    descend(module.train(), optimizer, images, torch.arange(16) % 5, Original(), [])
    kept = [torch.randn(7 * size + 1) for size in range(50)]
"""
    environment = os.environ | {"LD_PRELOAD": str(DEBUGGER), "MALLOC_CHECK_": "3"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-500:]
