"""The frontier's front, by brute force, and its verdict, by hand."""

import base64
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nern import compression, files
from nern.addresses import Cell
from nern.config import fingerprint, read
from nern.distilling import needs_network, network_steps
from nern.errors import NernError
from nern.matrix import frontier_cells, frontier_inputs, frontier_originals
from nern.report.cells.collect import Digests
from nern.report.frontier.front import on_front, verdicts
from nern.report.frontier.points import MORE, NUMBERS, PREDICTOR, WEIGHTS, Compressed, _data, _values, compressed
from nern.report.frontier.table import distilled, document
from nern.report.status import matrix as status
from nern.settings import Losses, Phase, Protocol

ROOT = Path(__file__).parents[2]
KIB = 1024


def weights(codec: str, kib: float, lost: float, divergence: float) -> dict[str, Any]:
    row = {"network": "resnet20", "stored": WEIGHTS, "codec": codec, "bytes": kib * KIB, "lost": lost, "n": 1}
    return row | {"divergence": divergence}


def predictor(hidden: int, codec: str, kib: float, lost: float, divergence: float) -> dict[str, Any]:
    names = {"hidden": hidden, "smoothing": "none", "variant": "table"}
    return weights(codec, kib, lost, divergence) | {"stored": PREDICTOR} | names


SIZES, LOSSES = st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.2, 0.5])


@given(st.lists(st.tuples(SIZES, LOSSES, st.sampled_from("ab")), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points: list[tuple[int, float, str]]) -> None:
    data = pd.DataFrame([{"network": n, "bytes": size, "divergence": loss} for size, loss, n in points])
    found = on_front(data, "divergence").tolist()

    def beaten(own: int) -> bool:
        size, loss, network = points[own]
        return any(
            other[2] == network
            and (other[0] <= size and other[1] <= loss)
            and (other[:2] != (size, loss) or position < own)  # of equal points the first counts
            for position, other in enumerate(points)
            if position != own
        )

    assert found == [not beaten(own) for own in range(len(points))]


def test_what_is_missing_is_on_no_front() -> None:
    data = pd.DataFrame([weights("a", 10, 0.1, 0.1), weights("b", math.nan, math.nan, math.nan)])
    assert on_front(data, "lost").tolist() == [True, False]


def test_the_verdict_names_the_fewest_bytes_within_the_margin() -> None:
    rows = [weights("uniform-4", 132, 0.4, 0.02), weights("uniform-3", 99, 0.6, 0.09), weights("float16", 523, 0, 0)]
    rows += [predictor(48, "float32", 70, 3.0, 0.5), predictor(160, "float32", 400, 0.5, 0.03)]
    first, second, _ = verdicts(pd.DataFrame(rows), 0.5)
    assert first == (
        "resnet20, at the original's accuracy less 0.5 points: the weights as uniform-4 in 132 KiB, a predictor as "
        "h 160 (table, no permutation), float32 in 400 KiB: 3.0 times as many bytes."
    )
    # 70 KiB is less than any weights take
    assert second == (
        "resnet20: of its 2 stored predictors 1 diverge less than all stored weights of no more bytes (70.0 KiB; "
        "h 48 (table, no permutation), float32), 1 of them where no weights take so few."
    )


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([weights("u", 50, 0.1, 0.1), predictor(9, "f", 80, 0.9, 0.2)], "no way to store predictors is that near"),
        (
            [weights("u", 50, 0.9, 0.1), predictor(9, "f", 80, 0.1, 0.2)],
            "no way to store the weights is that near; predictors need 80.0 KiB",
        ),
        ([weights("u", 50, 0.2, 0.1), predictor(9, "f", 25, 0.1, 0.2)], "2.0 times fewer bytes."),
        (
            [weights("u", 50, 0.2, 0.1), predictor(9, "f", 80, 0.1, 0.2)],
            "of its 1 stored predictors each is beaten by stored weights of no more bytes and no more divergence.",
        ),
    ],
)
def test_the_verdict_says_so_where_one_side_has_nothing(rows: list[dict[str, Any]], sentence: str) -> None:
    assert any(text.endswith((sentence, f"{sentence}.")) for text in verdicts(pd.DataFrame(rows), 0.5))


