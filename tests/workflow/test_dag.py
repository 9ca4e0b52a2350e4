"""The DAG as a user runs it: what is planned, what reruns after a change, and what a mistake says."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import image_folder
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import yaml
from tiny import CELL, ORIGINAL, checkout, digests

from nern import addresses, resolved
from nern import config as configuration
from nern.networks.zoo import build

TINY = ["workflow/config/demo.yaml", "tiny.yaml"]
TABLE = "tables/digits.md"
MATRIX = [
    f"results/digits/resnet8/{mode}/h10/decoupled/seed{seed}"
    for mode in ("none", "in-filter", "cross-filter")
    for seed in (0, 1)
]


def command(*arguments, overlays=TINY):
    shown = ["--configfile", *overlays] if overlays else []
    return [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", *arguments, *shown]


def snakemake(folder, *arguments, overlays=TINY):
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command(*arguments, overlays=overlays), cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )


def planned(folder, *arguments, overlays=TINY):
    """How many jobs of each rule a dry run plans."""
    done = snakemake(folder, "--dry-run", *arguments, overlays=overlays)
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    table = re.findall(r"^(\w+) +(\d+)$", text.split("Job stats:")[-1], re.MULTILINE) if "Job stats:" in text else []
    return {rule: int(count) for rule, count in table if rule not in ("total", "demo")}


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder in which the demonstration's DAG was run at tiny size."""
    folder = checkout(tmp_path_factory.mktemp("made"))
    done = snakemake(folder, TABLE)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said.txt").write_text(done.stderr)
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A copy of it; modification times are kept, or everything would look new."""
    folder = tmp_path / "run"
    shutil.copytree(made, folder, copy_function=shutil.copy2)
    return folder


def test_the_papers_table_plans_72_fits_of_two_originals(tmp_path):
    folder = checkout(tmp_path)
    assert planned(folder, "tables/cifar10.md", overlays=[]) == {
        "prepare_data": 1, "train_original": 2, "permute": 6, "fit": 72, "evaluate": 72, "table": 1,
    }  # fmt: skip
    cell = "results/cifar10/resnet20/cross-filter/h160/base/seed0/metrics.json"
    assert planned(folder, cell, overlays=[]) == {
        "prepare_data": 1, "train_original": 1, "permute": 1, "fit": 1, "evaluate": 1,
    }  # fmt: skip


def test_the_demonstration_makes_its_table_and_then_has_nothing_to_do(made):
    assert {path.name for path in (made / "tables").iterdir()} == {f"digits.{s}" for s in ("md", "tex", "html", "csv")}
    for cell in MATRIX:
        assert (made / cell / "metrics.json").exists()
    assert planned(made, TABLE) == {}


def test_a_run_says_one_line_a_job_into_a_file(made):
    said = (made / "said.txt").read_text().splitlines()
    jobs = [line for line in said if re.match(r"\d\d:\d\d:\d\d +\d+ of 18  ", line)]
    assert len(jobs) == 18 and len(said) <= 18 + 7, said
    assert sum(line.endswith(" %") and "Evaluate" in line for line in jobs) == 6
    assert re.search(r"18 of 18  Write tables/digits \(\d+ s\)$", jobs[-1])


def test_a_run_that_fails_shows_the_end_of_the_jobs_log(run):
    (run / "wild.yaml").write_text("variants: {decoupled: {training: {optimizer: {lr: 1.0e8}}}}\n")
    done = snakemake(run, f"{CELL}/fit.json", overlays=[*TINY, "wild.yaml"])
    assert done.returncode == 1
    log = f"logs/{CELL.removeprefix('results/')}/fit.log"
    assert f"failed: Fit {CELL}\n{log}:\n    nern fit: {CELL}: the loss is not finite" in done.stderr
    assert "Traceback" not in done.stderr and "RuleException" not in done.stderr


def test_a_refit_that_failed_is_tried_again_and_no_older_table_stands_for_it(run):
    """Snakemake remembers the failed job as one that ran with the new settings, and the older metrics are there."""
    (run / "wild.yaml").write_text("variants: {decoupled: {training: {optimizer: {lr: 1.0e9}}}}\n")
    overlays = [*TINY, "wild.yaml"]
    assert snakemake(run, f"{CELL}/metrics.json", overlays=overlays).returncode == 1
    plan = planned(run, TABLE, overlays=overlays)
    assert plan == {"fit": 6, "evaluate": 6, "table": 1}
    assert planned(run, f"{CELL}/metrics.json", overlays=overlays) == {"fit": 1, "evaluate": 1}
    assert planned(run, TABLE) == {"fit": 1, "evaluate": 1, "table": 1}  # and back


def test_the_demonstration_also_measures_what_its_networks_are_worth_at_equal_bytes(run):
    assert planned(run, "demo") == {
        "compress_cell": 4, "compress_original": 1, "table": 1, "figure": 1, "collect": 1,
    }  # fmt: skip
    files = ["tables/frontier_digits.md", "figures/frontier_digits.svg", "results/cells.html"]
    done = snakemake(run, *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 cells are done." in (run / "results/cells.html").read_text()
    assert planned(run, "demo") == {}
    overlay = run / "change.yaml"
    rates = [{"codec": "uniform-3", "rate": 2e-3}, {"codec": "binary", "rate": 1e-3}]
    overlay.write_text(yaml.safe_dump({"compression": {"original": {"distilled": rates}}}))
    assert planned(run, "demo", overlays=[*TINY, str(overlay)]) == {"compress_original": 1, "table": 1, "figure": 1}
    overlay.write_text(yaml.safe_dump({"frontiers": {"digits": {"margin": 1}}}))
    assert planned(run, "demo", overlays=[*TINY, str(overlay)]) == {"table": 1, "figure": 1}


def test_forcing_a_cell_reruns_it_alone(run):
    assert planned(run, f"{CELL}/predictor.safetensors", "--force") == {"fit": 1}
    before = digests(run / "results")
    done = snakemake(run, f"{CELL}/predictor.safetensors", "--force")
    assert done.returncode == 0, done.stdout + done.stderr
    after = digests(run / "results")
    changed = {name for name in before if before[name] != after[name]}
    # the same bytes but for the record of the run, which has its wall time
    assert changed <= {CELL.removeprefix("results/") + "/fit.json"}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"variants": {"decoupled": {"training": {"iterations": 21}}}}, {"fit": 6, "evaluate": 6, "table": 1}),
        # over the keys of config.yaml's own kind, which Snakemake would keep
        ({"protocol": {"embedding": {"kind": "table"}}}, {"fit": 6, "evaluate": 6, "table": 1}),
        ({"seeds": [0, 1, 2]}, {"fit": 3, "evaluate": 3, "table": 1}),
        ({"execution": {"save_every": 5}}, {}),
        ({"variants": {"base": {"training": {"iterations": 5}}}}, {}),
        ({"tables": {"digits": {"title": "Another title"}}}, {"table": 1}),
        ({"tasks": {"digits": {"title": "Another title"}}}, {"table": 1}),
        ({"tasks": {"digits": {"note": "Another note"}}}, {"table": 1}),
        (
            {"tasks": {"digits": {"original": {"lr": 0.05}}}},
            {"train_original": 1, "permute": 3, "fit": 6, "evaluate": 6, "table": 1},
        ),
    ],
)
def test_a_changed_value_reruns_exactly_what_it_concerns(made, tmp_path, change, wanted):
    overlay = tmp_path / "change.yaml"
    overlay.write_text(yaml.safe_dump(change))
    assert planned(made, TABLE, overlays=[*TINY, str(overlay)]) == wanted


def test_settings_of_the_command_line_come_last(made, tmp_path):
    overlay = tmp_path / "seeds.yaml"
    overlay.write_text(yaml.safe_dump({"seeds": [0]}))
    arguments = (TABLE, "--config", "seeds=[0, 1, 2]")
    assert planned(made, *arguments, overlays=[*TINY, str(overlay)]) == {"fit": 3, "evaluate": 3, "table": 1}


@pytest.mark.parametrize(
    ("module", "old", "new", "wanted"),
    [
        ("method/losses.py", "FEATURE_EPSILON = 1e-3", "FEATURE_EPSILON = 2e-3", {"fit": 6, "evaluate": 6, "table": 1}),
        ("method/losses.py", "The three losses", "Three losses", {}),
        ("cli.py", "return 2", "return 3", {}),
        ("report/published.csv", "90.85", "90.86", {"table": 1}),
    ],
)
def test_an_edited_module_reruns_the_stages_that_use_it(run, module, old, new, wanted):
    path = run / "nern" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert planned(run, TABLE) == wanted


OWN_NET = """
from torch import nn


