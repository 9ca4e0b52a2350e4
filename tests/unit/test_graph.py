"""Networks that users write."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from networks import randomized
from torch import nn
from torch.nn.modules import activation
from torch.nn.utils import prune

from nern.errors import NernError
from nern.method.distillation import distillation_gradient
from nern.method.losses import feature_distillation_loss
from nern.method.workers import Workers
from nern.networks.graph import FunctionalNetwork
from nern.networks.learnable import learnable_layers
from nern.networks.torchvision_shim import import_torchvision


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


@pytest.mark.parametrize("name", ["tap", "folded", "images"])
def test_a_layer_may_have_the_name_of_an_argument(name):
    network = Network(lambda self, x: getattr(self, name)(self.conv(x)), conv=conv, **{name: nn.ReLU})
    assert len(assert_same_logits(network).maps) == 1


class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv()

    def forward(self, x, alpha=1.5, features=False, *, mask=None):
        x = self.conv(x) * alpha
        if features:
            return x
        return (x if mask is None else x * mask).mean((2, 3))


def test_arguments_with_defaults_take_them():
    assert_same_logits(Optional())


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return x + y


def test_a_second_input_is_refused():
    with pytest.raises(NernError, match="take images alone") as caught:
        FunctionalNetwork(TwoInputs(), [])
    assert "\n" not in str(caught.value)


def test_arguments_may_be_given_by_name():
    network = Network(lambda self, x: self.act(input=self.conv(input=x)), conv=conv, act=nn.ReLU)
    assert len(assert_same_logits(network).maps) == 1


class Auxiliary(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.aux = conv(), conv()

    def forward(self, x):
        return self.aux(x) if self.training else self.conv(x)


def googlenet():
    return import_torchvision("torchvision.models").get_model("googlenet", weights=None, init_weights=False)


@pytest.mark.parametrize(("make", "name"), [(Auxiliary, "aux"), (googlenet, "aux1.conv.conv")])
def test_a_layer_that_runs_in_training_alone_is_named_with_what_to_do(make, name):
    network = make()
    with pytest.raises(NernError, match=rf"{name}: runs 0 times .* package.module:callable") as caught:
        FunctionalNetwork(network, learnable_layers(network))
    assert "\n" not in str(caught.value)


def test_what_was_traced_shares_no_weight_with_the_network():
    network = Network(lambda self, x: self.conv(x), conv=conv)
    functional = FunctionalNetwork(network, ["conv"])
    before = functional.kernels[0].clone()
    with torch.no_grad():
        network.conv.weight.zero_()
    assert torch.equal(functional.kernels[0], before)


HOOKS = {
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "pruned twice": lambda layer: prune.l1_unstructured(prune.random_unstructured(layer, "weight", 0.2), "weight", 0.2),
}


def with_made_weight(hook, place):
    """A network with a weight that a hook makes, in a layer that is not learned."""
    layers = {"aside": lambda: nn.Conv2d(4, 4, 1), "head": lambda: nn.Linear(4, 4)}
    made = layers | {place: lambda: hook(layers[place]())}

    def forward(self, x):
        return self.head(self.aside(self.conv(x)).movedim(1, 3)).movedim(3, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls two of them old
        return Network(forward, conv=conv, **made).eval()


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("place", ["aside", "head"])
def test_a_weight_that_torch_makes_of_others_is_that_of_what_was_loaded(hook, place):
    """As a fit finds an original: loaded, and not yet run."""
    source, network = (with_made_weight(HOOKS[hook], place) for _ in range(2))
    for value in source.state_dict().values():
        value.mul_(1.5)
    network.load_state_dict(source.state_dict())
    with torch.no_grad():
        functional = FunctionalNetwork(network, ["conv"])
        got = functional.logits(images().float(), functional.fold(functional.kernels))
        torch.testing.assert_close(got, source(images().float()))


def each(**names):
    return [f"{space}.{name}" for space, found in names.items() for name in found.split()]


MODULES = each(
    nn="Threshold ReLU RReLU Hardtanh ReLU6 Sigmoid Hardsigmoid Tanh SiLU Mish Hardswish ELU CELU SELU GLU GELU "
    "Hardshrink LeakyReLU LogSigmoid Softplus Softshrink PReLU Softsign Tanhshrink"
)
CALLS = each(
    F="threshold relu rrelu hardtanh relu6 sigmoid hardsigmoid tanh silu mish hardswish elu celu selu glu gelu "
    "hardshrink leaky_relu logsigmoid softplus softshrink prelu softsign tanhshrink",
    torch="threshold relu sigmoid tanh celu selu hardshrink prelu",
    x="relu sigmoid tanh hardshrink prelu",
)
IN_PLACE = each(
    F="threshold relu rrelu hardtanh relu6 hardsigmoid silu mish hardswish elu celu selu leaky_relu "
    "threshold_ relu_ rrelu_ hardtanh_ elu_ celu_ selu_ leaky_relu_",
    torch="threshold_ relu_ sigmoid_ tanh_ celu_ selu_",
    x="relu_ sigmoid_ tanh_",
)
ARGUMENTS = {"threshold": (0.1, 0.2), "glu": (1,), "prelu": (torch.tensor([0.3], dtype=torch.float64),)}


def called(form, x, **options):
    """A function of F or torch, or a method of x."""
    space, _, name = form.partition(".")
    arguments = ARGUMENTS.get(name.strip("_"), ())
    if space == "x":
        return getattr(x, name)(*arguments)
    return getattr({"F": F, "torch": torch}[space], name)(x, *arguments, **options)


@pytest.mark.parametrize("form", MODULES)
def test_what_enters_a_module_of_every_kind_is_a_feature_map(form):
    kind = form.removeprefix("nn.")
    arguments = () if kind == "PReLU" else ARGUMENTS.get(kind.lower(), ())
    network = Network(lambda self, x: self.act(self.conv(x)), conv=conv, act=lambda: getattr(nn, kind)(*arguments))
    assert assert_same_logits(network).maps == ["conv2d"]


def test_no_kind_is_forgotten():
    others = {"MultiheadAttention", "Softmax", "Softmax2d", "LogSoftmax", "Softmin"}
    assert {f"nn.{name}" for name in activation.__all__} == {*MODULES, *(f"nn.{name}" for name in others)}


@pytest.mark.parametrize("form", CALLS)
def test_what_enters_a_function_or_method_of_every_kind_is_a_feature_map(form):
    assert assert_same_logits(Network(lambda self, x: called(form, self.conv(x)), conv=conv)).maps == ["conv2d"]


@pytest.mark.parametrize("act", [lambda: nn.Softmax(1), lambda: nn.LogSoftmax(1), lambda: nn.Softmin(1), nn.Identity])
def test_what_enters_no_activation_is_no_feature_map(act):
    network = Network(lambda self, x: self.act(torch.softmax(self.conv(x), 1).exp()), conv=conv, act=act)
    assert assert_same_logits(network).maps == []


@pytest.mark.parametrize("form", IN_PLACE)
def test_what_an_activation_writes_over_its_input_is_read_by_whoever_comes_later(form):
    options = {} if form.endswith("_") else {"inplace": True}

    def forward(self, x):
        x = self.norm(self.conv(x))
        early = x * 2
        r = called(form, x, **options)
        return early + (r + x) + self.last(x)

    network = Network(forward, conv=conv, norm=lambda: nn.BatchNorm2d(4), last=lambda: conv(4))
    functional = assert_same_logits(network)
    _, maps = functional.logits_and_maps(images(), functional.fold(functional.kernels))
    with torch.no_grad():
        torch.testing.assert_close(maps, [network.norm(network.conv(images()))])


WRITTEN_OVER = {
    "a residual sum": lambda x, last: x.add_(last(F.relu(x))),
    "a gate": lambda x, last: last(x.mul_(torch.sigmoid(x))),
    "what left the gate": lambda x, last: last(torch.sigmoid(x).mul_(x)),
    "twice": lambda x, last: x.add_(last(torch.tanh(x))).clamp_(-0.5, 0.5) + torch.tanh(x),
    "and read by its first name": lambda x, last: (x.sub_(last(F.gelu(x))), x)[1],
}


@pytest.mark.parametrize("form", WRITTEN_OVER)
def test_a_feature_map_that_is_written_over_later_has_its_gradient(form):
    network = Network(lambda self, x: WRITTEN_OVER[form](self.conv(x), self.last), conv=conv, last=lambda: conv(4))
    functional = assert_same_logits(network)
    teacher = functional.fold(functional.kernels)
    kernels = [kernel + 0.1 for kernel in functional.kernels]
    leaves = [kernel.clone().requires_grad_() for kernel in kernels]
    _, theirs = functional.logits_and_maps(images(), teacher)
    theirs = [value.clone() for value in theirs]
    torch.testing.assert_close(theirs[0], network.conv(images()))
    loss = feature_distillation_loss(functional.logits_and_maps(images(), functional.fold(leaves))[1], theirs)
    wanted = torch.autograd.grad(loss, leaves, allow_unused=True)
    got, _, value = distillation_gradient(
        functional, images(), teacher, kernels, alpha=0, beta=1, epsilon=0, workers=Workers()
    )
    torch.testing.assert_close(value, loss.detach())
    for ours, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(ours) if plain is None else plain)


@pytest.mark.parametrize(
    ("base", "arguments", "maps"),
    [
        (nn.BatchNorm2d, (4, 1e-2), ["conv2d"]),  # folded into it
        (nn.InstanceNorm2d, (4,), ["norm"]),
        (nn.GroupNorm, (2, 4), ["norm"]),
        (nn.Softplus, (), ["conv2d", "norm"]),
    ],
)
def test_a_layer_of_a_class_of_ones_own_that_computes_as_torchs_is_torchs(base, arguments, maps):
    """As where a project sets its own defaults; torch's checks of dimensions are no branches of the network."""
    own = type("Own", (base,), {"__module__": __name__})
    network = Network(lambda self, x: F.relu(self.norm(self.conv(x))), conv=conv, norm=lambda: own(*arguments))
    assert assert_same_logits(network).maps == maps


