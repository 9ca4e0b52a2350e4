"""The benchmarks measure what they say: operations counted by hand, and the same gradients from every variant."""

import argparse
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks import flops, gpu, step, table, timing, training, variants
from benchmarks.problem import Problem, Setting, add_options, setting_of
from nern.errors import NernError
from nern.settings import Optimizer, Phase
from nern.stages.train_original import descend

PHASE = Phase.model_validate({"batch": 3, "sampling": {"kernels": 300, "uniform_probability": 0}})


def problem(dtype=torch.float32, phase=PHASE):
    return Problem(Setting(network="resnet8", hidden=12, phase=phase), torch.device("cpu"), dtype, size=8)


def test_operations_of_convolutions_by_hand():
    # 5 filters on 4 channels by 3×3 at 16×16 places; 6 filters on 5 / 5 channels each by 1×1 at 8×8 places; 2 images
    module = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 10, 1, stride=2, groups=5))
    assert flops.convolutions(module, torch.zeros(2, 4, 16, 16)) == [
        2 * (2 * 5 * 16 * 16) * (4 * 9),
        2 * (2 * 10 * 8 * 8) * 1,
    ]


def test_operations_of_a_resnet8_by_hand():
    # per image: 8×8, 4×4 and 2×2 places with 16, 32 and 64 filters
    first = 64 * 16 * 3 * 9
    others = 64 * 2 * 16 * 16 * 9 + 16 * (32 * 16 + 32 * 32) * 9 + 4 * (64 * 32 + 64 * 64) * 9
    assert flops.networks(problem()) == 3 * 2 * (4 * (first + others) - first)


def test_operations_of_the_predictor_by_hand():
    ours = problem()
    later = 3 * 12 * 12 + 12 * 9
    # 7 layers, up to 64 filters and up to 64 channels are distinct; 80 sines and cosines each
    first = (7 + 64 + 64) * 80 * 12
    assert flops.reconstruction(ours) == 2 * (300 * later + first) + 2 * (2 * 300 * later + first)
    everything = len(ours.target)
    assert everything == 16 * 3 + 2 * 16 * 16 + 32 * 16 + 32 * 32 + 64 * 32 + 64 * 64
    assert flops.distillation(ours) - flops.networks(ours) == 2 * (everything * later + first) + 2 * (
        2 * 300 * later + first
    )


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (variants.distillation, variants.plain_distillation),
        (variants.reconstruction, variants.plain_reconstruction),
        (variants.reconstruction, variants.sampled_reconstruction),
        (variants.reconstruction, variants.reconstruction_by_torchs_muon),
    ],
)
def test_a_variant_and_its_baseline_have_equal_gradients(double, ours, theirs):
    losses = PHASE.losses.model_copy(update={"alpha": 0.3, "beta": 0.7})
    made = problem(torch.float64, PHASE.model_copy(update={"losses": losses}))
    sample = made.sampler.draw(0)
    assert len(sample.indices.unique()) < 300  # drawn by magnitude: some kernels twice
    found = []
    for variant in (ours, theirs):
        variant(made)(sample)
        found.append([parameter.grad.clone() for parameter in made.predictor.parameters()])
    scale = max(gradient.abs().max().item() for gradient in found[1])
    assert scale > 0
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * scale)


def test_the_rows_of_muon_differ_in_the_precision_of_its_products():
    made = problem(torch.float32, PHASE.model_copy(update={"optimizer": Optimizer(name="muon")}))
    assert {part.dtype for part in made.optimizer.parts[:-1]} == {torch.float32}
    variants.reconstruction_by_torchs_muon(made)
    assert {part.dtype for part in made.optimizer.parts[:-1]} == {torch.bfloat16}


def test_remembered_errors_keep_the_two_sampled_variants_together(double):
    """Iterations, not one step: the tables of errors must go stale in the same way."""
    ends = []
    for variant in (variants.reconstruction, variants.sampled_reconstruction):
        made = problem(torch.float64)
        work = variants.iteration(made, variant(made))
        for number in range(4):
            work(number)
        ends.append([parameter.detach() for parameter in made.predictor.parameters()])
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_every_option_reaches_the_setting():
    parser = argparse.ArgumentParser()
    add_options(parser)
    given = {
        "network": "resnet8",
        "weights": "w.th",
        "hidden": 7,
        "device": "cuda:1",
        "threads": 3,
        "precision": "tf32",
    }
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    setting = setting_of(parser.parse_args([*words, "--batch", "5", "--kernels", "11"]))
    assert {name: str(getattr(setting, name)) for name in given} == {name: str(value) for name, value in given.items()}
    assert (setting.phase.batch, setting.phase.sampling.kernels) == (5, 11)