def net(classes, in_channels):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, classes))
"""


def test_a_value_that_is_set_to_its_default_is_run_as_it_was_planned(run):
    """It overrides what a wider place says, so the commands must not read an older file of the same values."""
    wide = {"protocol": {"training": {"batch": 9}}}
    narrow = wide | {"variants": {"decoupled": {"training": {"batch": 256}}}}
    seen = []
    for number, overlay in enumerate((wide, narrow)):
        (run / f"{number}.yaml").write_text(yaml.safe_dump(overlay))
        planned(run, TABLE, overlays=[*TINY, f"{number}.yaml"])
        newest = max((run / ".snakemake/nern").glob("config-*.json"), key=lambda path: path.stat().st_mtime_ns)
        config = configuration.read([newest])
        seen.append(resolved.protocol_of(config, addresses.Cell.parse(CELL)).training.batch)
    assert seen == [9, 256]


def test_an_own_architecture_that_changed_is_made_anew(run):
    (run / "my_net.py").write_text(OWN_NET)
    (run / "own.yaml").write_text("tasks: {digits: {networks: {own: {architecture: 'my_net:net'}}}}\n")
    target, overlays = "results/digits/own/originals/base/permutation-none.npz", [*TINY, "own.yaml"]
    done = snakemake(run, target, overlays=overlays)
    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(run, target, overlays=overlays) == {}
    (run / "my_net.py").write_text(OWN_NET.replace("ReLU", "Tanh"))
    assert planned(run, target, overlays=overlays) == {"train_original": 1, "permute": 1}


def test_a_table_of_half_a_matrix_does_not_stand_for_the_whole(run):
    for name in ("tables", CELL):
        shutil.rmtree(run / name)
    environment = os.environ | {"PYTHONPATH": str(run)}
    config = ["--config", "config.yaml", *TINY]
    subprocess.run([sys.executable, "-m", "nern", "table", "digits", *config], cwd=run, env=environment, check=True)
    assert (run / "tables/digits.partial.md").exists()
    assert planned(run, "tables/digits.md") == {"fit": 1, "evaluate": 1, "table": 1}


def test_a_table_of_outdated_cells_does_not_stand_for_the_whole(run):
    before = (run / "tables/digits.md").read_bytes()
    (run / "other.yaml").write_text("variants: {decoupled: {training: {iterations: 21}}}\n")
    environment = os.environ | {"PYTHONPATH": str(run)}
    config = ["--config", "config.yaml", *TINY]
    nern = [sys.executable, "-m", "nern"]
    subprocess.run([*nern, "table", "digits", *config, "other.yaml"], cwd=run, env=environment, check=True)
    assert "6 outdated" in (run / "tables/digits.partial.md").read_text()
    assert (run / "tables/digits.md").read_bytes() == before
    found = subprocess.run(
        [*nern, "verify", *config, "other.yaml"], cwd=run, env=environment, capture_output=True, text=True
    )
    assert found.returncode == 1
    assert "tables/digits.csv: the numbers of" in found.stdout


def test_imported_weights_are_an_input(run, monkeypatch):
    weights, mine = run / "mine.safetensors", ORIGINAL.replace("resnet8", "mine")
    shutil.copy(run / ORIGINAL / "network.safetensors", weights)
    network = "architecture: cifar-resnet, depth: 8, width: 8, original: {weights: $MINE}"
    (run / "mine.yaml").write_text(f"tasks: {{digits: {{networks: {{mine: {{{network}}}}}}}}}\n")
    target, overlays = f"{mine}/permutation-none.npz", [*TINY, "mine.yaml"]
    monkeypatch.delenv("MINE", raising=False)
    done = snakemake(run, target, overlays=overlays)
    assert done.returncode != 0 and "Traceback" not in done.stdout + done.stderr
    assert "the environment variable MINE is not set" in done.stdout + done.stderr

    monkeypatch.setenv("MINE", str(weights))
    done = snakemake(run, target, overlays=overlays)
    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(run, target, overlays=overlays) == {}
    assert planned(run, target, overlays=overlays) == {}
    weights.write_bytes(b"others")
    assert planned(run, target, overlays=overlays) == {"train_original": 1, "permute": 1}
    # what was imported is kept where the weights are not
    for folder in ("/nowhere", None):
        monkeypatch.setenv("MINE", folder) if folder else monkeypatch.delenv("MINE")
        assert planned(run, target, overlays=overlays) == {}


IMAGES = {
    "folder": {"source": "folder", "train": "pictures/train", "test": "pictures/val", "size": 8, "resize": 8},
    "streamed": {
        "source": "folder", "train": "pictures/train", "test": "pictures/val", "size": 8, "resize": 8, "workers": 0,
        "streaming": True,
    },
    "parquet": {"source": "parquet", "train": ["train.parquet"], "test": ["val.parquet"]},
}  # fmt: skip


def write_pictures(folder):
    """The digits as a folder of images, and as parquet files."""
    image_folder.write(folder / "pictures")
    for split in image_folder.COUNTS:
        files = sorted((folder / "pictures" / split).rglob("*.png"))
        columns = {"img": [path.read_bytes() for path in files], "label": [int(path.parent.name[-1]) for path in files]}
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")


def exchange(path, other):
    """Another file in a file's place, of the same size or not, with an older date: cp -p, rsync, tar."""
    shutil.copy(other, path)
    os.utime(path, (10**9, 10**9))