class Shifted(nn.GroupNorm):
    def forward(self, x):
        return super().forward(x) + 1


def test_a_layer_with_a_forward_pass_of_its_own_is_traced():
    network = Network(lambda self, x: F.relu(self.norm(self.conv(x))), conv=conv, norm=lambda: Shifted(2, 4))
    assert assert_same_logits(network).maps == ["add"]


STOPS = {
    "detach": lambda x: x.detach(),
    "detach by name": lambda x: torch.detach(input=x),
    "in place": lambda x: x.clone().detach_(),
    "data": lambda x: x.data,
    "a flag": lambda x: x.clone().requires_grad_(False),
}


@pytest.mark.parametrize("stop", [*STOPS, "no_grad"])
@pytest.mark.parametrize("place", ["between", "at the end"])
def test_what_ends_gradients_in_a_network_ends_none_of_the_objectives(stop, place):
    """A backbone that was not trained further is learned like all else."""

    def network(stop):
        def forward(self, x):
            x = F.relu(self.conv(x))
            x = F.relu(self.last(stop(x) if place == "between" else x))
            return stop(x) if place == "at the end" else x

        def without(self, x):
            with torch.no_grad():
                return forward(self, x)

        return Network(without if stop == "no_grad" else forward, conv=conv, last=lambda: conv(4))

    plain = assert_same_logits(network(lambda x: x))
    stopped = assert_same_logits(network(STOPS.get(stop, lambda x: x)))
    kernels = [kernel + 0.1 for kernel in plain.kernels]
    got, wanted = (
        distillation_gradient(
            each, images(), each.fold(each.kernels), kernels, alpha=1, beta=1, epsilon=0, workers=Workers()
        )
        for each in (stopped, plain)
    )
    for ours, theirs in zip([*got[0], *got[1:]], [*wanted[0], *wanted[1:]], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_module_that_works_in_place_twice_does_so_both_times():
    def forward(self, x):
        x = self.conv(x)
        self.act(x)
        y = self.last(x)
        self.act(y)
        return x + y

    network = Network(forward, conv=conv, last=lambda: conv(4), act=lambda: nn.LeakyReLU(0.3, inplace=True))
    assert assert_same_logits(network).maps == ["conv2d", "conv2d_1"]


def test_a_result_that_another_activation_reads_is_a_map_of_its_own():
    def forward(self, x):
        x = self.conv(x)
        return F.hardtanh_(x, -0.5, 0.5) + torch.tanh(x) + torch.sigmoid(x)

    assert assert_same_logits(Network(forward, conv=conv)).maps == ["conv2d", "hardtanh_"]


def random(x):
    return F.dropout(x)  # also in evaluation mode: nothing says otherwise


def kept(x):
    y = x
    x += 1
    return x * y


@pytest.mark.parametrize("run", [random, kept, lambda x: (torch.relu_(x[:, :2]), x)[1]])
def test_a_network_that_its_graph_is_not_is_refused(run):
    network = Network(lambda self, x: run(self.conv(x)), conv=conv).double().eval()
    with pytest.raises(NernError, match="other logits than the network itself") as caught:
        FunctionalNetwork(network, ["conv"]).check(network, images())
    assert "\n" not in str(caught.value)


def test_a_network_may_work_in_place_on_its_images():
    network = Network(lambda self, x: self.conv(x.sub_(0.5).div_(0.5)), conv=conv).double().eval()
    given = images()
    FunctionalNetwork(network, ["conv"]).check(network, given)
    assert torch.equal(given, images())
