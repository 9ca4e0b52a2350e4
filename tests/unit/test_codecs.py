"""Codecs against closed forms and brute force, and there and back over shapes and values."""

import math

import numpy as np
import pytest
from codec_cases import CODECS, network, relative_error, shapes_of
from hypothesis import given
from hypothesis import strategies as st

from nern.codecs.binary import Binary
from nern.codecs.codebook import Codebook
from nern.codecs.entropy import EntropyCoded
from nern.codecs.float import Float
from nern.codecs.uniform import SHARES, Uniform
from nern.codecs.vector import VectorCodebook, cut, joined
from nern.errors import NernError

SHAPES = [
    (),
    (0,),
    (5,),
    (1, 1),
    (0, 3),
    (3, 0),
    (4, 6),
    (5, 3, 1, 1),
    (6, 1, 3, 3),
    (4, 2, 5, 3),
    (2, 0, 3, 3),
    (3, 2, 7),
]
VALUES = {
    "zeros": lambda draw, shape: np.zeros(shape),
    "one value": lambda draw, shape: np.full(shape, draw.choice([-3.7, 0.11, 6e4])),
    "denormals": lambda draw, shape: draw.standard_normal(shape) * 1e-40,
    "small": lambda draw, shape: draw.standard_normal(shape) * 1e-7,
    "normal": lambda draw, shape: draw.standard_normal(shape),
    "of all magnitudes": lambda draw, shape: draw.choice([-1, 1], shape) * 10.0 ** draw.uniform(-45, 4.8, shape),
    "few values": lambda draw, shape: draw.integers(-1, 2, shape) * 0.5,
}


@st.composite
def arrays(draw, values=tuple(VALUES)):
    drawn = draw(st.lists(st.tuples(st.sampled_from(SHAPES), st.sampled_from(values)), max_size=5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        f"{len(drawn) - number}.weight": VALUES[kind](generator, shape).astype(np.float32)
        for number, (shape, kind) in enumerate(drawn)
    }


@pytest.mark.parametrize("name", CODECS)
@given(arrays())
def test_any_arrays_come_back_in_their_shapes(name, given_arrays):
    codec, shapes = CODECS[name], shapes_of(given_arrays)
    data = codec.encode(given_arrays)
    decoded = codec.decode(data, shapes)
    assert list(decoded) == list(given_arrays)
    assert all(array.dtype == np.float32 and array.shape == shapes[name] for name, array in decoded.items())
    assert all(np.isfinite(array).all() and array.flags.writeable for array in decoded.values())
    assert codec.encode(dict(reversed(given_arrays.items()))) == data


@pytest.mark.parametrize("name", CODECS)
@given(arrays(values=("normal", "one value")))
def test_no_codec_is_worse_than_zeros(name, given_arrays):
    if sum(array.size for array in given_arrays.values()):
        decoded = CODECS[name].decode(CODECS[name].encode(given_arrays), shapes_of(given_arrays))
        assert relative_error(given_arrays, decoded) <= 1 + 1e-6


@pytest.mark.parametrize("name", CODECS)
def test_vectors_are_rounded_to_float16_or_stored_exactly(name):
    vectors = {"bias": np.array([0.1, -3e4, 1e-3], np.float32), "gain": np.array(0.3, np.float32)}
    decoded = CODECS[name].decode(CODECS[name].encode(vectors), shapes_of(vectors))
    exact = name in ("float32", "sparse-70")
    for key, vector in vectors.items():
        assert np.array_equal(decoded[key], vector if exact else vector.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 3, 3, 3)])
def test_numbers_beyond_float16_come_back_exactly_or_are_refused(name, shape):
    huge = {"w": np.full(shape, 3.4e38, np.float32)}
    if name == "float32" or (name == "sparse-70" and len(shape) == 1):
        assert np.array_equal(CODECS[name].decode(CODECS[name].encode(huge), {"w": shape})["w"], huge["w"])
    elif name == "sparse-70":
        decoded = CODECS[name].decode(CODECS[name].encode(huge), {"w": shape})["w"]
        assert np.count_nonzero(decoded == huge["w"]) == huge["w"].size - round(0.7 * huge["w"].size)
    else:
        with pytest.raises(NernError, match=r"^w: 3.4e\+38 is more than float16 holds"):
            CODECS[name].encode(huge)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_codec_stores_what_is_no_number(name, value):
    with pytest.raises(NernError, match=r"^bad: holds infinite"):
        CODECS[name].encode({"bad": np.array([[1, value]], np.float32)})


