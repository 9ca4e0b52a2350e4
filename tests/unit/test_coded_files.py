"""Coded bytes in other processes, damaged, foreign, and with claims that they cannot back."""

import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from codec_cases import CODECS, network, shapes_of
from pydantic import TypeAdapter, ValidationError

from nern.codecs import AnyCodec
from nern.codecs.streams import CHECKSUM, seal
from nern.errors import NernError

TESTS = Path(__file__).parents[1]
SMALL = {
    "conv": np.arange(-9, 9, dtype=np.float32).reshape(2, 1, 3, 3) / 7,
    "linear": np.array([[1.5, -2, 0], [0.1, 0, 3]], np.float32),
    "bias": np.array([0.5, -0.25], np.float32),
}
DIGESTS = """
import hashlib, json
from codec_cases import CODECS, network, shapes_of
digests = {}
for name, codec in CODECS.items():
    data = codec.encode(network())
    decoded = codec.decode(data, shapes_of(network()))
    whole = b"".join(array.tobytes() for array in decoded.values())
    digests[name] = [hashlib.sha256(part).hexdigest() for part in (data, whole)]
print(json.dumps(digests))
"""


def run(script, **environment):
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": paths} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bytes_and_decoded_arrays_are_the_same_in_other_processes_with_other_threads():
    here = {}
    for name, codec in CODECS.items():
        data = codec.encode(network())
        decoded = codec.decode(data, shapes_of(network()))
        whole = b"".join(array.tobytes() for array in decoded.values())
        here[name] = [hashlib.sha256(part).hexdigest() for part in (data, whole)]
    for threads in ("1", "4"):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        assert json.loads(run(DIGESTS, **limits)) == here


@pytest.mark.parametrize("name", CODECS)
def test_truncated_flipped_and_foreign_bytes_are_refused(name):
    codec, shapes = CODECS[name], shapes_of(SMALL)
    data = codec.encode(SMALL)
    foreign = [b"", b"\0" * 4, b"PK\3\4" * 30, os.urandom(100), data + b"\0", data[1:]]
    truncated = [data[:end] for end in range(len(data))]
    flipped = [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for at in range(len(data)) for bit in range(8)]
    for content in foreign + truncated + flipped:
        with pytest.raises(NernError, match="write"):
            codec.decode(content, shapes)


@pytest.mark.parametrize("name", CODECS)
def test_bytes_of_another_codec_or_network_are_refused(name):
    codec, data = CODECS[name], CODECS[name].encode(SMALL)
    others = [other for other in CODECS.values() if other.kind != codec.kind]
    for other in others:
        with pytest.raises(NernError, match="of another codec or network"):
            other.decode(data, shapes_of(SMALL))
    shapes = shapes_of(SMALL)
    for wrong in ({"conv": (18, 1)}, {"linear": (3, 2)}, {"other": (2,)}, {"bias": (2, 1)}):
        with pytest.raises(NernError, match="of another codec or network"):
            codec.decode(data, shapes | wrong)


@pytest.mark.parametrize("name", CODECS)
def test_settings_other_than_the_kind_are_in_the_bytes(name):
    data = CODECS[name].encode(SMALL)
    wanted = CODECS[name].decode(data, shapes_of(SMALL))
    for other in CODECS.values():
        if other.kind == CODECS[name].kind:
            decoded = other.decode(data, shapes_of(SMALL))
            assert all(np.array_equal(decoded[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("name", CODECS)
def test_forged_bytes_with_a_right_checksum_are_refused_or_have_the_right_shapes(name):
    codec, shapes = CODECS[name], shapes_of(SMALL)
    body, about = codec.encode(SMALL)[:-CHECKSUM], codec._about(shapes)
    for more in (b"\0", b"\xff" * 16):
        with pytest.raises(NernError):
            codec.decode(seal(body + more, about), shapes)
    forged = [body[:end] for end in range(len(body))]
    forged += [body[:at] + bytes([value]) + body[at + 1 :] for at in range(len(body)) for value in (0, 1, 127, 255)]
    for content in forged:
        try:
            decoded = codec.decode(seal(content, about), shapes)
        except NernError:
            continue
        assert shapes_of(decoded) == shapes


CLAIMS = [{"w": (2**50,)}, {"w": (2**25, 2**25)}, {"w": (2**48, 1, 3, 3)}, {str(n): (2**22, 2) for n in range(9)}]
CLAIMS += [{"w": (0, 2**62)}, {"w": (2**62, 0, 3, 3)}, {"w": (2, *[1] * 99)}, {"w": (2**99, 0)}]
CLAIMS += [{"w": (-1, 5)}, {"w": (2.5,)}, {"w": (True, 2)}]


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("claim", CLAIMS, ids=range(len(CLAIMS)))
def test_claims_of_a_petabyte_take_no_memory(name, claim):
    data = seal(b"\x10" + b"\0" * 200, CODECS[name]._about(claim))
    tracemalloc.start()
    try:
        with pytest.raises(NernError):
            CODECS[name].decode(data, claim)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_a_rank_that_no_matrix_has_is_refused():
    codec, shapes = CODECS["low-rank"], {"w": (0, 0)}
    with pytest.raises(NernError, match="which none has"):
        codec.decode(seal(b"\x10" + b"\xff" * 4, codec._about(shapes)), shapes)


def test_what_could_not_be_decoded_is_not_encoded():
    zeros = {"w": np.broadcast_to(np.float32(0), (2**24 + 2**17, 2))}
    with pytest.raises(NernError, match="choose a finer codec"):
        CODECS["entropy-2"].sealed(b"", {"w": zeros["w"].shape}, {})


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "none"},
        {"kind": "uniform"},
        {"kind": "uniform", "bits": 1},
        {"kind": "uniform", "bits": 9},
        {"kind": "uniform", "bits": 4, "step": 1},
        {"kind": "float", "bits": 8},
        {"kind": "codebook", "bits": 0},
        {"kind": "entropy-coded", "step": 0},
        {"kind": "vector-codebook", "size": 0},
        {"kind": "sparse", "sparsity": 1.5},
        {"kind": "sparse", "sparsity": 0.5, "bits": 9},
        {"kind": "low-rank", "ratio": 0},
    ],
)
def test_unknown_codecs_and_knobs_out_of_range_are_refused(settings):
    with pytest.raises(ValidationError):
        TypeAdapter(AnyCodec).validate_python(settings)


def test_importing_the_codecs_loads_nothing_heavy():
    heavy = {"torch", "scipy", "sklearn", "constriction", "threadpoolctl", "pandas", "numba"}
    loaded = run("import sys, nern.codecs, nern.codecs.permutation; print(*sys.modules)").split()
    assert not heavy & set(loaded)


def test_codecs_that_need_constriction_say_so_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    without = {"float32", "float16", "uniform-8", "uniform-5", "uniform-2", "binary", "low-rank"}
    for name, codec in CODECS.items():
        if name in without:
            codec.decode(codec.encode(SMALL), shapes_of(SMALL))
        else:
            with pytest.raises(NernError, match="pip install constriction"):
                codec.encode(SMALL)
