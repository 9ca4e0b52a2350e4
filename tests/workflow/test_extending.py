"""The worked examples of docs/extending.md, file by file as they stand there, through the real DAG."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import image_folder
import pytest
import yaml
from tiny import ROOT, checkout
from torch import nn

from nern.networks.torchvision_shim import import_torchvision

# What makes them short: few iterations, one seed, small predictors. It comes last, so it wins.
SHORT = """
seeds: [0]
execution: {device: cpu}
original: {epochs: 1, batch: 16, milestones: [1]}
protocol:
  evaluate_every: 0
  training: {iterations: 3, batch: 4, warmup: 1, sampling: {kernels: 64}}
variants:
  decoupled: {training: {iterations: 3}, distillation: null}
tables:
  mine: {sizes: {resnet20: [8]}}
  architectures: {sizes: {squeezenet: [8], mobilenet: [8], plain: [8]}}
  sampling: {sizes: {resnet20: [8]}}
"""
OVERLAYS = ("mine.yaml", "architectures.yaml", "variant.yaml")


def with_own_codec(folder):
    """The checkout with the page's codec in its place and on the list."""
    (folder / "places.py").rename(folder / "nern/codecs/places.py")
    listing = folder / "nern/codecs/__init__.py"
    text = listing.read_text()
    assert "import Codebook\n" in text and "Float | " in text
    text = text.replace("import Codebook\n", "import Codebook\nfrom nern.codecs.places import Decimal\n")
    listing.write_text(text.replace("Float | ", "Float | Decimal | ", 1))


def blocks():
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    found = re.findall(r"^```(?:yaml|python)\n# ([\w.]+)([^\n]*\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {name: f"#{body}" for name, body in found}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = checkout(tmp_path_factory.mktemp("extending"))
    for name, content in blocks().items():
        (folder / name).write_text(content)
    (folder / "short.yaml").write_text(SHORT)
    image_folder.write(folder / "images")
    tables = [f"tables/{name}.md" for name in ("mine", "architectures", "sampling")]
    environment = os.environ | {"IMAGES": str(folder / "images"), "PYTHONPATH": str(folder)}
    ran = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *tables, "--configfile", *OVERLAYS, "short.yaml"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


def metrics(folder, network, variant="base"):
    return yaml.safe_load((folder / f"results/mine/{network}/cross-filter/h8/{variant}/seed0/metrics.json").read_text())


def test_every_file_of_the_page_is_here():
    assert {*OVERLAYS, "weights.yaml", "my_networks.py", "places.py", "codec.yaml"} == set(blocks())


def test_own_images_in_three_modes(done):
    table = (done / "tables/mine.md").read_text()
    assert "My table" in table and "My images" in table
    assert len(list(Path(done, "results/mine/resnet20").glob("*/h8/base/seed0/metrics.json"))) == 3


def weights_of(name):
    """Convolutional weights of torchvision's model."""
    model = import_torchvision("torchvision.models").get_model(name, weights=None, num_classes=10)
    return [layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    ("network", "weights"),
    [
        ("squeezenet", weights_of("squeezenet1_1")),
        ("mobilenet", weights_of("mobilenet_v3_small")),
        ("plain", [16 * 3 * 9, 32 * 4 * 25, 32 * 32]),
    ],
)
def test_other_architectures_by_configuration_alone(done, network, weights):
    found = metrics(done, network)
    assert len(found["layer_rmse"]) == len(weights)
    assert found["learnable_bytes"] == 4 * sum(weights)
    assert f"| {network}" in (done / "tables/architectures.md").read_text()


def test_a_variant_is_compared(done):
    assert metrics(done, "resnet20", "uniform-sampling")["variant"] == "uniform-sampling"
    assert metrics(done, "resnet20", "decoupled-slower")["iterations"] == 3  # of the variant that it extends
    assert "uniform-sampling" in (done / "tables/sampling.md").read_text()


def test_a_codec_of_ones_own_is_measured_and_shown(done):
    with_own_codec(done)
    original = "results/mine/resnet20/originals/base"
    overlays = ["config.yaml", *OVERLAYS, "codec.yaml", "short.yaml"]
    environment = os.environ | {"IMAGES": str(done / "images"), "PYTHONPATH": str(done)}
    for arguments in (["compress", original], ["table", "frontier_mine"]):
        command = [sys.executable, "-m", "nern", *arguments, "--config", *overlays]
        ran = subprocess.run(command, cwd=done, env=environment, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr
    record = json.loads((done / original / "compression.json").read_text())
    found = {point["codec"]: point for point in record["points"]}
    weights = record["learnable_parameters"]
    assert 2 * weights < found["decimal-3"]["bytes"] < 2 * weights + 100
    # rounding to a thousandth errs by at most half of one; to a tenth by a hundred times as much, squared 10,000 times
    assert 0 < found["decimal-3"]["relative_error"] < 1e-3 * found["decimal-1"]["relative_error"]
    assert "| decimal-3 " in (done / "tables/frontier_mine.partial.md").read_text()
