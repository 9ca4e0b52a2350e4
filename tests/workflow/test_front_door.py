"""`nern init` and the command that it prints: from a trained network and a folder of images to a table."""

import os
import re
import shlex
import subprocess
import sys

import image_folder
import pytest
import torch
from tiny import checkout

from nern.networks.zoo import build

SHORT = """
seeds: [0]
variants:
  decoupled-reordered: {training: {iterations: 3, reordering: {every: 2}}, distillation: {iterations: 2, batch: 4}}
tables:
  mine: {sizes: {resnet8: [5]}}
"""


def ran(folder, *command):
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A checkout in which `nern init` was run, and the command that it printed."""
    folder = checkout(tmp_path_factory.mktemp("init"))
    image_folder.write(folder / "images")
    torch.manual_seed(0)
    network = build("cifar-resnet", classes=10, depth=8, width=4, shortcut="A")
    torch.save(network.state_dict(), folder / "network.pt")
    line = "--weights network.pt --architecture cifar-resnet --depth 8 --width 4 --images folder:images --size 12"
    said = ran(folder, "nern", "init", "mine.yaml", *shlex.split(line))
    return folder, shlex.split(re.search(r"^ +(snakemake .*)$", said, re.MULTILINE)[1])


def test_the_printed_command_plans_the_table(started):
    folder, command = started
    planned = ran(folder, *command, "--dry-run")
    counts = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    # three sizes, four seeds
    wanted = {"prepare_data": 1, "train_original": 1, "permute": 1, "fit": 12, "evaluate": 12, "table": 1}
    assert {rule: int(counts[rule]) for rule in wanted} == wanted


def test_it_makes_the_table(started):
    folder, command = started
    (folder / "short.yaml").write_text(SHORT)
    ran(folder, *command, "short.yaml")
    table = (folder / "tables/mine.md").read_text()
    assert "| resnet8 |" in table and "cross-filter (%)" in table and "change places" in table