@given(arrays())
def test_float_of_32_bits_is_the_identity(given_arrays):
    codec = Float(kind="float", bits=32)
    data = codec.encode(given_arrays)
    decoded = codec.decode(data, shapes_of(given_arrays))
    assert all(decoded[name].tobytes() == array.tobytes() for name, array in given_arrays.items())
    assert len(data) == 4 * sum(array.size for array in given_arrays.values()) + 6


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("coded", [False, True])
def test_uniform_is_lossless_on_a_grid(bits, coded):
    codec, bound = Uniform(kind="uniform", bits=bits, coded=coded), 2 ** (bits - 1) - 1
    integers = np.random.default_rng(bits).integers(-bound, bound + 1, (6, 4, 3, 3))
    integers[:, 0, 0, 0] = bound
    grid = {"w": (integers * 2.0 ** np.arange(-3, 3).reshape(6, 1, 1, 1)).astype(np.float32)}
    data = codec.encode(grid)
    assert np.array_equal(codec.decode(data, {"w": grid["w"].shape})["w"], grid["w"])
    if not coded:  # a float16 per filter, b bits per weight; checksum, and bytes that say how
        assert len(data) == 6 * 2 + math.ceil(216 * bits / 8) + 4 + 3


@pytest.mark.parametrize("bits", range(2, 9))
def test_the_uniform_scale_is_the_best_of_its_search(bits):
    codec, bound = Uniform(kind="uniform", bits=bits), 2 ** (bits - 1) - 1
    matrix = np.random.default_rng(bits).standard_t(4, (5, 40)).astype(np.float32)

    def error(weights, scale):
        return sum((w - scale * min(bound, max(-bound, round(w / scale)))) ** 2 for w in weights)

    for row, chosen in zip(matrix.tolist(), codec.scales(matrix).tolist(), strict=True):
        candidates = [float(np.float16(share * max(map(abs, row)) / bound)) for share in SHARES]
        assert chosen in candidates
        assert error(row, chosen) <= min(error(row, scale) for scale in candidates) * (1 + 1e-5)


def test_the_search_of_scales_is_the_documented_one():
    assert SHARES.min() == 0.3 and SHARES.max() == 1 and np.diff(SHARES).max() < 0.0101


def test_the_binary_scale_has_the_least_squared_error():
    matrix = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
    matrix[:, 7] = 0
    codec = Binary(kind="binary")
    scales = codec.scales(matrix).astype(np.float64)
    for row, scale in zip(matrix.astype(np.float64), scales, strict=True):
        signs = np.where(row < 0, -1, 1)
        errors = [np.square(row - signs * other).sum() for other in np.linspace(0, 3, 3001)]
        assert np.square(row - signs * scale).sum() <= min(errors) * 1.0001
    data = codec.encode({"w": matrix})
    assert len(data) == 4 * 2 + 200 / 8 + 4 + 3
    decoded = codec.decode(data, {"w": (4, 50)})["w"]
    assert np.array_equal(decoded, np.where(matrix < 0, -1, 1) * scales.astype(np.float32)[:, None])


@pytest.mark.parametrize("step", [0.1, 0.5, 1.0, 3.0])
def test_entropy_coded_integers_are_of_the_step(step):
    matrix = np.random.default_rng(1).standard_normal((40, 30)).astype(np.float32)
    decoded = EntropyCoded(kind="entropy-coded", step=step)
    levels = decoded.decode(decoded.encode({"w": matrix}), {"w": (40, 30)})["w"]
    size = step * math.sqrt(np.square(matrix.astype(np.float64)).mean())
    integers = np.array([[round(w / size) for w in row] for row in matrix.tolist()])
    # one scale for all, and none has a smaller squared error
    scale = (integers * matrix).sum() / np.square(integers).sum()
    assert np.allclose(levels, integers * scale, rtol=1e-3)


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_codebook_of_enough_centers_is_lossless(bits):
    values = np.random.default_rng(bits).standard_normal(2**bits).astype(np.float16).astype(np.float32)
    matrix = np.random.default_rng(0).choice(values, (12, 3, 3, 3))
    codec = Codebook(kind="codebook", bits=bits)
    assert np.array_equal(codec.decode(codec.encode({"w": matrix}), {"w": matrix.shape})["w"], matrix)


