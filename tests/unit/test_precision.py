"""What 16 bits in the networks' passes change: gradients by a stated bound, and nothing that 32 bits must hold."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.problem import Problem, Setting
from nern.method import distillation
from nern.method.backpropagation import PredictorPass
from nern.method.distillation import distillation_gradient
from nern.method.embedding import kernel_coordinates
from nern.method.kernels import KernelLayout
from nern.method.precision import passes_in, widened
from nern.method.predictor import CoordinateTable, initialize_default, predictor_of
from nern.method.workers import Workers
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.graph import FunctionalNetwork
from nern.networks.learnable import is_plain
from nern.networks.torchvision_shim import import_torchvision
from nern.settings import Original, Phase, TableEmbedding
from nern.stages.train_original import descend

COSINE, ERROR, LOSS = 0.999, 0.05, 0.02
"""The bound: of each layer's gradient with the exact one, of its error beside its norm, and of a loss beside itself."""
TRAINING = 0.97
"""The same of an original's own training, by statistics of the batch: its gradients are sums that nearly cancel."""
KERNELS, PREDICTOR = 0.005, (0.997, 0.08)
"""Of a predictor: the kernels' error beside their norm; cosine and error of a gradient, some ReLUs of which flip."""
CPU = torch.device("cpu")


class Distilling:
    """A ResNet whose kernels are off by a share of their deviation, in 32 bits, and the same numbers in 64."""

    def __init__(self, network="resnet20", off=0.3):
        problem = Problem(Setting(network=network, hidden=4, phase=Phase(batch=64)), CPU)
        generator = torch.Generator().manual_seed(1)
        self.images = problem.images
        self.network = FunctionalNetwork(problem.module, problem.layers)
        self.exact = FunctionalNetwork(copy.deepcopy(problem.module).double(), problem.layers)
        kernels = self.network.kernels
        self.kernels = [k + off * k.std() * torch.randn(k.shape, generator=generator) for k in kernels]

    def gradient(self, precision, threads=1, alpha=1.0, beta=1.0):
        """Of α·L_KD + β·L_FMD; "exact" is in 64 bits."""
        network = self.exact if precision == "exact" else self.network
        dtype = network.kernels[0].dtype
        return distillation_gradient(
            network, self.images.to(dtype), network.fold(network.kernels), [k.to(dtype) for k in self.kernels],
            alpha=alpha, beta=beta, epsilon=1e-4, workers=Workers(threads),
            precision="float32" if precision == "exact" else precision,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def _pieces(monkeypatch):
    monkeypatch.setattr(distillation, "CPU_CHUNK", 24)  # the last one is smaller


@pytest.mark.parametrize("network", ["resnet8", "resnet20"])
@pytest.mark.parametrize("off", [0.3, 0.1])
def test_gradients_in_16_bits_keep_the_bound(network, off):
    problem = Distilling(network, off)
    gradients, output, features = problem.gradient("bfloat16")
    wanted, exact_output, exact_features = problem.gradient("exact")
    for ours, theirs in zip(gradients, wanted, strict=True):
        assert ours.dtype == torch.float32
        ours, theirs = ours.double().flatten(), theirs.flatten()
        assert F.cosine_similarity(ours, theirs, dim=0) >= COSINE
        assert (ours - theirs).norm() <= ERROR * theirs.norm()
    assert features.item() == pytest.approx(exact_features.item(), rel=LOSS)
    if off == 0.3:  # nearer, the difference of logits is itself of the size of their rounding
        assert output.item() == pytest.approx(exact_output.item(), rel=LOSS)


def test_logits_that_are_large_and_nearly_equal_are_not_rounded_to_one_number():
    given = Problem(Setting(network="resnet8", hidden=4, phase=Phase(batch=64)), CPU)
    module, images = given.module, given.images
    with torch.no_grad():
        rows = module.fc.weight[:1].abs() / module(images).abs().mean()
        module.fc.weight.copy_(300 * rows * (1 + 3e-4 * torch.arange(len(module.fc.weight))[:, None]))
        module.fc.bias.zero_()
        assert module(images).bfloat16().diff(dim=1).eq(0).any()  # what 16 bits make of them
    network = FunctionalNetwork(module, given.layers)
    with torch.no_grad(), passes_in("bfloat16", CPU):
        logits = network.logits(images, network.fold(network.kernels))
    assert torch.allclose(logits.diff(dim=1), module(images).diff(dim=1), rtol=0.02)


@pytest.mark.parametrize("name", ["squeezenet1_1", "vgg11", "densenet121", "mobilenet_v2", "resnet18"])
def test_logits_are_of_32_bits_whatever_computes_them(name):
    module = getattr(import_torchvision().models, name)(weights=None, num_classes=7).eval()
    network = FunctionalNetwork(module, [key for key, layer in module.named_modules() if is_plain(layer)])
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad(), passes_in("bfloat16", CPU):
        logits, maps = network.logits_and_maps(images, network.fold(network.kernels))
    assert logits.dtype == torch.float32 and maps[0].dtype == torch.bfloat16


class Heads(nn.Module):
    """Products in every form that a network may end with."""

    def __init__(self, head):
        super().__init__()
        self.conv, self.weight, self.head = nn.Conv2d(3, 4, 3), nn.Parameter(torch.randn(4, 5)), head

    def forward(self, images):
        return self.head(self.conv(images).relu().mean((2, 3)), self.weight)


@pytest.mark.parametrize(
    "head",
    [
        lambda x, w: x @ w,
        lambda x, w: x.matmul(w) * 2,
        lambda x, w: torch.einsum("bi,ij->bj", x, w),
        lambda x, w: F.linear(input=x, weight=w.t()) + x.mm(w),
        lambda x, w: F.conv2d(x[:, :, None, None], w.t()[:, :, None, None]).flatten(1),
    ],
)
def test_a_head_in_any_form_is_of_32_bits(head):
    module = Heads(head).eval()
    network, images = FunctionalNetwork(module, ["conv"]), torch.randn(2, 3, 8, 8)
    with torch.no_grad(), passes_in("bfloat16", CPU):
        logits = network.logits(images, network.fold(network.kernels))
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, module(images), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("threads", [2, 3])
def test_in_16_bits_too_the_number_of_threads_changes_no_bit(threads):
    problem = Distilling()
    one, other = problem.gradient("bfloat16"), problem.gradient("bfloat16", threads)
    assert all(torch.equal(a, b) for a, b in zip([*one[0], *one[1:]], [*other[0], *other[1:]], strict=True))
    assert not torch.equal(one[0][0], problem.gradient("float32")[0][0])  # it was 16 bits


def test_of_equal_networks_the_losses_in_16_bits_are_those_of_32():
    """No rounding of the loss itself: maps that are equal in 16 bits have the distance 0 in 32."""
    problem = Distilling(off=0)
    _, output, features = problem.gradient("bfloat16")
    assert features.item() == pytest.approx(0, abs=1e-4)
    assert output.item() == pytest.approx(problem.gradient("float32")[1].item(), abs=1e-4)


def test_the_networks_run_in_the_precision_that_is_asked_for_and_nothing_else_does():
    seen = {}
    layers = {"conv": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4)}
    images = torch.randn(2, 3, 8, 8)
    for precision in ("float32", "tf32", "bfloat16"):
        with passes_in(precision, CPU):
            maps = layers["conv"](images)
            seen[precision] = maps.dtype
            loss = widened(layers["norm"](maps)).square().sum()
        loss.backward()
        assert {loss.dtype, layers["conv"].weight.grad.dtype, layers["norm"].running_mean.dtype} == {torch.float32}
    assert seen == {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}


