"""Codecs and arrays that the tests of `nern.codecs` share."""

import numpy as np
from pydantic import TypeAdapter

from nern.codecs import AnyCodec

CODECS = TypeAdapter(dict[str, AnyCodec]).validate_python(
    {
        "float32": {"kind": "float", "bits": 32},
        "float16": {"kind": "float", "bits": 16},
        "uniform-8": {"kind": "uniform", "bits": 8},
        "uniform-5": {"kind": "uniform", "bits": 5},
        "uniform-2": {"kind": "uniform", "bits": 2},
        "uniform-8-coded": {"kind": "uniform", "bits": 8, "coded": True},
        "ternary": {"kind": "uniform", "bits": 2, "coded": True},
        "binary": {"kind": "binary"},
        "entropy-0.05": {"kind": "entropy-coded", "step": 0.05},
        "entropy-2": {"kind": "entropy-coded", "step": 2},
        "codebook-4": {"kind": "codebook", "bits": 4},
        "kernels-16": {"kind": "vector-codebook", "size": 16, "group": 5},
        "sparse-70": {"kind": "sparse", "sparsity": 0.7},
        "sparse-70-float16": {"kind": "sparse", "sparsity": 0.7, "bits": 16},
        "sparse-70-4": {"kind": "sparse", "sparsity": 0.7, "bits": 4},
        "low-rank": {"kind": "low-rank", "ratio": 100},
    }
)


def network(seed=0):
    """Weights and biases of a small network of many kinds of layer."""
    generator = np.random.default_rng(seed)
    shapes = {
        "stem": (16, 3, 3, 3),
        "plain": (16, 16, 3, 3),
        "grouped": (16, 4, 5, 3),
        "pointwise": (24, 16, 1, 1),
        "linear": (10, 24),
        "bias": (10,),
        "gain": (),
    }
    return {
        name: generator.standard_normal(shape).astype(np.float32) * generator.uniform(0.01, 1) + np.float32(0.01)
        for name, shape in shapes.items()
    }


def shapes_of(arrays):
    return {name: array.shape for name, array in arrays.items()}


def relative_error(arrays, decoded):
    """‖W − Ŵ‖² / ‖W‖²."""
    lost = sum(np.square(arrays[name].astype(np.float64) - decoded[name]).sum() for name in arrays)
    return lost / sum(np.square(array, dtype=np.float64).sum() for array in arrays.values())
