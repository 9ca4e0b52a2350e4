"""What decides a number is in the fingerprint of what it decides, and nothing else is in any."""

import copy
import json
import types
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest

from nern.addresses import Cell, OriginalCell
from nern.compression import compression_settings
from nern.config import Config, fingerprint, parse, read
from nern.matrix import COMPUTED_TABLES, figure_cells
from nern.report import inputs
from nern.report.comparable import LAMBDA_TABLE
from nern.report.inputs import figure_fingerprint, table_fingerprint
from nern.resolved import FitSettings, data_settings, fit_settings, original_of, original_settings, permutation_settings
from nern.settings import MODES, Protocol, Settings

PUBLISHED = Path(__file__).parents[2] / "tables/published/2026-11-28-cifar100"
NETWORK = {"architecture": "cifar-resnet", "depth": 20}
TASK = {
    "title": "T",
    "classes": 10,
    "images": {"source": "torchvision", "dataset": "CIFAR10"},
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "networks": {"n": NETWORK},
}
FOLDER = {"source": "folder", "train": "a", "test": "b", "resize": 256}
VALUES: dict[str, Any] = {
    "seeds": [0],
    "originals": {"base": {}, "other": {}},
    "variants": {
        "base": {},
        "muon": {"training": {"optimizer": {"name": "muon"}}},
        "two": {"distillation": {}, "distillation_gradient": True},  # what is coded is distilled in any protocol
        "three": {"distillation": {"batch": 3}},
    },
    "codecs": {
        "f": {"kind": "float", "bits": 32},
        "u": {"kind": "uniform", "bits": 4},
        "b": {"kind": "binary"},
        "e": {"kind": "entropy-coded", "step": 1},
        "c": {"kind": "codebook", "bits": 2},
        "v": {"kind": "vector-codebook", "size": 4},
        "s": {"kind": "sparse", "sparsity": 0.5},
        "l": {"kind": "low-rank", "ratio": 0.5},
    },
    "compression": {
        "original": {"codecs": list("fubecvsl"), "distilled": [{"codec": "u", "rate": 0.1}]},
        "predictor": {"codecs": list("fubecvsl"), "distilled": [{"codec": "u", "rate": 0.1}]},
        "variant": "two",
    },
    "tasks": {
        "t": TASK,
        "digits": TASK | {"images": {"source": "digits"}},
        "parquet": TASK | {"images": {"source": "parquet", "train": ["a"], "test": ["b"]}},
        "folder": TASK | {"images": FOLDER},
    },
    "tables": {"t": {"title": "T", "task": "t", "sizes": {"n": [8]}}},
    "frontiers": {"t": {"title": "T", "task": "t", "sizes": {"n": [8]}}},
    "figures": {
        "loss_curves": {"title": "F", "table": "t"},
        "meta_compression": {"title": "F", "task": "t", "network": "n", "hidden": 8, "codecs": ["s"]},
        "weight_importance": {"title": "F", "task": "t", "network": "n", "hidden": 8, "layer": "l"},
        "kernels": {"title": "F", "task": "t", "network": "n", "hidden": 8, "layer": 1},
        "embedding_similarity": {"title": "F", "bases": [0.5]},
        "learned_embeddings": {"title": "F", "task": "t", "network": "n", "hidden": 8},
    },
}

