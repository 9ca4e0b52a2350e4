"""Terminals, locales, signals, homes and clocks of users' machines: each command works, or ends in one sentence."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tiny import CELL, CONFIG, ROOT, nern

from nern.provenance import cores, processor

LOOKING = {
    "status": ["status"],
    "plan": ["plan"],
    "explain": ["explain", CELL],
    "schema": ["schema"],
    "verify": ["verify"],
    "help": ["--help"],
}
TITLE = "½ λ → 数 😀"


def arguments(name):
    return LOOKING[name] + ([] if name in ("schema", "help") else [*CONFIG, "titled.yaml"])


@pytest.fixture
def titled(run):
    """A finished cell whose task and table have names that few locales can write."""
    Path("titled.yaml").write_text(
        f"tasks: {{digits: {{note: {TITLE}}}}}\ntables: {{digits: {{title: {TITLE}}}}}\n", "utf-8"
    )
    return run


def shell(command, **environment):
    """What a shell makes of a command in this checkout: exit code, standard output, standard error."""
    known = os.environ | {"PYTHONPATH": str(ROOT), "NERN": f"{sys.executable} -m nern"} | environment
    done = subprocess.run(["bash", "-c", command], env=known, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("name", [name for name in LOOKING if name != "verify"])
def test_a_full_disk_at_standard_output_is_one_sentence(titled, name):
    code, _, err = shell(f"$NERN {' '.join(arguments(name))} > /dev/full")
    assert code == 2
    assert len(err.splitlines()) == 1 and "standard output: cannot be written (No space left on device)" in err


@pytest.mark.parametrize("name", [*(name for name in LOOKING if name != "verify"), "watch"])
def test_a_reader_that_leaves_early_is_no_mistake(titled, name):
    words = " ".join(arguments(name) if name != "watch" else ["status", "--watch", "--every", "1", *CONFIG])
    code, out, err = shell(f"set -o pipefail; $NERN {words} | head -c 1; exit ${{PIPESTATUS[0]}}")
    assert (code, len(out), err) == (0, 1, "")


@pytest.mark.parametrize("closed", ["1", "2", "1>&- 2"])
def test_a_closed_stream_is_no_mistake(titled, closed):
    code, _, err = shell(f"$NERN status {' '.join(CONFIG)} {closed}>&-")
    assert (code, err) == (0, "")


def test_what_verify_finds_is_its_exit_code_though_nobody_reads_on(titled):
    Path(CELL, "fit.json").write_text("{}")
    code, _, err = shell(f"$NERN verify {' '.join(CONFIG)} | head -c 0; exit ${{PIPESTATUS[0]}}")
    assert (code, err) == (1, "")


LOCALES = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "", "LANG": "de_DE.ISO-8859-1", "PYTHONIOENCODING": "latin-1"},
]
IN_TURN = """
import json, sys
from nern.cli import main
from nern.terminal import prepare
prepare()
for words in json.loads(sys.argv[1]):
    assert main(words) == 0, words
"""


@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_every_command_speaks_in_every_locale(titled, locale):
    commands = [arguments(name) for name in LOOKING if name != "help"]
    commands += [["table", "digits", *CONFIG, "titled.yaml"], ["collect", *CONFIG, "titled.yaml"]]
    code, out, err = shell(f"{sys.executable} -c '{IN_TURN}' '{json.dumps(commands)}'", **locale)
    assert code == 0 and "Traceback" not in err and "Error" not in err, err
    assert b"base" in out or b"digits" in out
    assert TITLE in Path("tables/digits.partial.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["Bücher.yaml", "数.yaml"])
def test_a_file_that_the_locale_cannot_name_is_read_or_one_sentence(titled, name):
    Path("titled.yaml").rename(name)
    locale = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, _, err = shell(f"$NERN plan {' '.join(CONFIG)} {name}", **locale)
    assert (code, err) == (0, "")
    Path("weights.yaml").write_text(f"tasks: {{digits: {{original: {{weights: {name}}}}}}}\n", "utf-8")
    code, _, err = shell(f"$NERN verify {' '.join(CONFIG)} weights.yaml", **locale)
    assert "Traceback" not in err and len(err.splitlines()) <= 1


INTERRUPTED = """
import os, re, signal, sys
number, name, entry = int(sys.argv[1]), sys.argv[2], sys.argv[3]
class Hook:
    def find_spec(self, module, *_):
        if module == name:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Hook())
