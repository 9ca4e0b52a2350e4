import shutil
from pathlib import Path

import pytest

import nern
from nern import provenance, seeding


@pytest.fixture
def package(tmp_path, monkeypatch):
    copied = tmp_path / "nern"
    shutil.copytree(Path(nern.__file__).parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "_PACKAGE", copied)
    yield copied
    forget()


def forget():
    for function in (provenance._source, provenance._module, provenance.code_digest):
        function.cache_clear()


def digests():
    forget()
    return {stage: provenance.code_digest(f"nern.stages.{stage}") for stage in ("fit", "permute", "evaluate")}


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
    for path in (package / "report").glob("*.py"):
        path.write_text("")
    assert digests() == before


def test_versions_name_what_touches_a_number():
    assert {"python", "torch", "nern", "ranger-adabelief"} <= provenance.versions().keys()
    assert "not installed" not in provenance.versions().values()


def test_streams_are_named_by_seed_purpose_and_step():
    names = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a/1", 0), (10, "", 0)]
    assert len({seeding.derive(*name) for name in names}) == len(names)
    assert all(0 <= seeding.derive(*name) < 2**63 for name in names)
    # SHA-256 of "0/a/0", first 8 bytes, computed by sha256sum: the same on every machine
    import hashlib

    assert seeding.derive(0, "a", 0) == int(hashlib.sha256(b"0/a/0").hexdigest()[:16], 16) // 2
