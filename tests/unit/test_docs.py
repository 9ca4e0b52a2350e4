"""Every command of the documentation is one that its program understands, with the targets that it means."""

import re
import shlex
from pathlib import Path

import pytest
from snakemake.cli import parse_args

from nern.commands import parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "tables").rglob("README.md"))]
OVERLAYS = sorted((ROOT / "workflow").rglob("*.yaml"))
TARGET = re.compile(r"(tables|results|figures)/\S+|all|demo")


def commands(program):
    """(file, command) of each command in a code block, between backquotes, or in an overlay's comment."""
    found = []
    for path in PAGES + OVERLAYS:
        text = path.read_text().replace("\\\n#  ", "").replace("\\\n", "")
        if path.suffix == ".yaml":
            pieces = re.findall(r"^# +(.*)$", text, re.MULTILINE)
        else:
            blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
            pieces = [line for block in blocks for line in block.splitlines()]
            pieces += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        parts = [part.strip() for piece in pieces for part in re.split(r"&&|  +\(|  +#", piece)]
        found += [(path.name, part) for part in parts if re.match(rf"{program} [-a-z]+.* \S", part)]
    return found


@pytest.mark.parametrize(("page", "command"), commands("snakemake"))
def test_snakemake_takes_the_targets_that_a_page_gives_it(page, command):
    # a profile's executor may not be installed here, and `…` is something left out
    words = shlex.split(re.sub(r"--workflow-profile \S+|(--\w+ )?…", "", command))[1:]
    _, arguments = parse_args(words)
    # an option that takes several values swallows a target behind it: `--resources gpu=1 all` asks for no `all`
    meant = [word for word in words if TARGET.fullmatch(word)]
    assert list(arguments.targets) == meant, page


@pytest.mark.parametrize(("page", "command"), commands("nern"))
def test_nern_understands_what_a_page_says(page, command):
    parser().parse_args(shlex.split(command)[1:])


def test_commands_are_found():
    assert len(commands("snakemake")) >= 12 and len(commands("nern")) >= 5
