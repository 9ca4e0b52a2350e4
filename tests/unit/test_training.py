import math

import pytest
import torch
from networks import randomized

from benchmarks.straightforward import StraightforwardStep
from nern.distilling import needs_network
from nern.method import backpropagation, distillation
from nern.method.distillation import distillation_gradient
from nern.method.embedding import kernel_coordinates
from nern.method.kernels import KernelLayout
from nern.method.losses import feature_distillation_loss
from nern.method.predictor import CoordinateTable, initialize_default, predictor_of
from nern.method.sampling import Sample
from nern.method.training import PredictorStep, cosine_lr
from nern.method.workers import Workers
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.graph import FunctionalNetwork
from nern.networks.learnable import learnable_layers, weight_of
from nern.settings import Losses, Phase, PositionalEmbedding, TableEmbedding

RECONSTRUCTION = Losses(alpha=0, beta=0)
POSITIONAL = PositionalEmbedding(levels=8)
TABLE = TableEmbedding(kind="table")


class Problem:
    """A small ResNet with 1×1 shortcuts, its kernels shuffled, and a predictor of them."""

    def __init__(self, dtype=torch.float64, shortcut="B", threads=1, embedding=POSITIONAL, activation="relu"):
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.module = randomized(CifarResNet(8, classes=5, width=4, shortcut=shortcut)).to(dtype)
        self.layers = learnable_layers(self.module)
        weights = [weight_of(self.module, name).detach() for name in self.layers]
        orders = [torch.randperm(w.shape[0] * w.shape[1], generator=generator) for w in weights]
        self.layout = KernelLayout([tuple(w.shape) for w in weights], orders)
        self.coordinates = kernel_coordinates([w.shape[:2] for w in weights])
        self.predictor = predictor_of(embedding, activation, 10, self.layout).to(dtype)
        initialize_default(self.predictor, torch.Generator().manual_seed(1))
        table = CoordinateTable(self.coordinates, self.predictor.embedding).to(dtype)
        self.target = self.layout.rows(weights)
        self.workers = Workers(threads)
        self.step = PredictorStep(self.predictor, table, self.layout, self.target, self.workers)
        self.network = FunctionalNetwork(self.module, self.layers)
        self.images = torch.randn(6, 3, 16, 16, generator=generator, dtype=dtype)
        self.calls = 0

    def distiller(self, images, kernels, losses):
        self.calls += 1
        teacher = self.network.fold(self.network.kernels)
        return distillation_gradient(
            self.network, images, teacher, kernels,
            alpha=losses.alpha, beta=losses.beta, epsilon=losses.epsilon, workers=self.workers,
        )  # fmt: skip

    def gradients(self):
        return [parameter.grad.clone() for parameter in self.predictor.parameters()]

    def oracle(self, sampled, losses):
        step = StraightforwardStep(self.module, self.layers, self.predictor, self.layout, self.coordinates)
        step(sampled, self.images, losses)
        return self.gradients()


@pytest.fixture(autouse=True)
def double(monkeypatch):
    torch.set_default_dtype(torch.float64)
    # several pieces of rows and chunks of images, the last ones smaller
    monkeypatch.setattr(backpropagation, "CPU_ROWS", 16)
    monkeypatch.setattr(distillation, "CPU_CHUNK", 4)
    yield
    torch.set_default_dtype(torch.float32)


def sample_of(problem, count=50):
    return Sample(torch.randperm(len(problem.target), generator=torch.Generator().manual_seed(3))[:count], None)


def close(ours, theirs, rtol=1e-9):
    scale = max(gradient.abs().max().item() for gradient in theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * scale)


def test_a_map_whose_norm_overflows_is_no_nan_but_what_the_plain_formula_makes_of_it():
    problem = Problem(dtype=torch.float32)
    # late maps of so large kernels are finite, their squares are not
    kernels = [1e4 * kernel.detach() for kernel in problem.network.kernels]
    gradients, output, features = problem.distiller(problem.images, kernels, Losses(alpha=0.3, beta=0.7, epsilon=1e-4))
    with torch.no_grad():
        _, theirs = problem.network.logits_and_maps(problem.images, problem.network.fold(problem.network.kernels))
    leaves = [kernel.requires_grad_() for kernel in kernels]
    logits, ours = problem.network.logits_and_maps(problem.images, problem.network.fold(leaves))
    assert logits.isfinite().all() and any(each.flatten(1).norm(dim=1).isinf().any() for each in ours)
    wanted = feature_distillation_loss(list(ours), list(theirs))
    torch.testing.assert_close(features, wanted, rtol=1e-5, atol=0)
    (0.7 * wanted).backward()
    assert output.isfinite() and all(gradient.isfinite().all() for gradient in gradients)
    # the outputs are sure of a wrong class: L_KD with ε has no gradient there
    close(gradients, [leaf.grad for leaf in leaves], rtol=1e-4)