@pytest.mark.parametrize("kind", IMAGES)
def test_images_are_an_input_by_content(run, kind):
    write_pictures(run)
    task = {"images": IMAGES[kind], "mean": [0.5] * 3, "std": [0.5] * 3, "augmentation": {"padding": 0}}
    (run / "pictures.yaml").write_text(yaml.safe_dump({"tasks": {"digits": task}}))
    target, overlays = f"{ORIGINAL}/permutation-none.npz", [*TINY, "pictures.yaml"]
    done = snakemake(run, target, overlays=overlays)
    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(run, target, overlays=overlays) == {}
    # dates and copies do not count
    for path in (run / "results/digits/images").iterdir():
        path.touch()
    shutil.copytree(run / "pictures", run / "copy", copy_function=shutil.copy)
    shutil.rmtree(run / "pictures")
    (run / "copy").rename(run / "pictures")
    assert planned(run, target, overlays=overlays) == {}
    # what was read is kept where the images are not
    (run / "pictures").rename(run / "elsewhere")
    (run / "val.parquet").rename(run / "elsewhere.parquet")
    assert planned(run, target, overlays=overlays) == {}
    (run / "elsewhere").rename(run / "pictures")
    (run / "elsewhere.parquet").rename(run / "val.parquet")
    if kind == "parquet":
        table = pq.read_table(run / "val.parquet")
        pq.write_table(table.slice(1), run / "corrected.parquet")
        exchange(run / "val.parquet", run / "corrected.parquet")
    else:
        exchange(run / "pictures/val/digit-3/0.png", run / "pictures/val/digit-3/1.png")
    assert planned(run, target, overlays=overlays) == {"prepare_data": 1, "train_original": 1, "permute": 1}
    done = snakemake(run, target, overlays=overlays)
    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(run, target, overlays=overlays) == {}