def test_tf32_is_on_in_its_passes_alone_and_on_a_gpu():
    def asked():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    for device, precision in (("cuda", "tf32"), ("cpu", "tf32"), ("cuda", "float32")):
        with pytest.raises(InterruptedError), passes_in(precision, torch.device(device)):
            assert asked() == ((device, precision) == ("cuda", "tf32"),) * 2
            raise InterruptedError
        assert asked() == (False, False)


@pytest.mark.parametrize(("given", "wanted"), [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_numbers_are_never_narrowed(given, wanted):
    assert widened(torch.ones(2, dtype=getattr(torch, given))).dtype == getattr(torch, wanted)


class Predicting:
    """A predictor of some thousand kernels, of which a sample gets gradients, copies among them."""

    def __init__(self, activation="relu"):
        shapes = [(16, 3), (16, 16), (32, 16), (64, 32)]
        generator = torch.Generator().manual_seed(0)
        orders = [torch.randperm(filters * channels, generator=generator) for filters, channels in shapes]
        layout = KernelLayout([(*shape, 3, 3) for shape in shapes], orders)
        self.coordinates = kernel_coordinates(shapes, normalized=False)
        self.predictor = predictor_of(TableEmbedding(kind="table"), activation, 96, layout)
        initialize_default(self.predictor, generator)
        self.table = CoordinateTable(self.coordinates, self.predictor.embedding)
        self.sample = torch.randint(0, len(self.table), (2500,), generator=generator)  # three pieces
        self.gradient = torch.randn(2500, 9, generator=generator)

    def passes(self, precision, threads=1):
        workers = Workers(threads)
        passes = PredictorPass(self.predictor, self.table, workers, precision)
        passes.backward(self.sample, lambda _, part: self.gradient[part])
        return [passes.predict(), *(parameter.grad for parameter in self.predictor.parameters())]

    def exact(self):
        predictor = copy.deepcopy(self.predictor).double()
        kernels = predictor.after_embedding(predictor.embedding(self.coordinates).double())
        gradients = torch.autograd.grad(kernels[self.sample], list(predictor.parameters()), self.gradient.double())
        return [kernels.detach(), *gradients]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_predictors_passes_in_16_bits_keep_their_bounds(activation):
    problem = Predicting(activation)
    (kernels, *gradients), (exact_kernels, *exact) = problem.passes("bfloat16"), problem.exact()
    assert (kernels - exact_kernels).norm() <= KERNELS * exact_kernels.norm()
    for ours, theirs in zip(gradients, exact, strict=True):
        assert ours.dtype == torch.float32
        assert F.cosine_similarity(ours.double().flatten(), theirs.flatten(), dim=0) >= PREDICTOR[0]
        assert (ours - theirs).norm() <= PREDICTOR[1] * theirs.norm()


@pytest.mark.parametrize("threads", [2, 3])
def test_a_predictors_passes_in_16_bits_are_the_same_with_any_number_of_threads(threads):
    problem = Predicting()
    one, other = problem.passes("bfloat16"), problem.passes("bfloat16", threads)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], problem.passes("float32")[0])  # it was 16 bits


