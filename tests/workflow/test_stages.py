"""Every stage by the command line: what it makes, that it makes it again byte for byte, and what it refuses."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from tiny import CELL, CONFIG, ORIGINAL, digests, nern

from nern import files
from nern.cli import main
from nern.method.embedding import kernel_coordinates
from nern.method.kernels import KernelLayout
from nern.method.predictor import Predictor
from nern.networks.cifar_resnet import CifarResNet
from nern.stages import evaluate, fit, runtime, teacher
from nern.stages.accuracy import NotFiniteError

TABLE = CELL.replace("decoupled", "decoupled-table")
BFLOAT16 = CELL.replace("decoupled", "decoupled-bfloat16")
GELU = CELL.replace("decoupled", "decoupled-gelu")
SAME = ("predictor.safetensors", "history.csv", "metrics.json")


def metrics(cell=CELL):
    return json.loads(Path(cell, "metrics.json").read_text())


def one_sentence(capsys, *needles):
    """The last line on stderr is the sentence; nothing on it is a traceback."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("nern "), lines
    assert not any("Traceback" in line for line in lines)
    for needle in needles:
        assert needle in lines[-1]


def test_the_same_weights_and_orders_are_the_same_files_whichever_code_made_them(run, monkeypatch):
    """Else what an earlier version made of an original could not stand beside what a later one makes of it."""
    paths = [Path(ORIGINAL, name) for name in ("network.safetensors", "permutation-cross-filter.npz")]
    wanted = [path.read_bytes() for path in paths]
    monkeypatch.setattr(runtime, "code_digest", lambda module: "0123456789abcdef")
    for path in paths:
        path.unlink()
    assert nern("train-original", ORIGINAL, "--threads", "1") == 0  # as in the fixture
    assert nern("permute", ORIGINAL, "--mode", "cross-filter") == 0
    assert metrics(ORIGINAL)["code"] == {"train_original": "0123456789abcdef"}
    assert [path.read_bytes() for path in paths] == wanted


def test_metrics_say_what_was_made(run):
    found = metrics()
    assert found["predictor_parameters"] == 240 * 10 + 10 + 3 * (10 * 10 + 10) + 10 * 9 + 9
    assert found["predictor_bytes"] == 4 * found["predictor_parameters"]
    shapes = [
        (8, 1, 3),
        (8, 8, 3),
        (8, 8, 3),
        (16, 8, 3),
        (16, 16, 3),
        (16, 8, 1),
        (32, 16, 3),
        (32, 32, 3),
        (32, 16, 1),
    ]
    assert found["learnable_bytes"] == 4 * sum(f * c * k * k for f, c, k in shapes)
    bits = sum(f * c * (np.log2(f) + np.log2(c)) for f, c, _ in shapes)
    assert found["permutation_bytes"] == np.ceil(bits / 8)
    assert found["iterations"] == 25
    assert {"fingerprint", "inputs", "versions", "git_commit", "code"} <= found.keys()


def test_a_cell_with_a_table_is_another_cell_and_a_smaller_one(run, capsys):
    assert nern("fit", TABLE) == 0
    assert nern("evaluate", TABLE) == 0
    found = metrics(TABLE)
    rows = 9 + 32 + 32  # layers, filters, channels
    assert found["predictor_parameters"] == rows * 10 + 10 + 3 * (10 * 10 + 10) + 10 * 9 + 9
    assert found["fingerprint"] != metrics()["fingerprint"]
    # even where its files lie in the other's place
    shutil.rmtree(CELL)
    shutil.copytree(TABLE, CELL)
    assert nern("evaluate", CELL) == 2
    one_sentence(capsys, "was made with other settings")


def test_a_cell_in_16_bits_learns_by_the_same_steps_other_numbers(run):
    assert nern("fit", BFLOAT16) == 0
    ours, theirs = (
        [line.split(",") for line in Path(c, "history.csv").read_text().splitlines()] for c in (BFLOAT16, CELL)
    )
    assert [line[:3] for line in ours] == [line[:3] for line in theirs]  # iteration, phase, learning rate
    assert ours[:20] == theirs[:20] and ours[-1] != theirs[-1]  # no network runs in the first phase


def test_two_runs_of_a_cell_are_equal_bytes(run):
    before = {name: Path(CELL, name).read_bytes() for name in SAME}
    shutil.rmtree(CELL)
    assert nern("fit", CELL) == 0
    assert nern("evaluate", CELL) == 0
    assert {name: Path(CELL, name).read_bytes() for name in SAME} == before


