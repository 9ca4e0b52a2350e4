"""How a stage sets torch up."""

import pytest
import torch

from nern.config import Execution
from nern.errors import NernError
from nern.stages.runtime import start


@pytest.fixture(autouse=True)
def _put_back():
    yield
    start(Execution(device="cpu"), 1)


def test_tf32_is_off_until_passes_ask_for_it():
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True  # the one is torch's default
    start(Execution(device="cpu"), 1)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_only_deterministic_kernels_and_a_warning_where_there_is_none():
    torch.set_deterministic_debug_mode("default")
    start(Execution(device="cpu"), 1)
    assert torch.get_deterministic_debug_mode() == 1
    assert torch.backends.cudnn.deterministic


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_sentence():
    with pytest.raises(NernError, match=r"execution.device: cuda asked for, but torch sees 0 GPUs"):
        start(Execution(device="cuda"), 1)
