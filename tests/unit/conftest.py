"""A folder for `nern init`: the project's configuration, the three colors as images of every kind, trained weights."""

import shutil
import sys

import pytest
import three_colors
import torch

from nern.stages import cost


@pytest.fixture(scope="session")
def trained():
    return three_colors.trained()


@pytest.fixture
def place(tmp_path, monkeypatch, trained):
    """The folder, as the working folder; fits are timed by two steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copy(three_colors.ROOT / "config.yaml", tmp_path)
    three_colors.write_folder(tmp_path / "images")
    three_colors.write_parquet(tmp_path / "files")
    torch.save({"state_dict": trained.state_dict()}, "colors.th")
    (tmp_path / "my_networks.py").write_text(three_colors.MODULE)
    yield tmp_path
    sys.modules.pop("my_networks", None)
