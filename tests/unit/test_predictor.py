import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nern.errors import NernError
from nern.method import predictor as predictor_module
from nern.method.backpropagation import PredictorPass
from nern.method.embedding import kernel_coordinates, positional_embedding
from nern.method.kernels import KernelLayout
from nern.method.predictor import CoordinateTable, Predictor, initialize, initialize_default, predictor_of
from nern.method.workers import Workers
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.learnable import learnable_layers, weight_of
from nern.settings import PositionalEmbedding, TableEmbedding

SHAPES = [(3, 2), (5, 3), (4, 7)]
POSITIONAL = PositionalEmbedding(levels=6)
TABLE = TableEmbedding(kind="table")
UNIT = math.sqrt(40)
"""What stands in a table's one-hot embedding where the index is."""
KINDS = [POSITIONAL, PositionalEmbedding(levels=6, normalized=True), TABLE]


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def layout_of(shapes, size=3):
    generator = torch.Generator().manual_seed(4)
    orders = [torch.randperm(filters * channels, generator=generator) for filters, channels in shapes]
    return KernelLayout([(*shape, size, size) for shape in shapes], orders)


def make(embedding=POSITIONAL, hidden=12, shapes=SHAPES, size=3):
    predictor = predictor_of(embedding, "relu", hidden, layout_of(shapes, size))
    initialize_default(predictor, torch.Generator().manual_seed(1))
    coordinates = kernel_coordinates(shapes, normalized=embedding.normalized)
    return predictor, coordinates, CoordinateTable(coordinates, predictor.embedding)


class Lookup(nn.Module):
    """What a table is, written out: three looked-up vectors and a bias, then the MLP."""

    def __init__(self, predictor, counts):
        super().__init__()
        columns = (UNIT * predictor.linears[0].weight.detach().T).split(counts)
        self.tables = nn.ModuleList(nn.Embedding.from_pretrained(rows.clone(), freeze=False) for rows in columns)
        self.bias = nn.Parameter(predictor.linears[0].bias.detach().clone())
        self.rest = nn.Sequential(*(part for layer in predictor.linears[1:] for part in (nn.ReLU(), layer)))

    def forward(self, coordinates):
        indices = coordinates.long().T
        return self.rest(sum(table(index) for table, index in zip(self.tables, indices, strict=True)) + self.bias)


@pytest.mark.parametrize(("hidden", "parameters"), [(140, 94_229), (160, 117_289)])
def test_parameter_counts_of_the_paper(hidden, parameters):
    predictor = Predictor(hidden, kernel_size=3, levels=40, base=0.76)
    assert sum(parameter.numel() for parameter in predictor.parameters()) == parameters


@pytest.mark.parametrize(("hidden", "parameters"), [(160, 102_409), (180, 126_009)])
def test_a_table_has_a_vector_for_each_of_the_147_indices_of_resnet20(hidden, parameters):
    module = CifarResNet(20, classes=10, shortcut="A")
    shapes = [weight_of(module, name).shape for name in learnable_layers(module)]
    predictor, _, _ = make(TABLE, hidden, [(filters, channels) for filters, channels, _, _ in shapes])
    rows = 19 + 64 + 64  # layers, filters, channels
    assert parameters == (rows + 1) * hidden + 3 * (hidden**2 + hidden) + 9 * hidden + 9
    assert sum(parameter.numel() for parameter in predictor.parameters()) == parameters


@pytest.mark.parametrize("embedding", [PositionalEmbedding(), TABLE])
def test_embeddings_of_both_kinds_are_equally_long(double, embedding):
    predictor, coordinates, _ = make(embedding)
    embedded = predictor.embedding(coordinates)
    torch.testing.assert_close(embedded.square().sum(dim=1), torch.full((len(coordinates),), 120.0))
    assert predictor.embedding.squared_norm == 120


def test_forward_is_five_linear_layers_with_relu_between(double):
    predictor, coordinates, _ = make()
    values = positional_embedding(coordinates, base=0.76, levels=6)
    for number, layer in enumerate(predictor.linears):
        values = values @ layer.weight.T + layer.bias
        if number < 4:
            values = values.clamp(min=0)
    torch.testing.assert_close(predictor(coordinates), values, rtol=1e-12, atol=1e-13)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5))
def test_a_table_adds_looked_up_vectors_and_has_their_gradients(shapes):
    torch.set_default_dtype(torch.float64)
    try:
        predictor, coordinates, table = make(TABLE, shapes=shapes)
        # filters and channels that only some layers have, as with groups, count once
        counts = [len(column.unique()) for column in coordinates.T]
        lookup = Lookup(predictor, counts)
        torch.testing.assert_close(predictor(coordinates), lookup(coordinates), rtol=1e-12, atol=1e-13)
        generator = torch.Generator().manual_seed(0)
        sample = torch.randint(0, len(table), (20,), generator=generator)
        gradient = torch.randn(20, 9, generator=generator)
        wanted = torch.autograd.grad(lookup(coordinates[sample]), list(lookup.parameters()), gradient)
        wanted = [UNIT * torch.cat(wanted[1:4]).T, wanted[0], *wanted[4:]]  # a module's own parameters come first
        PredictorPass(predictor, table, Workers()).backward(sample, lambda _, part: gradient[part])
        for parameter, expected in zip(predictor.parameters(), wanted, strict=True):
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-12)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("shapes", [[(3, 2), (6, 3), (4, 7)], [*SHAPES, (1, 1)]])
def test_a_table_of_another_network_is_one_sentence(shapes):
    predictor, _, _ = make(TABLE)
    with pytest.raises(NernError, match=r"has none for other indices than 0 to \d; use it with the network"):
        predictor(kernel_coordinates(shapes))
    with pytest.raises(NernError):
        predictor(kernel_coordinates(SHAPES, normalized=True))


