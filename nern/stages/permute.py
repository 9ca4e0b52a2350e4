"""Stage `permute`: the order of an original's kernels for one smoothing mode (paper, section 3.3)."""

import logging
from pathlib import Path

from torch import Tensor

from nern import files
from nern.addresses import OriginalCell
from nern.config import Config, fingerprint
from nern.method.permutation import cross_filter_permutation, in_filter_permutation, overhead_bits
from nern.resolved import network_of, permutation_settings
from nern.stages.artifacts import load_original, write_permutation
from nern.stages.runtime import start

log = logging.getLogger(__name__)


def run(config: Config, original: OriginalCell, mode: str) -> None:
    """Write `permutation-<mode>.npz` beside the original; raises NernError on unusable inputs."""
    settings = permutation_settings(config, original, mode)
    start(config.execution, config.execution.threads.permute)
    trained = load_original(config, original)
    cosine_for_1x1 = network_of(config, original.task, original.network).cosine_for_1x1
    arrays: dict[str, Tensor] = {}
    bits = 0.0
    for layer, weight in enumerate(trained.weights):
        if mode == "cross-filter":
            arrays[f"order.{layer}"] = cross_filter_permutation(weight, cosine_for_1x1=cosine_for_1x1)
        elif mode == "in-filter":
            filters, channels = in_filter_permutation(weight, cosine_for_1x1=cosine_for_1x1)
            arrays[f"filters.{layer}"], arrays[f"channels.{layer}"] = filters, channels
        bits += overhead_bits(mode, weight.shape[0], weight.shape[1])
        log.info("%s: layer %d of %d ordered", mode, layer + 1, len(trained.weights))
    facts = {
        "mode": mode,
        "fingerprint": fingerprint(settings),
        "original": trained.sha256,
        "overhead_bits": repr(bits),
    }
    path = Path(original.permutation(mode))
    with files.exclusive(path.parent / f".{mode}"):
        write_permutation(path, arrays, facts)
    log.info("%s: overhead %.0f bits; wrote %s", mode, bits, path)
