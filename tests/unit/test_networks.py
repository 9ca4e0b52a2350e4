import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from networks import randomized
from torch import nn

from nern.errors import NernError
from nern.method import distillation
from nern.method.distillation import distillation_gradient
from nern.method.losses import feature_distillation_loss, output_distillation_loss
from nern.method.workers import Workers
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.graph import FunctionalNetwork
from nern.networks.learnable import learnable_layers
from nern.networks.zoo import build

ROOT = Path(__file__).parents[2]
ARCHITECTURES = {
    "ResNet8 A": lambda: CifarResNet(8, classes=4, width=4, shortcut="A"),
    "ResNet8 B": lambda: CifarResNet(8, classes=4, width=4, shortcut="B"),
    "resnet18": lambda: build("torchvision:resnet18", classes=4),
    "squeezenet1_1": lambda: build("torchvision:squeezenet1_1", classes=4),
    "mobilenet_v3_small": lambda: build("torchvision:mobilenet_v3_small", classes=4),
}


@pytest.fixture(params=ARCHITECTURES, scope="module")
def network(request):
    torch.manual_seed(0)
    return randomized(ARCHITECTURES[request.param]()).double()


def images(count=3):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_folded_network_is_the_network(network):
    functional = FunctionalNetwork(network, learnable_layers(network))
    with torch.no_grad():
        got, wanted = functional.logits(images(), functional.fold(functional.kernels)), network(images())
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_maps_are_the_tensors_that_enter_an_activation(network):
    entering = []
    kinds = (nn.ReLU, nn.Hardswish, nn.Hardsigmoid)
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: entering.append(inputs[0].clone()))
        for layer in network.modules()
        if isinstance(layer, kinds)
    ]
    if not hooks:  # CifarResNet calls F.relu
        plain, F.relu = F.relu, lambda x, inplace=False: (entering.append(x.clone()), plain(x))[1]
    try:
        with torch.no_grad():
            network(images())
    finally:
        for hook in hooks:
            hook.remove()
        if not hooks:
            F.relu = plain
    functional = FunctionalNetwork(network, learnable_layers(network))
    with torch.no_grad():
        _, maps = functional.logits_and_maps(images(), functional.fold(functional.kernels))
    assert len(maps) == len(entering) == len(functional.maps)
    for ours, theirs in zip(maps, entering, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.3, 0.0), (0.0, 0.7)])
@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
def test_the_fast_gradient_is_autograds(monkeypatch, network, alpha, beta, epsilon):
    functional = FunctionalNetwork(network, learnable_layers(network))
    generator = torch.Generator().manual_seed(1)
    kernels = [
        (k + 0.1 * k.std().nan_to_num(0.1) * torch.randn(k.shape, generator=generator, dtype=k.dtype)).requires_grad_()
        for k in functional.kernels
    ]
    teacher = functional.fold(functional.kernels)
    logits, maps = functional.logits_and_maps(images(), functional.fold(kernels))
    with torch.no_grad():
        teacher_logits, teacher_maps = functional.logits_and_maps(images(), teacher)
    output = output_distillation_loss(logits, teacher_logits, epsilon=epsilon)
    features = feature_distillation_loss(maps, teacher_maps)
    wanted = torch.autograd.grad(alpha * output + beta * features, kernels, allow_unused=True)
    for chunk in (2, 3):
        monkeypatch.setattr(distillation, "CPU_CHUNK", chunk)
        got, kd, fmd = distillation_gradient(
            functional, images(), teacher, kernels, alpha=alpha, beta=beta, epsilon=epsilon, workers=Workers()
        )
        assert (kd is None, fmd is None) == (alpha == 0, beta == 0)  # not 0: that would be a perfect network
        assert kd is None or kd.item() == pytest.approx(output.item(), rel=1e-9)
        assert fmd is None or fmd.item() == pytest.approx(features.item(), rel=1e-9)
        for ours, theirs in zip(got, wanted, strict=True):
            theirs = torch.zeros_like(ours) if theirs is None else theirs
            torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8 * theirs.abs().max().item() + 1e-14)