DATA, ORIGINAL, ORDER, FIT = "data original fit", "original fit", "permutation fit", "fit"
BOTH, STORED = "stored coded", "stored"  # what is measured of an original and of a cell
NOTHING = ""
CODECS = dict(
    Float="f", Uniform="u", Binary="b", EntropyCoded="e", Codebook="c", VectorCodebook="v", Sparse="s", LowRank="l"
)
WHERE = {
    "Config": "", "Task": "tasks.t.", "Threads": "execution.threads.", "Execution": "execution.",
    "TorchvisionImages": "tasks.t.images.", "DigitsImages": "tasks.digits.images.",
    "ParquetImages": "tasks.parquet.images.", "FolderImages": "tasks.folder.images.",
    "Augmentation": "tasks.t.augmentation.", "Original": "original.", "Network": "tasks.t.networks.n.",
    "Protocol": "protocol.", "Variant": "variants.muon.", "PositionalEmbedding": "protocol.embedding.",
    "TableEmbedding": "protocol.embedding.",
    "Phase": "protocol.training.", "Losses": "protocol.training.losses.",
    "Sampling": "protocol.training.sampling.", "Optimizer": "protocol.training.optimizer.",
    "Reordering": "protocol.training.reordering.",
    "Table": "tables.t.", "Frontier": "frontiers.t.",
    "Compression": "compression.", "Stored": "compression.original.",
    "Distilled": "compression.original.distilled.0.",
    **{kind: f"codecs.{name}." for kind, name in CODECS.items()},
    "Figures": "figures.", "TableFigure": "figures.loss_curves.",
    "PruningFigure": "figures.meta_compression.", "ImportanceFigure": "figures.weight_importance.",
    "KernelsFigure": "figures.kernels.", "EmbeddingFigure": "figures.embedding_similarity.",
    "FitFigure": "figures.learned_embeddings.",
}  # fmt: skip
DECIDES: dict[str, tuple[Any, str]] = {
    "Config.seeds": ([0, 1], NOTHING),
    "Config.inherit": (False, NOTHING),
    "Execution.device": ("cpu", NOTHING),
    "Execution.save_every": (5.0, NOTHING),
    **{f"Threads.{stage}": (3, NOTHING) for stage in ("train_original", "permute", "fit", "evaluate")},
    "Task.title": ("Another", NOTHING),
    "Task.note": ("A note", NOTHING),
    "Task.classes": (11, DATA),
    "Task.mean": ([0.4, 0.5, 0.5], ORIGINAL),
    "Task.std": ([0.4, 0.5, 0.5], ORIGINAL),
    "TorchvisionImages.source": ("digits", DATA),
    "TorchvisionImages.dataset": ("CIFAR100", DATA),
    "TorchvisionImages.root": ("elsewhere", NOTHING),
    "DigitsImages.source": ({"source": "torchvision", "dataset": "CIFAR10"}, DATA),
    "DigitsImages.test_fraction": (0.5, DATA),
    "ParquetImages.source": (FOLDER, DATA),
    "ParquetImages.train": (["c"], DATA),
    "ParquetImages.test": (["c"], DATA),
    "ParquetImages.image_column": ("image", DATA),
    "ParquetImages.label_column": ("fine", DATA),
    "FolderImages.source": ({"source": "parquet", "train": ["a"], "test": ["b"]}, DATA),
    "FolderImages.train": ("c", DATA),
    "FolderImages.test": ("c", DATA),
    "FolderImages.size": (128, DATA),
    "FolderImages.resize": (300, DATA),
    "FolderImages.streaming": (True, DATA),
    "FolderImages.workers": (3, NOTHING),
    "Augmentation.padding": (4, ORIGINAL),
    "Augmentation.flip": (True, ORIGINAL),
    "Original.weights": ("w.pt", ORIGINAL),
    "Original.epochs": (3, ORIGINAL),
    "Original.batch": (3, ORIGINAL),
    "Original.lr": (0.3, ORIGINAL),
    "Original.momentum": (0.3, ORIGINAL),
    "Original.weight_decay": (0.3, ORIGINAL),
    "Original.milestones": ([3], ORIGINAL),
    "Original.gamma": (0.3, ORIGINAL),
    "Original.smoothness": (0.3, ORIGINAL),
    "Original.precision": ("bfloat16", ORIGINAL),
    "Original.seed": (3, ORIGINAL),
    "Network.architecture": ("torchvision:resnet18", ORIGINAL),
    "Network.depth": (32, ORIGINAL),
    "Network.width": (32, ORIGINAL),
    "Network.shortcut": ("A", ORIGINAL),
    "Network.learnable": ([3], ORDER),
    "Network.cosine_for_1x1": (True, ORDER),
    "Protocol.original": ("other", FIT),
    "Protocol.activation": ("gelu", FIT),
    "Protocol.initialization": ("default", FIT),
    "Protocol.inputs": ("uniform", FIT),
    "Protocol.distillation_gradient": (False, FIT),
    "Protocol.precision": ("bfloat16", FIT),
    "Protocol.predictor_precision": ("bfloat16", FIT),
    "Protocol.distillation": ({}, FIT),
    "Protocol.evaluate_every": (3, FIT),
    "Variant.extends": ("muon", NOTHING),  # as such; what the other variant changes counts
    "PositionalEmbedding.kind": ("table", FIT),
    "PositionalEmbedding.base": (0.3, FIT),
    "PositionalEmbedding.levels": (3, FIT),
    "PositionalEmbedding.normalized": (True, FIT),
    "TableEmbedding.kind": ("table", FIT),
    **{f"{kind}.kind": ({"kind": "float", "bits": 16}, BOTH) for kind in CODECS if kind not in ("Float", "Uniform")},
    "Uniform.kind": ({"kind": "binary"}, BOTH),  # what is distilled must be a kind that can be
    "Float.kind": ({"kind": "binary"}, BOTH),
    "Float.bits": (16, BOTH),
    "Uniform.bits": (5, BOTH),
    "Uniform.coded": (True, BOTH),
    "EntropyCoded.step": (2, BOTH),
    "Codebook.bits": (3, BOTH),
    "VectorCodebook.size": (5, BOTH),
    "VectorCodebook.group": (5, BOTH),
    "Sparse.sparsity": (0.6, BOTH),
    "Sparse.bits": (8, BOTH),
    "LowRank.ratio": (0.6, BOTH),
    "Stored.codecs": (["f"], STORED),
    "Stored.iterations": (3, STORED),
    "Distilled.codec": ("b", STORED),
    "Distilled.rate": (0.2, STORED),
    "Compression.variant": ("three", BOTH),
    "Compression.warmup": (0.5, BOTH),
    "Compression.clip": (0.5, BOTH),
    "Frontier.title": ("Another", NOTHING),
    "Frontier.task": ("digits", NOTHING),
    "Frontier.sizes": ({"n": [8, 9]}, NOTHING),
    "Frontier.smoothing": (["none"], NOTHING),
    "Frontier.variants": (["muon"], NOTHING),
    "Frontier.margin": (1, NOTHING),
    "Phase.iterations": (3, FIT),
    "Phase.batch": (3, FIT),
    "Phase.warmup": (3, FIT),
    "Phase.reordering": ({}, FIT),
    "Reordering.every": (3, FIT),
    "Reordering.rounds": (3, FIT),
    "Optimizer.rise": (0.5, FIT),
    "Losses.reconstruction": (3, FIT),
    "Losses.alpha": (3, FIT),
    "Losses.beta": (3, FIT),
    "Losses.form": ("text", FIT),
    "Losses.epsilon": (3, FIT),
    "Losses.sums_twice": (True, FIT),
    "Sampling.method": ("all", FIT),
    "Sampling.kernels": (3, FIT),
    "Sampling.uniform_probability": (0.3, FIT),
    "Optimizer.name": ("muon", FIT),
    "Optimizer.lr": (0.3, FIT),
    "Optimizer.final_lr": (0.3, FIT),
    "Optimizer.betas": ([0.3, 0.3], FIT),
    "Optimizer.weight_decay": (0.3, FIT),
    "Optimizer.adabelief": (True, FIT),
    "Optimizer.centralize": (False, FIT),
    "Table.title": ("Another", NOTHING),
    "Table.task": ("digits", NOTHING),
    "Table.sizes": ({"n": [8, 9]}, NOTHING),
    "Table.smoothing": (["none"], NOTHING),
    "Table.variants": (["muon"], NOTHING),
    "Table.columns": ("variant", NOTHING),
    "Table.labels": ({"base": "B"}, NOTHING),
    "TableFigure.title": ("Another", NOTHING),
    "TableFigure.table": ("u", NOTHING),
    **{
        f"{kind}.{field}": (value, NOTHING)
        for kind in ("PruningFigure", "ImportanceFigure", "KernelsFigure", "FitFigure")
        for field, value in {
            "title": "Another", "task": "digits", "network": "m", "smoothing": "none", "hidden": 9, "variant": "muon"
        }.items()
    },
    "PruningFigure.codecs": (["f"], NOTHING),
    "ImportanceFigure.layer": ("m", NOTHING),
    "ImportanceFigure.images": (3, NOTHING),
    "ImportanceFigure.filters": (3, NOTHING),
    "KernelsFigure.layer": (3, NOTHING),
    "KernelsFigure.side": (3, NOTHING),
    "EmbeddingFigure.title": ("Another", NOTHING),
    "EmbeddingFigure.bases": ([0.3], NOTHING),
    "EmbeddingFigure.levels": (3, NOTHING),
    "EmbeddingFigure.indices": (3, NOTHING),
    "EmbeddingFigure.reference": (3, NOTHING),
}  # fmt: skip
"""Every field that holds no section of its own: another value for it, and the fingerprints that it then changes."""