@pytest.mark.parametrize("share", [1e-10, 1.5])
def test_an_originals_map_whose_norm_overflows_counts_as_nothing_like_ours(share):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3), torch.nn.ReLU())
    network = network.float().requires_grad_(False)
    network[0].weight *= 1e20
    network[2].weight *= 1e-20
    graph, images = FunctionalNetwork(network, ["0", "2"]), torch.randn(5, 3, 8, 8, dtype=torch.float32)
    teacher = graph.fold(graph.kernels)
    with torch.no_grad():
        _, theirs = graph.logits_and_maps(images, teacher)
    assert theirs[0].isfinite().all() and theirs[0].flatten(1).norm(dim=1).isinf().all()
    leaves = [(share * kernel).requires_grad_() for kernel in graph.kernels]
    wanted = feature_distillation_loss(graph.logits_and_maps(images, graph.fold(leaves))[1], theirs)
    wanted.backward()
    gradients, _, features = distillation_gradient(
        graph, images, teacher, leaves, alpha=0, beta=1, epsilon=0, workers=Workers()
    )
    torch.testing.assert_close(features, wanted.detach(), rtol=1e-5, atol=1e-6)
    close(gradients, [leaf.grad for leaf in leaves], rtol=1e-4)


@pytest.mark.parametrize(
    ("shortcut", "embedding", "activation"),
    [("A", POSITIONAL, "relu"), ("B", POSITIONAL, "relu"), ("B", TABLE, "relu"), ("B", TABLE, "gelu")],
)
@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.3, 0), (0, 0.7)])
def test_distilling_has_the_straightforward_gradient(shortcut, embedding, activation, alpha, beta):
    problem = Problem(shortcut=shortcut, embedding=embedding, activation=activation)
    losses, sample = Losses(alpha=alpha, beta=beta), sample_of(problem)
    wanted = problem.oracle(sample.indices, losses)
    problem.step.distill(sample, losses, problem.images, problem.distiller)
    close(problem.gradients(), wanted)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_distilling_with_all_kernels_has_the_straightforward_gradient(activation):
    problem = Problem(activation=activation)
    everything = torch.arange(len(problem.target))
    wanted = problem.oracle(everything, Losses(alpha=0.3, beta=0.7))
    problem.step.distill(Sample(everything, None), Losses(alpha=0.3, beta=0.7), problem.images, problem.distiller)
    close(problem.gradients(), wanted)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_kept_activations_change_no_bit(monkeypatch, activation, dtype, threads):
    torch.set_default_dtype(dtype)
    kept, again = (Problem(dtype=dtype, threads=each, activation=activation) for each in (threads, 1))
    everything, losses = Sample(torch.arange(len(kept.target)), None), Losses(alpha=0.3, beta=0.7)
    assert kept.step.passes.fits
    for _ in range(2):
        kept.step.distill(everything, losses, kept.images, kept.distiller)
        with monkeypatch.context() as context:
            context.setattr(backpropagation, "KEPT_BYTES", 0)
            assert not again.step.passes.fits
            again.step.distill(everything, losses, again.images, again.distiller)
        assert all(torch.equal(one, other) for one, other in zip(kept.gradients(), again.gradients(), strict=True))
        with torch.no_grad():
            for parameter in (*kept.predictor.parameters(), *again.predictor.parameters()):
                parameter.sub_(0.01 * parameter.grad)


def test_distilling_in_float32_is_right_to_rounding():
    torch.set_default_dtype(torch.float32)
    problem = Problem(dtype=torch.float32)
    losses, sample = Losses(alpha=0.3, beta=0.7), sample_of(problem)
    wanted = problem.oracle(sample.indices, losses)
    problem.step.distill(sample, losses, problem.images, problem.distiller)
    close(problem.gradients(), wanted, rtol=2e-4)


@pytest.mark.parametrize(("embedding", "activation"), [(POSITIONAL, "relu"), (TABLE, "relu"), (POSITIONAL, "gelu")])
def test_reconstruction_has_the_gradient_of_the_global_rmse_on_the_sample(embedding, activation):
    problem = Problem(embedding=embedding, activation=activation)
    sample = sample_of(problem)
    wanted = problem.oracle(sample.indices, RECONSTRUCTION)
    problem.step.reconstruct(sample, RECONSTRUCTION)  # the table of errors is exact at first
    close(problem.gradients(), wanted)


