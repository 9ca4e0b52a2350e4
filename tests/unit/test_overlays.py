"""The overlays under workflow/config that repeat settings of config.yaml repeat them exactly."""

from pathlib import Path

import pytest

from nern.config import layered, read
from nern.matrix import OriginalCell, original_settings

ROOT = Path(__file__).parents[2]
CONFIG = read(
    [ROOT / "config.yaml", *(ROOT / "workflow" / "config" / f"{name}.yaml" for name in ("laptop", "published"))]
)


@pytest.mark.parametrize(
    ("variant", "changed"),
    [
        ("decoupled-noise", {"inputs": "uniform"}),
        ("decoupled-reconstruction", {"distillation": None}),
        ("decoupled-outputs", {"distillation": {"losses": {"beta": 0}}}),
        ("decoupled-features", {"distillation": {"losses": {"alpha": 0}}}),
        ("decoupled-uniform", {"training": {"sampling": {"method": "uniform"}}}),
        ("decoupled-layer", {"training": {"sampling": {"method": "layer"}}}),
    ],
)
def test_a_published_variant_is_decoupled_but_for_one_thing(variant, changed):
    decoupled = layered(CONFIG.protocol, CONFIG.variants["decoupled"])
    assert layered(CONFIG.protocol, CONFIG.variants[variant]) == layered(decoupled, type(decoupled)(**changed))


@pytest.mark.parametrize(("network", "variable"), [("resnet20", "$NERN_WEIGHTS"), ("resnet56", "$NERN_WEIGHTS56")])
def test_each_network_of_the_published_run_has_weights_of_its_own(network, variable):
    recipe = original_settings(CONFIG, OriginalCell("cifar10-laptop", network, "base")).recipe
    assert recipe.weights == variable
