"""What the documentation names is there: commands that their programs understand, files, pages and their sections."""

import re
import shlex
from pathlib import Path

import pytest
from snakemake.cli import parse_args

from nern.command import parser

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


NAMED = re.compile(
    r"`((?:nern|workflow|tests|benchmarks|docs|profiles|unit)/[\w./-]*|config\.yaml|Snakefile)(?:::(\w+))?`"
)
"""A file, and perhaps a part of a test's name; those of tests are said without the folder tests."""


def sections(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    for name, test in set(NAMED.findall(text)):
        place = next((path for path in (ROOT / name, ROOT / "tests" / name) if path.exists()), None)
        assert place is not None, name
        assert not test or re.search(rf"(?:def|class) \w*{test}", place.read_text()), f"{name}::{test}"
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", link):
            path, _, section = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not section or section in sections(target), link


def test_the_methods_page_leads_to_the_files():
    assert len(set(NAMED.findall((ROOT / "docs/method.md").read_text()))) >= 20


def test_the_page_of_published_runs_has_each_of_them_newest_first():
    folder = ROOT / "tables/published"
    listed = re.findall(r"^\| \[.*?\]\(([\w-]+)/README.md\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert set(listed) == {page.parent.name for page in folder.glob("*/README.md")}
    dates = [name[:10] for name in listed]
    assert dates == sorted(dates, reverse=True)