@pytest.mark.parametrize("embedding", KINDS)
def test_the_factored_first_layer_predicts_the_same(double, embedding):
    predictor, coordinates, table = make(embedding)
    torch.testing.assert_close(table.predict(predictor), predictor(coordinates), rtol=1e-12, atol=1e-13)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.sampled_from(KINDS))
def test_written_out_gradients_are_autograds_with_buffers_used_again(sizes, embedding):
    torch.set_default_dtype(torch.float64)
    try:
        predictor, coordinates, table = make(embedding)
        passes = PredictorPass(predictor, table, Workers())
        passes.rows = 8  # several pieces, the last one smaller
        generator = torch.Generator().manual_seed(0)
        for size in sizes:
            sample = torch.randint(0, len(table), (size,), generator=generator)
            gradient = torch.randn(size, 9, generator=generator)
            wanted = torch.autograd.grad(predictor(coordinates[sample]), list(predictor.parameters()), gradient)
            predicted = torch.empty(size, 9)

            def gradient_of(kernels, part, predicted=predicted, gradient=gradient):
                predicted[part] = kernels
                return gradient[part]

            passes.backward(sample, gradient_of)
            torch.testing.assert_close(predicted, predictor(coordinates[sample]), rtol=1e-11, atol=1e-12)
            for parameter, expected in zip(predictor.parameters(), wanted, strict=True):
                torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-12)
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_gpus_sum_by_index_is_that_of_a_cpu_and_of_a_loop(double):
    generator = torch.Generator().manual_seed(0)
    indices, rows = torch.randint(0, 6, (40, 3), generator=generator), torch.randn(40, 5, generator=generator)
    wanted = torch.zeros(6, 5)
    for triple, row in zip(indices.tolist(), rows, strict=True):
        for index in triple:
            wanted[index] += row
    for add in (predictor_module._add_in_order, predictor_module._add_sorted):
        torch.testing.assert_close(add(indices, rows, 6), wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("embedding", KINDS)
def test_first_predictions_have_the_originals_mean_and_deviation(embedding):
    predictor, _, table = make(embedding, hidden=64)
    target = 0.4 + 0.03 * torch.randn(len(table), 9, generator=torch.Generator().manual_seed(3))
    initialize(predictor, table, target, None, torch.Generator().manual_seed(2))
    predicted = table.predict(predictor)
    assert predicted.mean().item() == pytest.approx(target.mean().item(), abs=1e-4)
    assert predicted.std().item() == pytest.approx(target.std().item(), rel=1e-3)


def test_first_predictions_count_only_where_a_smaller_kernel_has_weights():
    predictor, _, table = make(hidden=64)
    mask = torch.zeros(len(table), 9)
    mask[:, 4] = 1  # 1x1 kernels, in the center of 3x3
    mask[:6] = 1
    target = mask * torch.randn(len(table), 9, generator=torch.Generator().manual_seed(3))
    initialize(predictor, table, target, mask, torch.Generator().manual_seed(2))
    predicted, wanted = table.predict(predictor)[mask > 0], target[mask > 0]
    assert predicted.mean().item() == pytest.approx(wanted.mean().item(), abs=1e-4)
    assert predicted.std().item() == pytest.approx(wanted.std().item(), rel=1e-3)


def test_the_first_prediction_of_a_single_weight_is_that_weight():
    predictor, _, table = make(hidden=8, shapes=[(1, 1)], size=1)
    initialize(predictor, table, torch.tensor([[0.7]]), None, torch.Generator().manual_seed(2))
    assert table.predict(predictor).item() == pytest.approx(0.7, abs=1e-5)


def test_default_initialization_is_uniform_within_one_over_root_of_inputs():
    predictor, _, _ = make(hidden=200)
    for layer in predictor.linears:
        bound = 1 / math.sqrt(layer.in_features)
        assert layer.weight.abs().max() <= bound
        assert layer.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.1)


@pytest.mark.parametrize("embedding", [PositionalEmbedding(), PositionalEmbedding(levels=3), TABLE])
def test_the_first_layers_products_start_with_a_variance_of_a_sixth(embedding):
    # Sinusoids: 6N inputs of mean square 1/2, weights U[-1/√(6N), 1/√(6N)] of variance 1/(18N)
    predictor, coordinates, _ = make(embedding, hidden=1000)
    first = predictor.linears[0]
    products = predictor.embedding(coordinates) @ first.weight.T
    # at each coordinate: the weights are what is random
    torch.testing.assert_close(products.var(dim=1), torch.full((len(coordinates),), 1 / 6), rtol=0.2, atol=0)
    assert first.bias.abs().max() <= 1 / math.sqrt(first.in_features)


def test_initialization_depends_on_the_stream_alone():
    torch.manual_seed(5)
    first, _, _ = make()
    torch.manual_seed(6)
    second, _, _ = make()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
