"""Stage `prepare_data`: a task's images, read once from their source into `results/<task>/images/`."""

import logging
from pathlib import Path

from nern import checkpoint
from nern.config import Config
from nern.data import prepared
from nern.data.sources import read_source
from nern.matrix import data_path, data_settings, task_of

log = logging.getLogger(__name__)


def run(config: Config, task: str) -> None:
    """Read the images of `task`, check them and write its folder.

    Raises:
        NernError: the source cannot be read, does not fit the task, or the folder cannot be written.
    """
    settings, found = data_settings(config, task), task_of(config, task)
    folder, where = Path(data_path(task)), f"tasks.{task}.images"
    with checkpoint.exclusive(folder):
        log.info("%s: reading %s (%s)", task, found.title, found.images.source)
        splits = read_source(found.images, where, len(found.mean))
        prepared.write(folder, splits, settings)
    counts = ", ".join(f"{len(labels)} {split}" for split, (_, labels) in splits.items())
    log.info("%s: wrote %s images to %s", task, counts, folder)