class Killed(BaseException):
    pass


def kill_after(patch, stop, *arguments):
    """Run a command that saves its state after each step until it is killed after the one that follows `stop`."""
    plain = runtime.Run.step

    def dying(self, done, **values):
        plain(self, done, **values)
        if done == stop + 1:
            raise Killed

    patch.setattr(runtime.Run, "wants_save", lambda self: True)
    patch.setattr(runtime.Run, "step", dying)
    with pytest.raises(Killed):
        nern(*arguments)


@pytest.mark.parametrize(
    ("cell", "stop"),
    [*((CELL, stop) for stop in (1, 7, 19, 20, 21, 24)), (TABLE, 7), (TABLE, 21), (BFLOAT16, 21), (GELU, 21)],
)
def test_a_fit_that_stops_after_any_step_goes_on_to_the_same_bytes(run, monkeypatch, cell, stop):
    if cell != CELL:
        assert nern("fit", cell) == 0
        assert nern("evaluate", cell) == 0
    before = {name: Path(cell, name).read_bytes() for name in SAME}
    shutil.rmtree(cell)

    with monkeypatch.context() as patch:
        kill_after(patch, stop, "fit", cell)
    assert not Path(cell, "predictor.safetensors").exists()
    assert nern("fit", cell) == 0
    assert nern("evaluate", cell) == 0
    assert {name: Path(cell, name).read_bytes() for name in SAME} == before
    assert not list(Path(cell).glob("state*"))


@pytest.mark.parametrize(
    ("stage", "record"), [("fit", f"{CELL}/fit.json"), ("train-original", f"{ORIGINAL}/metrics.json")]
)
def test_what_was_resumed_after_an_upgrade_names_both_versions_and_both_machines(run, monkeypatch, stage, record):
    now = files.read_json(Path(record))
    shutil.rmtree(Path(record).parent)
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "versions", lambda: now["versions"] | {"torch": "2.9.9"})
        patch.setattr(runtime, "processor", lambda: "an old one")
        kill_after(patch, 7, stage, str(Path(record).parent))
    assert nern(stage, str(Path(record).parent)) == 0
    found = files.read_json(Path(record))
    torch_now, device_now = now["versions"]["torch"], now["device"]
    assert found["versions"] == now["versions"] | {"torch": f"2.9.9 then {torch_now}"}
    assert found["device"] == f"CPU (an old one) then {device_now}"


def test_a_state_of_other_settings_is_not_resumed(run, monkeypatch, capsys):
    shutil.rmtree(CELL)
    monkeypatch.setattr(fit.Run, "wants_save", lambda self: True)
    monkeypatch.setattr(fit.checkpoint.State, "clear", lambda self: None)
    assert nern("fit", CELL) == 0
    monkeypatch.undo()
    monkeypatch.chdir(run)
    change = yaml.safe_load(Path("config.yaml").read_text())
    change["protocol"]["embedding"]["base"] = 0.7
    Path("config.yaml").write_text(yaml.safe_dump(change))
    capsys.readouterr()
    assert nern("fit", CELL) == 0
    assert "resumes" not in capsys.readouterr().err


def test_a_fit_hands_over_the_metrics_that_an_evaluation_of_its_own_would_write(run):
    alone = Path(CELL, "metrics.json").read_bytes()
    assert nern("fit", CELL) == 0
    Path(CELL, "metrics.json").unlink()
    without_torch = "import sys; sys.modules['torch'] = None; from nern.cli import run; run()"
    this_checkout = os.environ | {"PYTHONSAFEPATH": "1"}  # not the copy in the working folder
    subprocess.run([sys.executable, "-c", without_torch, "evaluate", CELL, *CONFIG], check=True, env=this_checkout)
    handed_over = Path(CELL, "metrics.json").read_bytes()
    assert nern("evaluate", CELL) == 0  # nothing is handed over twice
    assert handed_over == Path(CELL, "metrics.json").read_bytes() == alone


