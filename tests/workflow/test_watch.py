"""The live view, on a fit that really runs."""

import io
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from tiny import CELL, CONFIG

from nern import config as configuration
from nern import files
from nern.addresses import PROGRESS
from nern.report.status import watch


def shown(config):
    console = Console(file=io.StringIO(), width=160)
    console.print(watch.view(config, Path()))
    return console.file.getvalue()


def test_a_running_fit_is_shown_with_rate_time_left_and_best_accuracy(run):
    Path("long.yaml").write_text("variants: {decoupled: {evaluate_every: 50, training: {iterations: 100000}}}\n")
    named = [*CONFIG, "long.yaml"]
    config = configuration.read([Path(name) for name in named[1:]])
    process = subprocess.Popen([sys.executable, "-m", "nern", "fit", CELL, *named], stderr=subprocess.DEVNULL)
    try:
        while not Path(CELL, PROGRESS).exists():
            assert process.poll() is None
            time.sleep(0.05)
        progress = files.read_json(Path(CELL, PROGRESS))
        text = shown(config)
    finally:
        process.kill()
        process.wait()
    assert progress["total"] == 100_005 and progress["rate"] > 0 and 0 <= progress["best_on_test_accuracy"] <= 100
    line = next(line for line in text.splitlines() if "seed0" in line)
    assert "of 100,005" in line and f"{progress['best_on_test_accuracy']:.2f}" in line
    assert "1 running" in text
    # killed: nothing runs any more, whatever it left behind
    assert "seed0" not in shown(config)


def test_a_finished_stage_leaves_no_progress(run):
    assert not list(Path("results").rglob(PROGRESS))
    assert "1 done" in shown(configuration.read([Path(name) for name in CONFIG[1:]]))
    assert json.loads(Path(CELL, "metrics.json").read_text())["iterations"] == 25


def test_into_a_file_it_is_written_at_once_and_again(run):
    command = [sys.executable, "-m", "nern", "status", "--watch", "--every", "1", *CONFIG]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first, *_ = [line for line in (process.stdout.readline() for _ in range(20)) if "done" in line]
        process.kill()
    assert "1 done" in first
