import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nern.errors import NernError
from nern.method.kernels import KernelLayout


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.sampled_from([1, 3, 5])), min_size=1, max_size=4),
    st.integers(0, 10),
)
def test_rows_and_weights_are_inverse(layers, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(f, c, k, k) for f, c, k in layers]
    layout = KernelLayout(shapes, [torch.randperm(f * c, generator=generator) for f, c, _ in layers])
    weights = [torch.randn(shape, generator=generator) for shape in shapes]
    rows = layout.rows(weights)
    assert rows.shape == (sum(f * c for f, c, _ in layers), layout.kernel_size**2)
    assert all(torch.equal(a, b) for a, b in zip(layout.weights(rows), weights, strict=True))


def test_a_position_holds_the_kernel_that_the_order_names():
    weight = torch.randn(2, 3, 3, 3)
    order = torch.tensor([4, 0, 5, 1, 3, 2])
    rows = KernelLayout([(2, 3, 3, 3)], [order]).rows([weight])
    for position, kernel in enumerate(order.tolist()):
        assert torch.equal(rows[position], weight[kernel // 3, kernel % 3].flatten())


def test_smaller_kernels_take_the_center():
    big, small = torch.randn(1, 1, 5, 5), torch.randn(1, 1, 3, 3)
    layout = KernelLayout([(1, 1, 5, 5), (1, 1, 3, 3)], [torch.tensor([0])] * 2)
    row = layout.rows([big, small])[1].reshape(5, 5)
    assert torch.equal(row[1:4, 1:4], small[0, 0])
    assert row.count_nonzero() == 9
    assert layout.mask(torch.device("cpu"))[1].reshape(5, 5).tolist()[0] == [0] * 5
    whole = torch.arange(50.0).reshape(2, 25)
    assert layout.weights(whole)[1].flatten().tolist() == [31, 32, 33, 36, 37, 38, 41, 42, 43]


def test_equal_sizes_need_no_mask():
    assert KernelLayout([(1, 2, 3, 3)], [torch.tensor([1, 0])]).mask(torch.device("cpu")) is None


@pytest.mark.parametrize("order", [[0, 0], [0], [1, 2]])
def test_what_is_no_permutation_is_refused(order):
    with pytest.raises(NernError, match="layer 0 is no permutation"):
        KernelLayout([(1, 2, 3, 3)], [torch.tensor(order)])
