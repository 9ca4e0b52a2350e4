# What all rules share: the checked configuration, the commands, and how many GPUs there are.
import hashlib
import shlex
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from snakemake.logging import logger

from nern import addresses, compression, matrix, requests, resolved, run_log
from nern.files import write_text
from nern.config import check_command_line, fingerprint
from nern.config import read as read_config
from nern.config import text_of
from nern.data import contents
from nern.distilling import settings_to_fit_by
from nern.errors import NernError
from nern.lineage import Lineage
from nern.code_digest import code_digest
from nern.report.inputs import (
    figure_fingerprint,
    metrics_of,
    table_fingerprint,
    table_inputs,
)


wildcard_constraints:
    task=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    network=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    original=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    variant=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    mode="none|in-filter|cross-filter",
    hidden=r"[1-9][0-9]*",
    seed=r"0|[1-9][0-9]*",
    table=r"[a-z0-9_]+",
    figure=r"[a-z0-9_]+",


# Read again: Snakemake lets a key stand twice, and merges the keys of settings that are of different kinds.
SAID = workflow.config_settings
FILES = [] if SAID.replace_workflow_config else [Path(workflow.basedir, "config.yaml")]
try:
    check_command_line(sys.argv[1:])
    CONFIG = read_config([*FILES, *SAID.configfiles], SAID.config)
    matrix.check(CONFIG)
    compression.check(CONFIG)
except NernError as error:
    sys.exit(f"nern: {error}")

# What a run says is nern/run_log.py's; a dry run, --verbose and the jobs that an executor starts keep Snakemake's own.
OUTPUT = workflow.output_settings
if workflow.is_main_process and not (OUTPUT.dryrun or OUTPUT.verbose):
    run_log.follow(logger)

# One GPU unless --resources says otherwise; a run on the CPU asks for none.
if "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", 1)
GPU = 0 if CONFIG.execution.device == "cpu" else 1
THREADS = CONFIG.execution.threads

# The commands read the merged configuration from a file that is named by its content: what runs is what was planned.
MERGED = text_of(CONFIG)
DIGEST = hashlib.sha256(MERGED.encode()).hexdigest()[:16]
CONFIG_FILE = Path(".snakemake") / "nern" / f"config-{DIGEST}.json"
if not CONFIG_FILE.exists():
    write_text(CONFIG_FILE, MERGED)
# Commands say `nern`: this checkout's, by the interpreter that runs Snakemake, with that configuration. The checkout is
# an argument and not in PYTHONPATH, where a colon would cut it in two; Snakemake formats the prefix, so braces double.
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from nern.cli import run; run()"
)
COMMAND = shlex.join([sys.executable, "-c", START, workflow.basedir])
shell.prefix(
    f'set -euo pipefail; nern() {{ {COMMAND} "$@" --config {CONFIG_FILE}; }}; '.replace(
        "{", "{{"
    ).replace("}", "}}")
)


LINEAGE = Lineage(CONFIG)


def made_of(*paths):
    """The lineage of a rule's inputs, for a stage above it that failed leaves its products outdated.

    They are named anew, for Snakemake compares no parameter that is a function of the input.
    """
    try:
        return LINEAGE.of_all(paths)
    except NernError as error:
        sys.exit(f"nern: {error}")


# What a rule asks a cluster for; a retry resumes, and asks for more.
def minutes(function, *arguments):
    """`runtime` of a rule, by a function of nern.requests."""
    return lambda wildcards, attempt: attempt * checked(
        function, *(argument(wildcards) for argument in arguments)
    )


def retried(first):
    """`runtime` of a rule that asks for as many minutes whatever it is about, and in a retry for more."""
    return lambda wildcards, attempt: attempt * first


def memory(wildcards, attempt):
    """`mem_mb` of a rule that works with a task's images."""
    return attempt * checked(requests.mebibytes, wildcards.task)


CELL = "results/{task}/{network}/{mode}/h{hidden}/{variant}/seed{seed}"


def cell_of(wildcards):
    """The cell that a rule's wildcards name."""
    return addresses.Cell(
        wildcards.task,
        wildcards.network,
        wildcards.mode,
        int(wildcards.hidden),
        wildcards.variant,
        int(wildcards.seed),
    )


def original_of(wildcards):
    """The original that a rule's wildcards name."""
    return addresses.OriginalCell(wildcards.task, wildcards.network, wildcards.original)


def checked(function, *arguments):
    """`function(CONFIG, *arguments)`; an unknown name ends in one sentence."""
    try:
        return function(CONFIG, *arguments)
    except NernError as error:
        sys.exit(f"nern: {error}")


def images_of(task):
    """The manifest of a task's images."""
    return addresses.manifest_path(task)


def fit_inputs(wildcards):
    """The images, the original and the permutation of a cell."""
    original = checked(resolved.original_of, cell_of(wildcards))
    return {
        "images": images_of(wildcards.task),
        "network": f"{original.path}/network.safetensors",
        "permutation": original.permutation(wildcards.mode),
    }


def fitted_inputs(wildcards):
    """Those, and what its fit left."""
    path = cell_of(wildcards).path
    return fit_inputs(wildcards) | {
        "predictor": f"{path}/predictor.safetensors",
        "history": f"{path}/history.csv",
        "fit": f"{path}/fit.json",
    }


def table_files(name):
    """The files of one table."""
    if name == "digits" and name not in CONFIG.tables:
        sys.exit(
            "nern: the demonstration has a configuration of its own: add --configfile workflow/config/demo.yaml"
        )
    return [f"tables/{name}.{suffix}" for suffix in ("md", "tex", "html", "csv")]


def figure_files(name):
    """The files of one figure."""
    return [f"figures/{name}.{suffix}" for suffix in ("svg", "png", "csv")]
