"""What a cell costs besides its iterations: the processes `nern fit`, with one iteration a phase, and `nern evaluate`.

    python -m benchmarks.overhead [--repeats 5]

On the digits, in a temporary folder. Wall time from outside; the fit's is split into the interpreter's start and end,
imports, loading (configuration, images, original, permutation), its two steps, and the evaluation that it hands over to
`nern evaluate`. For comparison, `python -c "import torch"`, below which no fit can get.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Row, end, machine, markdown, number
from nern.errors import NernError

ROOT = Path(__file__).parents[1]
ORIGINAL = "results/digits/resnet8/originals/base"
CELL = "results/digits/resnet8/cross-filter/h10/decoupled/seed0"
ONCE = """tasks: {digits: {original: {epochs: 1}}}
variants: {decoupled: {evaluate_every: 0, training: {iterations: 1}, distillation: {iterations: 1}}}
"""
PHASES = ("interpreter", "import", "load", "steps", "evaluate")


def measure(repeats: int) -> tuple[dict[str, float], float, float]:
    """Median seconds of the phases of `nern fit`, of `nern evaluate`, and of `import torch`."""
    fits, evaluations, torch_alone = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = _prepare(folder)
        for _ in range(repeats):
            shutil.rmtree(folder / CELL, ignore_errors=True)
            wall, output = _timed(folder, ["-m", "benchmarks.phases", "fit", CELL, *config])
            phases: dict[str, float] = json.loads(output.splitlines()[-1])
            fits.append({"interpreter": wall - sum(phases.values()), **phases})
            evaluations.append(_timed(folder, ["-m", "nern", "evaluate", CELL, *config])[0])
            torch_alone.append(_timed(folder, ["-c", "import torch"])[0])
    medians = {phase: statistics.median(each[phase] for each in fits) for phase in PHASES}
    return medians, statistics.median(evaluations), statistics.median(torch_alone)


def _prepare(folder: Path) -> list[str]:
    """Images, original and permutation of the cell; returns the option that names the configuration."""
    (folder / "once.yaml").write_text(ONCE, encoding="utf-8")
    files = [ROOT / "config.yaml", ROOT / "workflow" / "config" / "demo.yaml"]
    config = ["--config", *map(str, files), "once.yaml"]
    for command in (
        ["prepare-data", "digits"],
        ["train-original", ORIGINAL],
        ["permute", ORIGINAL, "--mode", "cross-filter"],
    ):
        _timed(folder, ["-m", "nern", *command, *config])
    return config


def _timed(folder: Path, arguments: Sequence[str]) -> tuple[float, str]:
    """Wall seconds of a Python process in a folder, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - start
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise NernError(f"python {' '.join(arguments[:3])} failed: {lines[-1]}")
    return wall, done.stdout


def row(repeats: int) -> Row:
    """Both processes, beside one that imports torch and nothing else."""
    fit, evaluation, torch_alone = measure(repeats)
    return Row("overhead of a cell: fit and evaluate", "s", sum(fit.values()) + evaluation, bound=torch_alone)


def main() -> None:
    """Measure and print the phases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each process")
    options = parser.parse_args()
    fit, evaluation, torch_alone = measure(options.repeats)
    print(f"{machine()}, median of {options.repeats}\n")
    dashes = ["–"] * len(PHASES)
    rows = [
        ["nern fit", *(number(fit[phase]) for phase in PHASES), number(sum(fit.values()))],
        ["nern evaluate", *dashes, number(evaluation)],
        ['python -c "import torch"', *dashes, number(torch_alone)],
    ]
    print(markdown(["Seconds of", *(phase.capitalize() for phase in PHASES), "Total"], rows))


if __name__ == "__main__":
    end(main)
