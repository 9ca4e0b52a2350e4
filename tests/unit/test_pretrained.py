"""Weights of torchvision. The download is torch's, so a stand-in serves it; checked is what is made of it."""

import hashlib
import re
import shutil
import urllib.error
from types import SimpleNamespace

import pytest
import torch

from nern.errors import NernError
from nern.networks import pretrained
from nern.networks.loading import load_weights, read_state_dict
from nern.networks.torchvision_shim import import_torchvision
from nern.networks.zoo import build

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


def as_torchvision_loads_them(monkeypatch, name, tensors):
    """The network of torchvision's own builder, given the tensors in the place of a download."""
    models = import_torchvision("torchvision.models")
    weights = next(iter(models.get_model_weights(name)))
    monkeypatch.setattr(type(weights), "get_state_dict", lambda self, *args, **kwargs: dict(tensors))
    return models.get_model(name, weights=weights).eval()


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_a_network_that_transforms_its_images_does_so_beside_torchvisions_weights(monkeypatch, name):
    published = import_torchvision("torchvision.models").get_model(name, weights=None, init_weights=False)
    tensors = {key: value.clone() for key, value in published.state_dict().items()}
    theirs = as_torchvision_loads_them(monkeypatch, name, tensors)
    ours = build(f"torchvision:{name}", classes=1000)
    pretrained.transform_as_trained(ours, f"torchvision:{name}", "torchvision:Any_Weights.IMAGENET1K_V1")
    load_weights(ours, tensors, "published.pth")
    images = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, plain = theirs(images), published.eval()(images)
        assert torch.equal(ours.eval()(images), wanted)
    assert not torch.equal(plain, wanted)


@pytest.mark.parametrize(
    ("architecture", "weights", "transforms"),
    [
        ("torchvision:googlenet", None, False),
        ("torchvision:googlenet", "torchvision:GoogLeNet_Weights.IMAGENET1K_V1", True),
        ("my_nets:googlenet", "torchvision:GoogLeNet_Weights.IMAGENET1K_V1", True),
        ("my_nets:googlenet", "mine.pt", False),
        ("torchvision:googlenet", "mine.pt", None),
    ],
)
def test_a_file_does_not_say_whether_images_were_transformed(architecture, weights, transforms):
    network = torch.nn.Sequential(build("torchvision:googlenet", classes=3))
    if transforms is None:
        with pytest.raises(NernError, match=r"mine\.pt does not say whether") as caught:
            pretrained.transform_as_trained(network, architecture, weights)
        assert "\n" not in str(caught.value)
    else:
        pretrained.transform_as_trained(network, architecture, weights)
        assert network[0].transform_input is transforms


def test_densenets_old_names_are_torchvisions(monkeypatch):
    models = import_torchvision("torchvision.models")
    new = {key: value.clone() for key, value in models.densenet121(weights=None).state_dict().items()}
    parts = re.compile(r"(denselayer\d+\.(?:norm|conv))([12]\.)")
    old = {parts.sub(r"\1.\2", key): value for key, value in new.items() if not key.endswith("num_batches_tracked")}
    assert len(old.keys() - new.keys()) > 400
    theirs = as_torchvision_loads_them(monkeypatch, "densenet121", old | {
        key: value for key, value in new.items() if key.endswith("num_batches_tracked")
    })  # fmt: skip
    ours = build("torchvision:densenet121", classes=1000)
    load_weights(ours, old, "densenet121-a639ec97.pth")
    wanted = theirs.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in ours.state_dict().items())


def test_a_network_with_versions_loads_what_it_saved():
    ours, theirs = (build("torchvision:mnasnet0_5", classes=3) for _ in range(2))
    load_weights(ours, dict(theirs.state_dict()), "mnasnet.pth")
    assert torch.equal(ours.layers[0].weight, theirs.layers[0].weight)


@pytest.mark.parametrize("name", ["ResNet18_Weights.NOTHING", "nonsense", "", "ResNet18_Weights"])
def test_an_unknown_name_is_one_sentence(name):
    with pytest.raises(NernError, match="unknown weights"):
        pretrained.pretrained_file(name)
