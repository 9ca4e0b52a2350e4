"""Real processes killed at random points, writes cut off one by one, full disks and jumping clocks."""

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import CELL, CONFIG, ORIGINAL

from nern import files
from nern.cli import main

LONGER = "longer.yaml"
KILLS = 10
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SAME = ("predictor.safetensors", "history.csv", "config.json")
ORIGINAL_SAME = ("network.safetensors", "predictions.safetensors", "metrics.json")


@pytest.fixture
def longer(run):
    """Fits and originals of a second or two, which save their state all the time."""
    Path(LONGER).write_text(
        "execution: {save_every: 0.02}\n"
        "tasks: {digits: {original: {epochs: 4, milestones: [2]}}}\n"
        "variants:\n"
        "  decoupled:\n"
        "    evaluate_every: 50\n"
        "    training: {iterations: 300, reordering: {every: 7}}\n"
        "    distillation: {iterations: 20, reordering: {every: 3}}\n"
        "tables: {digits: {smoothing: [cross-filter]}}\n"  # the only order that such a fit can store
    )
    return run


def nern(*arguments):
    return main([*arguments, *CONFIG, LONGER])


# A server that has imported torch but never used its threads: a child of it starts at once and cannot hang in them.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["nern.stages.fit", "nern.stages.train_original"])


def _work(folder, arguments):
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(nern(*arguments))


def in_a_process(arguments):
    """A process that runs a command; it shares nothing but files."""
    child = SERVER.Process(target=_work, args=(Path.cwd(), arguments))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONSAFEPATH", "1")  # the first starts the server: by this checkout, not the copy in the folder
        child.start()
    return child


def ended(child):
    child.join()
    return child.exitcode == 0


def contents(folder, names):
    return {name: Path(folder, name).read_bytes() for name in names}


@pytest.mark.parametrize(
    ("folder", "command", "names"),
    [(CELL, ("fit", CELL), SAME), (ORIGINAL, ("train-original", ORIGINAL), ORIGINAL_SAME)],
    ids=["fit", "train-original"],
)
def test_killed_anywhere_and_started_again_the_bytes_are_the_same(longer, folder, command, names):
    if folder == CELL:
        assert nern("train-original", ORIGINAL) == 0
        assert nern("permute", ORIGINAL, "--mode", "cross-filter") == 0
    shutil.rmtree(folder)
    started = time.monotonic()
    assert nern(*command) == 0
    seconds = time.monotonic() - started
    wanted = contents(folder, names)
    draw = random.Random(0)
    killed = 0
    while killed < KILLS:
        for name in names:
            Path(folder, name).unlink(missing_ok=True)
        Path(folder, "fit.json").unlink(missing_ok=True)
        child = in_a_process(command)
        time.sleep(draw.uniform(0, seconds))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, SIGNALS[killed % len(SIGNALS)])
        child.join()
        killed += 1
        if killed % 2 == 0:  # two kills in a row, then to the end
            assert nern(*command) == 0
            assert contents(folder, names) == wanted
            assert not list(Path(folder).glob("state*"))


class PowerCut(BaseException):
    pass


def test_a_power_cut_between_any_two_writes_loses_nothing(run, monkeypatch):
    Path(LONGER).write_text("execution: {save_every: 0.000001}\n")
    names = (*SAME, "metrics.json")
    plain, calls, last = files.os.fsync, 0, 0

    def fsync(handle):
        nonlocal calls
        calls += 1
        if calls == last:
            raise PowerCut
        plain(handle)

    def fit_and_evaluate():
        assert nern("fit", CELL) == 0
        assert nern("evaluate", CELL) == 0

    monkeypatch.setattr(files.os, "fsync", fsync)
    shutil.rmtree(CELL)
    fit_and_evaluate()
    wanted, total = contents(CELL, names), calls
    assert total > 40
    # every write is followed by two: of the file and of its folder; the last ones are the results
    for cut in (1, 2, 3, *range(8, total - 10, 5), *range(total - 10, total + 1)):
        shutil.rmtree(CELL)
        calls, last = 0, cut
        with pytest.raises(PowerCut):
            fit_and_evaluate()
        fit_and_evaluate()
        assert contents(CELL, names) == wanted