@pytest.mark.parametrize("change", ["setting", "predictor", "damage"])
def test_what_was_handed_over_is_not_accepted_after_a_change(run, change, capsys):
    assert nern("fit", CELL) == 0
    content = files.read_json(Path(CELL, "evaluation.json"))
    content["metrics"]["accuracy"] = 12.5
    files.write_json(Path(CELL, "evaluation.json"), content)
    if change == "setting":
        tiny = yaml.safe_load(Path("tiny.yaml").read_text())
        tiny["execution"] = {"device": "auto"}
        Path("tiny.yaml").write_text(yaml.safe_dump(tiny))
    elif change == "predictor":
        assert nern("fit", CELL.replace("seed0", "seed1")) == 0
        shutil.copy(Path(CELL.replace("seed0", "seed1"), "predictor.safetensors"), CELL)
    else:
        Path(CELL, "evaluation.json").write_text(json.dumps(content | {"checksum": "0"}))
    assert nern("evaluate", CELL) == (2 if change == "predictor" else 0)
    assert metrics()["accuracy"] != 12.5
    assert not Path(CELL, "evaluation.json").exists()


def test_a_fit_stands_that_cannot_be_evaluated(run, caplog):
    before = digests(Path(CELL))
    Path(ORIGINAL, "predictions.safetensors").unlink()
    assert nern("fit", CELL) == 0
    assert "the fit is whole without" in caplog.text
    same = ("predictor.safetensors", "history.csv", "metrics.json")
    assert {name: digests(Path(CELL))[name] for name in same} == {name: before[name] for name in same}
    assert nern("evaluate", CELL) == 2


def test_a_fit_stands_that_leaves_no_memory_for_its_evaluation(run, caplog, monkeypatch):
    def measure(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(evaluate, "measure", measure)
    assert nern("fit", CELL) == 0
    assert "CUDA out of memory; the fit is whole without" in caplog.text
    assert not Path(CELL, "evaluation.json").exists()
    monkeypatch.undo()
    monkeypatch.chdir(run)
    assert nern("evaluate", CELL) == 0


def test_the_identity_predictor_gives_back_the_original(run, monkeypatch):
    original = safetensors.torch.load_file(Path(ORIGINAL, "network.safetensors"))
    network = CifarResNet(8, classes=10, width=8, shortcut="B", in_channels=1)
    weights = [original[f"{name}.weight"] for name, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)]

    def identity(self, coordinates):
        with np.load(Path(ORIGINAL, "permutation-cross-filter.npz")) as file:
            orders = [torch.from_numpy(file[f"order.{i}"]).long() for i in range(len(weights))]
        layout = KernelLayout([tuple(w.shape) for w in weights], orders)
        assert torch.equal(coordinates, kernel_coordinates([w.shape[:2] for w in weights]))
        return layout.rows(weights)

    monkeypatch.setattr(Predictor, "forward", identity)
    assert nern("evaluate", CELL) == 0
    found = metrics()
    assert found["accuracy"] == found["original_accuracy"]
    assert found["agreement"] == 100
    assert found["weight_rmse"] == 0


def test_without_distillation_no_network_is_run(run, monkeypatch):
    Path("plain.yaml").write_text(
        yaml.safe_dump({"variants": {"decoupled": {"distillation": {"losses": {"alpha": 0, "beta": 0}}}}})
    )

    def forbidden(*_, **__):
        raise AssertionError("a network was run")

    monkeypatch.setattr(teacher, "distillation_gradient", forbidden)
    monkeypatch.setattr(teacher, "training_batches", forbidden)
    monkeypatch.setattr(fit.Fit, "test", lambda self: 0.0)
    assert main(["fit", CELL, *CONFIG, "plain.yaml"]) == 0


@pytest.mark.parametrize(
    ("remove", "command", "sentence"),
    [
        ("results/digits/images", ("train-original", ORIGINAL), "data.json"),
        (f"{ORIGINAL}/network.safetensors", ("permute", ORIGINAL, "--mode", "none"), "run: nern train-original"),
        (f"{ORIGINAL}/network.safetensors", ("fit", CELL), "run: nern train-original"),
        (f"{ORIGINAL}/permutation-cross-filter.npz", ("fit", CELL), "run: nern permute"),
        (f"{CELL}/fit.json", ("evaluate", CELL), "run: nern fit"),
        (f"{CELL}/predictor.safetensors", ("evaluate", CELL), "predictor.safetensors"),
    ],
)
def test_a_missing_input_is_named_with_the_stage_that_makes_it(run, capsys, remove, command, sentence):
    shutil.rmtree(remove) if Path(remove).is_dir() else Path(remove).unlink()
    before = digests(run)
    assert nern(*command) == 2
    one_sentence(capsys, sentence)
    assert digests(run) == before


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def other_cell(path):
    cell = CELL.replace("seed0", "seed1")
    assert nern("fit", cell) == 0
    shutil.copy(Path(cell, path.name), path)


