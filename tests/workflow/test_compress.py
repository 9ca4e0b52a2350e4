"""Stage `compress`: it measures what the bytes hold, of originals and predictors, and resumes to the byte."""

import base64
import hashlib
import json
import math
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from test_pack import accuracy, nern_unpack, resnet8
from tiny import CELL, ORIGINAL, nern

from nern import checkpoint, files
from nern.stages import coded, compress

FILES = ("compression.json", "compressed.safetensors")


@pytest.fixture(scope="module")
def compressed(finished, tmp_path_factory):
    """A folder in which the original and the cell are compressed."""
    folder = tmp_path_factory.mktemp("compressed") / "run"
    shutil.copytree(finished, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert nern("compress", ORIGINAL) == 0
        assert nern("compress", CELL) == 0
    return folder


@pytest.fixture
def measured(compressed, tmp_path, monkeypatch):
    """A copy of it, as the working folder."""
    folder = tmp_path / "run"
    shutil.copytree(compressed, folder)
    monkeypatch.chdir(folder)
    return folder


def points(path):
    return {point["codec"]: point for point in json.loads(Path(path, "compression.json").read_text())["points"]}


def sentence(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


@pytest.mark.parametrize("path", [ORIGINAL, CELL])
def test_floats_of_32_bits_lose_nothing(measured, path):
    point = points(path)["float32"]
    metrics = json.loads(Path(path, "metrics.json").read_text())
    assert point["accuracy"] == metrics["accuracy"]
    if path == ORIGINAL:
        assert (point["agreement"], point["relative_error"]) == (100, 0)
        assert point["divergence"] < 1e-6
    else:
        for name in ("agreement", "divergence", "relative_error", "won_images", "lost_images"):
            assert point[name] == metrics[name], name


def test_bytes_are_counted_whole(measured):
    record = json.loads(Path(CELL, "compression.json").read_text())
    for point in record["points"]:
        assert point["bytes"] == point["coded_bytes"] + point["permutation_bytes"]
        assert point["bits_per_weight"] == pytest.approx(8 * point["bytes"] / record["learnable_parameters"])
    shapes = [(8, 1), (8, 8), (8, 8), (16, 8), (16, 16), (16, 8), (32, 16), (32, 32), (32, 16)]
    least = sum(math.lgamma(f * c + 1) / math.log(2) for f, c in shapes) / 8
    assert least <= points(CELL)["float32"]["permutation_bytes"] <= 1.005 * least + 16 * len(shapes)
    predictor = json.loads(Path(CELL, "metrics.json").read_text())["predictor_bytes"]
    assert predictor <= points(CELL)["float32"]["coded_bytes"] <= predictor + 64
    assert points(ORIGINAL)["float32"]["permutation_bytes"] == 0


@pytest.mark.parametrize(
    ("path", "codec"),
    [
        (ORIGINAL, "uniform-4"),
        (ORIGINAL, "entropy-1"),
        (ORIGINAL, "low-rank-25"),
        (ORIGINAL, "kernels-16-distilled"),
        (ORIGINAL, "binary-distilled"),
        (CELL, "float16"),
        (CELL, "pruned-50"),
        (CELL, "uniform-6-distilled"),
    ],
)
def test_a_packed_point_is_the_measured_network(measured, path, codec):
    assert nern("pack", path, "--codec", codec, "x.nern") == 0
    assert nern_unpack("x.nern", "x.safetensors") == 0
    network = safetensors.torch.load_file("x.safetensors")
    assert accuracy(resnet8(network)) == points(path)[codec]["accuracy"]
    original = safetensors.torch.load_file(Path(ORIGINAL, "network.safetensors"))
    names = [name for name, value in original.items() if value.dim() == 4]
    error = sum((network[n] - original[n]).double().square().sum() for n in names)
    whole = sum(original[n].double().square().sum() for n in names)
    assert (error / whole).item() == pytest.approx(points(path)[codec]["relative_error"], rel=1e-7)
    shared = sum(v.numel() * v.element_size() for name, v in original.items() if name not in names)
    assert Path("x.nern").stat().st_size <= points(path)[codec]["bytes"] + shared + 8_000  # names, shapes, settings


@pytest.mark.parametrize("path", [ORIGINAL, CELL])
def test_any_number_of_threads_makes_the_same_bytes(measured, path):
    before = {name: Path(path, name).read_bytes() for name in FILES}
    for name in FILES:
        Path(path, name).unlink()
    assert nern("compress", path, "--threads", "3") == 0
    assert {name: Path(path, name).read_bytes() for name in FILES} == before


@pytest.mark.parametrize(("path", "stop"), [(ORIGINAL, 2), (ORIGINAL, 13), (CELL, 3)])
def test_a_compression_that_stops_goes_on_to_the_same_bytes(measured, monkeypatch, path, stop):
    before = {name: Path(path, name).read_bytes() for name in FILES}
    for name in FILES:
        Path(path, name).unlink()

    class Killed(BaseException):
        pass

    plain, steps = coded.Run.step, []

    def dying(self, done, **values):
        plain(self, done, **values)
        steps.append(done)
        if len(steps) == stop:
            raise Killed

    monkeypatch.setattr(coded.Run, "wants_save", lambda self: True)
    monkeypatch.setattr(coded.Run, "step", dying)
    with pytest.raises(Killed):
        nern("compress", path)
    monkeypatch.undo()
    monkeypatch.chdir(measured)
    assert not Path(path, "compression.json").exists()
    assert nern("compress", path) == 0
    assert {name: Path(path, name).read_bytes() for name in FILES} == before
    assert not list(Path(path, ".compress").glob("*.safetensors"))


def settings_with(**compression):
    """The tiny configuration with another section `compression`."""
    settings = yaml.safe_load(Path("tiny.yaml").read_text())
    settings["compression"] |= compression
    Path("tiny.yaml").write_text(yaml.safe_dump(settings))


def test_what_an_attempt_before_took_counts_among_the_seconds(run, monkeypatch):
    settings_with(predictor={"codecs": ["float16"], "distilled": [{"codec": "uniform-6", "rate": 1e-3}]})

    class Killed(BaseException):
        pass

    def dying(self, done, **values):
        if done == 3:
            raise Killed

    monkeypatch.setattr(coded.Run, "wants_save", lambda self: True)
    monkeypatch.setattr(coded.Run, "step", dying)
    with pytest.raises(Killed):
        nern("compress", CELL)
    monkeypatch.undo()
    monkeypatch.chdir(run)
    state = Path(CELL, ".compress/state.safetensors")
    tensors, metadata = checkpoint.read_tensors(state)
    checkpoint.write_tensors(state, tensors, metadata | {"seconds": "1000.0"})
    assert nern("compress", CELL) == 0
    seconds = json.loads(Path(CELL, "compress.json").read_text())["seconds"]
    assert seconds["float16"] < 1000 < seconds["uniform-6-distilled"]


def test_a_point_that_is_killed_while_it_is_measured_is_not_trained_again(run, monkeypatch):
    settings_with(predictor={"codecs": [], "distilled": [{"codec": "uniform-6", "rate": 1e-3}]})

    class Killed(BaseException):
        pass

    def dying(*_):
        raise Killed

    plain, steps = coded.Run.step, []

    def counted(self, done, **values):
        plain(self, done, **values)
        steps.append(done)

    monkeypatch.setattr(coded.Run, "wants_save", lambda self: True)
    monkeypatch.setattr(coded.Run, "step", counted)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(compress, "predict", dying)
        nern("compress", CELL)
    assert nern("compress", CELL) == 0
    assert steps == [1, 2, 3, 4, 5, 5]
    assert not list(Path(CELL, ".compress").glob("*.safetensors"))


def test_what_is_stored_in_no_way_is_a_record_without_points(run):
    """A frontier may be of predictors alone."""
    settings_with(original={"codecs": [], "distilled": []}, predictor={"codecs": ["float16"], "distilled": []})
    assert nern("compress", ORIGINAL) == 0
    assert points(ORIGINAL) == {}
    assert nern("compress", CELL) == 0
    assert nern("table", "frontier_digits") == 0
    assert nern("figure", "frontier_digits") == 0


def test_points_of_another_compression_are_not_packed(run, capsys):
    """As where a compression by other settings was killed when it had written its bytes and not yet its record."""
    settings_with(predictor={"codecs": [], "distilled": [{"codec": "uniform-6", "rate": 1e-3}]})
    assert nern("compress", CELL) == 0
    kept = Path(CELL, "compressed.safetensors")
    tensors, metadata = checkpoint.read_tensors(kept)
    for others in ({}, {"uniform-6-distilled": tensors["uniform-6-distilled"].flip(0)}):
        checkpoint.write_tensors(kept, others, metadata)
        capsys.readouterr()
        assert nern("pack", CELL, "--codec", "uniform-6-distilled", "x.nern") == 2
        assert "uniform-6-distilled is not what compression.json records; run: nern compress" in sentence(capsys)
    checkpoint.write_tensors(kept, tensors, metadata)
    record = files.read_json(Path(CELL, "compression.json"))
    record["inputs"]["results/digits/images/data.json"] = "e" * 64
    files.write_json(Path(CELL, "compression.json"), record)
    assert nern("pack", CELL, "--codec", "uniform-6-distilled", "x.nern") == 2
    assert "its input results/digits/images/data.json has changed since; run: nern compress" in sentence(capsys)


def test_a_packed_codec_is_the_measured_one_though_a_weight_is_below_the_normal_range(run, tmp_path):
    """Stages take such a number for zero, whose sign is another."""
    tensors = safetensors.torch.load_file(Path(ORIGINAL, "network.safetensors"))
    tensors["layer1.0.conv1.weight"][0, 0, 0, :] = -1e-40
    safetensors.torch.save_file(tensors, "tiny.safetensors")
    settings = yaml.safe_load(Path("tiny.yaml").read_text())
    settings["originals"] = {"base": {"weights": "tiny.safetensors"}}
    Path("tiny.yaml").write_text(yaml.safe_dump(settings))
    settings_with(original={"codecs": ["binary"], "distilled": []})
    assert nern("train-original", ORIGINAL) == 0
    assert nern("compress", ORIGINAL) == 0
    torch.set_flush_denormal(False)  # as in a new process
    assert nern("pack", ORIGINAL, "--codec", "binary", "x.nern") == 0
    coded_bytes = checkpoint.read_tensors(Path("x.nern"))[0]["coded"].numpy().tobytes()
    assert hashlib.sha256(coded_bytes).hexdigest() == points(ORIGINAL)["binary"]["sha256"]


def test_distilling_brings_coded_weights_nearer(measured):
    """Five iterations do little; but what is distilled may not be further from the original than what is not."""
    config = yaml.safe_load(Path("tiny.yaml").read_text())
    config["compression"]["original"] = {
        "iterations": 60,
        "codecs": ["uniform-3", "kernels-16"],
        "distilled": [{"codec": "uniform-3", "rate": 2e-3}, {"codec": "kernels-16", "rate": 2e-3}],
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(config))
    assert nern("compress", ORIGINAL) == 0
    found = points(ORIGINAL)
    for codec in ("uniform-3", "kernels-16"):
        assert found[f"{codec}-distilled"]["divergence"] < 0.7 * found[codec]["divergence"]
        assert found[f"{codec}-distilled"]["bytes"] <= 1.05 * found[codec]["bytes"]


def test_the_frontier_is_made_of_what_was_measured(measured):
    assert nern("table", "frontier_digits") == 0
    assert nern("figure", "frontier_digits") == 0
    text = Path("tables/frontier_digits.partial.md").read_text()  # the second seed and the other orders are missing
    for codec in points(ORIGINAL):
        assert f"| {codec} " in text
    assert "at the original's accuracy less 0.5 points" in text
    assert Path("figures/frontier_digits.partial.svg").exists()


LIES = {
    "an accuracy": lambda: forged(CELL, "accuracy", 99.0),
    "bytes": lambda: forged(ORIGINAL, "bytes", 1),
    "kept bytes": lambda: Path(ORIGINAL, "compressed.safetensors").write_bytes(
        Path(CELL, "compressed.safetensors").read_bytes()
    ),
    "a record edited by hand": lambda: edit(Path(CELL, "compression.json"), '"accuracy": ', '"accuracy": 1'),
    "another's record": lambda: shutil.copy(Path(CELL, "compression.json"), Path(ORIGINAL, "compression.json")),
}


def forged(path, key, value):
    """A change by someone who knows how the checksum is made."""
    file = Path(path, "compression.json")
    record = files.read_json(file)
    record["points"][-1][key] = value
    files.write_json(file, record)


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize("lie", LIES)
def test_verify_finds_a_compression_that_lies(measured, capsys, lie):
    assert nern("verify") == 0
    LIES[lie]()
    capsys.readouterr()
    assert nern("verify") == 1
    assert "compress" in capsys.readouterr().out


def test_a_predictor_that_was_fitted_anew_leaves_its_compression_behind(measured, capsys):
    settings = yaml.safe_load(Path("tiny.yaml").read_text())
    settings["variants"]["decoupled"]["training"]["iterations"] = 21
    Path("tiny.yaml").write_text(yaml.safe_dump(settings))
    assert nern("fit", CELL) == 0
    assert nern("evaluate", CELL) == 0
    assert nern("verify") == 0
    assert "is of other settings or files; run: nern compress" in capsys.readouterr().out
    assert nern("pack", CELL, "--codec", "uniform-6-distilled", "x.nern") == 2
    assert "run: nern compress" in sentence(capsys)


@pytest.mark.parametrize("other", ["network", "images"])
def test_what_was_measured_of_two_networks_or_on_two_sets_of_images_is_not_compared(measured, capsys, other):
    """As gathered from two machines that trained an original each, or have other images, without either."""
    Path(ORIGINAL, "network.safetensors").unlink()
    record = files.read_json(Path(ORIGINAL, "compression.json"))
    if other == "network":
        record["inputs"][f"{ORIGINAL}/network.safetensors"] = "e" * 64
    else:
        record["original_hits"] = base64.b64encode(bytes(len(base64.b64decode(record["original_hits"])))).decode()
    files.write_json(Path(ORIGINAL, "compression.json"), record)
    assert nern("table", "frontier_digits") == 2
    assert "is of another network, or on other test images, than what else was measured" in sentence(capsys)


MISTAKES = {
    "unknown codec": ({"original": {"codecs": ["uniform-9"]}}, "unknown codec 'uniform-9'"),
    "unknown kind": ({"codecs": {"a": {"kind": "jpeg"}}}, "codecs.a"),
    "unknown knob": ({"codecs": {"uniform-8": {"knob": 1}}}, "unknown key"),
    "bits": ({"codecs": {"uniform-8": {"bits": 17}}}, "less than or equal to 8 (got 17)"),
    "cannot be distilled": (
        {"original": {"distilled": [{"codec": "low-rank-25", "rate": 0.1}]}},
        "low-rank cannot be distilled",
    ),
    "one codec, two rates": (
        {"original": {"distilled": [{"codec": "uniform-3", "rate": 0.1}, {"codec": "uniform-3", "rate": 0.2}]}},
        "there is a point uniform-3-distilled already",
    ),
    "rate": ({"original": {"distilled": [{"codec": "uniform-3", "rate": -1}]}}, "greater than 0 (got -1)"),
    "a budget that nothing meets": (
        {"codecs": {"low-rank-25": {"ratio": 0.001}}},
        "choose a larger ratio",
    ),
    "no phase to distill by": ({"variant": "base"}, "has no second phase"),
    "a phase with a warm-up": ({"variant": "warm"}, "name one that distills from its first step on"),
    "a phase without a gradient": ({"variant": "blind"}, "name one that distills from its first step on"),
    "a codec called like a point": (
        {"codecs": {"binary-distilled": {"kind": "binary"}}},
        "there is a point binary-distilled already",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_nothing_is_written(run, capsys, mistake):
    change, needle = MISTAKES[mistake]
    settings = yaml.safe_load(Path("tiny.yaml").read_text())
    settings["variants"]["warm"] = {"extends": "decoupled", "distillation": {"warmup": 2}}
    settings["variants"]["blind"] = {"extends": "decoupled", "distillation_gradient": False}
    for key, value in change.items():
        if key == "codecs":
            settings["codecs"] = value
        elif isinstance(value, dict):
            settings["compression"][key] |= value
        else:
            settings["compression"][key] = value
    Path("tiny.yaml").write_text(yaml.safe_dump(settings))
    capsys.readouterr()
    assert nern("compress", ORIGINAL) == 2
    assert needle in sentence(capsys)
    assert not Path(ORIGINAL, "compression.json").exists()


def test_files_that_lie_are_one_sentence_and_nothing_is_written(measured, capsys):
    assert nern("pack", ORIGINAL, "--codec", "uniform-4", "good.nern") == 0
    tensors, metadata = checkpoint.read_tensors(Path("good.nern"))
    plan = json.loads(metadata["plan"])

    def lying(name, change):
        checkpoint.write_tensors(Path(name), tensors, metadata | {"plan": json.dumps(plan | change)})

    first = next(iter(plan["layers"]))
    lying("petabyte.nern", {"layers": {first: [2**20, 2**20, 3, 3]}})
    lying("other.nern", {"layers": {first: [8, 1, 3, 3]}})
    lying("codec.nern", {"codec": {"kind": "jpeg"}})
    lying("predictor.nern", {"predictor": {"hidden": 10**9, "embedding": {"kind": "table"}, "smoothing": "none"}})
    lying("negative.nern", {"layers": {first: [-8, -1, 3, 3]}})
    lying("canceling.nern", {"layers": {first: [10**30, 1, 0, 1]}})
    checkpoint.write_tensors(Path("planless.nern"), tensors, {"format": "nern 3"})
    short = dict(tensors) | {"coded": tensors["coded"][:-9].clone()}
    checkpoint.write_tensors(Path("short.nern"), short, metadata)
    for name in ("petabyte", "other", "codec", "predictor", "negative", "canceling", "planless", "short"):
        capsys.readouterr()
        assert nern_unpack(f"{name}.nern", "x.safetensors") == 2, name
        assert f"{name}.nern" in sentence(capsys)
        assert not Path("x.safetensors").exists()
