"""No step asks a device for a number: on a GPU each such question would make the host wait.

A GPU is not needed to see it: the questions are operations of their own, which torch dispatches on a CPU, too.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import variants
from benchmarks.problem import Problem, Setting
from nern.settings import Phase

aten = torch.ops.aten
QUESTIONS = {
    aten._local_scalar_dense.default,  # .item(), bool(), float(), tolist()
    aten.nonzero.default,  # shapes that depend on data
    aten.masked_select.default,
    aten._unique2.default,
    aten.is_nonzero.default,
    aten.equal.default,
}


INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


def _is_mask(index):
    """Whether an index is one whose result has a shape that depends on data."""
    return index is not None and index.dtype in (torch.bool, torch.uint8)


class Questions(TorchDispatchMode):
    """Counts operations whose result the host must know before it can go on."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in QUESTIONS or (func in INDEXED and any(_is_mask(index) for index in args[1])):
            self.asked.append(func)
        return func(*args, **(kwargs or {}))


def work_of(name, method):
    losses = {} if name == "distillation" else {"alpha": 0, "beta": 0}
    phase = Phase.model_validate({"batch": 4, "sampling": {"kernels": 300, "method": method}, "losses": losses})
    setting = Setting(network="resnet8", hidden=12, phase=phase)
    problem = Problem(setting, torch.device("cpu"), size=8)
    return variants.iteration(problem, variants.VARIANTS[name](problem))


@pytest.mark.parametrize("method", ["magnitude", "uniform", "layer", "all"])
@pytest.mark.parametrize("name", ["distillation", "reconstruction"])
def test_a_step_asks_nothing(name, method):
    work = work_of(name, method)
    work(0)
    with Questions() as questions:
        for step in range(1, 9):  # both of the magnitude method's ways to draw, and Lookahead's turn
            work(step)
    assert questions.asked == []


def test_a_question_is_seen():
    with Questions() as questions:
        torch.arange(3)[torch.arange(3) > 1].sum().item()
    assert len(questions.asked) == 2