def test_large_files_count_by_content_too(run):
    """Weights of more than 1 MB, up to which alone Snakemake compares contents by default."""
    mine = ORIGINAL.replace("resnet8", "mine")
    module, other = (build("cifar-resnet", classes=10, in_channels=1, depth=8, width=48) for _ in range(2))
    weights = run / "mine.safetensors"
    safetensors.torch.save_model(module, weights)
    assert weights.stat().st_size > 10**6
    safetensors.torch.save_model(other, run / "other.safetensors")
    network = {"architecture": "cifar-resnet", "depth": 8, "width": 48, "original": {"weights": str(weights)}}
    (run / "mine.yaml").write_text(yaml.safe_dump({"tasks": {"digits": {"networks": {"mine": network}}}}))
    target, overlays = f"{mine}/permutation-none.npz", [*TINY, "mine.yaml"]
    done = snakemake(run, target, overlays=overlays)
    assert done.returncode == 0, done.stdout + done.stderr
    weights.touch()
    (run / mine / "network.safetensors").touch()
    assert planned(run, target, overlays=overlays) == {}
    exchange(weights, run / "other.safetensors")
    assert planned(run, target, overlays=overlays) == {"train_original": 1, "permute": 1}


@pytest.mark.parametrize("dates", ["of now", "equal", "in another order"])
def test_results_that_were_copied_are_whole(made, tmp_path, dates):
    folder = tmp_path / "copy"
    shutil.copytree(made, folder, copy_function=shutil.copy)
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        if dates != "of now" and path.is_file():
            os.utime(path, (10**9, 10**9) if dates == "equal" else (10**9 + number, 10**9 + number))
    assert planned(folder, TABLE) == {}