def test_predictors_lie_below_on_or_above_the_line_through_the_best_weights() -> None:
    # by hand: halfway between 16 and 64 KiB in logarithms is 32 KiB, and between 0.4 and 0.1 it is 0.2
    rows = [weights("a", 16, 0, 0.4), weights("b", 64, 0, 0.1), weights("beaten", 32, 0, 0.5)]
    sizes = {
        "below": (31.9, 0.15, 0.04),
        "level": (32, 0.14, 0.07),
        "above": (48, 0.1399, 0.001),
        "beaten": (63, 0.3, 0),
    }
    sizes |= {"alone": (8, 0.9, 0.1), "one seed": (63.9, 0.09, math.nan)}
    for name, (size, divergence, half_width) in sizes.items():
        rows.append(predictor(9, name, size, 0, divergence) | {"divergence_half_width": half_width})
    *_, last = verdicts(pd.DataFrame(rows), 0.5)
    assert "of the 5 predictors that no other predictor beats 2 below it (31.9 KiB to 63.9 KiB), " in last
    assert "1 level with it (32.0 KiB), 1 above it (48.0 KiB), 1 where there are no weights (8.0 KiB). Level" in last
    assert last.endswith("Level: the interval over seeds holds the line; 1 of one seed have no interval.")
    *_, last = verdicts(pd.DataFrame([row for row in rows if row["codec"] != "one seed"]), 0.5)
    assert last.endswith("Level: the interval over seeds holds the line.")


@pytest.mark.parametrize(
    ("size", "divergence", "words"),
    [
        (32, 0.0, "1 below it (32.0 KiB)."),
        (16, 0.4, "1 level with it (16.0 KiB)."),
        (64, 0.2, "1 above it (64.0 KiB)."),
        (8, 0.2, "1 where there are no weights (8.0 KiB)."),
        (128, 0.2, "1 where there are no weights (128 KiB)."),
    ],
)
def test_a_place_beside_the_line_that_no_predictor_has_is_not_named(size: float, divergence: float, words: str) -> None:
    rows = [weights("a", 16, 0, 0.4), weights("b", 64, 0, 0.1), predictor(9, "f", size, 0, divergence)]
    assert f"of the 1 predictors that no other predictor beats {words} Level" in verdicts(pd.DataFrame(rows), 0.5)[-1]


def test_one_way_to_store_weights_is_a_line_of_one_point() -> None:
    rows = [weights("a", 16, 0, 0.0), predictor(9, "f", 16, 0, 0.0)]
    assert "1 level with it (16.0 KiB). Level" in verdicts(pd.DataFrame(rows), 0.5)[-1]


def test_one_side_alone_has_no_verdict() -> None:
    assert verdicts(pd.DataFrame([weights("u", 50, 0.1, 0.1)]), 0.5) == []


def test_a_table_says_by_what_each_side_was_distilled() -> None:
    names = ["config.yaml", "workflow/config/frontier.yaml", "workflow/config/frontier_resnet56.yaml"]
    small, large = read([ROOT / name for name in names[:2]]), read([ROOT / name for name in names])
    # by hand: 240 steps for weights as frontier.yaml says, 120 by decoupled, whose distillation samples no kernels
    assert distilled(small, "frontier_cifar10_exact") == (
        "values, scales and centers are trained while they are coded. Weights of resnet20: 240 steps of 64 images; "
        "predictors of resnet20: 120 steps of 64 images."
    )
    assert distilled(large, "frontier_cifar10_exact_resnet56").endswith(
        "Weights of resnet56: 560 steps of 16 images, passes of the network in bfloat16; predictors of resnet56: 240 "
        "steps of 16 images, passes of the network and predictor in bfloat16."
    )
    few = large.model_copy(update={"compression": large.compression.model_copy(update={"variant": "decoupled-long"})})
    assert distilled(few, "frontier_cifar10_exact_resnet56").endswith(
        "predictors of resnet56: 240 steps of 64 images, gradients of 16,384 kernels in a step (magnitude)."
    )
    # the paper's matrix gives both sides the same steps
    assert "Weights of resnet20, predictors of resnet20, weights of resnet56, predictors of resnet56: 120" in distilled(
        read([ROOT / "config.yaml"]), "frontier_cifar10"
    )
    neither = {
        side: getattr(small.compression, side).model_copy(update={"distilled": []})
        for side in ("original", "predictor")
    }
    undistilled = small.model_copy(update={"compression": small.compression.model_copy(update=neither)})
    assert distilled(undistilled, "frontier_cifar10_exact") == "nothing was distilled while it was coded."


