import sys
from pathlib import Path

import hypothesis
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

torch.set_num_threads(1)
# The same examples in every run, and no deadline: a loaded machine is no failure.
hypothesis.settings.register_profile("nern", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.load_profile("nern")


@pytest.fixture(autouse=True)
def denormals():
    """A stage that runs in this process flushes denormal floats; the next test may want them."""
    yield
    torch.set_flush_denormal(False)