def test_threads_and_neighbors_change_no_byte(longer):
    wanted = None
    for threads in ("1", "3"):
        shutil.rmtree(CELL)
        assert nern("train-original", ORIGINAL) == 0
        assert nern("permute", ORIGINAL, "--mode", "cross-filter") == 0
        neighbor = in_a_process(("fit", CELL.replace("seed0", "seed1")))
        assert nern("fit", CELL, "--threads", threads) == 0
        assert nern("evaluate", CELL, "--threads", threads) == 0
        assert ended(neighbor)
        found = contents(CELL, (*SAME, "metrics.json"))
        assert wanted in (None, found)
        wanted = found


def test_two_at_once_one_leaves_with_a_sentence(longer, capsys):
    assert nern("train-original", ORIGINAL) == 0
    assert nern("permute", ORIGINAL, "--mode", "cross-filter") == 0
    child = in_a_process(("fit", CELL))
    while not files.is_locked(Path(CELL)):
        time.sleep(0.005)
    capsys.readouterr()
    assert nern("fit", CELL) == 2
    assert "another process is working on it" in capsys.readouterr().err
    assert ended(child)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_one_sentence_and_loses_nothing(run, capsys):
    Path(LONGER).write_text("{}\n")
    shutil.rmtree(CELL)
    Path(CELL).mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", CELL], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        capsys.readouterr()
        assert nern("fit", CELL) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nern fit: ")]
        assert len(lines) == 1 and "cannot be written (No space left on device)" in lines[0]
        assert not Path(CELL, "predictor.safetensors").exists()
    finally:
        subprocess.run(["umount", CELL], check=True)
    assert nern("fit", CELL) == 0


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_clock_that_jumps_changes_no_byte(run, monkeypatch, jump):
    Path(LONGER).write_text("{}\n")
    wanted = contents(CELL, SAME)
    shutil.rmtree(CELL)
    calls = 0
    plain = time.time

    def jumping():
        nonlocal calls
        calls += 1
        return plain() + (jump if calls % 2 else 0)

    monkeypatch.setattr(time, "time", jumping)
    assert nern("fit", CELL) == 0
    assert contents(CELL, SAME) == wanted


def test_a_link_out_of_the_tree_is_no_predictor(run, tmp_path, capsys):
    Path(LONGER).write_text("{}\n")
    outside = tmp_path / "elsewhere.safetensors"
    shutil.copy(f"{CELL}/predictor.safetensors", outside)
    outside.write_bytes(outside.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    Path(CELL, "predictor.safetensors").unlink()
    Path(CELL, "predictor.safetensors").symlink_to(outside)
    before = outside.read_bytes()
    capsys.readouterr()
    assert nern("evaluate", CELL) == 2
    assert "is not the file that fit.json records" in capsys.readouterr().err
    assert nern("fit", CELL) == 0  # replaces the link, not what it points to
    assert outside.read_bytes() == before
    assert not Path(CELL, "predictor.safetensors").is_symlink()


@pytest.mark.parametrize(
    "path", ["../x", "results/a b/c", "results/digits\nx", "/etc/passwd", "", "results//x", "\x00"]
)
@pytest.mark.parametrize("command", ["fit", "evaluate", "explain", "compress", "importance", "train-original"])
def test_hostile_paths_are_one_sentence(run, capsys, path, command):
    Path(LONGER).write_text("{}\n")
    capsys.readouterr()
    assert nern(command, path) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 1 and err[0].startswith(f"nern {command}: ")


def test_a_mistake_ends_a_real_process_without_a_traceback(run):
    done = subprocess.run(
        [sys.executable, "-m", "nern", "fit", "results/nowhere", *CONFIG], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
