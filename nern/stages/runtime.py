"""What every stage does first and last: choose the device, set threads, show progress, record the run."""

import datetime
import json
import logging
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from nern import files
from nern.addresses import PROGRESS
from nern.code_digest import code_digest
from nern.config import Execution
from nern.errors import NernError
from nern.method.workers import Workers
from nern.provenance import git_commit, processor, then, versions

log = logging.getLogger(__name__)


def start(execution: Execution, threads: int) -> torch.device:
    """Set up torch for one stage and return its device.

    Denormal floats are flushed to zero: early in a fit they make a CPU several times slower. Deterministic kernels are
    used wherever torch has one, so that the same inputs give the same bytes; where a user's network needs one that
    torch does not have on a GPU, torch warns. TF32 is used only in passes that ask for it (`nern.method.precision`).

    Raises:
        NernError: the device is not there.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("warn")
    # nothing here reads memory before it writes it
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    wanted = execution.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NernError(
            f"execution.device: {wanted} asked for, but torch sees {torch.cuda.device_count()} GPUs; "
            "set it to auto or cpu, or install a CUDA build of torch"
        )
    return device


def start_in_pieces(execution: Execution, threads: int) -> tuple[torch.device, Workers]:
    """`start` for a stage whose work is cut into pieces: on a CPU its workers have the threads, torch has one."""
    device = start(execution, 1)
    return device, Workers(threads if device.type == "cpu" else 1)


def device_name(device: torch.device) -> str:
    """The device as tables and metrics name it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({processor()})"


def provenance(stage: str, inputs: dict[str, str]) -> dict[str, Any]:
    """What is the same in every run of a stage on one machine: code, versions, digests of the inputs."""
    return {
        "code": {stage: code_digest(f"nern.stages.{stage}")},
        "inputs": inputs,
        "versions": versions(),
        "git_commit": git_commit(),
    }


class Run:
    """Wall time of a stage over all its attempts, by what they were made, and its progress.

    Progress is a bar on a terminal, plain lines in a log, and `progress.json` in the stage's folder while it runs.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        total: int,
        device: torch.device,
        *,
        saved: Mapping[str, str] | None = None,
        save_every: float,
    ) -> None:
        """Start the clock.

        Args:
            folder: of the stage's results.
            name: shown before the numbers.
            total: steps of the whole stage.
            device: that it runs on.
            saved: what `facts` said when an earlier attempt saved the state that this one resumes.
            save_every: seconds between saved states.
        """
        self.file = folder / PROGRESS
        earlier = saved or {}
        self.name, self.total, self.first = name, total, int(earlier.get("done", 0))
        self.seconds_before = float(earlier.get("seconds", 0))
        now = {"versions": versions(), "git_commit": git_commit()}
        now |= {"device": device_name(device), "host_processor": processor()}
        self.made_by: dict[str, Any] = then(json.loads(earlier.get("made_by", "{}")), now)
        self.best: float | None = None
        self.started = self.saved = self.printed = time.monotonic()
        self.save_every = save_every
        shown = sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=self.first, desc=name, unit="it", disable=not shown, leave=False)

    @property
    def seconds(self) -> float:
        """Wall time so far, in seconds."""
        return self.seconds_before + time.monotonic() - self.started

    def wants_line(self) -> bool:
        """Whether it is time to show a loss; reading one makes the host wait for the device."""
        return time.monotonic() - self.printed >= (1.0 if not self.bar.disable else 10.0)

    def step(self, done: int, **values: float) -> None:
        """Tell that `done` steps are behind us; with values, such as `loss` and a test's `accuracy`, show them."""
        self.bar.update(done - self.bar.n if not self.bar.disable else 0)
        if not values:
            return
        self.printed = time.monotonic()
        if "accuracy" in values:
            self.best = max(values["accuracy"], -math.inf if self.best is None else self.best)
        rate = (done - self.first) / max(self.printed - self.started, 1e-9)
        left = datetime.timedelta(seconds=round((self.total - done) / max(rate, 1e-9)))
        finite = {key: value for key, value in values.items() if math.isfinite(value)}
        progress = {"done": done, "total": self.total, "rate": rate, "seconds_left": left.total_seconds()}
        files.write_json(self.file, progress | {"best_on_test_accuracy": self.best} | finite)
        if not self.bar.disable:
            self.bar.set_postfix({key: f"{value:.4g}" for key, value in values.items()})
            return
        shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        log.info("%s: %d/%d, %.1f it/s, ETA %s, %s", self.name, done, self.total, rate, left, shown)

    def wants_save(self) -> bool:
        """Whether it is time to save the state; asking starts the next wait."""
        if time.monotonic() - self.saved < self.save_every:
            return False
        self.saved = time.monotonic()
        return True

    def close(self) -> None:
        """Take the bar off the terminal, and the progress out of the folder."""
        self.bar.close()
        self.file.unlink(missing_ok=True)

    def facts(self, done: int) -> dict[str, str]:
        """What a saved state has to say of the attempts so far, for the one that resumes it after `done` steps."""
        return {"done": str(done), "seconds": repr(self.seconds), "made_by": json.dumps(self.made_by)}

    def record(self, threads: int) -> dict[str, Any]:
        """What differs from run to run; kept apart from metrics, which are equal byte for byte.

        Args:
            threads: of the last attempt.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return {
            "wall_seconds": round(self.seconds, 3),
            "finished": now,
            "threads": threads,
        } | self.made_by