sys.argv[1:] = sys.argv[4:]
if entry == "nern":
    from nern.cli import run
    sys.exit(run())
import runpy
runpy.run_module("nern", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(("number", "entry"), [(signal.SIGINT, "nern"), (signal.SIGTERM, "python -m nern")])
@pytest.mark.parametrize("module", ["nern.stages.commands", "argparse", "pydantic", "yaml", "pandas", "numpy"])
def test_a_signal_while_imports_run_is_one_sentence(run, number, entry, module):
    command = f"{sys.executable} -c '{INTERRUPTED}' {int(number)} {module} '{entry}' status {' '.join(CONFIG)}"
    code, out, err = shell(command)
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert (code, out, err) == (128 + number, b"", f"nern: {word}; the same command resumes\n")


@pytest.mark.parametrize("module", ["torch", "torch.nn", "safetensors"])
def test_a_signal_while_a_stage_starts_is_one_sentence(run, module):
    command = f"{sys.executable} -c '{INTERRUPTED}' 2 {module} nern fit {CELL} {' '.join(CONFIG)}"
    assert shell(command) == (130, b"", "nern: interrupted; the same command resumes\n")
    assert nern("verify") == 0


def test_a_signal_that_is_ignored_stays_so(run):
    command = f"trap '' INT; {sys.executable} -c '{INTERRUPTED}' 2 pandas nern status {' '.join(CONFIG)}"
    code, out, err = shell(command)
    assert (code, err) == (0, "") and b"done" in out


@pytest.mark.parametrize("home", ["/dev/null", "unwritable"])
def test_a_home_that_cannot_be_written_is_no_hindrance(run, home):
    Path("unwritable").mkdir(mode=0o555)
    places = {name: f"{home}/{name}" for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TORCH_HOME", "MPLCONFIGDIR")}
    powerless = "setpriv --bounding-set=-dac_override,-dac_read_search" if os.geteuid() == 0 else ""
    code, _, err = shell(f"{powerless} $NERN plot {CELL} {' '.join(CONFIG)}", HOME=home, **places)
    assert code == 0 and "Traceback" not in err, err


@pytest.mark.parametrize("zone", ["UTC+14", "America/St_Johns", "Nowhere/Nothing", "", ":::"])
def test_times_are_of_no_zone(run, zone):
    before = datetime.now(UTC).replace(microsecond=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        assert nern("fit", CELL) == 0
    time.tzset()
    finished = datetime.fromisoformat(json.loads(Path(CELL, "fit.json").read_text())["finished"])
    assert finished.utcoffset() == timedelta(0) and before <= finished <= datetime.now(UTC)


def test_a_machine_without_what_only_linux_has_gives_the_same_bytes(run, monkeypatch):
    names = ("predictor.safetensors", "history.csv", "metrics.json")
    wanted = {name: Path(CELL, name).read_bytes() for name in names}
    read = Path.read_text

    def read_text(path, *options, **named):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory")
        return read(path, *options, **named)

    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(Path, "read_text", read_text)
    assert cores() == os.cpu_count() and processor()
    for name in names:
        Path(CELL, name).unlink()
    assert nern("prepare-data", "digits") == nern("fit", CELL) == nern("evaluate", CELL) == 0
    assert {name: Path(CELL, name).read_bytes() for name in names[:2]} == {name: wanted[name] for name in names[:2]}
    assert nern("verify") == 0