def sections(kind: Any) -> list[type[Settings]]:
    """The models in a field's type."""
    if isinstance(kind, type) and issubclass(kind, Settings):
        return [kind]
    if get_origin(kind) in (Annotated, Union, types.UnionType, dict, list):
        return [model for part in get_args(kind) for model in sections(part)]
    return []


def fields(model: type[Settings], seen: set[type[Settings]]) -> dict[str, list[type[Settings]]]:
    """The fields of a model and of all below it, each with the models that it holds."""
    seen.add(model)
    found = {f"{model.__name__}.{name}": sections(field.annotation) for name, field in model.model_fields.items()}
    for below in [each for held in list(found.values()) for each in held if each not in seen]:
        found |= fields(below, seen) if below not in seen else {}
    return found


def leaves() -> set[str]:
    """The fields of the configuration that hold no section; a variant's are its protocol's, but for `extends`."""
    inherited = {f"Variant.{name}" for name in Protocol.model_fields}
    optional = {"Protocol.distillation", "Phase.reordering"}
    return {name for name, held in fields(Config, set()).items() if not held or name in optional} - inherited


def changed(field: str, value: Any) -> dict[str, Any]:
    """The values with another one for a field."""
    model, name = field.split(".")
    values = copy.deepcopy(VALUES)
    *steps, last = (WHERE[model] + name).split(".")
    place = values
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if last == "kind" and steps[0] == "codecs":  # another kind has other keys
        place.clear()
        place |= value
        return values
    if last == "source":  # another source has other keys
        steps, last, place = [], "images", values["tasks"][steps[1]]
        value = value if isinstance(value, dict) else {"source": value}
    place[last] = value
    return values


def prints(config: Config, task: str) -> dict[str, str]:
    """The fingerprints of one cell, of its original, and of what either is worth when it is stored."""
    original, cell = OriginalCell(task, "n", "base"), Cell(task, "n", "cross-filter", 8, "base", 0)
    return {
        "data": fingerprint(data_settings(config, task)),
        "original": fingerprint(original_settings(config, original)),
        "permutation": fingerprint(permutation_settings(config, original, "cross-filter")),
        "fit": fingerprint(fit_settings(config, cell)),
        "stored": fingerprint(compression_settings(config, original)),
        "coded": fingerprint(compression_settings(config, cell)),
    }


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("results/**/fit.json")), ids=lambda p: "/".join(p.parts[-4:-1]))
def test_published_fits_keep_their_fingerprint(path):
    """Settings that came later are not in the files of before, and change no fingerprint by their default."""
    said = json.loads(path.with_name("config.json").read_text())
    said.pop("checksum")
    assert fingerprint(FitSettings.model_validate(said)) == json.loads(path.read_text())["fingerprint"]


def test_every_setting_is_classified():
    assert leaves() == set(DECIDES)


@pytest.mark.parametrize("field", [name for name in DECIDES if name != "Variant.extends"])
def test_a_setting_is_in_the_fingerprints_of_what_it_decides(field):
    value, decides = DECIDES[field]
    where = WHERE[field.split(".")[0]].split(".")
    task = where[1] if where[0] == "tasks" else "t"
    before, after = prints(parse(VALUES), task), prints(parse(changed(field, value)), task)
    found = {name for name in before if before[name] != after[name]}
    if "original" in found:
        assert "stored" in found
    if "fit" in found:
        assert "coded" in found
        found -= {"stored", "coded"}  # by the phase that distills what is coded, weights' may change with a fit's, too
    assert found == set(decides.split())


def test_a_variant_counts_by_what_it_says_not_by_whom_it_extends():
    values = copy.deepcopy(VALUES)
    values["variants"]["base"] = {"extends": "muon"}
    extended = prints(parse(values), "t")
    values["variants"]["base"] = VALUES["variants"]["muon"]
    assert prints(parse(values), "t") == extended != prints(parse(VALUES), "t")


@pytest.mark.parametrize("field", [name for name in DECIDES if name.startswith("Original.") and "weights" not in name])
def test_the_recipe_does_not_count_where_weights_are_imported(field):
    values = changed(field, DECIDES[field][0])
    plain = copy.deepcopy(VALUES)
    for each in (values, plain):
        each.setdefault("original", {})["weights"] = "w.pt"
    assert prints(parse(values), "t") == prints(parse(plain), "t")


@pytest.mark.parametrize(
    "spelling",
    [
        {"original": {"lr": 1.0e-1}},
        {"original": {"lr": "0.1"}},
        {"protocol": {"embedding": {"levels": 40}}},
        {"tasks": VALUES["tasks"] | {"new": TASK}},
        {"variants": {"muon": {}, "base": {}, "two": {"distillation": {}}}},
        {"tasks": {"t": dict(reversed(TASK.items()))}},
    ],
)
def test_how_a_setting_is_written_does_not_count(spelling):
    assert prints(parse(VALUES | spelling), "t") == prints(parse(VALUES), "t")


@pytest.mark.parametrize(
    ("path", "value", "tables", "figures"),
    [
        (
            "tasks.t.title",
            "New",
            True,
            {"loss_curves", "meta_compression", "weight_importance", "kernels", "learned_embeddings"},
        ),
        ("tasks.t.note", "New", True, set()),
        ("tasks.t.networks.m", NETWORK, False, set()),
        ("tasks.digits.title", "New", False, set()),
        ("execution.device", "cpu", False, set()),
        ("tables.t.labels", {"base": "B"}, True, {"loss_curves"}),
        ("figures.kernels.title", "New", False, {"kernels"}),
    ],
)
def test_what_is_shown_is_made_anew_when_its_words_change(path, value, tables, figures):
    values = copy.deepcopy(VALUES)
    *steps, last = path.split(".")
    place = values
    for step in steps:
        place = place.setdefault(step, {})
    place[last] = value
    before, after = parse(VALUES), parse(values)
    assert (table_fingerprint(before, "t") != table_fingerprint(after, "t")) is tables
    names = before.figures.names
    assert {n for n in names if figure_fingerprint(before, n) != figure_fingerprint(after, n)} == figures
    assert figure_cells(before, "kernels") == figure_cells(after, "kernels")


def test_what_shows_published_figures_is_made_anew_when_one_is_corrected(tmp_path, monkeypatch):
    config = parse(VALUES)
    names = ["t", "frontier_t", *COMPUTED_TABLES]

    def shown():
        figures = {f"figures/{name}": figure_fingerprint(config, name) for name in config.figures.names}
        return {name: table_fingerprint(config, name) for name in names} | figures

    before = shown()
    corrected = tmp_path / "published.csv"
    corrected.write_text(inputs._PUBLISHED.read_text().replace("90.85", "90.86", 1))
    monkeypatch.setattr(inputs, "_PUBLISHED", corrected)
    after = shown()
    assert {name for name in before if before[name] != after[name]} == {"t", "permutation_overhead", "summary"}


def test_a_summary_is_made_anew_when_other_factors_are_tried():
    table = VALUES["tables"]["t"]
    factors = [
        parse(VALUES | {"tables": VALUES["tables"] | {LAMBDA_TABLE: table | {"smoothing": [each]}}}) for each in MODES
    ]
    assert len({table_fingerprint(config, "summary") for config in factors}) == len(MODES)


@pytest.mark.parametrize(
    ("distillation", "changes"),
    [
        ({"optimizer": {"lr": 0.5, "weight_decay": 0.5}}, set()),  # each point has its own rate, Adam no decay
        ({"sampling": {"method": "uniform"}}, {"coded"}),  # a fit's kernels are sampled; weights all get gradients
        ({"batch": 7}, {"coded", "stored"}),
        ({"optimizer": {"final_lr": 0.5}}, {"coded", "stored"}),
        ({"losses": {"epsilon": 0.5}}, {"coded", "stored"}),
    ],
)
def test_of_the_phase_that_distills_what_is_coded_counts_what_is_used(tmp_path, distillation, changes):
    (tmp_path / "mine.yaml").write_text(json.dumps({"variants": {"decoupled": {"distillation": distillation}}}))
    root = Path(__file__).parents[2]
    configs = [read([root / "config.yaml"]), read([root / "config.yaml", tmp_path / "mine.yaml"])]
    cell = Cell("cifar10", "resnet20", "none", 140, "base", 0)
    before, after = (
        {"coded": compression_settings(each, cell), "stored": compression_settings(each, original_of(each, cell))}
        for each in configs
    )
    assert {name for name in before if before[name] != after[name]} == changes