def update(precision, module, images, labels):
    """What one step of plain SGD adds to the parameters: minus the gradient."""
    module = copy.deepcopy(module).train()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    loss = descend(module, optimizer, images, labels, Original(precision=precision), [])
    after = [parameter.detach() for parameter in module.parameters()]
    return loss, [new - old for old, new in zip(before, after, strict=True)]


def test_an_originals_step_in_16_bits_keeps_its_bound_and_is_the_same_each_time():
    torch.manual_seed(0)
    module, images = CifarResNet(8, classes=10, shortcut="B"), torch.randn(64, 3, 32, 32)
    labels = torch.arange(64) % 10
    loss, ours = update("bfloat16", module, images, labels)
    exact_loss, exact = update("float32", copy.deepcopy(module).double(), images.double(), labels)
    assert loss.item() == pytest.approx(exact_loss.item(), rel=LOSS)
    for one, other in zip(ours, exact, strict=True):
        assert one.dtype == torch.float32
        assert F.cosine_similarity(one.double().flatten(), other.flatten(), dim=0) >= TRAINING
    again = update("bfloat16", module, images, labels)[1]
    assert all(torch.equal(one, other) for one, other in zip(ours, again, strict=True))


def test_an_originals_step_in_32_bits_is_plain_autograds():
    torch.manual_seed(0)
    module, images, labels = CifarResNet(8, classes=10, width=4), torch.randn(4, 3, 8, 8), torch.arange(4)
    loss, ours = update("float32", module, images, labels)
    plain = copy.deepcopy(module).train()
    wanted = F.cross_entropy(plain(images), labels)
    wanted.backward()
    assert torch.equal(loss, wanted.detach())
    for one, parameter in zip(ours, plain.parameters(), strict=True):
        torch.testing.assert_close(one, -parameter.grad, rtol=1e-5, atol=1e-5)
