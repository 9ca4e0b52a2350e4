"""Weights of torchvision. The download is torch's, so a stand-in serves it; checked is what is made of it."""

import hashlib
import shutil
import urllib.error
from types import SimpleNamespace

import pytest
import torch

from nern.errors import NernError
from nern.networks import pretrained
from nern.networks.loading import read_state_dict
from nern.networks.torchvision_shim import import_torchvision

NAME = "ResNet18_Weights.IMAGENET1K_V1"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A checkpoint that torchvision would publish under a name with its own hash."""
    source = tmp_path / "source.pth"
    torch.save({"weight": torch.arange(3.0)}, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    url = f"https://example.org/models/net-{digest[:8]}.pth"
    monkeypatch.setattr(import_torchvision("torchvision.models"), "get_weight", lambda name: SimpleNamespace(url=url))
    downloads = []

    def download(address, file, progress):
        assert address == url
        downloads.append(file)
        shutil.copy(source, file)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    return downloads


def test_the_entry_that_config_yaml_names_is_torchvisions(cache, monkeypatch):
    def refuse(address, file, progress):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(NernError, match=r"resnet18-f37072fd\.pth: cannot be downloaded .*no route.*; connect"):
        pretrained.pretrained_file(NAME)


def test_downloaded_once_and_read_like_any_file(cache, published):
    file = pretrained.pretrained_file(NAME)
    assert pretrained.pretrained_file(NAME) == file and file.parent == cache
    assert len(published) == 1
    assert read_state_dict(file)["weight"].tolist() == [0, 1, 2]


def test_a_changed_file_is_refused(cache, published):
    file = pretrained.pretrained_file(NAME)
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(NernError, match="SHA-256 differs"):
        pretrained.pretrained_file(NAME)


@pytest.mark.parametrize("name", ["ResNet18_Weights.NOTHING", "nonsense", "", "ResNet18_Weights"])
def test_an_unknown_name_is_one_sentence(name):
    with pytest.raises(NernError, match="unknown weights"):
        pretrained.pretrained_file(name)