def retrained(path):
    Path("more.yaml").write_text(yaml.safe_dump({"tasks": {"digits": {"original": {"epochs": 2}}}}))
    tensors = safetensors.torch.load_file(path)
    tensors["fc.bias"] += 1
    from nern import checkpoint

    _, metadata = checkpoint.read_tensors(path)
    checkpoint.write_tensors(path, tensors, {"fingerprint": metadata["fingerprint"]})


def edited(path):
    path.write_text(path.read_text().replace('"iterations": 25', '"iterations": 26').replace("25,", "26,"))


def pickled(path):
    np.savez(path, original=np.array([{}], dtype=object), allow_pickle=True)


DAMAGES = {
    "predictor truncated": (f"{CELL}/predictor.safetensors", truncate),
    "predictor of another cell": (f"{CELL}/predictor.safetensors", other_cell),
    "history edited": (f"{CELL}/history.csv", edited),
    "fit.json garbage": (f"{CELL}/fit.json", lambda path: path.write_text("{")),
    "fit.json empty": (f"{CELL}/fit.json", lambda path: path.write_text("{}")),
    "network truncated": (f"{ORIGINAL}/network.safetensors", truncate),
    "network retrained in place": (f"{ORIGINAL}/network.safetensors", retrained),
    "permutation truncated": (f"{ORIGINAL}/permutation-cross-filter.npz", truncate),
    "permutation pickled": (f"{ORIGINAL}/permutation-cross-filter.npz", pickled),
    "permutation garbage": (f"{ORIGINAL}/permutation-cross-filter.npz", lambda path: path.write_text("x")),
    "predictions truncated": (f"{ORIGINAL}/predictions.safetensors", truncate),
    "images truncated": ("results/digits/images/test.safetensors", truncate),
    "manifest garbage": ("results/digits/images/data.json", lambda path: path.write_text("[]")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_swapped_file_is_refused(run, capsys, damage):
    name, change = DAMAGES[damage]
    change(Path(name))
    before = digests(run)
    capsys.readouterr()
    assert nern("evaluate", CELL) == 2
    one_sentence(capsys)
    assert digests(run) == before


def test_a_loss_that_is_not_finite_stops_the_fit_and_is_a_failed_cell(run, capsys):
    Path("wild.yaml").write_text(
        yaml.safe_dump({"variants": {"decoupled": {"training": {"optimizer": {"name": "ranger", "lr": 1e9}}}}})
    )
    assert main(["fit", CELL, *CONFIG, "wild.yaml"]) == 2
    one_sentence(capsys, "the loss is not finite")
    assert json.loads(Path(CELL, "failed.json").read_text())["step"] > 0


def test_a_last_step_that_is_not_finite_stops_the_fit_too(run, capsys, monkeypatch):
    step = fit.PredictorOptimizer.step

    def overflowing(self, lr):
        step(self, lr)
        if lr < 1e-5:  # the last: the losses of every step are those before it, all finite
            self.parameters[0].data[0, 0] = torch.inf

    monkeypatch.setattr(fit.PredictorOptimizer, "step", overflowing)
    phase = {"iterations": 1, "optimizer": {"lr": 1e-6}}
    variant = {"distillation": phase, "evaluate_every": 0}
    Path("wild.yaml").write_text(yaml.safe_dump({"variants": {"decoupled": variant}}))
    before = digests(run)
    assert main(["fit", CELL, *CONFIG, "wild.yaml"]) == 2
    one_sentence(capsys, "weights are not finite after iteration 21")
    changed = {Path(name).name for name, digest in digests(run).items() if before.get(name) != digest}
    assert changed == {"failed.json", "config.json"}


def test_an_original_is_tested_after_each_of_its_epochs_the_last_among_them(run):
    # 1,347 images in batches of 128: no epoch ends with a step
    found = json.loads(Path(ORIGINAL, "metrics.json").read_text())
    assert found["epochs"] == 2
    assert found["best_on_test_accuracy"] >= found["accuracy"]
    assert found["best_on_test_epoch"] in (1, 2)


def test_a_loss_that_is_not_computed_is_not_written(run):
    alone = {"iterations": 2, "losses": {"alpha": 1, "beta": 0}}
    Path("alone.yaml").write_text(
        yaml.safe_dump({"variants": {"decoupled": {"training": alone, "distillation": None, "evaluate_every": 0}}})
    )
    assert main(["fit", CELL, *CONFIG, "alone.yaml"]) == 0
    rows = [line.split(",") for line in Path(CELL, "history.csv").read_text().splitlines()[1:]]
    assert all(row[4] and not row[5] for row in rows)


@pytest.mark.parametrize(
    ("architecture", "beta", "sentence"),
    [
        ("networks:Straight", 1e-4, "set the protocol's distillation.losses.beta to 0"),
        ("networks:Straight", 0, None),
    ],
)
def test_a_network_that_cannot_be_distilled_is_one_sentence(run, capsys, architecture, beta, sentence):
    overlay = {
        "tasks": {"digits": {"networks": {"own": {"architecture": architecture}}}},
        "variants": {"decoupled": {"distillation": {"losses": {"beta": beta}}}},
        "tables": {"digits": {"sizes": {"own": [10]}}},
    }
    Path("own.yaml").write_text(yaml.safe_dump(overlay))
    original, cell = (path.replace("resnet8", "own") for path in (ORIGINAL, CELL))
    for command in (("train-original", original), ("permute", original, "--mode", "cross-filter")):
        assert main([*command, *CONFIG, "own.yaml"]) == 0
    assert main(["fit", cell, *CONFIG, "own.yaml"]) == (2 if sentence else 0)
    if sentence:
        one_sentence(capsys, sentence)


@pytest.mark.parametrize("weights", [None, "mine.pt", "torchvision:ResNet18_Weights.IMAGENET1K_V1"])
@pytest.mark.parametrize(
    ("architecture", "sentence"),
    [
        ("networks:View", "other logits than the network itself"),
        ("networks:Normalized", "conv: its weight is no parameter"),
        ("networks:Maps", "returns float32 [2, 8, 8, 8], but logits [2, 10]"),
        ("networks:randomized", "must accept classes and in_channels"),
    ],
)
def test_a_network_that_cannot_be_learned_is_refused_before_anything(run, capsys, architecture, sentence, weights):
    network = {"architecture": architecture, "original": {"weights": weights}}
    Path("own.yaml").write_text(yaml.safe_dump({"tasks": {"digits": {"networks": {"own": network}}}}))
    before = digests(run)
    assert main(["train-original", ORIGINAL.replace("resnet8", "own"), *CONFIG, "own.yaml"]) == 2
    one_sentence(capsys, sentence)
    assert digests(run) == before


def test_weights_and_a_recipe_at_once_are_refused_by_every_command(run, capsys):
    overlay = {"tasks": {"digits": {"networks": {"resnet8": {"original": {"weights": "mine.pt", "epochs": 3}}}}}}
    Path("both.yaml").write_text(yaml.safe_dump(overlay))
    for command in (("status",), ("train-original", ORIGINAL), ("fit", CELL)):
        assert main([*command, *CONFIG, "both.yaml"]) == 2
        one_sentence(capsys, "tasks.digits.networks.resnet8.original sets epochs")


def test_status_and_explain(run, capsys):
    assert nern("status") == 0
    status = capsys.readouterr().out
    assert "missing" in status
    assert nern("explain", CELL) == 0
    explained = json.loads(capsys.readouterr().out)
    assert explained["fingerprint"] == metrics()["fingerprint"]
    assert set(explained["inputs"].values()) == {"there"}
    assert explained["predictor_parameters"] == metrics()["predictor_parameters"]


# of the paper's ResNet20: its two projection shortcuts are layers, and so two vectors, that option A does not have
@pytest.mark.parametrize(
    ("hidden", "variant", "parameters"), [(160, "decoupled", 117_289), (180, "decoupled-table", 126_009 + 2 * 180)]
)
def test_explain_says_what_size_a_predictor_will_have(run, capsys, hidden, variant, parameters):
    assert main(["explain", f"results/cifar10/resnet20/none/h{hidden}/{variant}/seed0", "--config", "config.yaml"]) == 0
    assert json.loads(capsys.readouterr().out)["predictor_parameters"] == parameters


def test_a_table_of_half_a_matrix_says_what_is_missing(run):
    assert nern("table", "digits") == 0
    assert "missing" in Path("tables/digits.partial.md").read_text()
    names = {path.name for path in Path("tables").iterdir()}
    assert names == {f"digits.partial{suffix}" for suffix in (".md", ".tex", ".html", ".csv")}


def test_memory_that_runs_out_is_one_sentence(run, capsys, monkeypatch):
    def hungry(*_):
        torch.empty(10**15)

    monkeypatch.setattr(fit, "run", hungry)
    assert nern("fit", CELL) == 2
    one_sentence(capsys, "no memory")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("fit", "results/nowhere"), "no path of a cell"),
        (("fit", CELL.replace("digits", "..")), "no path of a cell"),
        (("fit", CELL + "\n"), "no path of a cell"),
        (("fit", CELL.replace("resnet8", "resnet9")), "unknown network 'resnet9'"),
        (("fit", CELL.replace("digits", "letters")), "unknown task 'letters'"),
        (("fit", CELL.replace("decoupled", "coupled")), "unknown variant 'coupled'"),
        (("evaluate", CELL.replace("h10", "h11")), "nern fit"),
        (("train-original", ORIGINAL + "x"), "unknown original 'basex'"),
        (("prepare-data", "letters"), "unknown task 'letters'"),
        (("table", "letters"), "unknown table 'letters'"),
        (("explain", "x"), "no path of a cell"),
    ],
)
def test_unknown_names_are_one_sentence(run, capsys, command, sentence):
    before = digests(run)
    assert nern(*command) == 2
    one_sentence(capsys, sentence)
    assert digests(run) == before


