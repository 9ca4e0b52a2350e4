import gzip
import io
import json
import logging
import os
import random
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nern.errors import NernError
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.loading import load_weights, read_state_dict


def small(shortcut="B", classes=4):
    torch.manual_seed(0)
    return CifarResNet(8, classes=classes, width=4, shortcut=shortcut)


def renamed(tensors):
    return {
        "module." + name.replace("fc.", "linear.").replace(".downsample.", ".shortcut."): value
        for name, value in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("suffix", [".th", ".pt", ".safetensors"])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_other_names_wrappers_and_prefixes_are_understood(tmp_path, suffix, shortcut):
    source, target = small(shortcut), small(shortcut)
    for parameter in target.parameters():
        torch.nn.init.zeros_(parameter)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(renamed(source.state_dict()), path)
    else:
        torch.save({"state_dict": renamed(source.state_dict()), "best_prec1": 91.0}, path)
    load_weights(target, read_state_dict(path), str(path))
    for ours, theirs in zip(target.parameters(), source.parameters(), strict=True):
        assert torch.equal(ours, theirs)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def truncated(path):
    torch.save(small().state_dict(), path)
    path.write_bytes(path.read_bytes()[:2000])


def flipped(path):
    torch.save(small().state_dict(), path)
    content = bytearray(path.read_bytes())
    content[content.index(small().fc.weight.detach().numpy().tobytes())] ^= 1
    path.write_bytes(content)


def flipped_in_the_old_format(path):
    torch.save({"weight": torch.ones(2, 3)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    place = content.rindex(b"q\x01a.") - 1  # the last digit of a tensor's key in the list of all of them
    path.write_bytes(content[:place] + b"x" + content[place + 1 :])


def flipped_in_the_list_of_parts(path):
    torch.save(small().state_dict(), path)
    path.write_bytes(path.read_bytes().replace(b"PK\1\2\0\0\0\0", b"PK\1\2\0\0\x80\0"))


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.conv(x)


def zipped(path, **content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name.replace("__", "."), data)


def tarred(path):
    data = b"x" * 2000
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("weights.bin")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))


LFS = (
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa\nsize 1\n"
)
NO_CHECKPOINTS = {
    "a Git LFS pointer": (lambda path: path.write_text(LFS), "Git LFS pointer.*git lfs pull"),
    "a web page": (lambda path: path.write_text("<!DOCTYPE html><html>not found</html>"), "web page"),
    "a web page after blank lines": (lambda path: path.write_text("\n\n  <html></html>"), "web page"),
    "an error in XML": (lambda path: path.write_text('<?xml version="1.0"?><Error/>'), "web page"),
    "an error in JSON": (lambda path: path.write_text(json.dumps({"error": "Not Found"})), "a text"),
    "TorchScript": (lambda path: torch.jit.script(Network()).save(str(path)), "TorchScript archive.*state_dict"),
    "a whole network": (lambda path: torch.save(Network(), path), "test_loading.Network.*save its state_dict"),
    "a whole network in a wrapper": (lambda path: torch.save({"model": Network()}, path), "test_loading.Network"),
    "a whole network in the old format": (
        lambda path: torch.save(Network(), path, _use_new_zipfile_serialization=False), "test_loading.Network",
    ),
    "a NumPy archive": (lambda path: np.savez(path.open("wb"), a=np.ones(3)), "NumPy archive"),
    "a NumPy array": (lambda path: np.save(path.open("wb"), np.ones(3)), "NumPy array"),
    "HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "HDF5"),
    "Keras": (lambda path: zipped(path, config__json="{}", model__weights__h5="x"), "Keras archive"),
    "ONNX": (lambda path: path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.0" + bytes(100)), "ONNX"),
    "GGUF": (lambda path: path.write_bytes(b"GGUF\3" + bytes(100)), "GGUF"),
    "a zipped checkpoint": (lambda path: zipped(path, resnet__th=b"x"), r"zip archive \(resnet.th\); unpack it"),
    "a gzipped checkpoint": (lambda path: path.write_bytes(gzip.compress(bytes(1000))), "gzip archive; unpack it"),
    "a tar archive": (tarred, "tar archive|truncated"),
    "an empty file": (lambda path: path.write_bytes(b""), "is empty"),
    "blanks": (lambda path: path.write_bytes(b"\n \n"), "is empty"),
    "zeros": (lambda path: path.write_bytes(bytes(5000)), "truncated or no checkpoint"),
    "chance": (lambda path: path.write_bytes(os.urandom(3000)), "truncated or no checkpoint"),
    "a truncated checkpoint": (truncated, "truncated"),
    "a checkpoint with a flipped bit": (flipped, r"is damaged \(Bad CRC-32 .*\); fetch it again"),
    "a flipped bit in the old format": (flipped_in_the_old_format, "is damaged.*; fetch it again"),
    "a flipped bit in the list of parts": (flipped_in_the_list_of_parts, "damaged; fetch it again"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("kind", NO_CHECKPOINTS)
def test_of_a_file_that_is_no_checkpoint_it_is_said_what_it_is(tmp_path, kind, suffix):
    write, sentence = NO_CHECKPOINTS[kind]
    path = tmp_path / f"weights{suffix}"
    write(path)
    with pytest.raises(NernError, match=sentence) as caught:
        read_state_dict(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin", ".th", ""])
@pytest.mark.parametrize("is_safetensors", [False, True])
def test_a_checkpoint_is_known_by_its_content_whatever_its_name(tmp_path, suffix, is_safetensors):
    path = tmp_path / f"weights{suffix}"
    (safetensors.torch.save_file if is_safetensors else torch.save)({"weight": torch.ones(2, 3)}, path)
    assert read_state_dict(path).keys() == {"weight"}


def test_a_checkpoint_whose_sums_torch_did_not_compute_is_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"weight": torch.ones(2, 3)}, tmp_path / "weights.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert zipfile.ZipFile(tmp_path / "weights.pt").testzip()
    assert torch.equal(read_state_dict(tmp_path / "weights.pt")["weight"], torch.ones(2, 3))


@pytest.mark.parametrize("as_zip", [True, False])
@given(seed=st.integers(0, 2**32), count=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_any_damage_is_a_sentence_and_in_a_zip_archive_it_is_found(tmp_path_factory, as_zip, seed, count):
    path, tensors = tmp_path_factory.getbasetemp() / "damaged.pt", {"weight": torch.ones(2, 3)}
    torch.save(tensors | {"bias": torch.ones(2)}, path, _use_new_zipfile_serialization=as_zip)
    content, source = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(count):
        content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    path.write_bytes(content)
    try:
        found = read_state_dict(path)
    except NernError as error:
        assert "\n" not in str(error)
    else:
        assert not as_zip or torch.equal(found["weight"], tensors["weight"])  # it was padding


WRITERS = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no weights"),
    "truncated": truncated,
    "runs code": lambda path: torch.save({"state_dict": Harmful(path.parent / "executed")}, path),
    "a tensor": lambda path: torch.save(torch.ones(3), path),
    "no tensors": lambda path: torch.save({"epoch": 3}, path),
    "empty dict": lambda path: torch.save({}, path),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("writer", WRITERS)
def test_unusable_files_are_one_sentence_and_run_nothing(tmp_path, writer, suffix):
    path = tmp_path / f"weights{suffix}"
    WRITERS[writer](path)
    with pytest.raises(NernError) as caught:
        read_state_dict(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


def without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


MISFITS = {
    "missing": (lambda t: without(t, "conv1.weight"), "lacks conv1.weight"),
    "unexpected": (lambda t: t | {"extra": torch.ones(1)}, "has extra"),
    "shape": (lambda t: t | {"conv1.weight": torch.ones(4, 3, 5, 5)}, "has shape"),
    "NaN": (lambda t: t | {"conv1.weight": t["conv1.weight"] * float("nan")}, "NaN or infinity"),
    "classes": (lambda t: small(classes=7).state_dict(), "fc.weight has shape"),
    "no projections": (lambda t: small("A").state_dict(), "shortcut: A"),
    "two names": (lambda t: t | {"linear.weight": t["fc.weight"]}, "holds both fc.weight and linear.weight"),
    "two names of a shortcut": (
        lambda t: t | {"layer2.0.shortcut.0.weight": t["layer2.0.downsample.0.weight"]},
        "both layer2.0.downsample.0.weight and layer2.0.shortcut.0.weight",
    ),
    "two networks": (lambda t: prefixed(t, "a.") | prefixed(t, "b."), "several networks .a and b"),
    "a network in another": (lambda t: t | prefixed(t, "teacher."), "names without a prefix and teacher"),
    "a prefix and a misfit": (lambda t: prefixed(without(t, "fc.bias"), "module."), r"lacks fc\.bias;"),
    "integers": (lambda t: t | {"conv1.weight": t["conv1.weight"].to(torch.int8)}, "stored as int8"),
    "complex": (lambda t: t | {"conv1.weight": t["conv1.weight"].cfloat()}, "stored as complex64"),
    "sparse": (lambda t: t | {"fc.weight": t["fc.weight"].to_sparse()}, "stored as sparse float32"),
    "sparse in rows": (lambda t: t | {"fc.weight": t["fc.weight"].to_sparse_csr()}, "stored as sparse float32"),
    "nested": (lambda t: t | {"conv1.weight": nested(t["conv1.weight"])}, "conv1.weight is stored as nested float32"),
    "jagged": (lambda t: t | {"fc.bias": nested(t["fc.bias"], layout=torch.jagged)}, "fc.bias is stored as nested"),
    "no numbers": (lambda t: t | {"fc.weight": t["fc.weight"].to("meta")}, r"stored as float32 without its numbers"),
    "no numbers of integers": (
        lambda t: t | {"bn1.num_batches_tracked": t["bn1.num_batches_tracked"].to("meta")}, "without its numbers",
    ),
    "infinite in half precision": (lambda t: t | {"fc.bias": torch.full((4,), torch.inf).half()}, "NaN or infinity"),
}  # fmt: skip


def nested(tensor, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls them a prototype
        return torch.nested.nested_tensor([tensor[:1], tensor], **options)


def prefixed(tensors, prefix):
    return {prefix + name: value for name, value in tensors.items()}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_does_not_fit_is_one_sentence_and_changes_nothing(misfit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, sentence = MISFITS[misfit]
    network = small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save(change(network.state_dict()), "weights.pt")
    for read in (lambda: change(network.state_dict()), lambda: read_state_dict(Path("weights.pt"))):
        with pytest.raises(NernError, match=sentence) as caught:
            load_weights(network, read(), "weights.pt")
        assert str(caught.value).startswith("weights.pt: ")
        assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


HINTS = {
    "projections missing": ("B", lambda t: without_all(t, "downsample"), True),
    "projections too many": ("A", lambda t: small("B").state_dict(), True),
    "something else missing, too": ("B", lambda t: without(without_all(t, "downsample"), "fc.bias"), False),
    "a stage missing": ("B", lambda t: without_all(t, "layer2"), False),
    "another network": ("B", lambda t: {"features.weight": torch.ones(2, 2)}, False),
}


def without_all(tensors, part):
    return {name: value for name, value in tensors.items() if part not in name}


@pytest.mark.parametrize("case", HINTS)
def test_shortcuts_are_hinted_at_only_where_they_are_what_differs(case):
    shortcut, change, hinted = HINTS[case]
    network = small(shortcut)
    with pytest.raises(NernError, match="does not fit") as caught:
        load_weights(network, change(network.state_dict()), "weights.pt")
    assert ("shortcut" in str(caught.value)) is hinted


def test_another_network_with_downsamples_gets_no_hint_about_ours():
    other = torch.nn.ModuleDict({"downsample": torch.nn.Linear(2, 2)})
    with pytest.raises(NernError, match="check the architecture") as caught:
        load_weights(other, {"x.weight": torch.ones(2, 2)}, "weights.pt")
    assert "shortcut" not in str(caught.value)


def averaged(tensors):
    return {name: value + 1 if value.is_floating_point() else value for name, value in tensors.items()}


def counted(tensors):
    layers = {name.rpartition(".")[0] for name in tensors}
    return tensors | {f"{layer}.{count}": torch.ones(1) for layer in layers for count in ("total_ops", "total_params")}


OPTIMIZER = {"state": {0: {"momentum_buffer": torch.ones(3, 3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
CHECKPOINTS = {
    "bare": lambda t: t,
    **{f"in {key}": lambda t, key=key: {key: t, "epoch": 3, "optimizer": OPTIMIZER, "best": torch.tensor(91.0)}
       for key in ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "my_net")},
    "in two wrappers": lambda t: {"checkpoint": {"model": t, "lr": 0.1}, "args": {"depth": 8}},
    **{f"behind {prefix}": lambda t, prefix=prefix: {"state_dict": prefixed(t, prefix)}
       for prefix in ("module.", "model.", "net.", "_orig_mod.", "backbone.", "model._orig_mod.", "_orig_mod.module.",
                      "module._orig_mod.model.")},
    "of AveragedModel": lambda t: prefixed(t, "module.") | {"n_averaged": torch.tensor(5)},
    "counted by thop": counted,
    "counted by thop, in parallel": lambda t: prefixed(counted(t), "module."),
    "of the average alone": lambda t: {"state_dict_ema": t},
    "in half precision": lambda t: {name: v.half() if v.is_floating_point() else v for name, v in t.items()},
    "without counts of batches": lambda t: without_all(t, "num_batches_tracked"),
    "as parameters": lambda t: {name: torch.nn.Parameter(v, requires_grad=False) for name, v in t.items()},
    "other names": renamed,
    "other names behind another prefix": lambda t: prefixed(renamed(t), "net."),
}  # fmt: skip
BESIDE_AN_AVERAGE = {
    "timm": (lambda t: {"state_dict": t, "state_dict_ema": averaged(t)}, "state_dict is taken"),
    "model_ema": (lambda t: {"model": t, "model_ema": prefixed(averaged(t), "module.")}, "model is taken"),
    "ema first": (lambda t: {"ema": averaged(t), "net": t}, "net is taken"),
    "Lightning": (
        lambda t: {"state_dict": prefixed(t, "model.") | prefixed(averaged(t), "ema_model.module.")}, "model is taken",
    ),
    "buffers": (lambda t: t | prefixed(averaged(t), "ema."), "names without a prefix is taken"),
}  # fmt: skip


def assert_loaded(path, content):
    source, target = small(), small()
    for value in target.state_dict().values():
        value.zero_()
    wanted = {name: value.clone() for name, value in source.state_dict().items()}
    torch.save(content(wanted), path)
    load_weights(target, read_state_dict(path), str(path))
    for name, value in target.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, wanted[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", CHECKPOINTS)
def test_common_forms_of_checkpoints_are_understood(tmp_path, form, caplog):
    assert_loaded(tmp_path / "weights.pt", CHECKPOINTS[form])
    assert "is taken" not in caplog.text


@pytest.mark.parametrize("form", BESIDE_AN_AVERAGE)
def test_of_weights_and_their_average_the_weights_are_taken_and_that_is_said(tmp_path, form, caplog):
    content, sentence = BESIDE_AN_AVERAGE[form]
    with caplog.at_level(logging.WARNING):
        assert_loaded(tmp_path / "weights.pt", content)
    assert sentence in caplog.text


@pytest.mark.parametrize("keys", [("model", "net"), ("teacher", "student"), ("ema", "swa"), ("model.a", "model.b")])
def test_of_two_networks_neither_is_taken(tmp_path, keys):
    torch.save({key: small().state_dict() for key in keys}, tmp_path / "weights.pt")
    with pytest.raises(NernError, match="holds several networks") as caught:
        read_state_dict(tmp_path / "weights.pt")
    assert all(key in str(caught.value) for key in keys)


def test_a_network_whose_own_names_begin_like_a_prefix_keeps_them(tmp_path):
    network = torch.nn.ModuleDict({"module": torch.nn.Linear(2, 3)})
    source = torch.nn.ModuleDict({"module": torch.nn.Linear(2, 3)})
    load_weights(network, prefixed(source.state_dict(), "module."), "weights.pt")
    assert torch.equal(network["module"].weight, source["module"].weight)


class Versioned(torch.nn.Module):
    """It asks for the version of what it loads, as torchvision's MNASNet does."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 1)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *others):
        assert local_metadata["version"] == 2
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)


def test_a_network_that_asks_for_the_version_of_its_state_dict_gets_it():
    load_weights(Versioned(), dict(Versioned().state_dict()), "weights.pt")