def test_no_weights_no_network():
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(f"the network was asked for {name}")

    kernels = [torch.ones(2, 3, 3, 3)]
    got, kd, fmd = distillation_gradient(
        Untouchable(), images(), [], kernels, alpha=0, beta=0, epsilon=0, workers=Workers()
    )
    assert (got[0].count_nonzero(), kd, fmd) == (0, None, None)


@pytest.mark.parametrize(("depth", "shortcut"), [(20, "A"), (20, "B"), (56, "A")])
def test_parameters_of_cifar_resnets_are_the_papers_count(depth, shortcut):
    blocks = (depth - 2) // 6
    wanted = 9 * 3 * 16 + 2 * 16
    for inputs, width in ((16, 16), (16, 32), (32, 64)):
        wanted += 9 * inputs * width + (2 * blocks - 1) * 9 * width**2 + 2 * blocks * 2 * width
        if inputs != width and shortcut == "B":
            wanted += inputs * width + 2 * width
    wanted += 64 * 10 + 10
    network = CifarResNet(depth, classes=10, shortcut=shortcut)
    assert sum(parameter.numel() for parameter in network.parameters()) == wanted
    assert len([m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d) and m.weight[0].numel() > 48]) >= (
        depth - 2
    )


def test_in_place_activations_do_not_spoil_the_maps():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3)).eval().double()
    functional = FunctionalNetwork(network, ["0", "2"])
    _, maps = functional.logits_and_maps(images(), functional.fold(functional.kernels))
    torch.testing.assert_close(maps[0], network[0](images()))
    assert maps[0].min() < 0


def test_only_the_asked_sizes_are_learned():
    network = build("torchvision:resnet18", classes=10)
    layers = learnable_layers(network, include=[3])
    assert len(layers) == 16
    assert "conv1" not in layers
    assert not any("downsample" in layer for layer in layers)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else x


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(self.conv(x))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FunctionalNetwork(Branching(), ["conv"]), "cannot be traced"),
        (lambda: FunctionalNetwork(Twice(), ["conv"]), "runs 2 times"),
        (lambda: learnable_layers(nn.Linear(2, 2)), "no Conv2d layers"),
        (lambda: learnable_layers(Branching(), include=[3]), "no convolutions of the sizes"),
        (lambda: CifarResNet(21, classes=10), "depth 6n"),
        (lambda: build("cifar-resnet", classes=10), "needs a depth"),
        (lambda: build("nonsense", classes=10), "unknown architecture"),
        (lambda: build("torchvision:nonsense", classes=10), "torchvision has no model"),
        (lambda: build("torchvision:resnet18", classes=10, depth=20), "takes no depth"),
        (lambda: build("torchvision:resnet18", classes=10, in_channels=1), "3 channels"),
        (lambda: build("nern.nothing:Here", classes=10), "cannot be imported"),
        (lambda: build("nern.errors:NernError", classes=10), "must accept classes"),
    ],
)
def test_mistakes_are_one_sentence(make, sentence):
    with pytest.raises(NernError, match=sentence) as caught:
        make()
    assert "\n" not in str(caught.value)