def test_codebook_centers_are_means_of_their_weights_and_each_weight_has_the_nearest():
    matrix = np.random.default_rng(0).standard_normal((50, 60)).astype(np.float32)
    codec = Codebook(kind="codebook", bits=3)
    decoded = codec.decode(codec.encode({"w": matrix}), {"w": matrix.shape})["w"]
    centers = np.unique(decoded)
    assert len(centers) == 8
    assert np.array_equal(decoded, centers[np.abs(matrix[..., None] - centers).argmin(axis=2)])
    assert np.allclose([matrix[decoded == center].mean() for center in centers], centers, atol=5e-3)
    # Max (1960), table I: the least distortion of a Gaussian by 8 levels is 0.03454
    assert np.square(matrix - decoded).mean() == pytest.approx(0.03454, rel=0.05)


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (6, 2, 1, 4), (6, 16, 1, 1), (6, 16)])
def test_a_codebook_of_kernels_is_lossless_where_filters_are_scaled_kernels_of_it(shape):
    # kernels of ±1 have unit mean square, so that a filter's scale is that of its kernels: a power of two
    length = math.prod(shape[2:]) if math.prod(shape[2:]) > 1 else 4
    generator = np.random.default_rng(0)
    kernels = generator.choice([-1.0, 1.0], (8, length))
    count = math.prod(shape[1:]) // length
    chosen = kernels[generator.integers(0, 8, (6, count))] * 2.0 ** np.arange(-3, 3).reshape(6, 1, 1)
    matrix = chosen.reshape(shape).astype(np.float32)
    codec = VectorCodebook(kind="vector-codebook", size=8, group=4)
    assert np.array_equal(codec.decode(codec.encode({"w": matrix}), {"w": shape})["w"], matrix)


@pytest.mark.parametrize(
    ("shape", "size"), [((3, 7), (4,)), ((2, 5, 1, 1), (3,)), ((2, 4, 3, 3), (3, 3)), ((2, 0), (4,))]
)
def test_a_matrix_is_its_vectors_filled_up_with_zeros(shape, size):
    matrix = np.arange(1, math.prod(shape) + 1, dtype=np.float32).reshape(shape)
    vectors = cut(matrix, size)
    assert vectors.shape == (shape[0], math.ceil(math.prod(shape[1:]) / math.prod(size)), math.prod(size))
    assert vectors.sum() == matrix.sum()
    assert np.array_equal(joined(vectors, shape), matrix)


def test_layers_with_kernels_of_one_size_share_centers_and_others_do_not():
    layers = network()
    codec = VectorCodebook(kind="vector-codebook", size=16, group=5)
    choice = codec.choose({name: array for name, array in layers.items() if array.ndim >= 2})
    assert {size: centers.shape for size, centers in choice.centers.items()} == {
        (3, 3): (16, 9),
        (5, 3): (16, 15),
        (5,): (16, 5),
    }
    unit = layers["plain"].reshape(16, -1) / choice.scales["plain"][:, None].astype(np.float32)
    assert np.square(unit).mean() == pytest.approx(1, rel=0.5)


@pytest.mark.parametrize("name", ["uniform-8", "uniform-2", "ternary", "binary", "entropy-2"])
def test_scales_that_were_learned_are_decoded_to_the_bit(name):
    codec, layers = CODECS[name], network()
    matrices = {key: array for key, array in layers.items() if array.ndim >= 2}
    vectors = {key: array for key, array in layers.items() if array.ndim < 2}
    chosen = {key: (codec.integers(m, codec.scales(m)), codec.scales(m)) for key, m in matrices.items()}
    assert codec.pack(chosen, vectors) == codec.encode(layers)
    learned = {key: (integers, (scales * np.float16(1.37))) for key, (integers, scales) in chosen.items()}
    decoded = codec.decode(codec.pack(learned, vectors), shapes_of(layers))
    for key, (integers, scales) in learned.items():
        assert decoded[key].tobytes() == codec.values(integers, scales).tobytes()


@pytest.mark.parametrize(("name", "integer"), [("uniform-5", 17), ("uniform-5", -17), ("uniform-2", 3), ("binary", 0)])
def test_integers_that_the_bits_do_not_hold_are_no_silent_change(name, integer):
    chosen = {"w": (np.array([[1, integer]], np.int8), np.ones(1, np.float16))}
    with pytest.raises(ValueError, match="bits do not hold"):
        CODECS[name].pack(chosen, {})


def test_centers_that_were_learned_are_decoded_to_the_bit():
    codec, layers = VectorCodebook(kind="vector-codebook", size=16, group=5), network()
    matrices = {key: array for key, array in layers.items() if array.ndim >= 2}
    vectors = {key: array for key, array in layers.items() if array.ndim < 2}
    choice = codec.choose(matrices)
    assert codec.pack(choice, shapes_of(matrices), vectors) == codec.encode(layers)
    for centers in choice.centers.values():
        centers *= np.float16(0.77)
    values = codec.values(choice, shapes_of(matrices))
    decoded = codec.decode(codec.pack(choice, shapes_of(matrices), vectors), shapes_of(layers))
    assert all(decoded[key].tobytes() == value.tobytes() for key, value in values.items())
