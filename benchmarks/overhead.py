"""What a cell costs besides its iterations: the processes `nern fit`, with one iteration a phase, and `nern evaluate`.

    python -m benchmarks.overhead [--repeats 5]

On the digits, in a temporary folder. Wall time from outside, split into the interpreter's start and end, imports,
loading (configuration, images, original, permutation) and the rest. For comparison, `python -c "import torch"`, below
which no such process can get.
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
PHASES = ("interpreter", "import", "load", "rest")


def measure(repeats: int) -> tuple[list[dict[str, float]], float]:
    """Median seconds of the phases of fit and of evaluate, and of `import torch`."""
    seconds: dict[str, list[dict[str, float]]] = {"fit": [], "evaluate": []}
    torch_alone = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = _prepare(folder)
        for _ in range(repeats):
            shutil.rmtree(folder / CELL, ignore_errors=True)
            for stage, found in seconds.items():
                wall, output = _timed(folder, ["-m", "benchmarks.phases", stage, CELL, *config])
                phases: dict[str, float] = json.loads(output.splitlines()[-1])
                found.append({"interpreter": wall - sum(phases.values()), **phases})
            torch_alone.append(_timed(folder, ["-c", "import torch"])[0])
    medians = [
        {phase: statistics.median(each[phase] for each in found) for phase in PHASES} for found in seconds.values()
    ]
    return medians, statistics.median(torch_alone)


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
    """Both processes, beside the same number of processes that import torch and nothing else."""
    stages, torch_alone = measure(repeats)
    return Row("overhead of a cell: fit and evaluate", "s", sum(sum(s.values()) for s in stages), bound=2 * torch_alone)


def main() -> None:
    """Measure and print the phases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each process")
    options = parser.parse_args()
    stages, torch_alone = measure(options.repeats)
    print(f"{machine()}, median of {options.repeats}\n")
    rows = [
        [f"nern {name}", *(number(stage[phase]) for phase in PHASES), number(sum(stage.values()))]
        for name, stage in zip(("fit", "evaluate"), stages, strict=True)
    ]
    rows.append(['python -c "import torch"', *["–"] * len(PHASES), number(torch_alone)])
    print(markdown(["Seconds of", "Interpreter", "Import", "Load", "Rest", "Total"], rows))


if __name__ == "__main__":
    end(main)
