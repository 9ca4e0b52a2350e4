import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nern import addresses, matrix, resolved
from nern.addresses import Cell, OriginalCell
from nern.config import fingerprint, parse, read
from nern.distilling import settings_to_fit_by
from nern.errors import NernError
from nern.matrix import all_cells, check, table_cells
from nern.resolved import fit_settings, original_of, original_settings
from nern.settings import MODES, Original

ROOT = Path(__file__).parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())
NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(NAME, NAME, st.sampled_from(MODES), st.integers(1, 10**8), NAME, st.integers(0, 10**8))
def test_a_cells_path_names_the_cell(task, network, smoothing, hidden, variant, seed):
    cell = Cell(task, network, smoothing, hidden, variant, seed)
    assert Cell.parse(cell.path) == cell
    assert Cell.parse(cell.path + "/") == cell
    assert Cell.parse(cell.path + "/metrics.json") == cell


@given(NAME, NAME, NAME)
def test_an_originals_path_names_the_original(task, network, name):
    original = OriginalCell(task, network, name)
    assert OriginalCell.parse(original.path) == original


GOOD = "results/cifar10/resnet20/none/h140/base/seed0"
BAD = [
    "", "results", GOOD[8:], "/" + GOOD, GOOD.replace("resnet20", ".."), GOOD.replace("cifar10", ""), GOOD + "\n",
    GOOD.replace("base", "ba se"), GOOD.replace("base", "ba\nse"), GOOD.replace("h140", "h0"),
    GOOD.replace("h140", "h0140"), GOOD.replace("h140", "h-1"), GOOD.replace("h140", "140"),
    GOOD.replace("seed0", "seed00"), GOOD.replace("seed0", "seed-1"), GOOD.replace("seed0", "seed"),
    GOOD.replace("none", "sideways"), GOOD + "/../seed1", GOOD.replace("/", "//"), "../" + GOOD,
    GOOD + "/x/metrics.json",
    GOOD.replace("base", "x" * 65), GOOD.replace("base", "ba\x00se"), GOOD.replace("h140", "h" + "9" * 400),
    GOOD.replace("seed0", "seed٣"),
]  # fmt: skip


@pytest.mark.parametrize("path", BAD)
def test_other_paths_are_refused_in_one_sentence(path):
    with pytest.raises(NernError, match="no path of a cell") as caught:
        Cell.parse(path)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=80))
def test_no_text_ends_in_a_traceback(text):
    for kind in (Cell, OriginalCell):
        try:
            found = kind.parse(text)
        except NernError:
            continue
        assert found.path == text.removesuffix("/")


def test_the_papers_first_table_is_72_cells_of_two_originals():
    config = read([ROOT / "config.yaml"])
    cells = table_cells(config, "cifar10")
    assert len(cells) == len(set(cells)) == 72
    assert {original_of(config, cell).path for cell in cells} == {
        "results/cifar10/resnet20/originals/base",
        "results/cifar10/resnet56/originals/base",
    }
    assert set(cells) <= set(all_cells(config))


def prints(values):
    config = parse(values)
    return {cell: fingerprint(fit_settings(config, cell)) for cell in table_cells(config, "cifar10")}


@pytest.mark.parametrize(
    ("path", "value", "concerned"),
    [
        ("protocol.training.batch", 255, lambda cell: True),
        ("tasks.cifar10.networks.resnet56.protocol.training.warmup", 1, lambda cell: cell.network == "resnet56"),
        ("tasks.cifar10.networks.resnet20.shortcut", "A", lambda cell: cell.network == "resnet20"),
        ("variants.base", {"training": {"warmup": 5}}, lambda cell: True),
        ("variants.decoupled.training.iterations", 5, lambda cell: False),
        ("execution.device", "cpu", lambda cell: False),
        ("tasks.cifar10.images.root", "elsewhere", lambda cell: False),
        ("tasks.cifar10.note", "a note", lambda cell: False),
        ("original.epochs", 5, lambda cell: True),
    ],
)
def test_a_changed_value_concerns_exactly_its_cells(path, value, concerned):
    values = copy.deepcopy(SHIPPED)
    place = values
    *steps, last = path.split(".")
    for step in steps:
        place = place[step]
    place[last] = value
    before, after = prints(SHIPPED), prints(values)
    assert before.keys() == after.keys()
    for cell in before:
        assert (before[cell] != after[cell]) is concerned(cell), cell


