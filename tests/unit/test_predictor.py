import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nern.method import predictor as predictor_module
from nern.method.backpropagation import PredictorPass
from nern.method.embedding import kernel_coordinates, positional_embedding
from nern.method.predictor import CoordinateTable, Predictor, initialize, initialize_default
from nern.method.workers import Workers

SHAPES = [(3, 2), (5, 3), (4, 7)]


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make(hidden=12, kernel_size=3, levels=6, normalized=False):
    predictor = Predictor(hidden, kernel_size=kernel_size, levels=levels, base=0.76)
    initialize_default(predictor, torch.Generator().manual_seed(1))
    coordinates = kernel_coordinates(SHAPES, normalized=normalized)
    return predictor, coordinates, CoordinateTable(coordinates, predictor.embedding)


@pytest.mark.parametrize(("hidden", "parameters"), [(140, 94_229), (160, 117_289)])
def test_parameter_counts_of_the_paper(hidden, parameters):
    predictor = Predictor(hidden, kernel_size=3, levels=40, base=0.76)
    assert sum(parameter.numel() for parameter in predictor.parameters()) == parameters


def test_forward_is_five_linear_layers_with_relu_between(double):
    predictor, coordinates, _ = make()
    values = positional_embedding(coordinates, base=0.76, levels=6)
    for number, layer in enumerate(predictor.linears):
        values = values @ layer.weight.T + layer.bias
        if number < 4:
            values = values.clamp(min=0)
    torch.testing.assert_close(predictor(coordinates), values, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("normalized", [False, True])
def test_the_factored_first_layer_predicts_the_same(double, normalized):
    predictor, coordinates, table = make(normalized=normalized)
    torch.testing.assert_close(table.predict(predictor), predictor(coordinates), rtol=1e-12, atol=1e-13)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_written_out_gradients_are_autograds_with_buffers_used_again(sizes):
    torch.set_default_dtype(torch.float64)
    try:
        predictor, coordinates, table = make()
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


def test_first_predictions_have_the_originals_mean_and_deviation():
    predictor, _, table = make(hidden=64, levels=40)
    target = 0.4 + 0.03 * torch.randn(len(table), 9, generator=torch.Generator().manual_seed(3))
    initialize(predictor, table, target, None, torch.Generator().manual_seed(2))
    predicted = table.predict(predictor)
    assert predicted.mean().item() == pytest.approx(target.mean().item(), abs=1e-4)
    assert predicted.std().item() == pytest.approx(target.std().item(), rel=1e-3)


def test_first_predictions_count_only_where_a_smaller_kernel_has_weights():
    predictor, _, table = make(hidden=64, levels=40)
    mask = torch.zeros(len(table), 9)
    mask[:, 4] = 1  # 1x1 kernels, in the center of 3x3
    mask[:6] = 1
    target = mask * torch.randn(len(table), 9, generator=torch.Generator().manual_seed(3))
    initialize(predictor, table, target, mask, torch.Generator().manual_seed(2))
    predicted, wanted = table.predict(predictor)[mask > 0], target[mask > 0]
    assert predicted.mean().item() == pytest.approx(wanted.mean().item(), abs=1e-4)
    assert predicted.std().item() == pytest.approx(wanted.std().item(), rel=1e-3)


def test_the_first_prediction_of_a_single_weight_is_that_weight():
    predictor, _, _ = make(hidden=8, kernel_size=1)
    table = CoordinateTable(kernel_coordinates([(1, 1)]), predictor.embedding)
    initialize(predictor, table, torch.tensor([[0.7]]), None, torch.Generator().manual_seed(2))
    assert table.predict(predictor).item() == pytest.approx(0.7, abs=1e-5)


def test_default_initialization_is_uniform_within_one_over_root_of_inputs():
    predictor, _, _ = make(hidden=200)
    for layer in predictor.linears:
        bound = 1 / math.sqrt(layer.in_features)
        assert layer.weight.abs().max() <= bound
        assert layer.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.1)


def test_initialization_depends_on_the_stream_alone():
    torch.manual_seed(5)
    first, _, _ = make()
    torch.manual_seed(6)
    second, _, _ = make()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
