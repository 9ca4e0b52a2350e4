"""What a run says of each job, on a terminal and in a file."""

import io
import json
import logging

import pytest
from snakemake.logging import ColorizingTextHandler, DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from nern import files
from nern.run_log import TAIL, follow

CELLS = {f"results/digits/resnet8/none/h8/base/seed{seed}": 90.0 + seed % 2 for seed in range(3)}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def logger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    made = logging.Logger("snakemake")
    yield made
    for handler in made.handlers:
        handler.close()


def run(logger, stream, *, failed=None):
    """Three evaluations and a table as Snakemake tells of them, and what is said."""
    logger.addHandler(ColorizingTextHandler(stream=stream, formatter=DefaultFormatter()))
    follow(logger)
    logger.info("Building DAG of jobs...")
    logger.info("Job stats: …", extra={"event": LogEvent.RUN_INFO, "stats": {"evaluate": 3, "table": 1, "total": 4}})
    logger.info("Select jobs to execute...")
    for number, (cell, accuracy) in enumerate(CELLS.items()):
        metrics = {"cell": cell, "task": "digits", "network": "resnet8", "accuracy": accuracy, "original_accuracy": 95}
        files.write_json(files.Path(cell, "metrics.json"), metrics)
        begin(logger, number, "evaluate", f"Evaluate {cell}", [f"{cell}/metrics.json"])
        finish(logger, number)
    begin(logger, 3, "table", "Write tables/digits", ["tables/digits.md"])
    if failed is None:
        finish(logger, 3)
    else:
        error = {"event": LogEvent.JOB_ERROR, "jobid": 3, "rule_msg": None, "log": [failed]}
        logger.error("RuleException:\nCalledProcessError in file …")
        logger.error("Error in rule table", extra=error)
    return stream


def begin(logger, number, rule, message, output):
    names = {"jobid": number, "rule_name": rule, "rule_msg": message, "output": output}
    logger.info(rule, extra={"event": LogEvent.JOB_INFO, **names})


def finish(logger, number):
    logger.info("Finished", extra={"event": LogEvent.JOB_FINISHED, "job_id": number})
    logger.info(None, extra={"event": LogEvent.PROGRESS, "done": number, "total": 4})


def test_a_file_has_a_head_and_one_line_a_job(logger):
    head, counts, *jobs = run(logger, io.StringIO()).getvalue().splitlines()
    assert head == "Building DAG of jobs..." and counts == "4 jobs: 3 evaluate, 1 table"
    said = [line.split("  ", 1)[1] for line in jobs]
    wanted = [f"{n} of 4  Evaluate {cell} (0 s): {a:.2f} %" for n, (cell, a) in enumerate(CELLS.items(), 1)]
    assert said == [*wanted, "4 of 4  Write tables/digits (0 s)"]


def test_a_failed_job_shows_the_end_of_its_log(logger, tmp_path):
    log = tmp_path / "table.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    text = run(logger, io.StringIO(), failed=str(log)).getvalue()
    _, end = text.split("failed: Write tables/digits\n")
    assert end.splitlines() == [f"{log}:", *(f"    line {number}" for number in range(100 - TAIL, 100))]
    assert "RuleException" not in text


def test_a_failed_job_that_was_never_announced_is_said(logger, tmp_path):
    log = tmp_path / "fit.log"
    log.write_text("the reason")
    stream = io.StringIO()
    logger.addHandler(ColorizingTextHandler(stream=stream))
    follow(logger)
    logger.error("", extra={"event": LogEvent.JOB_ERROR, "jobid": 7, "rule_msg": None, "log": [str(log)]})
    assert stream.getvalue().endswith(f"failed: job 7\n{log}:\n    the reason\n")


def test_a_log_that_is_not_there_is_said(logger):
    assert run(logger, io.StringIO(), failed="lost.log").getvalue().endswith(
        "lost.log:\n    cannot be read (No such file or directory)\n"
    )  # fmt: skip


def test_a_terminal_has_bars_the_best_accuracy_and_the_lines_of_what_one_waits_for(logger):
    stream = run(logger, Terminal())
    logger.handlers[0].close()
    text = stream.getvalue()
    last = text[text.rindex("evaluate") :]
    assert "3/3" in last and "1/1" in last and "4/4" in last and "left" in last
    assert "digits/resnet8: best 91.00 %, original 95.00 %" in last
    assert "Write tables/digits" in text and f"Evaluate {next(iter(CELLS))}" not in text


def test_damaged_metrics_end_no_run(logger):
    files.Path("metrics.json").write_text(json.dumps({"accuracy": 3}))
    stream = io.StringIO()
    logger.addHandler(ColorizingTextHandler(stream=stream))
    follow(logger)
    logger.info("", extra={"event": LogEvent.RUN_INFO, "stats": {"evaluate": 1, "total": 1}})
    begin(logger, 0, "evaluate", "Evaluate", ["metrics.json"])
    finish(logger, 0)
    assert stream.getvalue().endswith("Evaluate (0 s)\n")
