"""What a run of Snakemake says: on a terminal a bar per rule and the best accuracies, in a file one line a job."""

import contextlib
import logging
import time
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text
from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.common import LogEvent

from nern import files
from nern.errors import NernError

SILENT = (LogEvent.JOB_STARTED, LogEvent.PROGRESS, LogEvent.RESOURCES_INFO, LogEvent.SHELLCMD)
CHATTER = ("Select jobs to", "Using shell: ", "Assuming unrestricted shared", "RuleException:\nCalledProcessError in ")
"""Starts of messages that say nothing, or what the next one says better."""
TAIL = 20
"""Lines of a failed job's log that are shown."""
AWAITED = ("tables/", "figures/", "results/cells.")
"""Where the files begin that a reader waits for: their jobs have a line on a terminal, too."""
PERIOD = 30 * 24 * 3600.0
"""Seconds over which the speed of a rule is averaged: more than a run takes."""


def follow(logger: logging.Logger) -> None:
    """Put a `RunLog` in the place of Snakemake's own handler; where `--logger` has put another, that stays.

    Args:
        logger: of Snakemake.
    """
    for handler in [each for each in logger.handlers if isinstance(each, ColorizingTextHandler)]:
        logger.addHandler(RunLog(handler))
        logger.removeHandler(handler)


class RunLog(logging.Handler):
    """A handler of Snakemake's events. What it has no shorter form of, such as errors, it says in Snakemake's words.

    Args:
        original: the handler in whose place it is, with its stream, its filters (`--quiet`) and its formatter.
    """

    def __init__(self, original: ColorizingTextHandler) -> None:
        super().__init__()
        self.filters = original.filters
        self.setFormatter(original.formatter)
        self._console = Console(file=original.stream, no_color=original.nocolor, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            speed_estimate_period=PERIOD,
        )
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[int, tuple[Any, float]] = {}
        self._best: dict[str, tuple[float, float]] = {}
        self._live = Live(get_renderable=self._view, console=self._console, refresh_per_second=1)

    def emit(self, record: Any) -> None:
        """Show one event; its attributes are Snakemake's."""
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self._plan(record.stats)
        elif event == LogEvent.JOB_INFO:
            self._begun[record.jobid] = record, time.monotonic()
        elif event == LogEvent.JOB_FINISHED:
            if record.job_id in self._begun:  # else it is one that `--quiet rules` keeps back
                self._finish(*self._begun[record.job_id])
        elif event == LogEvent.JOB_ERROR:
            self._fail(record)
        elif event not in SILENT and not record.getMessage().startswith(CHATTER):
            self._print(self.format(record), "red" if record.levelno >= logging.ERROR else "")

    def close(self) -> None:
        """Leave the last view where it is."""
        self._live.stop()
        super().close()

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def _plan(self, jobs: dict[str, int]) -> None:
        """Count the jobs of each rule and of the whole run (`total`)."""
        self._tasks = {rule: self._bars.add_task(rule, total=count) for rule, count in jobs.items()}
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live.start()
        else:
            counts = ", ".join(f"{count} {rule}" for rule, count in jobs.items() if rule != "total")
            self._print(f"{jobs['total']} jobs: {counts}")

    def _finish(self, job: Any, begun: float) -> None:
        for rule in (job.rule_name, "total"):
            self._bars.advance(self._tasks[rule])
        found = self._accuracy(job.output)
        if not self._live.is_started or any(path.startswith(AWAITED) for path in job.output):
            whole = self._bars.tasks[self._tasks["total"]]
            count = f"{whole.completed:{len(str(whole.total))}.0f} of {whole.total:.0f}"
            what = job.rule_msg or job.rule_name
            self._print(f"{time.strftime('%T')}  {count}  {what} ({time.monotonic() - begun:.0f} s){found}")

    def _fail(self, error: Any) -> None:
        job, _ = self._begun.get(error.jobid, (None, 0.0))  # of a group that an executor started, none is known
        what = (job.rule_msg or job.rule_name) if job else f"job {error.jobid}"
        self._print(f"{time.strftime('%T')}  failed: {what}", "red")
        if error.rule_msg:  # what an executor says of it
            self._print(error.rule_msg)
        for path in error.log:
            try:
                lines = Path(path).read_text(errors="replace").splitlines()
            except OSError as reason:
                lines = [f"cannot be read ({reason.strerror})"]
            self._print("\n    ".join([f"{path}:", *lines[-TAIL:]]))

    def _accuracy(self, outputs: list[str]) -> str:
        """The end of the line of a job that measured an accuracy; the best of each network's cells is kept."""
        for path in outputs:
            if path.endswith("/metrics.json"):
                with contextlib.suppress(NernError):
                    metrics = files.read_json(Path(path))
                    if "cell" in metrics:
                        network = f"{metrics['task']}/{metrics['network']}"
                        cell = metrics["accuracy"], metrics["original_accuracy"]
                        self._best[network] = max(cell, self._best.get(network, cell))
                    return f": {metrics['accuracy']:.2f} %"
        return ""

    def _view(self) -> Group:
        """The bars, and a line for each network of which a cell was evaluated."""
        best = [
            f"{name}: best {found:.2f} %, original {given:.2f} %" for name, (found, given) in list(self._best.items())
        ]
        return Group(self._bars, *map(Text, best))
