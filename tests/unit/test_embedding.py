import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from nern.method.embedding import kernel_coordinates, positional_embedding


@given(
    st.lists(st.tuples(*[st.integers(0, 600)] * 3), min_size=1, max_size=4),
    st.floats(0.3, 1.3),
    st.integers(1, 45),
)
def test_embedding_is_the_formula(coordinates, base, levels):
    got = positional_embedding(torch.tensor(coordinates), base=base, levels=levels)
    for row, coordinate in zip(got, coordinates, strict=True):
        wanted = [
            wave(base**i * math.pi * index)
            for index in coordinate
            for i in range(levels)
            for wave in (math.sin, math.cos)
        ]
        torch.testing.assert_close(row, torch.tensor(wanted), atol=2e-6, rtol=0)


def test_paper_size():
    assert positional_embedding(torch.zeros(5, 3), base=0.76, levels=40).shape == (5, 240)


def test_coordinates_are_integer_indices_in_layer_filter_channel_order():
    got = kernel_coordinates([(2, 1), (1, 3)])
    assert got.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 1], [1, 0, 2]]


def test_normalized_coordinates_divide_each_index_by_its_count():
    got = kernel_coordinates([(2, 1), (1, 4)], normalized=True)
    assert got[1].tolist() == [0, 0.5, 0]
    assert got[-1].tolist() == [0.5, 0, 0.75]