def test_the_texts_form_differs_from_the_codes_by_the_root_of_the_number_of_weights():
    problem = Problem()
    sample = sample_of(problem)
    code = problem.step.reconstruct(sample, RECONSTRUCTION)
    gradients = problem.gradients()
    text = problem.step.reconstruct(sample, Losses(alpha=0, beta=0, form="text"))
    root = math.sqrt(problem.layout.parameters)
    assert text.reconstruction.item() * root == pytest.approx(code.reconstruction.item())
    close([gradient * root for gradient in problem.gradients()], gradients)


def test_a_kernel_drawn_twice_gets_its_gradient_once():
    problem = Problem()
    once = Sample(torch.tensor([3, 8]), None)
    problem.step.reconstruct(once, RECONSTRUCTION)
    wanted = problem.gradients()
    copies = torch.tensor([1 / 3, 1.0, 1 / 3, 1 / 3])
    problem.step.reconstruct(Sample(torch.tensor([3, 8, 3, 3]), copies), RECONSTRUCTION)
    close(problem.gradients(), wanted)


def test_only_sampled_kernels_receive_gradients():
    problem = Problem()
    sample = Sample(torch.tensor([5]), None)
    problem.step.distill(sample, Losses(alpha=0.3, beta=0.7), problem.images, problem.distiller)
    # the output layer's bias gets exactly the gradient of the one kernel: rank one in what the predictor sees
    gradient = problem.predictor.linears[-1].weight.grad
    assert torch.linalg.matrix_rank(gradient) == 1


def test_the_table_of_errors_holds_what_was_last_seen():
    problem = Problem()
    exact = problem.step.errors.clone()
    with torch.no_grad():
        problem.predictor.linears[-1].bias.add_(0.1)
    sample = sample_of(problem)
    problem.step.reconstruct(sample, RECONSTRUCTION)
    table = problem.step.passes.table
    fresh = PredictorStep(problem.predictor, table, problem.layout, problem.target, problem.workers).errors
    chosen = torch.zeros(len(exact), dtype=torch.bool).index_fill_(0, sample.indices, True)
    torch.testing.assert_close(problem.step.errors[chosen], fresh[chosen])
    assert torch.equal(problem.step.errors[~chosen], exact[~chosen])


def test_a_perfect_reconstruction_has_no_gradient_and_no_nan():
    problem = Problem()
    problem.step.target = problem.step.passes.predict()
    problem.step.mask = None
    problem.step.errors = torch.zeros(len(problem.target))
    problem.step.reconstruct(sample_of(problem), RECONSTRUCTION)
    assert all(gradient.abs().max() < 1e-3 for gradient in problem.gradients())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", ["rmse", "text"])
@pytest.mark.parametrize("distilled", [False, True])
def test_an_error_that_is_only_rounding_has_no_gradient(dtype, form, distilled):
    problem, losses = Problem(dtype=dtype), Losses(alpha=0, beta=0, form=form)
    step, generator = problem.step, torch.Generator().manual_seed(5)
    table, layout = step.passes.table, problem.layout
    perfect = PredictorStep(problem.predictor, table, layout, step.passes.predict(), problem.workers)
    plain = perfect.passes._forward

    def on_another_processor(*arguments):
        # every kernel anew, as if all rows at once and a sample of them went through other kernels
        (*inputs, kernels), before = plain(*arguments)
        noise = torch.rand(kernels.shape, generator=generator, dtype=dtype) * 2 - 1
        return [*inputs, kernels * (1 + 4 * torch.finfo(dtype).eps * noise)], before

    perfect.mask, perfect.passes._forward = None, on_another_processor
    for count in (1, 50):  # of one kernel and of many
        sample = sample_of(problem, count)
        if distilled:
            perfect.distill(sample, losses, problem.images, problem.distiller)
        else:
            perfect.reconstruct(sample, losses)
        assert perfect.errors.sum() > 0
        assert all(gradient.count_nonzero() == 0 for gradient in problem.gradients())


def test_a_small_error_above_rounding_has_the_whole_gradient():
    problem = Problem()
    rows = problem.step.passes.predict()
    problem.layout.mask = lambda device: None
    target = rows * (1 + 1e-12)
    step = PredictorStep(problem.predictor, problem.step.passes.table, problem.layout, target, problem.workers)
    everything = torch.arange(len(rows))
    step.reconstruct(Sample(everything, None), RECONSTRUCTION)
    # by the chain rule: the output layer's bias gets the sum of the errors over √n · ‖error‖
    error = rows - target
    wanted = error.sum(0) / (error.norm() * math.sqrt(problem.layout.parameters))
    torch.testing.assert_close(problem.predictor.linears[-1].bias.grad, wanted, rtol=1e-2, atol=1e-4)