def test_a_mistyped_configuration_is_one_sentence(run, capsys):
    Path("typo.yaml").write_text("protocol: {iteratoins: 3}\n")
    assert main(["status", *CONFIG, "typo.yaml"]) == 2
    one_sentence(capsys, "protocol.iteratoins: unknown key")


def test_a_results_folder_that_cannot_be_written_is_one_sentence(run, capsys):
    shutil.rmtree(CELL)
    Path(CELL).write_text("in the way")
    assert nern("fit", CELL) == 2
    one_sentence(capsys, "cannot be written")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_results_folder_is_one_sentence(run, capsys):
    Path(CELL).chmod(0o555)
    assert nern("fit", CELL) == 2
    one_sentence(capsys, "cannot be written")


def test_an_imported_original_is_the_users(run):
    weights = run / "mine.pt"
    torch.save({"state_dict": safetensors.torch.load_file(Path(ORIGINAL, "network.safetensors"))}, weights)
    Path("mine.yaml").write_text(yaml.safe_dump({"originals": {"base": {"weights": str(weights)}}}))
    before = json.loads(Path(ORIGINAL, "metrics.json").read_text())
    assert main(["train-original", ORIGINAL, *CONFIG, "mine.yaml"]) == 0
    after = json.loads(Path(ORIGINAL, "metrics.json").read_text())
    assert after["imported"]
    assert after["accuracy"] == before["accuracy"]
    # the cell's fit was made with other settings now, and says so
    assert main(["evaluate", CELL, *CONFIG, "mine.yaml"]) == 2


