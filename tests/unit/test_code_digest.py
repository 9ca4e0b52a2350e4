"""Digests of stages and of users' architectures: what changes them and what does not."""

import re
import shutil
import sys
from pathlib import Path

import pytest

import nern
from nern import code_digest
from nern.errors import NernError


@pytest.fixture
def package(tmp_path, monkeypatch):
    copied = tmp_path / "nern"
    shutil.copytree(Path(nern.__file__).parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_digest, "_PACKAGE", copied)
    yield copied
    code_digest.code_digest.cache_clear()


def digests():
    code_digest.code_digest.cache_clear()
    return {stage: code_digest.code_digest(f"nern.stages.{stage}") for stage in ("fit", "permute", "evaluate")}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("module", "old", "new", "stages"),
    [
        ("method/losses.py", "FEATURE_EPSILON = 1e-3", "FEATURE_EPSILON = 1e-2", {"fit"}),
        ("method/embedding.py", "math.pi", "math.tau", {"fit", "evaluate"}),
        ("seeding.py", ">> 1", ">> 2", {"fit", "evaluate"}),
        ("distilling.py", "step >= phase.warmup", "step > phase.warmup", {"fit"}),
        ("method/losses.py", "The three losses", "Three losses", set()),
        ("method/training.py", "import math\n", "import math  # a comment\n\n", set()),
        ("cli.py", "return 2", "return 3", set()),
        ("settings.py", "0.76", "0.77", set()),  # settings count through fingerprints
        ("report_settings.py", "Field(1000", "Field(999", set()),
        ("config.py", "60.0", "61.0", set()),
    ],
)
def test_an_edit_changes_the_digest_of_the_stages_that_use_it(package, module, old, new, stages):
    before = digests()
    edit(package / module, old, new)
    after = digests()
    changed = {stage for stage in before if before[stage] != after[stage]}
    # which stages share a helper module may change; that these do, and that nothing reacts to prose, may not
    assert stages <= changed
    if not stages:
        assert not changed


def test_a_report_is_no_part_of_a_fit(package):
    before = digests()
    for path in (package / "report").rglob("*.py"):
        path.write_text("")
    assert digests() == before


@pytest.mark.parametrize("old", ["method.losses", "data.pipeline", "files", "matrix", "codecs.base"])
def test_a_file_of_another_name_elsewhere_leaves_all_digests(package, old):
    before = digests()
    new = f"{old.split('.')[0]}.elsewhere" if "." in old else "elsewhere"
    source, target = (package / f"{name.replace('.', '/')}.py" for name in (old, new))
    source.rename(target)
    room, _, name = old.rpartition(".")
    place = re.escape(f"nern.{room}".rstrip("."))
    for path in package.rglob("*.py"):
        text = re.sub(rf"\bnern\.{re.escape(old)}\b", f"nern.{new}", path.read_text())
        path.write_text(re.sub(rf"(from {place} import (?:\w+, )*){name}\b", rf"\g<1>elsewhere as {name}", text))
    assert digests() == before


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's package in the working folder, whose code must not run: each of its files raises."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    stop = "raise RuntimeError('this was run')\n"
    files = {
        "nets/__init__.py": "",
        "nets/plain.py": "import torch\nfrom .blocks import block\nfrom heads import head\nwidth = 8  # channels\n",
        "nets/blocks.py": "from . import parts\n",
        "nets/parts.py": "activation = 'relu'\n",
        "heads.py": "classes = 10\n",
        "other.py": "activation = 'relu'\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(stop + text)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("nets/plain.py", "width = 8", "width = 9", True),
        ("nets/parts.py", "relu", "tanh", True),
        ("heads.py", "10", "11", True),
        ("nets/plain.py", "# channels", "# filters", False),
        ("other.py", "relu", "tanh", False),
    ],
)
def test_an_own_architecture_counts_by_its_code_and_what_that_imports_from_beside_it(own, file, old, new, changes):
    before = code_digest.architecture_digest("nets.plain")
    edit(own / file, old, new)
    assert (code_digest.architecture_digest("nets.plain") != before) is changes


def test_it_counts_the_same_elsewhere(own, monkeypatch):
    before = code_digest.architecture_digest("nets.plain")
    moved = own / "moved"
    shutil.copytree(own / "nets", moved / "nets")
    shutil.copy(own / "heads.py", moved)
    shutil.rmtree(own / "nets")
    monkeypatch.chdir(moved)
    assert code_digest.architecture_digest("nets.plain") == before


def test_of_an_installed_architecture_its_file_counts(own, monkeypatch):
    installed = own / "site-packages"
    installed.mkdir()
    (installed / "mine.py").write_text("import helper\n")
    (installed / "helper.py").write_text("activation = 'relu'\n")
    monkeypatch.syspath_prepend(str(installed))
    before = code_digest.architecture_digest("mine")
    edit(installed / "helper.py", "relu", "tanh")
    assert code_digest.architecture_digest("mine") == before
    edit(installed / "mine.py", "helper", "other")
    assert code_digest.architecture_digest("mine") != before


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("nowhere", "'nowhere' is not found"),
        ("nets.nowhere", "'nets.nowhere' is not found"),
        ("", "'' is not found"),
        (".nets", "'.nets' is not found"),
        ("sys", "'sys' is not found"),
        ("nets." + "x" * 300, "is not found"),
        ("broken", "'broken' cannot be read (invalid syntax"),
        ("circle", "'circle' cannot be read (maximum recursion depth"),
    ],
)
def test_an_own_architecture_without_source_is_a_sentence(own, module, sentence):
    Path("broken.py").write_text("def net(:\n")
    Path("circle.py").write_text("from lines import f\nprint(f)\n")
    Path("lines.py").write_text("from circle import f\n")
    with pytest.raises(NernError) as caught:
        code_digest.architecture_digest(module)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
