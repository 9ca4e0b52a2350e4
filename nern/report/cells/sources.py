"""Whether a user's files hold what an original was imported from, and its images prepared from."""

from pathlib import Path

from nern.addresses import OriginalCell, manifest_path
from nern.config import Config
from nern.data import contents
from nern.data.splits import SPLITS
from nern.resolved import weights_file


def changed_weights(config: Config, original: OriginalCell, root: Path) -> str:
    """That the weights are others than those that were imported; empty if they are not, or are not there.

    Args:
        config: the configuration.
        original: the imported network; of one that was trained nothing is said.
        root: the folder that `results/` lies in.
    """
    recorded = contents.recorded(root / original.path / "metrics.json", "inputs").get("weights")
    if contents.weights(config, original) in (None, recorded) or recorded is None:
        return ""
    return f"{weights_file(config, original)} has changed since"


def changed_images(config: Config, task: str, root: Path) -> str:
    """That images are others than those that were prepared; empty if they are not, or are not there."""
    recorded = contents.recorded(root / manifest_path(task), "sources")
    for split in SPLITS:
        if split in recorded and contents.source(config, task, split) not in (None, recorded[split]):
            return f"the images of tasks.{task}.images.{split} have changed since"
    return ""