LAYERS = {
    "all": "original",
    "task": "tasks.cifar10.original",
    "network": "tasks.cifar10.networks.resnet20.original",
    "named": "originals.base",
}
KEYS = [key for key in Original.model_fields if key != "weights"]


def with_originals(**settings):
    """The recipe of cifar10's resnet20, with some layers of `original` set."""
    values = copy.deepcopy(SHIPPED)
    for layer, original in settings.items():
        place = values
        for step in LAYERS[layer].split("."):
            place = place.setdefault(step, {})
        place.update(original)
    return parse(values)


def recipe(config):
    return original_settings(config, OriginalCell("cifar10", "resnet20", "base")).recipe


@pytest.mark.parametrize("weights", ["task", "network", "named"])
@pytest.mark.parametrize("other", ["all", "task", "network", "named"])
@pytest.mark.parametrize("key", KEYS)
def test_weights_and_a_recipe_of_the_same_place_or_a_more_particular_one_are_refused(weights, other, key):
    value = {"milestones": [7], "precision": "bfloat16"}.get(
        key, 0 if key in ("smoothness", "seed", "momentum", "weight_decay") else 1
    )
    layers = {weights: {"weights": "mine.pt"}}
    layers[other] = layers.get(other, {}) | {key: value}
    config, order = with_originals(**layers), list(LAYERS)
    if order.index(other) < order.index(weights):
        assert recipe(config).weights == "mine.pt"  # a default of the originals that are trained
        return
    with pytest.raises(NernError) as caught:
        check(config)
    for part in ("tables.cifar10", f"{LAYERS[other]} sets {key}", LAYERS[weights], "weights: null"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_null_again_leave_the_recipe():
    config = with_originals(task={"weights": "mine.pt"}, network={"weights": None, "epochs": 3})
    assert (recipe(config).weights, recipe(config).epochs) == (None, 3)


def test_weights_of_a_network_and_a_regularized_original_of_it_are_refused():
    values = copy.deepcopy(SHIPPED)
    values["tasks"]["cifar10"]["networks"]["resnet56"]["original"] = {"weights": "mine.pt"}
    with pytest.raises(NernError, match=r"tables.smoothness_regularization: originals.smooth-1e-6 sets smoothness"):
        check(parse(values))


def with_architecture(architecture):
    values = copy.deepcopy(SHIPPED)
    values["tasks"]["cifar10"]["networks"]["resnet20"] = {"architecture": architecture}
    return parse(values)


def test_an_own_architecture_counts_by_its_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    original = OriginalCell("cifar10", "resnet20", "base")
    (tmp_path / "net_of_test_matrix.py").write_text("activation = 'ReLU'\n")
    config = with_architecture("net_of_test_matrix:net")
    before = fingerprint(original_settings(config, original))
    (tmp_path / "net_of_test_matrix.py").write_text("activation = 'Tanh'\n")
    assert fingerprint(original_settings(config, original)) != before


@pytest.mark.parametrize("architecture", ["cifar-resnet", "torchvision:resnet18"])
def test_a_shipped_architecture_counts_by_its_settings(architecture):
    settings = original_settings(with_architecture(architecture), OriginalCell("cifar10", "resnet20", "base"))
    assert set(settings.architecture) == {"architecture", "depth", "width", "shortcut"}


def test_an_own_architecture_that_is_not_there_is_found_before_anything_runs():
    with pytest.raises(NernError, match=r"tables\.cifar10: .*'no_such_nets' is not found"):
        check(with_architecture("no_such_nets:net"))


@pytest.mark.parametrize(
    ("iterations", "losses", "refused"),
    [
        (10_001, {}, False),
        (10_000, {}, True),  # ResNet56 has a warm-up of so many
        (10_000, {"alpha": 0, "beta": 0}, False),
        (10_000, {"reconstruction": 0}, False),  # without L_recon there is none
        (0, {}, False),
    ],
)
def test_a_warm_up_that_leaves_no_distillation_is_refused_where_it_is_fitted(iterations, losses, refused):
    training = {"iterations": iterations, "losses": losses}
    config = read([ROOT / "config.yaml"], {"variants": {"base": {"training": training}}})
    matrix.check(config)  # a cell that nobody asks for stops no other
    cell = addresses.Cell("cifar10", "resnet56", "none", 240, "base", 0)
    if refused:
        with pytest.raises(
            NernError, match=r"training.warmup: 10000, leaves none of 10,000 iterations to alpha and beta"
        ):
            settings_to_fit_by(config, cell)
    else:
        assert settings_to_fit_by(config, cell) == resolved.fit_settings(config, cell)