OWN = {
    "syntax": ("def net(classes, in_channels):\n    return (\n", r"SyntaxError: .*own_syntax.py, line 2"),
    "import": ("import no_such_package\n", r"No module named 'no_such_package', own_import.py, line 1"),
    "at import": ("\nvalue = 1 / 0\n", r"ZeroDivisionError: .*own_at_import.py, line 2"),
    "exit": ("import sys\nsys.exit('usage')\n", r"SystemExit: usage, own_exit.py, line 2"),
    "no name": ("x = 1\n", r"has no attribute 'net'"),
    "not callable": ("net = 3\n", r"must accept classes and in_channels \('int' object is not callable\)"),
    "other arguments": ("def net(num_classes): pass\n", r"must accept classes and in_channels .*'classes'"),
    "a positional one": ("class net:\n    def __init__(self, x, classes, in_channels): pass\n", r"must accept .*'x'"),
    "inside": (
        "def net(classes, in_channels):\n    return inner(classes)\ndef inner(a, b):\n    pass\n",
        r"cannot be built \(TypeError: inner\(\) missing 1 required .*, own_inside.py, line 2\)",
    ),
    "key": ("def net(classes, in_channels):\n    return {}['depth']\n", r"KeyError: 'depth', own_key.py, line 2"),
    "layer": (
        "from torch import nn\ndef net(classes, in_channels):\n    return nn.Conv2d(3, 4, 3, groups=2)\n",
        r"cannot be built \(ValueError: in_channels must be divisible by groups, own_layer.py, line 3\)",
    ),
    "no module": ("def net(classes, in_channels):\n    return None\n", r"must return an nn.Module, not NoneType"),
    "a class": ("from torch import nn\ndef net(classes, in_channels):\n    return nn.ReLU\n", r"nn.Module, not type"),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_an_own_module_that_fails_is_told_by_its_own_error_and_line(tmp_path, monkeypatch, name):
    source, sentence = OWN[name]
    module = f"own_{name.replace(' ', '_')}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NernError, match=sentence) as caught:
        build(f"{module}:net", classes=10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "fcn_resnet50", "r3d_18", "quantized_resnet18"])
def test_networks_of_torchvision_that_do_not_classify_are_refused_before_they_download_anything(monkeypatch, name):
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", None)
    with pytest.raises(NernError, match="no model of that name that classifies"):
        build(f"torchvision:{name}", classes=10)


IMPORTS = {
    "at import": "import torchvision\nnet = torchvision.models.resnet18\n",
    "a part": "from torchvision.models import resnet18\nfrom torchvision.ops import nms\n",
    "when it is built": "",
}


@pytest.mark.parametrize("where", IMPORTS)
def test_an_own_module_may_import_torchvision_beside_any_torch(tmp_path, where):
    """In a process of its own, for this one has imported it already."""
    (tmp_path / "own.py").write_text(
        f"{IMPORTS[where]}\ndef build_it(classes, in_channels):\n    from torchvision.models import resnet18\n"
        "    return resnet18(num_classes=classes)\n"
    )
    code = "from nern.networks.zoo import build; print(build('own:build_it', classes=7).fc.out_features)"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "7", ran.stderr


def test_residual_sums_count_twice_where_that_is_asked_for():
    torch.manual_seed(0)
    network = ARCHITECTURES["ResNet8 B"]().double().eval()
    functional = FunctionalNetwork(network, learnable_layers(network))
    # the first activation and each block's first come from a batch norm; each block's last from the sum
    assert functional.sums == [False, False, True, False, True, False, True]
    kernels = [(k + 0.1).requires_grad_() for k in functional.kernels]
    _, maps = functional.logits_and_maps(images(), functional.fold(kernels))
    with torch.no_grad():
        _, originals = functional.logits_and_maps(images(), functional.fold(functional.kernels))
    doubled = [i for i, is_sum in enumerate(functional.sums) for _ in range(2 if is_sum else 1)]
    features = feature_distillation_loss([maps[i] for i in doubled], [originals[i] for i in doubled])
    wanted = torch.autograd.grad(features, kernels, allow_unused=True)
    got, _, fmd = distillation_gradient(
        functional, images(), functional.fold(functional.kernels), kernels,
        alpha=0, beta=1, epsilon=0, workers=Workers(), sums_twice=True,
    )  # fmt: skip
    assert fmd.item() == pytest.approx(features.item())
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(ours) if theirs is None else theirs, rtol=1e-8, atol=1e-10)
