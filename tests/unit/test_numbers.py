"""Numbers of the documentation do not drift: what a page says was measured stands in a file, to the digits shown.

A block of a page (a paragraph, an item, a table) may take its numbers from the published runs that it links to, from
the run or file that a comment above it names (`<!-- numbers: tables/published/RUN -->`), and from what the paper and
its code say, nern/report/published.csv; a run's README also from its run. A table below `<!-- rows: FILE -->` has rows
of a table in that file, perhaps without some columns. Settings are those of the configuration.
"""

import csv
import functools
import re
from pathlib import Path

import pytest

from nern import addresses, matrix, resolved
from nern import config as configuration

ROOT = Path(__file__).parents[2]
RUNS = sorted((ROOT / "tables/published").glob("*/README.md"))
TRIALS = {"fidelity.md", "frontier.md", "performance.md"}
"""Pages of trials and timings of which no file was kept: only what links to a run, or names a file, is looked up."""
TRIED = ("divergence", "agreement", "rmse", "rmse_at_750", "before")
"""What files of trials have in columns."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "tables/published/README.md", *RUNS]
CONFIG = configuration.read([ROOT / "config.yaml"])
NAMED = re.compile(r"<!-- (?:numbers|rows): (.*?) -->\n")
ROWS = re.compile(r"<!-- rows: (\S+) -->\n((?:\|.*\n)+)")
UNKEPT = "a run that was not kept"
NUMBER = re.compile(r"(?<![\w.,–-])\d[\d,]*\.\d+ ± \d+\.\d+|(?<![\w.,-])\d[\d,]*\.\d\d+(?!\d| points)")
"""A mean with its interval, or a number of two decimals and more; a difference in points follows from others."""


def blocks(page):
    """The blocks of a page that say numbers: each with its numbers, and the files and runs that it has them from."""
    text = re.sub(r"```.*?```|^ {4}[^\n]*$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(arXiv|Python|torch|section) [\d.]+", "", text)
    for block in re.split(r"\n\s*\n|\n(?=- )", text):
        named = [name for found in NAMED.findall(block) for name in found.split()]
        linked = re.findall(r"\]\((?:\.\./)*(?:tables/published/)?(\d{4}-\d\d-\d\d-[\w-]+)/", block)
        sources = [*named, *(f"tables/published/{run}" for run in linked), *[str(page.parent)] * (page in RUNS)]
        numbers = NUMBER.findall(re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->", "", block))
        if numbers and (sources or page.name not in TRIALS) and UNKEPT not in " ".join(named):
            yield numbers, (*sources, "nern/report/published.csv")


@functools.cache
def content(source):
    """The numbers of a file or a run, as its generated pages have them; of each fit also the weights' error."""
    path = ROOT / source
    files = [path] if path.is_file() else [each for each in path.iterdir() if each.name != "README.md"]
    text = "\n".join(each.read_text() for each in files if each.suffix == ".md")
    lines = [line for each in files if each.suffix == ".csv" for line in csv.DictReader(each.open())]
    # published.csv has its values in two columns, and trials of learning rates what they came to
    keys = ("weight_rmse", "low", "high", *(TRIED if path.is_file() else []))
    fits = [line[key] for line in lines for key in keys if line.get(key)]
    numbers = set(re.findall(r"\d[\d,]*\.\d+", text)) | set(fits)
    return numbers | set(re.findall(r"\d[\d,]*\.\d+ ± \d+\.\d+", text))


def stands(number, sources):
    """Whether one of these sources has a number, or one of more digits that is rounded to it."""
    decimals = len(number.partition(".")[2])
    for has in map(content, sources):
        longer = [each for each in has if "±" not in each and len(each.partition(".")[2]) > decimals]
        if number in has:
            return True
        if "±" not in number and any(f"{float(each.replace(',', '')):,.{decimals}f}" == number for each in longer):
            return True
    return False


def cells_of(table):
    """The cells of each row of a pipe table but its head."""
    rows = [line.strip("| ") for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_says_was_measured_stands_in_a_file(page):
    astray = [
        (number, sources) for numbers, sources in blocks(page) for number in numbers if not stands(number, sources)
    ]
    assert not astray


def test_rows_of_a_page_are_rows_of_a_file():
    excerpts = [excerpt for page in PAGES for excerpt in ROWS.findall(page.read_text())]
    assert len(excerpts) >= 3
    for source, table in excerpts:
        whole = cells_of((ROOT / source).read_text())
        for row in cells_of(table):
            assert any(follows(row, other) for other in whole), f"{source} has no row {row}"


def follows(row, other):
    """Whether another row has all cells of this one, in their order."""
    rest = iter(other)
    return all(cell in rest for cell in row)


def test_an_edited_number_is_found():
    """Of the numbers whose last digit is another, few happen to stand somewhere else in their sources."""
    edited = [
        (number[:-1] + str((int(number[-1]) + 3) % 10), sources)
        for page in PAGES
        for numbers, sources in blocks(page)
        for number in numbers
    ]
    assert len(edited) > 120
    assert sum(stands(*each) for each in edited) < 0.2 * len(edited)


def test_what_has_no_file_says_so_and_becomes_no_more():
    assert sum(page.read_text().count(UNKEPT) for page in PAGES) <= 2


CHOICES = configuration.read_file(ROOT / "workflow/config/choices.yaml")["tasks"]["digits"]["protocol"]["training"]
BASE = resolved.protocol_of(CONFIG, addresses.Cell("cifar10", "resnet20", "cross-filter", 160, "base", 0))
LAPTOP = resolved.protocol_of(
    configuration.read([ROOT / "config.yaml", ROOT / "workflow/config/laptop.yaml"]),
    addresses.Cell("cifar10-laptop", "resnet20", "cross-filter", 172, "laptop", 0),
)
SETTINGS = {
    r"([\d,]+) fits over \w+ originals": len(matrix.table_cells(CONFIG, "cifar10")),
    r"([\d,]+) iterations of reconstruction by Muon": LAPTOP.training.iterations,
    r"([\d,]+) of distillation of all kernels": LAPTOP.distillation.iterations,
    r"of all kernels at once, in batches of ([\d,]+) images": LAPTOP.distillation.batch,
    r"batch ([\d,]+), [\d,]+ kernels a step": BASE.training.batch,
    r"batch [\d,]+, ([\d,]+) kernels a step": BASE.training.sampling.kernels,
    r"`execution\.save_every` seconds \(([\d,]+)\)": CONFIG.execution.save_every,
    r"N = (\d+), b = [\d.]+ ⚑": BASE.embedding.levels,
    r"N = \d+, b = ([\d.]+) ⚑": BASE.embedding.base,
    r"([\d.]+) \| `protocol\.embedding\.base`": BASE.embedding.base,
    r"protocol with ([\d,]+) iterations of batch": CHOICES["iterations"],
    r"iterations of batch ([\d,]+)": CHOICES["batch"],
    r"batch [\d,]+ and ([\d,]+) kernels": CHOICES["sampling"]["kernels"],
}
"""Sentences about settings, each with the value of its number."""


@pytest.mark.parametrize("sentence", SETTINGS)
def test_settings_are_those_of_the_configuration(sentence):
    said = re.sub(r"\s+", " ", "\n".join(page.read_text() for page in PAGES))
    found = re.findall(sentence, said)
    assert found and {float(number.replace(",", "")) for number in found} == {float(SETTINGS[sentence])}
