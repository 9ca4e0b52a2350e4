"""What the overlays under workflow/config promise."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from nern.addresses import OriginalCell
from nern.config import read
from nern.matrix import table_cells
from nern.report.published import predictor_bytes
from nern.resolved import original_settings
from nern.stages.reconstruct import predictor_parameters

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


def test_a_learned_embedding_gets_as_many_bytes_as_the_papers_predictor():
    overlays = [ROOT / f"workflow/config/{name}.yaml" for name in ("local", "cifar100")]
    config = read([ROOT / "config.yaml", *overlays])
    cells = [cell for cell in table_cells(config, "cifar100_sizes") if (cell.seed, cell.smoothing) == (0, "none")]
    for cell, papers in zip(cells, (220, 280, 320, 360), strict=True):
        fits, larger = (4 * predictor_parameters(config, replace(cell, hidden=cell.hidden + more)) for more in (0, 1))
        assert fits <= predictor_bytes(papers) < larger


def test_the_label_of_sinusoids_says_how_many_more_bytes_they_take():
    config = read([ROOT / "config.yaml", *(ROOT / f"workflow/config/{name}.yaml" for name in ("local", "cifar100"))])
    of = {cell.variant: predictor_parameters(config, cell) for cell in table_cells(config, "cifar100_parts")}
    more = 100 * (of["sinusoids"] / of["decoupled-deep"] - 1)
    assert f"({more:.0f} % more bytes)" in config.tables["cifar100_parts"].labels["sinusoids"]


@pytest.mark.parametrize(("task", "label"), [("cifar10", "label"), ("cifar100", "fine_label")])
def test_local_files_take_the_place_of_a_download_and_of_nothing_else(task, label):
    plain, local = (read([ROOT / "config.yaml", *more]) for more in ([], [ROOT / "workflow/config/local.yaml"]))
    images = local.tasks[task].images
    assert (images.source, images.image_column, images.label_column) == ("parquet", "img", label)
    assert local.tasks[task].model_copy(update={"images": plain.tasks[task].images}) == plain.tasks[task]
