"""Which networks can be learned: tables of those that can and cannot, and what a network that passes promises."""

import functools
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import randomized
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize, prune

from nern.errors import NernError
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.graph import FunctionalNetwork
from nern.networks.probe import probe
from nern.networks.zoo import build
from nern.stages.artifacts import rebuild

SHAPE, CLASSES = (3, 12, 12), 4


class Small(nn.Module):
    """Two convolutions and a head; `change` makes it odd, `run` replaces its forward pass."""

    def __init__(self, change=lambda network: None, run=None):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, CLASSES)
        self.run = run
        change(self)

    def features(self, x):
        return F.relu(self.second(F.relu(self.norm(self.first(x))))).mean((2, 3))

    def forward(self, x):
        return self.run(self, x) if self.run else self.head(self.features(x))


def changed(change, *arguments, **options):
    """A network of which one layer, or all, went through a function."""
    return functools.partial(Small, lambda network: change(network.second, *arguments, **options))


def running(run):
    return functools.partial(Small, run=run)


def replacing(name, make):
    return functools.partial(Small, lambda network: setattr(network, name, make()))


def learn(make, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates some of what is tried here
        probe(make, **{"classes": CLASSES, "shape": SHAPE, "learnable": "all", "trained": True} | options)


class Standardized(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Doubled(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, 2 * weight, bias)


class Halved(nn.Conv2d):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        nn.init.normal_(self._parameters["weight"])  # torch's own initialization went into the half

    def __getattr__(self, name):
        found = super().__getattr__(name)
        return found / 2 if name == "weight" else found


class Convenient(nn.Conv2d):
    """A class of its own that computes as torch's."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3, padding=1)


class Stubborn(Small):
    def train(self, mode=True):
        return super().train(True)


class Auxiliary(Small):
    def forward(self, x):
        logits = self.head(self.features(x))
        return (logits, logits) if self.training else logits


class Counting(Small):
    def get_extra_state(self):
        return 3

    def set_extra_state(self, state):
        pass


class Renaming(Small):
    """Its state dict has another name for a weight, in both directions."""

    def __init__(self):
        super().__init__()
        self.register_state_dict_post_hook(lambda _, state, prefix, __: state.update({"w": state.pop("second.weight")}))


def share(network):
    network.third = nn.Conv2d(8, 8, 3)
    network.third.weight = network.second.weight


def share_memory(network):
    network.third = nn.Conv2d(8, 8, 3)
    network.third.weight = nn.Parameter(network.second.weight.data)


def integers(layer):
    layer.weight = nn.Parameter(torch.ones(8, 8, 3, 3, dtype=torch.int32), requires_grad=False)


def monkey_patched(layer):
    layer.forward = lambda x: F.conv2d(x, layer.weight.abs(), padding=1)


class Mean(nn.Module):
    def forward(self, weight):
        return weight - weight.mean()


def with_chance(network, buffer):
    """A projection that is drawn when the network is built, and not in its state dict."""
    if buffer:
        network.register_buffer("projection", torch.randn(8, 8), persistent=False)
    else:
        network.projection = [torch.randn(8, 8)]
    network.run = lambda self, x: self.head(self.features(x) @ (self.projection if buffer else self.projection[0]))


def shrink(layer, _):
    layer.weight.data.mul_(0.5)


def statistics(self, x):
    x = F.batch_norm(self.first(x), self.norm.running_mean, self.norm.running_var, training=True, momentum=1e-9)
    return self.head(self.second(x).mean((2, 3)))


def zero_head(network):
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)


def both(*changes):
    """A network that was changed by several functions."""
    return functools.partial(Small, lambda network: [change(network) for change in changes])


@functools.cache
def only_one():
    return Small()


def flattened(flatten):
    """A forward pass whose head is fed maps of 2×2 pixels."""
    return lambda n, x: n.head(flatten(F.adaptive_avg_pool2d(n.second(F.relu(n.first(x))), 2)[:, :2]))


WEIGHT, OWN = "its weight is no parameter", "has a forward pass of its own"
IMAGES = r"does not take images of the shape \[3, 12, 12\]"
REFUSED = {
    # weights that cannot be written
    "weight_norm": (changed(parametrizations.weight_norm), WEIGHT),
    "spectral_norm": (changed(parametrizations.spectral_norm), WEIGHT),
    "orthogonal": (changed(parametrizations.orthogonal), WEIGHT),
    "a parametrization of one's own": (changed(parametrize.register_parametrization, "weight", Mean()), WEIGHT),
    "old weight_norm": (changed(nn.utils.weight_norm), WEIGHT),
    "old spectral_norm": (changed(nn.utils.spectral_norm), WEIGHT),
    "pruned at random": (changed(prune.random_unstructured, "weight", 0.5), WEIGHT),
    "pruned by channels": (changed(prune.ln_structured, "weight", 0.5, n=2, dim=0), WEIGHT),
    "pruned by nothing": (changed(prune.identity, "weight"), WEIGHT),
    "two layers with one weight": (functools.partial(Small, share), "second.weight and third.weight are one tensor"),
    "two weights in one memory": (functools.partial(Small, share_memory), "are one tensor"),
    "a layer of two names": (functools.partial(Small, lambda n: setattr(n, "again", n.second)), "are one tensor"),
    "a lazy convolution": (replacing("second", lambda: nn.LazyConv2d(8, 3, padding=1)), "second.weight is lazy"),
    "a lazy head": (replacing("head", lambda: nn.LazyLinear(CLASSES)), "head.weight is lazy"),
    "a lazy norm": (replacing("norm", nn.LazyBatchNorm2d), "is lazy"),
    "doubles": (lambda: Small().double(), "torch.float64"),
    "halves": (lambda: Small().half(), "torch.float16"),
    "bfloat16": (lambda: Small().bfloat16(), "torch.bfloat16"),
    "complex numbers": (replacing("second", lambda: nn.Conv2d(8, 8, 3, dtype=torch.cfloat)), "torch.complex64"),
    "integers": (changed(integers), "torch.int32"),
    "no memory": (lambda: Small().to("meta"), "on the device meta"),
    # convolutions of another kind
    "a standardized weight": (replacing("second", lambda: Standardized(8, 8, 3, padding=1)), OWN),
    "an inner forward pass": (replacing("second", lambda: Doubled(8, 8, 3, padding=1)), OWN),
    "a patched forward pass": (changed(monkey_patched), OWN),
    "a weight by another way": (replacing("second", lambda: Halved(8, 8, 3, padding=1)), "another tensor than its"),
    "a hook that scales": (changed(lambda c: c.register_forward_hook(lambda *a: 2 * a[2])), "other logits than"),
    "a hook before it": (changed(lambda c: c.register_forward_pre_hook(lambda _, i: (2 * i[0],))), "other logits than"),
    "a hook that shrinks the weight": (changed(lambda c: c.register_forward_pre_hook(shrink)), "each time"),
    "a hook behind a head of zeros": (
        both(zero_head, lambda n: n.second.register_forward_hook(lambda *a: 2 * a[2])), "other logits than",
    ),
    "a weight used by hand": (
        running(lambda n, x: n.head(F.conv2d(n.first(x), n.second.weight).mean((2, 3)))), "second: runs 0 times",
    ),
    "a weight used twice": (
        running(lambda n, x: n.head((n.second(n.first(x)) + F.conv2d(x[:, :1].expand(-1, 8, -1, -1), n.second.weight,
        padding=1)).mean((2, 3)))), "second: its weight is also used outside",
    ),
    "a layer that runs twice": (
        running(lambda n, x: n.head(n.second(n.second(n.first(x))).mean((2, 3)))), "second: runs 2 times",
    ),
    "no convolutions": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(432, CLASSES)), "no Conv2d layers"),
    # outputs that are no logits
    "a tuple": (running(lambda n, x: (n.head(n.features(x)), x)), "returns a tuple"),
    "a dict": (running(lambda n, x: {"out": n.head(n.features(x))}), "returns a dict"),
    "a list": (running(lambda n, x: [n.head(n.features(x))]), "returns a list"),
    "nothing": (running(lambda n, x: None), "returns a NoneType"),
    "a map": (running(lambda n, x: n.second(n.first(x))), r"returns float32 \[2, 8, 12, 12\]"),
    "logits of two dimensions more": (running(lambda n, x: n.head(n.features(x))[..., None, None]), r"\[2, 4, 1, 1\]"),
    "logits of the whole batch": (running(lambda n, x: n.head(n.features(x)).mean(0)), r"returns float32 \[4\]"),
    "one class too few": (replacing("head", lambda: nn.Linear(8, CLASSES - 1)), r"returns float32 \[2, 3\]"),
    "one class too many": (replacing("head", lambda: nn.Linear(8, CLASSES + 1)), r"returns float32 \[2, 5\]"),
    "classes": (running(lambda n, x: n.head(n.features(x)).argmax(1)), r"returns int64 \[2\]"),
    "probabilities": (running(lambda n, x: n.head(n.features(x)).softmax(1)), "probabilities, not logits"),
    # images that do not fit
    "another number of channels": (replacing("first", lambda: nn.Conv2d(1, 8, 3)), IMAGES),
    "another size": (running(lambda n, x: n.head(n.second(n.first(x)).flatten(1))), IMAGES),
    "images too small": (replacing("first", lambda: nn.Conv2d(3, 8, 13)), IMAGES),
    "a batch of one size": (running(lambda n, x: n.head(n.features(x.view(2, 3, 12, 12)))), "images of the shape"),
    "a view of a map": (running(flattened(lambda x: x.view(x.size(0), -1))), "use flatten or reshape instead of view"),
    "a view in training": (
        running(lambda n, x: n.head(n.features(x.view(len(x), 432).view(x.shape) if n.training else x))),
        "in training mode .*use flatten or reshape instead of view",
    ),
    "a tensor of five dimensions": (
        functools.partial(Small, lambda n: n.register_buffer("clip", torch.zeros(1, 1, 2, 2, 2))), "no tensors of five",
    ),
    "an error of its own": (running(lambda n, x: n.missing(x)), r"AttributeError: .*missing.*test_probe.py, line \d+"),
    # chance, and what one image has to do with another
    "dropout": (running(lambda n, x: n.head(F.dropout(n.features(x)))), "other logits each time"),
    "faint noise": (running(lambda n, x: n.head(n.features(x)) + 1e-4 * torch.randn(1)), "other logits each time"),
    "statistics of the batch": (
        replacing("norm", lambda: nn.BatchNorm2d(8, track_running_stats=False)), "depend on the others of the batch",
    ),
    "a normalized batch": (running(lambda n, x: n.head(n.features(x - x.mean()))), "depend on the others of the batch"),
    "statistics that change": (running(statistics), "others of the batch|changes norm.running_mean"),
    "always in training": (Stubborn, "stays in training mode"),
    # what does not come back from its state dict
    "an unregistered tensor": (functools.partial(Small, lambda n: with_chance(n, False)), "built anew"),
    "a buffer that is not kept": (functools.partial(Small, lambda n: with_chance(n, True)), "built anew"),
    "one behind a head of zeros": (both(zero_head, lambda n: with_chance(n, True)), "built anew"),
    "a state that is no tensor": (Counting, "_extra_state, which is no tensor"),
    "another name": (Renaming, "second: its weight is not in the state dict under this name"),
    "the same network twice": (only_one, "returns the same network twice"),
    # what has no graph
    "a branch": (running(lambda n, x: n.head(n.features(x if x.abs().sum() > 0 else -x))), "cannot be traced"),
    "a compiled network": (lambda: torch.compile(Small()), "is compiled"),
    "a view changed in place": (
        running(lambda n, x: n.head((lambda y: (torch.relu_(y[:, :4]), y)[1])(n.second(n.first(x))).mean((2, 3)))),
        "other logits than the network itself",
    ),
    # what cannot be trained
    "auxiliary heads": (Auxiliary, "returns a tuple in training mode"),
    "no gradient": (running(lambda n, x: n.head(n.features(x)).detach()), "has no gradient"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_learned_is_refused_in_one_sentence(name):
    make, sentence = REFUSED[name]
    with pytest.raises(NernError, match=sentence) as caught:
        learn(make)
    assert "\n" not in str(caught.value)


PASSES = {
    "a plain network": Small,
    "a class of its own that computes as torch's": replacing("second", lambda: Convenient(8, 8)),
    "a parametrized head": functools.partial(Small, lambda n: parametrizations.weight_norm(n.head)),
    "a hook that looks": changed(lambda layer: layer.register_forward_hook(lambda *_: None)),
    "logarithms of probabilities": running(lambda n, x: n.head(n.features(x)).log_softmax(1)),
    "dropout in training": running(lambda n, x: n.head(F.dropout(n.features(x), training=n.training))),
    "frozen layers": functools.partial(Small, lambda n: n.first.requires_grad_(False)),
    "zero at first": functools.partial(Small, lambda n: nn.init.zeros_(n.second.weight)),
    "a head of zeros": functools.partial(Small, zero_head),
    "maps made flat": running(flattened(lambda x: x.flatten(1))),
    "maps in another shape": running(flattened(lambda x: x.reshape(x.size(0), -1))),
    "a view of pooled maps": running(
        lambda n, x: n.head(F.adaptive_avg_pool2d(n.second(F.relu(n.first(x))), 1).view(x.size(0), -1))
    ),
    "in place on its images": running(lambda n, x: n.head(n.features(x.sub_(0.5)))),
    "a ResNet with zero padding": lambda: CifarResNet(8, classes=CLASSES, width=4, shortcut="A"),
    "a ResNet with projections": lambda: CifarResNet(8, classes=CLASSES, width=4),
}


@pytest.mark.parametrize("name", PASSES)
def test_a_network_that_can_be_learned_passes(name):
    before = torch.get_rng_state()
    learn(PASSES[name])
    assert torch.equal(torch.get_rng_state(), before)  # nothing that is drawn later changes


@pytest.mark.parametrize(
    "change",
    [
        parametrizations.spectral_norm,
        nn.utils.spectral_norm,
        nn.utils.weight_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    ],
)
def test_what_concerns_no_learned_layer_does_not_matter(change):
    make = replacing("second", lambda: change(nn.Conv2d(8, 8, 1)))
    learn(make, learnable=[3])
    with pytest.raises(NernError, match="second: its weight is no parameter"):
        learn(make)


def doubled_by_a_hook(layer):
    """Its weight is twice another parameter in each forward pass, and that parameter itself before the first."""
    layer.base = nn.Parameter(layer._parameters.pop("weight").detach())
    layer.weight = layer.base.detach()
    layer.register_forward_pre_hook(lambda layer, _: setattr(layer, "weight", 2 * layer.base.detach()))
    return layer


def test_a_network_is_tried_as_a_fit_will_find_it_loaded_and_not_yet_run():
    with pytest.raises(NernError, match="other logits than the network itself"):
        learn(replacing("second", lambda: doubled_by_a_hook(nn.Conv2d(8, 8, 1))), learnable=[3])


def test_what_is_imported_need_not_be_trainable():
    learn(Auxiliary, trained=False)


TORCHVISION = {
    "mnasnet0_5": {},
    "shufflenet_v2_x0_5": {},
    "squeezenet1_1": {},
    "mobilenet_v3_small": {},
    "efficientnet_b0": {},
    "regnet_y_400mf": {},
    "googlenet": {"learnable": [3], "trained": False},
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_of_torchvision_pass(name):
    learn(lambda: build(f"torchvision:{name}", classes=CLASSES), shape=(3, 64, 64), **TORCHVISION[name])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({}, "aux1.conv.conv: runs 0 times"), ({"learnable": [3]}, "returns a GoogLeNetOutputs in training mode")],
)
def test_auxiliary_heads_of_torchvision_are_refused_where_they_matter(options, sentence):
    with pytest.raises(NernError, match=sentence):
        learn(lambda: build("torchvision:googlenet", classes=CLASSES), shape=(3, 64, 64), **options)


ODD = {
    "a hook that looks": lambda layer: layer.register_forward_hook(lambda *_: None),
    "a hook that scales": lambda layer: layer.register_forward_hook(lambda *a: 2 * a[2]),
    "a hook that moves": lambda layer: layer.register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1,)),
    "a hook that shrinks": lambda layer: layer.register_forward_pre_hook(shrink),
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "old weight_norm": nn.utils.weight_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
    "patched": lambda layer: setattr(layer, "forward", lambda x: -nn.Conv2d.forward(layer, x)),
    "a parametrized bias": lambda layer: (
        layer.bias is None or parametrize.register_parametrization(layer, "bias", Mean())
    ),
    "frozen": lambda layer: layer.requires_grad_(False),
}
NORMS = {
    "": lambda width: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "batch without affine": lambda width: nn.BatchNorm2d(width, affine=False),
    "group": lambda width: nn.GroupNorm(2, width),
}
ACTIVATIONS = {"": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU, "in place": lambda: nn.ReLU(inplace=True)}
KINDS = {"standardized": Standardized, "doubled": Doubled, "halved": Halved}
BLOCK = st.fixed_dictionaries(
    {
        "size": st.sampled_from([1, 2, 3, 5, (1, 3)]),
        "width": st.sampled_from([4, 8]),
        "groups": st.sampled_from([1, 2, 4]),
        "bias": st.booleans(),
        "norm": st.sampled_from([*NORMS]),
        "act": st.sampled_from([*ACTIVATIONS]),
        "shortcut": st.booleans(),
    }
)


class Drawn(nn.Module):
    """A small network of drawn blocks, the last of them odd."""

    def __init__(self, blocks, odd):
        super().__init__()
        self.stem, self.blocks, self.shortcuts, inputs = nn.Conv2d(3, 4, 1), nn.ModuleList(), [], 4
        for number, block in enumerate(blocks, 1):
            width, kind = block["width"], KINDS.get(odd, nn.Conv2d) if number == len(blocks) else nn.Conv2d
            layer = kind(inputs, width, block["size"], padding="same", groups=block["groups"], bias=block["bias"])
            self.blocks.append(nn.Sequential(layer, NORMS[block["norm"]](width), ACTIVATIONS[block["act"]]()))
            self.shortcuts.append(block["shortcut"] and inputs == width)
            inputs = width
        if odd == "shared":
            self.blocks.append(nn.Conv2d(inputs, inputs, 3, padding="same"))
            self.blocks.append(nn.Conv2d(inputs, inputs, 3, padding="same"))
            self.blocks[-1].weight = self.blocks[-2].weight
            self.shortcuts += [False, False]
        ODD.get(odd, lambda layer: None)(layer)
        self.head = nn.Linear(inputs, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for block, shortcut in zip(self.blocks, self.shortcuts, strict=True):
            x = block(x) + x if shortcut else block(x)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("odd", ["", *ODD, *KINDS, "shared"])
@settings(max_examples=12)
@given(blocks=st.lists(BLOCK, min_size=1, max_size=3), seed=st.integers(0, 1000))
def test_a_network_that_passes_is_the_original_with_its_kernels_replaced(odd, blocks, seed):
    """By an oracle that writes nothing: torch's own call with other parameters."""

    def make():
        torch.manual_seed(seed)
        return randomized(Drawn(blocks, odd), seed)

    try:
        learn(make)
    except NernError:
        assert odd  # a network with nothing odd passes
        return
    network, generator = make(), torch.Generator().manual_seed(seed)
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    kernels = [torch.randn(network.get_submodule(name).weight.shape, generator=generator) for name in names]
    images = torch.randn(3, *SHAPE, generator=generator)
    replaced = {f"{name}.weight": kernel for name, kernel in zip(names, kernels, strict=True)}
    with torch.no_grad():
        wanted = functional_call(make(), replaced, (images.clone(),))
        graph = FunctionalNetwork(network, names)
        distilled = graph.logits(images.clone(), graph.fold(kernels))
        original = network(images.clone())
        rebuild(network, names, kernels)
        rebuilt = network(images.clone())
    scale = wanted.abs().max().item()
    torch.testing.assert_close(rebuilt, wanted, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(distilled, wanted, rtol=0, atol=1e-4 * scale)
    assert (rebuilt - original).abs().max() > 1e-3 * scale


@pytest.mark.parametrize(
    "make",
    [
        changed(parametrizations.weight_norm),
        changed(parametrizations.spectral_norm),
        changed(parametrizations.orthogonal),
        changed(nn.utils.weight_norm),
        changed(prune.l1_unstructured, "weight", 0.5),
        functools.partial(Small, share),
        functools.partial(Small, share_memory),
        replacing("second", lambda: Standardized(8, 8, 3)),
        changed(integers),
    ],
)
def test_weights_that_a_network_does_not_use_are_never_written_into_it(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = make()
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    kernels = [torch.randn(network.get_submodule(name).weight.shape) for name in names]
    with pytest.raises(NernError) as caught:
        rebuild(network, names, kernels)
    assert "\n" not in str(caught.value)