def test_a_table_says_that_its_verdict_is_a_selection_on_the_test_images() -> None:
    points = pd.read_csv(ROOT / "tables/published/2026-11-25-frontier/frontier_cifar10_exact.csv")
    config = read([ROOT / "config.yaml", ROOT / "workflow/config/frontier.yaml"])
    notes = {note.label: note.text for note in document(config, "frontier_cifar10_exact", points).grids[0].notes}
    assert "Verdict" in notes and "which flatters those that are picked" in notes["Selection"]
    assert "those that are distilled are so by seed 0 alone" in notes["Accuracy, agreement, divergence"]
    assert notes["Seconds"].endswith(", on the device that made it.")
    made = points.assign(devices=["CPU (a)", "CPU (a); H200"] * (len(points) // 2))
    notes = {note.label: note.text for note in document(config, "frontier_cifar10_exact", made).grids[0].notes}
    assert notes["Seconds"] == "to make, a predictor's fit included, on CPU (a), H200."


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"frontiers": {"cifar10": {"variants": ["base", "smooth-1e-5"]}}},
            "frontiers.cifar10: its variants learn two originals of resnet20, base and smooth-1e-5; make a frontier of "
            "each",
        ),
        (
            {"compression": {side: {"codecs": [], "distilled": []} for side in ("original", "predictor")}},
            "frontiers.cifar10: compression names no codec; add some to compression.original and compression.predictor",
        ),
        (
            {"frontiers": {"cifar10": {"variants": ["decoupled-reordered"], "smoothing": ["none"]}}},
            "frontiers.cifar10: all its variants reorder kernels, and no mode of its smoothing stores their order; add "
            "cross-filter or in-filter",
        ),
    ],
)
def test_a_frontier_that_would_compare_nothing_or_unlike_things_is_refused(
    change: dict[str, Any], sentence: str
) -> None:
    config = read([ROOT / "config.yaml"], change)
    with pytest.raises(NernError) as error:
        compression.check(config)
    assert str(error.value) == sentence


def test_kernels_that_change_places_are_compared_where_their_order_is_stored() -> None:
    variants, modes = ["decoupled-table", "decoupled-reordered"], ["none", "in-filter", "cross-filter"]
    config = read([ROOT / "config.yaml"], {"frontiers": {"cifar10": {"variants": variants, "smoothing": modes}}})
    found = {(cell.variant, cell.smoothing) for cell in frontier_cells(config, "frontier_cifar10")}
    assert found == {
        ("decoupled-table", "none"),
        ("decoupled-table", "in-filter"),
        ("decoupled-table", "cross-filter"),
        ("decoupled-reordered", "in-filter"),
        ("decoupled-reordered", "cross-filter"),
    }
    compression.check(config)


def test_a_frontier_is_made_of_what_was_measured_and_of_the_seconds_that_it_took(tmp_path: Path) -> None:
    config = read([ROOT / "config.yaml"])
    inputs = [Path(path) for path in frontier_inputs(config, "frontier_cifar100")]
    measured = 1 + 3 * 2 * 4  # an original; sizes, orders and seeds of its predictors
    assert len(inputs) == 2 * measured and len({path.parent for path in inputs}) == measured
    assert {path.name for path in inputs} == {"compression.json", "compress.json"}
    assert status.frontiers(config, tmp_path)["frontier_cifar100"] == ["missing"] * measured