def test_precisions_compete_beside_each_other(monkeypatch):
    """Each row's two sides are the same work in two precisions; nothing is timed here."""
    asked = {}

    def compete(works, device, repeats):
        asked.update(works)
        return {name: timing.Measured([2.0 if "bfloat16" in name else 3.0], 1.0) for name in works}

    monkeypatch.setattr(step, "compete", compete)
    monkeypatch.setattr(training, "compete", compete)
    setting = Setting(network="resnet8", hidden=4, phase=PHASE)
    found = {row.what: row for row in [*step.rows(setting, 1), training.row(setting, 1)]}
    assert found["full step in bfloat16, beside float32"].ratio == 1.5
    assert found["training of an original in bfloat16, beside float32, batch 128"].ratio == 1.5
    precisions = {name: work[1].precision for name, work in asked.items()}
    small = {step.SMALL_FLOAT32, step.SMALL_BFLOAT16}
    narrow = {name for name, precision in precisions.items() if precision == "bfloat16"}
    assert narrow == {step.BFLOAT16, "bfloat16"} | small
    assert found["ResNet56, 16 images, all kernels: predictor in bfloat16, beside float32"].ratio == 1.5
    one, other = (asked[name][1] for name in (step.SMALL_FLOAT32, step.SMALL_BFLOAT16))
    assert other == replace(one, predictor_precision="bfloat16") != one
    muon, torchs = asked[step.MUON], asked[step.TORCHS_MUON]
    assert muon[1:] == (torchs[1], "reconstruction") and torchs[1].phase.optimizer.name == "muon"
    assert all(row.what != "full step in bfloat16" for row in step.rows(replace(setting, precision="bfloat16"), 1))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_measured_training_learns_its_batch(precision):
    work = training.prepared(Setting(network="resnet8", phase=Phase(batch=8), precision=precision))
    losses = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "descend", lambda *given: losses.append(descend(*given)))
        for _ in range(12):
            work(0)
    assert losses[-1] < losses[0] / 2


def test_timers_take_turns_after_a_warm_up():
    calls = []

    def timer(name, seconds):
        return lambda steps: calls.append((name, steps)) or seconds

    found = timing.in_turns({"a": timer("a", 0.1), "b": timer("b", 2.0)}, repeats=2, turn=0.3)
    assert found == {"a": [0.1, 0.1], "b": [2.0, 2.0]}
    assert calls == [("a", 2), ("a", 1), ("b", 2), ("b", 1), *[("a", 3), ("b", 1)] * 2]


def test_a_mistake_in_a_process_of_its_own_is_the_same_sentence(tmp_path):
    setting = Setting(weights=tmp_path / "missing.th")
    with pytest.raises(NernError, match=r"missing\.th: there is no such file"):
        timing.compete({"a": (variants.prepared, setting, "reconstruction")}, "cpu", 1)


def test_peaks_of_processes_do_not_mix():
    found = timing.compete({"large": (allocated, 400), "small": (allocated, 1)}, "cpu", 1)
    assert found["large"].peak - found["small"].peak > 300


def allocated(mebibytes):
    kept = torch.ones(mebibytes * 2**18)
    return lambda step: kept.add_(1)


def test_more_is_better_for_rates_and_less_for_times():
    assert table.Row("", "ms", here=2, baseline=6).ratio == 3
    assert table.Row("", "images/s", here=6, baseline=2, rate=True).ratio == 3
    assert table.Row("", "ms", here=3, bound=2).cells()[4] == "2.00 (×1.50)"


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (12.34, "12.3"), (0.01234, "0.0123"), (5, "5.00")])
def test_numbers_have_three_digits(value, text):
    assert table.number(value) == text


def test_fits_at_once_are_counted_together(monkeypatch):
    monkeypatch.setattr(gpu, "AT_ONCE", (2,))
    phase = Phase.model_validate({"batch": 1, "sampling": {"kernels": 10}, "losses": {"alpha": 0, "beta": 0}})
    lines = gpu.at_once(Setting(network="resnet8", hidden=4, phase=phase), repeats=1)
    assert [line[0] for line in lines] == ["2"]
    for fits, *numbers in lines:
        for milliseconds, rate in zip(numbers[::2], numbers[1::2], strict=True):
            assert float(rate.replace(",", "")) == pytest.approx(int(fits) * 1000 / float(milliseconds), rel=0.02)
