"""The predictor's activations: their definitions, and the passes that write into given memory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from nern.method.activation import ACTIVATIONS
from nern.method.kernels import KernelLayout
from nern.method.predictor import predictor_of
from nern.settings import Activation, TableEmbedding

VALUES = st.lists(st.floats(-30, 30), min_size=1, max_size=20)
DEFINITIONS = {"relu": lambda x: max(x, 0.0), "gelu": lambda x: x * norm.cdf(x)}
SLOPES = {"relu": lambda x: float(x > 0), "gelu": lambda x: norm.cdf(x) + x * norm.pdf(x)}


def test_every_name_has_one():
    assert list(ACTIVATIONS) == list(Activation.__args__) == list(DEFINITIONS)


@pytest.mark.parametrize("name", DEFINITIONS)
@given(values=VALUES)
def test_both_passes_are_the_definitions(name, values):
    activation, x = ACTIVATIONS[name], torch.tensor(values, dtype=torch.float64)
    wanted, slopes = ([of[name](value) for value in values] for of in (DEFINITIONS, SLOPES))
    assert activation(x).tolist() == pytest.approx(wanted, abs=1e-12)
    before = x.clone()
    out = before if activation.kept == 1 else torch.empty_like(x)
    assert activation.forward(before, out) is out
    assert out.tolist() == pytest.approx(wanted, abs=1e-12)
    gradient = torch.full_like(x, 3.0)
    assert activation.backward_(gradient, before) is gradient
    assert gradient.tolist() == pytest.approx([3 * slope for slope in slopes], abs=1e-12)


def test_a_predictor_has_the_activation_of_its_protocol():
    """Four of them, one after each layer but the last."""

    layout = KernelLayout([(4, 3, 3, 3)], [torch.arange(12)])
    coordinates = torch.tensor([[0.0, 2.0, 1.0]])
    found = {}
    for name in DEFINITIONS:
        torch.manual_seed(0)
        predictor = predictor_of(TableEmbedding(kind="table"), name, 5, layout)
        x = predictor.embedding(coordinates).float()
        for layer in predictor.linears[:-1]:
            x = torch.tensor([[DEFINITIONS[name](value) for value in layer(x)[0].tolist()]], dtype=torch.float32)
        found[name] = predictor(coordinates)
        torch.testing.assert_close(found[name], predictor.linears[-1](x))
    assert not torch.allclose(found["relu"], found["gelu"], atol=1e-3)
