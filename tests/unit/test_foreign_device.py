"""Steps on a device that is not the CPU and that this machine does not have.

torch's fake tensors know a shape and a device and no values. On them an operation on tensors of two devices is an
error, as on a GPU, and so is whatever asks the device for a value.
"""

import contextlib

import pytest
import torch
import torch._dynamo  # before the generators are exchanged below: it uses them in its annotations
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode

from benchmarks import variants
from benchmarks.problem import Problem, Setting
from nern.data.batches import ImageBatches
from nern.data.prepared import ImageSet
from nern.method import training
from nern.method.training import PredictorStep
from nern.method.workers import Workers
from nern.settings import Augmentation, Phase, PositionalEmbedding, TableEmbedding
from nern.stages import accuracy
from nern.stages.accuracy import predict

ELSEWHERE = torch.device("meta")
"""The one foreign device whose name every build of torch can handle; here it has fake tensors only."""


@pytest.fixture
def fake(monkeypatch):
    """The mode of fake tensors: what is moved to ELSEWHERE becomes one."""
    mode, plain_to, plain_generator = FakeTensorMode(allow_non_fake_inputs=True), torch.Tensor.to, torch.Generator

    def to(tensor, *arguments, **options):
        if ELSEWHERE in arguments and not isinstance(tensor, FakeTensor):
            tensor = mode.from_tensor(tensor.detach())
        return plain_to(tensor, *arguments, **options)

    def apply(module, function, recurse=True):
        for part in module.modules():
            for name, parameter in part.named_parameters(recurse=False):
                setattr(part, name, nn.Parameter(function(parameter.detach()), parameter.requires_grad))
            for name, buffer in part.named_buffers(recurse=False):
                setattr(part, name, function(buffer))
        return module

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(nn.Module, "_apply", apply)
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": plain_generator("cpu"))
    return mode


@contextlib.contextmanager
def set_up():
    """Before the first step the device may be asked: every question gets the answer yes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "__bool__", lambda tensor: True)
        patch.setattr(torch, "equal", lambda one, other: True)
        yield


@pytest.mark.parametrize(("optimizer", "precision"), [("ranger", "float32"), ("muon", "float32"), ("muon", "bfloat16")])
@pytest.mark.parametrize("method", ["magnitude", "uniform", "layer", "all"])
@pytest.mark.parametrize("name", ["distillation", "reconstruction"])
@pytest.mark.parametrize(
    ("embedding", "activation"), [(PositionalEmbedding(), "relu"), (TableEmbedding(kind="table"), "gelu")]
)
def test_a_step_stays_on_its_device(fake, precision, embedding, activation, name, method, optimizer):
    values = {"batch": 4, "sampling": {"kernels": 300, "method": method}, "optimizer": {"name": optimizer}}
    with set_up():
        phase = Phase.model_validate(values)
        kind = {"embedding": embedding, "activation": activation, "predictor_precision": precision}
        setting = Setting("resnet8", 12, phase, **kind)
        problem = Problem(setting, ELSEWHERE, size=8)
    with fake:
        work = variants.iteration(problem, variants.VARIANTS[name](problem))
        for step in range(8):  # both of the magnitude method's ways to draw, and Lookahead's turn
            work(step)
    assert all(parameter.device == ELSEWHERE == parameter.grad.device for parameter in problem.predictor.parameters())


def test_kernels_change_places_on_their_device(fake, monkeypatch):
    """The places are found on the CPU, and all that they order lies on the device before and after."""
    monkeypatch.setattr(training, "better_places", lambda kernels, *_: torch.arange(len(kernels)).flip(0))
    with set_up():
        setting = Setting("resnet8", 12, Phase.model_validate({"batch": 4}), embedding=TableEmbedding(kind="table"))
        problem = Problem(setting, ELSEWHERE, size=8)
        with fake:
            step = PredictorStep(problem.predictor, problem.table, problem.layout, problem.target, Workers())
            step.reorder("cross-filter", 2, 0, "fit/training", 0)
            step.reconstruct(problem.sampler.draw(1), problem.setting.phase.losses)
    assert {tensor.device for tensor in (step.target, step.errors, *step.layout.orders)} == {ELSEWHERE}


def test_batches_and_predictions_stay_on_their_device(fake, monkeypatch):
    monkeypatch.setattr(accuracy, "_check_finite", lambda found, where: None)  # these tensors have no numbers
    images = torch.zeros(20, 3, 8, 8, dtype=torch.uint8).to(ELSEWHERE)
    labels = torch.zeros(20, dtype=torch.long).to(ELSEWHERE)
    module = nn.Sequential(nn.Conv2d(3, 10, 8), nn.Flatten()).to(ELSEWHERE)
    with fake:
        batches = ImageBatches(
            ImageSet(images, labels),
            mean=[0.5] * 3, std=[0.2] * 3, augmentation=Augmentation(padding=1, flip=True), batch=8, seed=0,
            purpose="test", channels_last=True,
        )  # fmt: skip
        found = [batches.labeled(step) for step in range(4)]
        assert {tensor.device for pair in found for tensor in pair} == {ELSEWHERE}
        said = predict(module, found, Workers(), "n")
    assert said.classes.device == said.labels.device == torch.device("cpu")


def test_a_mixture_and_a_question_are_seen(fake):
    there = torch.ones(3).to(ELSEWHERE)
    with fake:
        with pytest.raises(RuntimeError, match="device"):
            there + torch.ones(3)
        with pytest.raises(DataDependentOutputException):
            there.sum().item()
