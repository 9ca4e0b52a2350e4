import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nern import provenance, seeding


def test_versions_name_what_touches_a_number():
    assert {"python", "torch", "nern", "ranger-adabelief"} <= provenance.versions().keys()
    assert "not installed" not in provenance.versions().values()


@given(st.lists(st.sampled_from(["2.9", "2.13", "2.14"]), min_size=1))
def test_attempts_in_a_row_are_named_in_their_order_and_a_repeated_one_once(versions):
    attempts = [{"torch": version, "python": "3.12"} for version in versions]
    joined = {}
    for attempt in attempts:
        joined = provenance.then(joined, {"versions": attempt})
    turns = [new for old, new in zip([None, *versions], versions, strict=False) if new != old]
    assert joined == {"versions": {"torch": " then ".join(turns), "python": "3.12"}}


def git(folder, *arguments):
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *who, *arguments], capture_output=True, encoding="utf-8", check=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_a_commit_is_that_of_the_repository_that_has_the_code(tmp_path, monkeypatch):
    commit = provenance.git_commit.__wrapped__  # without its cache
    package = tmp_path / "inner" / "nern"
    package.mkdir(parents=True)
    monkeypatch.setattr(provenance, "_PACKAGE", package)
    shutil.copy(Path(provenance.__file__), package)
    assert commit() == "unknown"
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "another project")
    assert commit() == "unknown"
    git(tmp_path, "add", "inner")
    git(tmp_path, "commit", "--quiet", "--message", "this project")
    assert commit() == git(tmp_path, "rev-parse", "HEAD")
    (package / "provenance.py").write_text("")
    assert commit() == git(tmp_path, "rev-parse", "HEAD") + "-dirty"


def test_streams_are_named_by_seed_purpose_and_step():
    names = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a/1", 0), (10, "", 0)]
    assert len({seeding.derive(*name) for name in names}) == len(names)
    assert all(0 <= seeding.derive(*name) < 2**63 for name in names)
    # SHA-256 of "0/a/0", first 8 bytes, computed by sha256sum: the same on every machine
    import hashlib

    assert seeding.derive(0, "a", 0) == int(hashlib.sha256(b"0/a/0").hexdigest()[:16], 16) // 2