@pytest.mark.parametrize(
    ("overlay", "target", "sentence"),
    [
        ("protocol: {iteratoins: 3}", TABLE, "protocol.iteratoins: unknown key"),
        ("seeds: [0, 0]", TABLE, "repeats a value"),
        ("seeds: [0]\nseeds: [1]", TABLE, "the key seeds stands twice"),
        ("tables: {digits: {variants: [lost]}}", TABLE, "unknown variant 'lost'"),
        ("{}", CELL.replace("digits", "letters") + "/metrics.json", "unknown task 'letters'"),
        ("{}", CELL.replace("decoupled", "lost") + "/metrics.json", "unknown variant 'lost'"),
        ("{}", "tables/letters.md", "unknown table 'letters'"),
    ],
)
def test_a_mistake_ends_in_one_sentence(made, tmp_path, overlay, target, sentence):
    path = tmp_path / "mistake.yaml"
    path.write_text(overlay)
    done = snakemake(made, target, "--dry-run", overlays=[*TINY, str(path)])
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    assert len([line for line in text.splitlines() if sentence in line]) == 1, text


def test_a_second_configfile_option_is_refused(made):
    overlays = [made / name for name in TINY]
    done = snakemake(
        made, TABLE, "--dry-run", f"--configfile={overlays[0]}", f"--configfile={overlays[1]}", overlays=[]
    )
    text = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in text
    assert "write it once: --configfile FIRST SECOND" in text


HOSTILE = ["a {x} b", "{", "}}", 'it\'s "so"', "$HOME", "`touch ran`", "a\\b", "a:b;&|<*>#%s", "ünï\nx"]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_character_may_be_in_a_path(tmp_path, name):
    """Of the checkout, of --directory, of images and of weights; what runs is the checkout's own code."""
    code, work, data = (tmp_path / kind / name for kind in ("code", "work", "data"))
    for folder in (code, work, data):
        folder.mkdir(parents=True)
    checkout(code)
    stage = code / "nern/stages/train_original.py"
    stage.write_text(stage.read_text().replace("    settings = ", '    Path("ran-here").touch()\n    settings = ', 1))
    write_pictures(data)
    module = build("cifar-resnet", classes=10, in_channels=3, depth=8, width=8)
    safetensors.torch.save_model(module, data / "net.safetensors")
    images = IMAGES["folder"] | {"train": str(data / "pictures/train"), "test": str(data / "pictures/val")}
    networks = {"resnet8": {"original": {"weights": str(data / "net.safetensors")}}}
    if "$" in name:
        # in the configuration a dollar begins a variable; the value of one may hold what it likes
        images |= {"train": "$PICTURES/pictures/train", "test": "$PICTURES/pictures/val"}
        networks = {"resnet8": {"original": {"weights": "$PICTURES/net.safetensors"}}}
    task = {"images": images, "mean": [0.5] * 3, "std": [0.5] * 3, "networks": networks}
    (data / "o.yaml").write_text(yaml.safe_dump({"tasks": {"digits": task}}))
    overlays = [str(code / name) for name in TINY] + [str(data / "o.yaml")]
    target = f"{ORIGINAL}/network.safetensors"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PICTURES": str(data)}
    line = command("--snakefile", str(code / "Snakefile"), "--directory", str(work), target, overlays=overlays)
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (work / target).exists() and (work / "ran-here").exists()
    assert not list(tmp_path.rglob("ran"))


def test_the_demonstration_without_its_overlay_says_what_to_do(made):
    done = snakemake(made, "demo", "--dry-run", overlays=[])
    assert done.returncode != 0
    assert "workflow/config/demo.yaml" in done.stdout + done.stderr


def test_a_killed_snakemake_leaves_nothing_that_a_rerun_cannot_finish(run):
    before = digests(run / "results")
    for cell in MATRIX[:3]:
        shutil.rmtree(run / cell)
    shutil.rmtree(run / "tables")  # a product that is there needs no input
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command(TABLE), cwd=run, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while not any((run / cell / "config.json").exists() for cell in MATRIX[:3]):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert snakemake(run, "--unlock").returncode == 0
    done = snakemake(run, TABLE)
    assert done.returncode == 0, done.stdout + done.stderr
    after = digests(run / "results")
    volatile = {name for name in before if name.endswith("fit.json")}
    # a write that was killed leaves its temporary file
    volatile |= {name for name in after if re.search(r"/\.[^/]+\.[0-9a-f]{8}$", name)}
    assert {n: d for n, d in after.items() if n not in volatile} == {
        n: d for n, d in before.items() if n not in volatile
    }