def test_an_original_whose_logits_are_not_finite_is_refused_before_anything(run, capsys):
    tensors = safetensors.torch.load_file(Path(ORIGINAL, "network.safetensors"))
    tensors["bn1.running_var"].fill_(-1)
    torch.save(tensors, "mine.pt")
    Path("mine.yaml").write_text(yaml.safe_dump({"originals": {"base": {"weights": "mine.pt"}}}))
    before = digests(run)
    assert main(["train-original", ORIGINAL, *CONFIG, "mine.yaml"]) == 2
    one_sentence(capsys, f"{ORIGINAL}: its logits of", "test images are NaN or infinite")
    assert digests(run) == before


def test_a_fit_goes_on_from_a_test_whose_logits_are_not_finite(run, monkeypatch):
    """In between a network may overflow, and come back: that test has no accuracy."""
    calls, tested = [], fit.predict

    def wild(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise NotFiniteError("wild")
        return tested(*arguments)

    monkeypatch.setattr(fit, "predict", wild)
    Path("wild.yaml").write_text(yaml.safe_dump({"variants": {"decoupled": {"evaluate_every": 10}}}))
    assert main(["fit", CELL, *CONFIG, "wild.yaml"]) == 0
    with Path(CELL, "history.csv").open() as file:
        accuracies = {int(row["iteration"]): row["test_accuracy"] for row in csv.DictReader(file)}
    assert [bool(accuracies[step]) for step in (10, 20, 25)] == [True, False, True]