def test_what_was_compressed_of_weights_that_have_changed_is_outdated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frontier leaves it out; nern status called it done."""
    monkeypatch.chdir(tmp_path)
    changes = {
        "tasks": {"cifar10": {"networks": {"resnet20": {"original": {"weights": str(tmp_path / "w.pt")}}}}},
        "compression": {side: {"codecs": ["float32"], "distilled": []} for side in ("original", "predictor")},
        "frontiers": {"cifar10": {"sizes": {"resnet20": [140]}}},
    }
    config = read([ROOT / "config.yaml"], changes)
    original = frontier_originals(config, "frontier_cifar10")[0]
    folder = tmp_path / original.path
    folder.mkdir(parents=True)
    files.write_json(folder / "metrics.json", {"inputs": {"weights": hashlib.sha256(b"one").hexdigest()}})
    point = dict.fromkeys([*NUMBERS, *MORE], 0) | {"codec": "float32", "hits": base64.b64encode(b"\0").decode()}
    record = {"path": original.path, "inputs": {}, "points": [point], "learnable_parameters": 1, "test_images": 8}
    record |= {"fingerprint": fingerprint(compression.compression_settings(config, original))}
    files.write_json(folder / "compression.json", record)
    files.write_json(folder / "compress.json", {"seconds": {"float32": 1.0}})
    digests = Digests(tmp_path)
    assert compressed(config, original, digests) == Compressed(record, {"float32": 1.0})
    files.write_json(folder / "compress.json", {"seconds": {"float16": 1.0}, "device": "CPU (a)"})
    with pytest.raises(NernError, match=r"compress\.json: is not of the points of compression\.json; delete it"):
        compressed(config, original, digests)
    files.write_json(folder / "compress.json", {"seconds": {"float32": 1.0}, "device": "CPU (a)"})
    assert compressed(config, original, digests).devices == ("CPU (a)",)
    for content, wanted in ((b"one", "done"), (b"other", "outdated")):
        (tmp_path / "w.pt").write_bytes(content)
        assert status.frontiers(config, tmp_path)["frontier_cifar10"][0] == wanted


@given(st.permutations(range(30)), st.permutations(range(30)))
def test_equal_losses_of_three_seeds_are_equal_numbers(one: list[int], other: list[int]) -> None:
    """In floats sums of thirds differ by the order of the images, and of two ways that lose as much both were best."""

    def lost(order: list[int]) -> float:
        hits = [np.isin(order, few) for few in ([0], [0, 1], [0, 1, 2, 3, 4, 5, 6])]
        flags = [base64.b64encode(np.packbits(right)).decode() for right in [*hits, np.ones(30, dtype=bool)]]
        point = dict.fromkeys([*NUMBERS, *MORE], 0.0) | {"codec": "a"}
        record = {"original_hits": flags[3], "test_images": 30, "learnable_parameters": 1, "original_accuracy": 100.0}
        done = [Compressed(record | {"points": [point | {"hits": each}]}, {"a": 1.0}) for each in flags[:3]]
        return float(_values("a", done)["lost"])

    assert lost(one) == lost(other) == 100 * (80 / 3) / 30  # by hand: 10 of 90 hits are left


@pytest.mark.parametrize(
    ("network", "variant", "wanted"),
    [
        ("resnet56", "base", "15,360,000 images"),  # (70,000 − 10,000 of warm-up) · 256
        ("resnet20", "base", "17,920,000 images"),  # no warm-up
        ("resnet20", "authors-2022", "none"),  # no gradient
        ("resnet20", "decoupled", "7,680 images"),  # 120 · 64
        ("resnet20", "noise-inputs", "17,920,000 of noise"),
        ("resnet56", "no-reconstruction", "17,920,000 images"),  # without L_recon there is no warm-up
    ],
)
def test_data_are_the_images_of_steps_that_run_a_network(network: str, variant: str, wanted: str) -> None:
    config = read([ROOT / "config.yaml"])
    assert _data(config, Cell("cifar10", network, "none", 160, variant, 0), distilled=False) == wanted


@given(
    warmup=st.integers(0, 12),
    iterations=st.integers(0, 10),
    gradient=st.booleans(),
    losses=st.builds(Losses, reconstruction=LOSSES, alpha=LOSSES, beta=LOSSES),
)
def test_steps_of_a_phase_are_those_that_need_a_network(
    warmup: int, iterations: int, gradient: bool, losses: Losses
) -> None:
    phase = Phase(iterations=iterations, warmup=warmup, losses=losses)
    counted = sum(needs_network(phase, step, gradient=gradient) for step in range(iterations))
    assert network_steps(Protocol(distillation_gradient=gradient), phase) == counted
