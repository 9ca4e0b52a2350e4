"""The tables of docs/performance.md, and how a step grows: `make bench`, or `python -m benchmarks [--device cuda]`.

Each part is also a command of its own: step, training, permutation, loading, throughput, overhead, scaling.
"""

import argparse
import sys

import torch

from benchmarks import loading, overhead, permutation, scaling, step, throughput, training
from benchmarks.problem import Setting
from benchmarks.table import HEADER, Row, end, markdown
from nern.provenance import cores


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    setting = Setting(threads=cores(), device=parser.parse_args().device)
    rows: list[Row] = []
    parts = {
        "step": lambda: step.rows(setting, 5),
        "training": lambda: [training.row(setting, 5)],
        "permutation": permutation.rows,
        "loading": lambda: [loading.row(torch.device(setting.device), seconds=3)],
        "throughput": lambda: [throughput.row(setting, 2)] if setting.device == "cpu" else [],
        "overhead": lambda: [overhead.row(3)],
    }
    for name, measure in parts.items():
        print(f"measuring {name} …", file=sys.stderr)
        rows += measure()
    print(f"{step.describe(setting)}\n")
    print(markdown(HEADER, [row.cells() for row in rows]))
    print("measuring scaling …", file=sys.stderr)
    print(f"\n{scaling.table(setting, 2)}")


if __name__ == "__main__":
    end(main)
