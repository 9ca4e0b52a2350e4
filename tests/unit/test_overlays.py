"""What the overlays under workflow/config promise."""

from pathlib import Path

import pytest
import yaml

from nern.config import read
from nern.matrix import OriginalCell, original_settings

ROOT = Path(__file__).parents[2]
CONFIG = read(
    [ROOT / "config.yaml", *(ROOT / "workflow" / "config" / f"{name}.yaml" for name in ("laptop", "published"))]
)


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("profiles/*/config.yaml"), *ROOT.glob("workflow/profiles/*/config.yaml")])
)
def test_no_profile_lets_a_large_file_count_by_its_date(path):
    assert yaml.safe_load(path.read_text())["max-checksum-file-size"] == "1TB"


@pytest.mark.parametrize(("network", "variable"), [("resnet20", "$NERN_WEIGHTS"), ("resnet56", "$NERN_WEIGHTS56")])
def test_each_network_of_the_published_run_has_weights_of_its_own(network, variable):
    recipe = original_settings(CONFIG, OriginalCell("cifar10-laptop", network, "base")).recipe
    assert recipe.weights == variable


@pytest.mark.parametrize(("task", "label"), [("cifar10", "label"), ("cifar100", "fine_label")])
def test_local_files_take_the_place_of_a_download_and_of_nothing_else(task, label):
    plain, local = (read([ROOT / "config.yaml", *more]) for more in ([], [ROOT / "workflow/config/local.yaml"]))
    images = local.tasks[task].images
    assert (images.source, images.image_column, images.label_column) == ("parquet", "img", label)
    assert local.tasks[task].model_copy(update={"images": plain.tasks[task].images}) == plain.tasks[task]