def test_reconstruction_runs_no_network():
    problem = Problem()
    problem.step.reconstruct(sample_of(problem), RECONSTRUCTION)
    assert problem.calls == 0


@pytest.mark.parametrize(
    ("phase", "step", "gradient", "wanted"),
    [
        ({}, 0, True, True),
        ({"warmup": 10}, 9, True, False),
        ({"warmup": 10}, 10, True, True),
        ({"losses": {"alpha": 0, "beta": 0}}, 5, True, False),
        ({"losses": {"alpha": 0, "beta": 1}}, 5, True, True),
        ({}, 5, False, False),
        # L_recon weighs nothing: a warm-up on it would be steps without a gradient
        ({"warmup": 10, "losses": {"reconstruction": 0}}, 0, True, True),
    ],
)
def test_which_steps_need_a_network(phase, step, gradient, wanted):
    assert needs_network(Phase.model_validate(phase), step, gradient=gradient) is wanted


@pytest.mark.parametrize(("embedding", "activation"), [(POSITIONAL, "relu"), (TABLE, "relu"), (TABLE, "gelu")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_number_of_threads_changes_no_bit(dtype, embedding, activation):
    torch.set_default_dtype(dtype)
    everything = []
    for threads in (1, 3):
        problem = Problem(dtype=dtype, threads=threads, embedding=embedding, activation=activation)
        found = []
        for _ in range(3):
            problem.step.reconstruct(sample_of(problem), RECONSTRUCTION)
            found += problem.gradients()
            losses = problem.step.distill(
                sample_of(problem), Losses(alpha=0.3, beta=0.7), problem.images, problem.distiller
            )
            found += [*problem.gradients(), losses.output, losses.features]
        everything.append(found)
    assert all(torch.equal(one, other) for one, other in zip(*everything, strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_of_copies_in_several_pieces_the_last_ones_error_is_kept(threads):
    problem = Problem(threads=threads)
    indices = torch.randint(0, 20, (100,), generator=torch.Generator().manual_seed(3))  # pieces are of 16
    squares = torch.zeros(100)

    def backward(sample, gradient_of):
        # every copy with an error of its own, as if by rounding, and the pieces in a thread's worst order
        for start in reversed(range(0, len(sample), 16)):
            part = slice(start, min(start + 16, len(sample)))
            kernels = problem.target[sample[part]] + torch.arange(part.start, part.stop).unsqueeze(1)
            squares[part] = (kernels - problem.target[sample[part]]).square().sum(1)
            gradient_of(kernels, part)

    problem.step.passes.backward, problem.step.passes.scale = backward, lambda factor: None
    problem.step.reconstruct(Sample(indices, None), RECONSTRUCTION)
    for kernel in set(indices.tolist()):
        last = (indices == kernel).nonzero().max()
        torch.testing.assert_close(problem.step.errors[kernel], squares[last])


def test_learning_rate_is_half_a_cosine():
    rates = [cosine_lr(step, 100, 5e-3, 1e-6) for step in range(101)]
    assert rates[0] == 5e-3
    assert rates[50] == pytest.approx((5e-3 + 1e-6) / 2)
    assert rates[100] == pytest.approx(1e-6)
    assert rates == sorted(rates, reverse=True)


def test_the_rate_rises_in_a_share_of_the_steps_and_then_is_half_a_cosine():
    rates = [cosine_lr(step, 120, 2e-3, 1e-6, rise=0.1) for step in range(120)]
    cosine = [1e-6 + (2e-3 - 1e-6) * (1 + math.cos(math.pi * step / 120)) / 2 for step in range(120)]
    assert rates[12:] == pytest.approx(cosine[12:], rel=1e-12)
    assert rates[:12] == pytest.approx([c * (step + 1) / 13 for step, c in enumerate(cosine[:12])], rel=1e-12)
    assert rates[:13] == sorted(rates[:13]) and rates[13:] == sorted(rates[13:], reverse=True)
    # without a rise it is the cosine, and a phase of one step has its rate
    assert [cosine_lr(step, 120, 2e-3, 1e-6) for step in range(120)] == pytest.approx(cosine, rel=1e-12)
    assert cosine_lr(0, 1, 2e-3, 1e-6) == 2e-3
