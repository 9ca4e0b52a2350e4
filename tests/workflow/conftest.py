"""A tiny real run of the demonstration, shared by the tests of a worker; each test gets a copy of its files."""

import shutil

import pytest
from tiny import CELL, ORIGINAL, checkout, nern


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder in which every stage of one cell was run by the command line."""
    folder = checkout(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert nern("prepare-data", "digits") == 0
        assert nern("train-original", ORIGINAL, "--threads", "1") == 0
        assert nern("permute", ORIGINAL, "--mode", "cross-filter") == 0
        assert nern("fit", CELL) == 0
        assert nern("evaluate", CELL) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of the finished folder, as the working folder."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder
