"""What figures show: frames by formulas and by hand. That each is drawn is for the smoke run."""

import base64
import itertools
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from test_report import write_cell
from torch import nn

from nern import config as configuration
from nern import files
from nern.codecs import AnyCodec
from nern.compression import compression_settings
from nern.config import fingerprint
from nern.errors import NernError
from nern.matrix import figure_cells, table_cells
from nern.method.kernels import KernelLayout
from nern.method.predictor import predictor_of
from nern.report.figures import (
    cells,
    compression,
    cost,
    curves,
    frontier,
    importance,
    learned,
    regularization,
    similarity,
    tradeoff,
    write,
)
from nern.report.figures.style import plain_ticks, style
from nern.report.frontier.points import MORE, NUMBERS
from nern.report.verification import shown
from nern.report_settings import CellsFigure, EmbeddingFigure, ImportanceFigure, PruningFigure, TableFigure
from nern.resolved import fit_settings
from nern.settings import PositionalEmbedding, TableEmbedding
from nern.stages.importance import mean_activations

ROOT = Path(__file__).parents[2]
CONFIG = configuration.read([ROOT / "config.yaml"])


def test_each_point_of_a_frontier_says_what_it_is_in_the_svg():
    points = pd.read_csv(ROOT / "tables/published/2026-11-25-frontier/frontier_cifar10_exact.csv")
    drawn = ElementTree.fromstring(frontier.picture(points, "a <title> of $1 & more"))
    said = Counter(group.findtext("{*}title") for group in drawn.iterfind(".//{*}g[@class='says']"))
    lowest = points["original_accuracy"].iloc[0] - frontier.LEAST_ACCURACY
    for point in points.to_dict("records"):
        order = {"none": "no permutation"}.get(point["smoothing"], point["smoothing"])
        predictor = f"predictor, h 160 (decoupled-table, {order}), {point['codec']}: "
        start = f"weights, {point['codec']}: " if point["stored"] == "weights" else predictor
        worth = f"accuracy {point['accuracy']:.2f} %, divergence {point['divergence']:.4f}"
        panels = int(point["accuracy"] >= lowest) + int(point["divergence"] <= frontier.DIVERGENCES[1])
        found = [text for text in said if text.startswith(f"resnet20, {start}")]
        assert [said[text] for text in found] == [panels] * bool(panels), "once in each panel that shows it"
        for text in found:
            size = float(text.split(": ")[1].split()[0])
            assert worth in text and size == pytest.approx(point["bytes"] / 1024, abs=0.5)


def test_a_frontier_shows_what_beats_the_original_and_says_how_much_it_does_not_show():
    points = pd.read_csv(ROOT / "tables/published/2026-11-25-frontier/frontier_cifar10_exact.csv")
    original = points["original_accuracy"].iloc[0]
    points.loc[0, "accuracy"], points.loc[1, "accuracy"] = original + 6, original - 31
    worst, far = (points["accuracy"] < original - 30).sum(), (points["divergence"] > 10).sum()
    figure = frontier.draw(points, "")
    assert figure.axes[0].get_ylim()[1] > original + 6
    said = f"{worst} accuracies more than 30 points below the original's and {far} divergences above 10"
    assert worst and far and figure.get_supxlabel().endswith(f"at the foot\nnot shown: {said}")
    seen = frontier.draw(points[(points["accuracy"] > 70) & (points["divergence"] < 10)], "")
    assert seen.get_supxlabel().endswith("at the foot")
    half = points.assign(seeds=2, n=[1] * 10 + [2] * (len(points) - 10))
    assert frontier.draw(half, "").get_supxlabel().endswith(f"\n10 of {2 * len(points)} measurements are missing")


def test_a_frontier_of_nothing_is_no_figure_but_a_sentence(tmp_path):
    with pytest.raises(NernError, match="nothing of it is compressed; run: snakemake figures/frontier_cifar10"):
        write.write(CONFIG, "frontier_cifar10", tmp_path, tmp_path)


def test_similarity_by_its_closed_form():
    # every sine and cosine pair has length 1, so the dot product is the sum of cos(b^i π (c − r)) and 2N ones
    settings = EmbeddingFigure(title="", bases=[0.76, 1.25], levels=7, indices=9, reference=4)
    for base, index, found in similarity.frame(settings).itertuples(index=False):
        waves = sum(math.cos(math.pi * base**level * (index - 4)) for level in range(7))
        assert found == pytest.approx((waves + 14) / 21, abs=1e-5)


def test_learned_embeddings_are_compared_axis_by_axis():
    layout = KernelLayout([(2, 3, 3, 3), (3, 2, 3, 3)], [torch.arange(6), torch.arange(6)])
    predictor = predictor_of(TableEmbedding(kind="table"), "relu", 2, layout)
    vectors = {"layers": [[1, 0], [0, 2]], "filters": [[1, 1], [2, 2], [-3, -3]], "channels": [[1, 0], [1, 1], [-1, 0]]}
    with torch.no_grad():
        predictor.linears[0].weight.copy_(torch.tensor([v for axis in vectors.values() for v in axis]).T)
    data = learned.frame(predictor).set_index(["axis", "index", "other"])["similarity"]
    assert len(data) == 2**2 + 3**2 + 3**2
    assert data["layers", 0, 1] == pytest.approx(0)
    assert data["filters", 0, 1] == pytest.approx(1) and data["filters", 1, 2] == pytest.approx(-1)
    assert data["channels", 0, 1] == pytest.approx(math.sqrt(0.5)) and data["channels", 0, 2] == pytest.approx(-1)


def test_sinusoids_are_no_learned_embedding():
    layout = KernelLayout([(2, 3, 3, 3)], [torch.arange(6)])
    with pytest.raises(NernError, match=r"figures\.learned_embeddings\.variant: its embedding is not learned"):
        learned.frame(predictor_of(PositionalEmbedding(), "relu", 2, layout))


def put_cells(root, name, beside, config=CONFIG):
    """Finished cells of a figure, each with the files that `beside(cell)` gives."""
    for cell in figure_cells(config, name):
        write_cell(root, cell, fingerprint=fingerprint(fit_settings(config, cell)))
        for file, content in beside(cell).items():
            if file.endswith(".json"):
                inputs = {f"{cell.path}/predictor.safetensors": "0" * 64}
                files.write_json(root / cell.path / file, {"inputs": inputs} | content)
            else:
                (root / cell.path / file).write_text(content)
                fit = files.read_json(root / cell.path / "fit.json")
                outputs = fit["outputs"] | {file: files.sha256(root / cell.path / file)}
                files.write_json(root / cell.path / "fit.json", fit | {"outputs": outputs})


def compression_of(cell, codecs):
    """What `compress` writes, of 100 test images and 100 weights; with each codec 10 images more are wrong."""
    points = []
    for number, name in enumerate(codecs):
        right = 80 + cell.seed - 10 * number
        point = dict.fromkeys([*NUMBERS, *MORE], 0) | {"codec": name, "accuracy": right}
        point |= {"bytes": 100 - number, "coded_bytes": 100 - number, "bits_per_weight": 8 * (100 - number) / 100}
        points.append(point | {"hits": base64.b64encode(np.packbits(np.arange(100) < right)).decode()})
    record = {"path": cell.path, "fingerprint": fingerprint(compression_settings(CONFIG, cell)), "points": points}
    record |= {"learnable_parameters": 100, "test_images": 100}
    return {"compression.json": record, "compress.json": {"seconds": dict.fromkeys(codecs, 1.0)}}


def test_compression_is_the_mean_over_seeds(tmp_path):
    codecs = CONFIG.figures.meta_compression.codecs
    put_cells(tmp_path, "meta_compression", lambda cell: compression_of(cell, codecs))
    done, note = cells.done_cells(CONFIG, "meta_compression", tmp_path)
    data = compression.frame(CONFIG, CONFIG.figures.meta_compression, done, tmp_path)
    assert data["sparsity"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert data["bytes"].tolist() == [100, 99, 98, 97, 96, 95, 94]
    row = data.iloc[0]
    # 80 … 83: mean 81.5; s = √(5/3), half-width 3.182446 · s / 2
    assert (row["accuracy"], row["n"], row["bytes"]) == (81.5, 4, 100)
    assert row["half_width"] == pytest.approx(3.182446 * math.sqrt(5 / 3) / 2, rel=1e-6)
    assert note.endswith(", 10,000 test images; 4 of 4 fits, 70,000 iterations")


def test_a_line_of_pruned_predictors_is_of_values_of_as_many_bits():
    rows = [[0.5, 8, 4, 80.0, 1.0, 100], [0.5, 32, 4, 90.0, 1.0, 400], [0.7, 32, 4, 85.0, 1.0, 300]]
    data = pd.DataFrame(rows, columns=["sparsity", "bits", "n", "accuracy", "half_width", "bytes"])
    figure = compression.draw(data, CONFIG.figures.meta_compression, "")
    drawn = {bar.get_label(): list(bar.lines[0].get_ydata()) for bar in figure.axes[0].containers}
    assert drawn == {"values in 8 bits": [80.0], "values in 32 bits": [90.0, 85.0]}
    assert [line.get_label() for line in figure.axes[1].lines] == list(drawn)


def test_a_file_of_another_predictor_is_refused(tmp_path):
    settings = CONFIG.figures.meta_compression
    put_cells(tmp_path, "meta_compression", lambda cell: compression_of(cell, []))
    done, _ = cells.done_cells(CONFIG, "meta_compression", tmp_path)
    with pytest.raises(NernError, match=r"pruned-10 was not measured; add it to compression\.predictor\.codecs"):
        compression.frame(CONFIG, settings, done, tmp_path)
    cell = figure_cells(CONFIG, "meta_compression")[0].path
    path = tmp_path / cell / "compression.json"
    files.write_json(path, files.read_json(path) | {"inputs": {f"{cell}/predictor.safetensors": "1" * 64}})
    with pytest.raises(NernError, match="belongs to another predictor; run: nern compress"):
        compression.frame(CONFIG, settings, done, tmp_path)


@pytest.mark.parametrize("change", ["codec", "predictor"])
def test_what_was_compressed_by_other_settings_or_of_other_files_is_refused(tmp_path, change):
    config, codecs = CONFIG, CONFIG.figures.meta_compression.codecs
    put_cells(tmp_path, "meta_compression", lambda cell: compression_of(cell, codecs))
    done, _ = cells.done_cells(CONFIG, "meta_compression", tmp_path)
    if change == "codec":
        config = CONFIG.model_copy(update={"codecs": CONFIG.codecs | {codecs[0]: CONFIG.codecs[codecs[1]]}})
    else:
        (tmp_path / done["cell"].iloc[0] / "predictor.safetensors").write_bytes(b"another")
    again = rf"compression\.json: is of other settings or files; run: nern compress {done['cell'].iloc[0]}"
    with pytest.raises(NernError, match=again):
        compression.frame(config, config.figures.meta_compression, done, tmp_path)


def test_without_any_cell_a_figure_is_one_sentence(tmp_path):
    with pytest.raises(NernError, match=r"figures\.kernels: none of its 1 fits is done; run: snakemake"):
        cells.done_cells(CONFIG, "kernels", tmp_path)


def test_importance_picks_by_the_mean_error(tmp_path):
    # filter f has the error f + seed/10 but for filter 2, whose error falls with the seed below that of filter 1
    def beside(cell):
        errors = [0.0, 1.0, 4.0 - 2.5 * cell.seed, 3.0, 4.0, 5.0, None]  # the last filter is all zeros
        values = {"relative_error": errors, "activation": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 0.0]}
        return {"importance.json": {"layer": "x", "images": 1000} | values}

    put_cells(tmp_path, "weight_importance", beside)
    done, _ = cells.done_cells(CONFIG, "weight_importance", tmp_path)
    settings = ImportanceFigure(title="", task="imagenet", network="resnet18", hidden=1256, layer="x", filters=2)
    data = importance.frame(settings, done, tmp_path)
    # mean error of filter 2: 4 − 2.5 · 1.5 = 0.25
    assert data[data["group"] == "lowest error"]["filter"].tolist() == [0, 2]
    assert data[data["group"] == "highest error"]["filter"].tolist() == [4, 5]
    assert data[data["group"] == "highest error"]["activation"].tolist() == [50.0, 60.0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"images": 20_000}, None),  # there are 10,000 test images
        ({"title": "Another", "filters": 1}, None),
        ({"layer": "conv1"}, "is of layer3 on 10,000 images, and the figure of conv1 on 10,000"),
        ({"images": 17}, "is of layer3 on 10,000 images, and the figure of layer3 on 17"),
    ],
)
def test_filters_of_another_layer_or_on_other_images_are_refused(tmp_path, monkeypatch, changes, said):
    settings = {
        "title": "W",
        "task": "cifar10",
        "network": "resnet20",
        "hidden": 8,
        "layer": "layer3",
        "images": 10_000,
    }
    before, after = (
        configuration.read([ROOT / "config.yaml"], {"inherit": False, "figures": {"weight_importance": each}})
        for each in (settings, settings | changes)
    )
    monkeypatch.chdir(tmp_path)
    record = {"layer": "layer3", "images": 10_000, "relative_error": [0.1, 0.2], "activation": [1.0, 2.0]}
    put_cells(tmp_path, "weight_importance", lambda _: {"importance.json": record}, before)
    write.write(before, "weight_importance", Path(), Path("figures"))
    assert list(shown.verify(before)) == []
    if said is None:
        write.build(after, "weight_importance", tmp_path)
        return
    cell = figure_cells(after, "weight_importance")[0].path
    with pytest.raises(NernError, match=f"importance.json: {said}; run: nern importance {cell}"):
        write.build(after, "weight_importance", tmp_path)
    found = list(shown.verify(after))
    assert [finding.error for finding in found] == [True] and said in found[0].message


HISTORY = "iteration,phase,lr,reconstruction,output,features,test_accuracy\n"


def test_curves_are_means_and_intervals_over_seeds(tmp_path):
    def beside(cell):
        rows = f"10,training,0.1,{0.1 + 0.1 * cell.seed},,,\n20,training,0.1,0.2,,,{50 + cell.seed}\n"
        return {"history.csv": HISTORY + rows}

    put_cells(tmp_path, "loss_curves", beside)
    done, _ = cells.done_cells(CONFIG, "loss_curves", tmp_path)
    data = curves.frame(CONFIG, CONFIG.figures.loss_curves, done, tmp_path)
    base = data[data["variant"] == "base"].set_index(["measure", "iteration"])
    first = base.loc["reconstruction", 10]
    assert first["mean"] == pytest.approx(0.25) and first["n"] == 4
    # s of 0.1, 0.2, 0.3, 0.4 is √(0.05/3)
    assert first["half_width"] == pytest.approx(3.182446 * math.sqrt(0.05 / 3) / 2, rel=1e-6)
    assert base.loc["test_accuracy"].index.tolist() == [20] and base.loc["test_accuracy", 20]["mean"] == 51.5
    assert data[data["variant"] == "output-only"]["label"].unique().tolist() == ["L_KD"]


def test_curves_of_the_texts_form_of_the_loss_are_in_the_axis_unit(tmp_path):
    """‖W − Ŵ‖₂ / |W| is √|W| times smaller than the RMSE: 1,000 times of the million weights here."""
    losses = {"losses": {"form": "text"}}
    changes = {"variants": {"base": {"training": losses, "distillation": losses | {"losses": {"form": "rmse"}}}}}
    config = configuration.read([ROOT / "config.yaml"], changes)

    def beside(cell):
        return {"history.csv": f"{HISTORY}10,training,0.1,0.0002,,,\n20,distillation,0.1,0.1,,,\n"}

    put_cells(tmp_path, "loss_curves", beside, config)
    done, _ = cells.done_cells(config, "loss_curves", tmp_path)
    done = done.assign(learnable_bytes=4_000_000)
    data = curves.frame(config, config.figures.loss_curves, done, tmp_path)
    means = data.set_index(["variant", "iteration"])["mean"]
    assert means["base", 10] == pytest.approx(0.2) and means["base", 20] == 0.1
    assert means["output-only", 10] == 0.0002


def small(figure):
    """Two networks, two sizes of one of them and two orders; two seeds of each."""
    table = {"title": "T", "task": "cifar10", "sizes": {"resnet20": [8, 9], "resnet56": [8]}}
    table |= {"smoothing": ["none", "in-filter"], "labels": {"base": "B"}}
    values = {"inherit": False, "seeds": [0, 1], "tables": {"t": table}}
    return configuration.read([ROOT / "config.yaml"], values | {"figures": {figure: {"title": "F", "table": "t"}}})


def test_a_curve_is_of_one_network_size_and_order_and_says_which(tmp_path):
    config = small("loss_curves")
    lines = {(cell.network, cell.smoothing, cell.hidden) for cell in table_cells(config, "t")}
    losses = dict(zip(lines, range(1, 7), strict=True))

    def beside(cell):
        loss = losses[cell.network, cell.smoothing, cell.hidden] + 0.2 * cell.seed
        return {"history.csv": f"{HISTORY}10,training,0.1,{loss},,,\n"}

    put_cells(tmp_path, "loss_curves", beside, config)
    data, figure = write.build(config, "loss_curves", tmp_path)
    found = data.set_index(["network", "smoothing", "hidden"])
    assert set(data["n"]) == {2} and len(data) == len(losses)
    for key, loss in losses.items():
        assert found.loc[key, "mean"] == pytest.approx(loss + 0.1)
        order = {"none": "no permutation"}.get(key[1], key[1])
        assert found.loc[key, "label"] == f"B, {key[0]}, {order}, h {key[2]}"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [f"{label} (n = 2)" for label in data["label"]] and len(set(texts)) == 6


def test_a_label_is_drawn_as_it_is(tmp_path):
    config = configuration.read(
        [ROOT / "config.yaml"], {"tables": {"loss_ablation": {"labels": {"base": "$5_a$ or $6"}}}}
    )
    put_cells(tmp_path, "loss_curves", lambda _: {"history.csv": f"{HISTORY}10,training,0.1,0.5,,,\n"}, config)
    _, figure = write.build(config, "loss_curves", tmp_path)
    assert r"\$5_a\$ or \$6 (n = 4)" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_fits_without_tests_and_reconstruction_have_no_curve_but_a_sentence(tmp_path):
    put_cells(tmp_path, "loss_curves", lambda _: {"history.csv": f"{HISTORY}10,training,0.1,,0.5,,\n"})
    with pytest.raises(
        NernError, match=r"figures\.loss_curves: no fit of tables\.loss_ablation was tested or has L_recon"
    ):
        write.build(CONFIG, "loss_curves", tmp_path)


def test_a_figure_of_some_fits_names_their_variant(tmp_path):
    settings = {"title": "Pruned", "task": "cifar10", "network": "resnet20", "hidden": 8, "variant": "decoupled"}
    figure = CellsFigure.model_validate(settings | {"smoothing": "none"})
    assert cells.subject(figure) == "resnet20, no permutation, h = 8, decoupled"
    row = {"sparsity": 0.1, "bits": 32, "n": 4, "accuracy": 90.0, "half_width": 1.0, "bytes": 100.0}
    pruned = PruningFigure.model_validate(settings | {"codecs": ["pruned-10"]})
    assert "cross-filter, h = 8, decoupled" in compression.draw(pd.DataFrame([row]), pruned, "").axes[0].get_title()


def test_a_history_that_its_fit_did_not_write_is_refused(tmp_path):
    config = small("loss_curves")
    put_cells(tmp_path, "loss_curves", lambda _: {"history.csv": f"{HISTORY}10,training,0.1,0.5,,,\n"}, config)
    path = tmp_path / table_cells(config, "t")[0].path / "history.csv"
    path.write_text(f"{HISTORY}10,training,0.1,0.4,,,\n")
    with pytest.raises(NernError, match=r"history\.csv: is not the file that fit\.json records; run its fit again"):
        write.build(config, "loss_curves", tmp_path)


def test_regularization_knows_each_originals_factor(tmp_path):
    put_cells(tmp_path, "smoothness_regularization", lambda cell: {})
    done, _ = cells.done_cells(CONFIG, "smoothness_regularization", tmp_path)
    data = regularization.frame(CONFIG, done)
    assert sorted(set(data["lambda"])) == [0, 1e-6, 5e-6, 1e-5, 5e-5]
    assert len(data) == len(table_cells(CONFIG, "smoothness_regularization")) / 4


def test_a_line_of_regularization_is_of_one_network_size_and_order_and_says_which(tmp_path):
    config = small("smoothness_regularization")
    lines = {(cell.network, cell.smoothing, cell.hidden) for cell in table_cells(config, "t")}
    worth = dict(zip(lines, range(70, 76), strict=True))
    originals = {"resnet20": 91.0, "resnet56": 93.0}
    for cell in table_cells(config, "t"):
        accuracy = worth[cell.network, cell.smoothing, cell.hidden] + 0.2 * cell.seed
        found = {"original_accuracy": originals[cell.network], "accuracy": accuracy}
        write_cell(tmp_path, cell, fingerprint=fingerprint(fit_settings(config, cell)), **found)
    data, figure = write.build(config, "smoothness_regularization", tmp_path)
    assert set(data["n"]) == {2} and len(data) == 6
    drawn = {bar.get_label(): list(bar.lines[0].get_ydata()) for bar in figure.axes[0].containers}
    names = {"none": "no permutation"}
    assert drawn == {
        f"{network}, {names.get(order, order)}, h = {hidden}": pytest.approx([accuracy + 0.1])
        for (network, order, hidden), accuracy in worth.items()
    }
    drawn = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert [drawn[f"original, {network}"] for network in originals] == [[91.0], [93.0]]


def test_a_line_of_regularization_is_of_one_protocol(tmp_path):
    """Two variants of one factor were one line, which went straight down from one to the other."""
    table = {"sizes": {"resnet56": [240]}, "variants": ["base", "decoupled", "smooth-1e-6"]}
    config = configuration.read([ROOT / "config.yaml"], {"tables": {"smoothness_regularization": table}})
    for cell in table_cells(config, "smoothness_regularization"):
        accuracy = {"base": 92.0, "decoupled": 85.0, "smooth-1e-6": 93.0}[cell.variant]
        write_cell(tmp_path, cell, fingerprint=fingerprint(fit_settings(config, cell)), accuracy=accuracy)
    _, figure = write.build(config, "smoothness_regularization", tmp_path)
    drawn = {bar.get_label(): list(bar.lines[0].get_ydata()) for bar in figure.axes[0].containers}
    assert drawn == {"resnet56, h = 240, base": [92.0, 93.0], "resnet56, h = 240, decoupled": [85.0]}


def test_any_number_of_lines_of_regularization_can_be_drawn_and_told_apart():
    rows = [["n", "none", h, "base", 0.0, 90.0, 2, 80.0, 1.0, ""] for h in range(1, 51)]
    columns = ["network", "smoothing", "hidden", "protocol", "lambda", "original", "n", "accuracy", "half_width"]
    data = pd.DataFrame(rows, columns=[*columns, "original_fingerprint"])
    axes = regularization.draw(data, TableFigure(title="", table="t"), "").axes[0]
    lines = [bar.lines[0] for bar in axes.containers]
    assert len({(line.get_color(), str(line._dash_pattern), line.get_marker()) for line in lines}) == 50
    assert [text.get_text() for text in axes.get_legend().get_texts()][:2] == ["original", "n, h = 1"]


class Three(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)

    def forward(self, images):
        return self.conv(images)


def test_activations_by_hand():
    module = Three()
    with torch.no_grad():
        module.conv.weight.copy_(torch.tensor([1.0, -2.0]).view(2, 1, 1, 1))
    images = torch.tensor([[1.0, -3.0], [5.0, 5.0], [100.0, 100.0]]).view(3, 1, 1, 2)
    batches = [(images[:2], None), (images[2:], None)]
    found, count = mean_activations(module, "conv", batches, 2)
    # means of |x| of the first two images: 2 and 5
    assert count == 2 and found.tolist() == [3.5, 7.0]


def curves_of(lengths, measures):
    rows = [
        ["resnet20", "none", 8, variant, variant, iteration, measure, 4, 0.5, 0.1]
        for variant, length in lengths.items()
        for measure in measures
        for iteration in (1, length)
    ]
    return pd.DataFrame(rows, columns=[*curves.GROUP, "label", "iteration", "measure", "n", "mean", "half_width"])


@pytest.mark.parametrize(
    ("lengths", "measures", "scale"),
    [
        ({"a": 100, "b": 100}, ["test_accuracy", "reconstruction"], "linear"),
        ({"a": 100, "b": 7000}, ["reconstruction"], "log"),
    ],
)
def test_curves_have_a_panel_for_each_measure_that_was_taken(lengths, measures, scale):
    figure = curves.draw(curves_of(lengths, measures), TableFigure(title="", table="t"), "")
    assert len(figure.axes) == len(measures)
    assert {axes.get_xscale() for axes in figure.axes} == {scale}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"{name} (n = 4)" for name in lengths]


def test_no_two_curves_look_the_same():
    figure = curves.draw(
        curves_of(dict.fromkeys("abcdefghijklmnop", 100), ["reconstruction"]), TableFigure(title="", table="t"), ""
    )
    lines = figure.axes[0].lines
    assert len({(line.get_color(), str(line._dash_pattern)) for line in lines}) == len(lines) == 16


def test_no_two_curves_of_a_frontier_look_the_same_and_predictors_have_colors_of_their_own():
    kinds = [get_args(codec.model_fields["kind"].annotation)[0] for codec in get_args(get_args(AnyCodec)[0])]
    weights = [f"weights: {kind}{end}" for kind in kinds for end in ("", ", distilled")]
    parts = itertools.product(("none", "in-filter", "cross-filter"), "abc", ("float", "coded", "coded, distilled"))
    predictors = ["predictor, {}, {}: {}".format(*part) for part in parts]
    looks = frontier.looks_of([*weights, *predictors])
    shown = {(look["color"], look["marker"], str(look["linestyle"])) for look in looks.values()}
    assert len(shown) == len(weights) + len(predictors) > 40
    colors = [{looks[method]["color"] for method in methods} for methods in (weights, predictors)]
    assert not colors[0] & colors[1]


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ((0.06, 0.16), {0.06, 0.08, 0.1, 0.15}),
        ((9, 160), {10, 20, 50, 100}),
        ((20, 4000), {30, 100, 300, 1000, 3000}),
        ((2.1, 2.9), {2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9}),
    ],
)
def test_a_logarithmic_axis_has_plain_ticks_whatever_it_spans(limits, wanted):
    axes = Figure().subplots()
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    plain_ticks(axes.xaxis)
    ticks = [float(tick) for tick in axes.get_xticks()]
    assert {round(tick, 6) for tick in ticks if limits[0] <= tick <= limits[1]} == wanted


def test_the_tradeoff_is_of_predictor_and_permutation(tmp_path):
    for cell in table_cells(CONFIG, "cifar10"):
        settings = fingerprint(fit_settings(CONFIG, cell))
        sizes = {
            "learnable_bytes": 1_000_000,
            "predictor_bytes": 1000 * cell.hidden,
            "permutation_bytes": 7,
            "total_bytes": 1000 * cell.hidden + 7,
        }
        sizes["ratio"] = sizes["total_bytes"] / 1_000_000
        write_cell(tmp_path, cell, fingerprint=settings, accuracy=80.0 + cell.seed, **sizes)
    done, _ = cells.done_cells(CONFIG, "size_tradeoff", tmp_path)
    data = tradeoff.frame(done)
    # two networks of three sizes, three smoothing modes, two measures
    assert len(data) == 2 * 3 * 3 * 2 and set(data["n"]) == {4}
    row = data[(data["method"] == "no permutation") & (data["hidden"] == 140) & (data["measure"] == "accuracy")].iloc[0]
    assert (row["bytes"], row["mean"]) == (140_007, 81.5)
    assert row["half_width"] == pytest.approx(3.182446 * math.sqrt(5 / 3) / 2, rel=1e-6)


def test_the_cost_of_a_variant_is_the_mean_of_its_fits(tmp_path):
    figures = CONFIG.figures.model_copy(update={"cost_tradeoff": TableFigure(title="", table="loss_ablation")})
    config = CONFIG.model_copy(update={"figures": figures})
    for cell in table_cells(config, "loss_ablation"):
        settings = fingerprint(fit_settings(config, cell))
        found = {"original_accuracy": 90.0, "accuracy": 80.0 + cell.seed, "divergence": 0.1 * (1 + cell.seed)}
        write_cell(tmp_path, cell, fingerprint=settings, **found)
        fit = files.read_json(tmp_path / cell.path / "fit.json")
        seconds = 100.0 * (1 + cell.seed) * (2 if cell.variant == "base" else 1)
        files.write_json(tmp_path / cell.path / "fit.json", fit | {"wall_seconds": seconds})
    done, note = cells.done_cells(config, "cost_tradeoff", tmp_path)
    data = cost.frame(config, figures.cost_tradeoff, done)
    assert len(data) == 7 * 2 and set(data["n"]) == {4} and set(data["devices"]) == {"CPU (a processor)"}
    found = data.set_index(["method", "measure"])
    assert found.loc[("L_recon", "lost"), ["seconds", "mean"]].tolist() == [250.0, 8.5]
    assert found.loc[("L_recon + L_KD + L_FMD", "divergence"), ["seconds", "mean"]].tolist() == [500.0, 0.25]
    assert found["half_width"]["L_recon", "lost"] == pytest.approx(3.182446 * math.sqrt(5 / 3) / 2, rel=1e-6)
    write.write(config, "cost_tradeoff", tmp_path, tmp_path)
    assert (tmp_path / "cost_tradeoff.svg").exists() and note
    caption = cost.draw(data, figures.cost_tradeoff, note).get_supxlabel()
    assert "; bars: 95 % t-intervals over seeds; CPU" in caption
    caption = cost.draw(data.assign(n=[1] + [4] * 13), figures.cost_tradeoff, note).get_supxlabel()
    assert "over seeds, a point without is one seed; CPU" in caption


def test_the_tradeoff_has_a_line_for_each_original(tmp_path):
    config = small("size_tradeoff")
    for cell in table_cells(config, "t"):
        settings = fingerprint(fit_settings(config, cell))
        accuracy = {"resnet56": 93.0, "resnet20": 91.0 if cell.smoothing == "none" else 90.0}[cell.network]
        write_cell(tmp_path, cell, fingerprint=settings, original_accuracy=accuracy)
    _, figure = write.build(config, "size_tradeoff", tmp_path)
    lines = {
        axes.get_title(): [line.get_ydata()[0] for line in axes.lines if line.get_color() == "#000000"]
        for axes in figure.axes
        if axes.get_ylabel().startswith("test accuracy")
    }
    assert lines == {"resnet20": [91.0, 90.0], "resnet56": [93.0]}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["original", "no permutation", "in-filter"]


@pytest.mark.parametrize("title", ["t", "a long title " * 12])
def test_what_stands_above_and_below_a_figure_is_all_on_it(tmp_path, title):
    """A device that did not fit was cut off."""
    devices = "CPU (Intel(R) Xeon(R) Processor @ 2.60GHz); CPU (AMD EPYC 9B14 96-Core Processor); NVIDIA H200"
    rows = [{"network": "n", "method": m, "devices": devices, "seconds": 9.0, "measure": "lost"} for m in "ab"]
    data = pd.DataFrame([row | {"n": 4, "mean": 1.0, "half_width": 0.1} for row in rows])
    with style():
        figures = [cost.draw(data, TableFigure(title=title, table="t"), "data; 4 of 4 fits, 3,620 iterations")]
        lines = curves_of({"a": 100}, ["reconstruction"])
        figures.append(curves.draw(lines, TableFigure(title=title, table="t"), f"{devices} " * 2))
        embeddings = CONFIG.figures.embedding_similarity.model_copy(update={"title": title})
        figures.append(similarity.draw(similarity.frame(embeddings), embeddings))
        for figure in figures:
            FigureCanvasAgg(figure).draw()
            texts = [*figure.texts, *(axes.title for axes in figure.axes)]
            boxes = [text.get_window_extent() for text in texts if text.get_text()]
            assert boxes and all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)


@pytest.mark.parametrize("title", ["costs $5 and $6", r"$\frac$ & \$", "a\n\nb\x07", "½ 数 <b>", "_x_ ^2^ {y}"])
def test_any_title_is_drawn(tmp_path, title):
    settings = CONFIG.figures.embedding_similarity.model_copy(update={"title": title})
    figures = CONFIG.figures.model_copy(update={"embedding_similarity": settings})
    write.write(CONFIG.model_copy(update={"figures": figures}), "embedding_similarity", tmp_path, tmp_path)
    assert (tmp_path / "embedding_similarity.png").stat().st_size > 10_000


HOSTILE_STYLE = """
backend: nonsense
figure.dpi: 37
figure.figsize: 2, 9
figure.facecolor: red
font.family: serif
font.size: 30
savefig.dpi: 50
savefig.bbox: tight
savefig.transparent: True
axes.prop_cycle: cycler("color", ["k"])
axes.titlepad: 44
text.usetex: True
svg.fonttype: none
image.cmap: jet
lines.linewidth: 9
axes.formatter.use_locale: True
nonsense.key: 1
interactive: True
"""


@pytest.mark.parametrize(
    "hostile",
    [
        {"MPLBACKEND": "TkAgg", "HERE": "matplotlibrc"},
        {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": "latin"},
        {"HOME": "/dev/null", "MATPLOTLIBRC": "rc", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONUTF8": "0"},
    ],
    ids=str,
)
def test_a_figure_has_the_same_bytes_with_any_backend_and_style_of_the_users(tmp_path, hostile):
    for name in ("rc", hostile.get("HERE", "elsewhere")):
        (tmp_path / name).write_text(HOSTILE_STYLE)
    (tmp_path / "latin").write_bytes(b"font.family: \xfc\n")
    shutil.copy(ROOT / "config.yaml", tmp_path)
    command = [sys.executable, "-m", "nern", "figure", "embedding_similarity"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | hostile
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    write.write(CONFIG, "embedding_similarity", tmp_path, tmp_path)
    for suffix in ("svg", "png", "csv"):
        name = f"embedding_similarity.{suffix}"
        assert (tmp_path / "figures" / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_style_that_is_in_use_changes_no_byte(tmp_path):
    write.write(CONFIG, "embedding_similarity", tmp_path, tmp_path / "plain")
    with mpl.rc_context({"font.size": 30, "savefig.bbox": "tight", "text.usetex": True, "lines.linewidth": 9}):
        write.write(CONFIG, "embedding_similarity", tmp_path, tmp_path / "styled")
        assert mpl.rcParams["font.size"] == 30
    for path in (tmp_path / "plain").iterdir():
        assert path.read_bytes() == (tmp_path / "styled" / path.name).read_bytes()
