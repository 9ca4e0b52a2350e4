"""Pruning against sorting, and packing there and back at the size that bits and floats must take."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nern.method.predictor import Predictor
from nern.method.pruning import pack, prune, unpack

SPARSITIES = st.floats(0, 1)


def weights(hidden=11, seed=0):
    torch.manual_seed(seed)
    return Predictor(hidden, kernel_size=3, levels=2, base=0.76).state_dict()


def matrices(state):
    return torch.cat([value.flatten() for value in state.values() if value.dim() == 2])


@given(SPARSITIES)
def test_the_smallest_weights_of_all_layers_together_become_zero(sparsity):
    whole = weights()
    before, after = matrices(whole), matrices(prune(whole, sparsity))
    count = round(sparsity * len(before))
    smallest = sorted(range(len(before)), key=lambda index: before[index].abs())[:count]
    wanted = before.clone()
    wanted[smallest] = 0
    assert torch.equal(after, wanted)


def test_biases_stay():
    whole = weights()
    pruned = prune(whole, 1.0)
    assert matrices(pruned).count_nonzero() == 0
    assert all(torch.equal(pruned[name], value) for name, value in whole.items() if value.dim() == 1)


def test_ties_go_by_position():
    pruned = prune({"a": torch.tensor([[1.0, -1.0]]), "b": torch.tensor([[1.0, 0.5]])}, 0.5)
    assert pruned["a"].tolist() == [[0.0, -1.0]] and pruned["b"].tolist() == [[1.0, 0.0]]


@given(SPARSITIES, st.integers(1, 20))
def test_packed_weights_come_back(sparsity, hidden):
    pruned = prune(weights(hidden), sparsity)
    found = unpack(pack(pruned))
    assert found.keys() == pruned.keys()
    assert all(torch.equal(found[name], value) for name, value in pruned.items())


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_a_file_takes_a_bit_per_entry_and_a_float_per_weight(sparsity):
    pruned = prune(weights(hidden=100), sparsity)
    entries, kept = len(matrices(pruned)), int(matrices(pruned).count_nonzero())
    biases = sum(value.numel() for value in pruned.values() if value.dim() == 1)
    content = len(pack(pruned))
    assert 0 <= content - (entries / 8 + 4 * kept + 4 * biases) < 2_500  # names and shapes


def test_a_dense_matrix_is_stored_as_it_is():
    whole = weights(hidden=100)
    assert len(pack(whole)) - 4 * sum(value.numel() for value in whole.values()) < 1_500
