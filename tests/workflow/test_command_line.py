"""The lines that people type at Snakemake: one GPU needs no option, and the docs explain the errors of its own."""

import os
import re
import subprocess
import sys

import pytest
from tiny import ROOT, checkout

KNOWN = re.findall(r"^\| `(\w+): (.+?)(?: …)?` \|", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE)

IMAGES, DEMO = "results/digits/images/data.json", ("--configfile", "workflow/config/demo.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkout(tmp_path_factory.mktemp("typed"))


def said(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "4", "--nocolor", *arguments]
    done = subprocess.run(command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=900)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("line", ["tables/cifar10.md -n", "tables/cifar10.md --resources gpu=1 -n"])
def test_the_papers_table_needs_no_option_for_its_gpu(folder, line):
    code, text = said(folder, *line.split())
    assert code == 0 and re.search(r"^fit +72$", text, re.MULTILINE)


@pytest.mark.parametrize(("given", "gpus"), [((), 1), (("--resources", "gpu=2"), 2)])
def test_one_gpu_is_assumed_and_the_command_line_says_otherwise(folder, given, gpus):
    path = folder / IMAGES
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    _, text = said(folder, IMAGES, "--touch", "--force", "--verbose", *given, *DEMO)
    assert f'Provided resources: gpu=Resource("gpu", {gpus})' in text


def test_the_docs_explain_what_snakemake_itself_says(folder):
    locks = folder / ".snakemake/locks"
    locks.mkdir(parents=True, exist_ok=True)
    (locks / "0.output.lock").write_text(f"{IMAGES}\n")
    lines = {
        "ValueError": ["--resources", "gpu=1", "tables/cifar10.md"],
        "LockException": [IMAGES, "--force", *DEMO],
        "MissingRuleException": ["tables/Cifar10.md"],
    }
    assert {name for name, _ in KNOWN} == set(lines)
    for name, sentence in KNOWN:
        code, text = said(folder, *lines[name])
        assert code != 0 and name in text and sentence in text, text
