"""Arrays trained while they are coded: what a pass sees is what the bytes hold, and gradients are autograd's.

The oracles write the straight-through estimators out as graphs: x + (y − x).detach() has the value of y and the
gradient of x.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nern.codecs.binary import Binary
from nern.codecs.entropy import EntropyCoded
from nern.codecs.uniform import Uniform
from nern.codecs.vector import VectorCodebook
from nern.method.coded import Coded, coded

CODECS = {
    "uniform-4": Uniform(kind="uniform", bits=4),
    "ternary": Uniform(kind="uniform", bits=2, coded=True),
    "binary": Binary(kind="binary"),
    "entropy": EntropyCoded(kind="entropy-coded", step=0.5),
    "kernels": VectorCodebook(kind="vector-codebook", size=5),
}


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Kernels of two sizes, a matrix, and a vector."""
    random = np.random.default_rng(seed)
    shapes = {"conv": (4, 3, 3, 3), "point": (4, 6, 1, 1), "linear": (5, 7), "bias": (5,)}
    return {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def moved(codec: str, seed: int = 0) -> Coded:
    """Some parameters away from where they began."""
    found = coded(CODECS[codec], arrays(seed))
    random = torch.Generator().manual_seed(seed)
    for parameter in found.parameters.values():
        parameter += 0.05 * torch.randn(parameter.shape, generator=random)
    return found


def gradients(found: Coded, seed: int = 1) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(value.shape, generator=random) for name, value in found.values().items()}


@pytest.mark.parametrize("codec", CODECS)
@given(seed=st.integers(0, 50))
@settings(deadline=None, max_examples=15)
def test_a_pass_sees_what_the_bytes_hold_to_the_bit(codec: str, seed: int) -> None:
    found = moved(codec, seed)
    values = found.values()
    decoded = CODECS[codec].decode(found.encode(), {name: value.shape for name, value in values.items()})
    assert decoded.keys() == values.keys()
    assert all(np.array_equal(decoded[name], values[name]) for name in values)


@pytest.mark.parametrize("codec", CODECS)
def test_before_the_first_step_values_are_those_of_the_codec_alone(codec: str) -> None:
    whole = arrays()
    shapes = {name: array.shape for name, array in whole.items()}
    alone = CODECS[codec].decode(CODECS[codec].encode(whole), shapes)
    found = coded(CODECS[codec], whole).values()
    for name in whole:
        same = np.isclose(found[name], alone[name], rtol=1e-3, atol=0)
        assert same.mean() > 0.999  # scales are rounded once more


@pytest.mark.parametrize("codec", ["uniform-4", "ternary", "binary"])
def test_gradients_of_integers_are_those_of_lsq(codec: str) -> None:
    found = moved(codec)
    passed = gradients(found)
    found.backward(passed)
    for name in found.matrices:
        value = found.value(name).clone().requires_grad_()
        growth = found.parameters[f"growth.{name}"].clone().requires_grad_()
        exact = found.first[name] * growth.exp()
        scale = (exact + (exact.half().float() - exact).detach()).view(-1, *[1] * (value.dim() - 1))
        bound = found.codec.largest
        clipped = (value / scale).clamp(-bound, bound)
        integers = torch.where(clipped < 0, -1.0, 1.0) if codec == "binary" else clipped.round()
        rounded = clipped + (integers - clipped).detach()
        ((rounded * scale) * passed[name]).sum().backward()
        torch.testing.assert_close(found.value(name).grad, value.grad)
        torch.testing.assert_close(found.parameters[f"growth.{name}"].grad, growth.grad, rtol=1e-3, atol=1e-5)
    assert torch.equal(found.value("bias").grad, passed["bias"])


def test_gradients_of_levels_are_autograds() -> None:
    """A level's integer passes w straight through, and its scale has no part in choosing it."""
    found = moved("entropy")
    passed = gradients(found)
    found.backward(passed)
    for name in found.matrices:
        growth = found.parameters[f"growth.{name}"].clone().requires_grad_()
        integers = torch.from_numpy(found.chosen[name][0].astype(np.float32))
        (integers * found.first[name] * growth.exp() * passed[name]).sum().backward()
        torch.testing.assert_close(found.parameters[f"growth.{name}"].grad, growth.grad, rtol=2e-3, atol=2e-3)
        assert torch.equal(found.value(name).grad, passed[name])


def test_gradients_of_centers_and_scales_are_autograds() -> None:
    found = moved("kernels")
    passed = gradients(found)
    found.backward(passed)
    centers = {size: found.parameters[f"centers.{size}"].clone().requires_grad_() for size in found.choice.centers}
    loss = torch.zeros(())
    growths = {}
    for name, size in found.sizes.items():
        growths[name] = torch.zeros(len(found.value(name)), requires_grad=True)
        scale = torch.from_numpy(found.choice.scales[name]).float() * growths[name].exp()
        chosen = centers[size][torch.from_numpy(found.choice.indices[name])]
        flat = (chosen * scale[:, None, None]).flatten(1)[:, : passed[name][0].numel()]
        loss = loss + (flat * passed[name].flatten(1)).sum()
    loss.backward()
    for size, center in centers.items():
        torch.testing.assert_close(found.parameters[f"centers.{size}"].grad, center.grad, rtol=2e-3, atol=2e-3)
    for name, growth in growths.items():
        torch.testing.assert_close(found.parameters[f"growth.{name}"].grad, growth.grad, rtol=2e-3, atol=2e-3)
        assert torch.equal(found.value(name).grad, passed[name])  # straight through to what chooses the centers


def test_each_vector_has_its_nearest_center() -> None:
    found = moved("kernels")
    found.values()
    for name, size in found.sizes.items():
        scales = (found.units[name] * found.parameters[f"growth.{name}"].exp()).half().float()
        unit = found.value(name).flatten(1) / scales[:, None]
        width = int(np.prod(size))
        padded = torch.nn.functional.pad(unit, (0, -unit.shape[1] % width)).view(len(unit), -1, width)
        centers = torch.from_numpy(found.choice.centers[size]).float()
        distances = (padded[:, :, None] - centers).square().sum(-1)
        chosen = distances.gather(2, torch.from_numpy(found.choice.indices[name])[..., None]).squeeze(-1)
        assert bool((chosen <= distances.min(-1).values * (1 + 1e-4) + 1e-5).all())


@pytest.mark.parametrize("codec", CODECS)
def test_training_closes_most_of_the_gap_to_coding_the_target_itself(codec: str) -> None:
    """Toward other arrays than those that were coded: most of what separates these from coding the others goes."""
    target = {name: 2 * array for name, array in arrays().items()}
    found = coded(CODECS[codec], arrays())
    optimizer = torch.optim.Adam(list(found.parameters.values()))
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 3e-2 * (1 - step / 200)
        values = found.values()
        found.backward({name: torch.from_numpy(values[name] - target[name]) for name in target})
        optimizer.step()
    shapes = {name: array.shape for name, array in target.items()}
    alone = _squares(CODECS[codec].decode(CODECS[codec].encode(target), shapes), target)
    before = _squares(coded(CODECS[codec], arrays()).values(), target)
    assert _squares(found.values(), target) - alone < (before - alone) / 2


def _squares(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    return sum(float(np.square(ours[name] - theirs[name]).sum()) for name in theirs)
