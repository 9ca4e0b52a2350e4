"""A configuration is taken as its author wrote it, or refused in one sentence: YAML has ways to mean something else."""

from pathlib import Path

import pytest

from nern.config import parse, read, read_file
from nern.errors import NernError
from nern.settings import FolderImages

SHIPPED = Path(__file__).parents[2] / "config.yaml"


def over_the_shipped(tmp_path: Path, *overlays: str):
    files = [tmp_path / f"{number}.yaml" for number in range(len(overlays))]
    for file, text in zip(files, overlays, strict=True):
        file.write_text(text)
    return read([SHIPPED, *files])


@pytest.mark.parametrize(
    ("overlay", "wanted"),
    [
        ("uniform-8: {kind: sparse, sparsity: 0.5}", {"kind": "sparse", "sparsity": 0.5, "bits": 32}),
        ("sparse-50: {kind: float, bits: 16}", {"kind": "float", "bits": 16}),
        ("uniform-4-coded: {kind: codebook, bits: 3}", {"kind": "codebook", "bits": 3}),
        # of the same kind, or of none that is said: what is not said stays
        ("sparse-50: {kind: sparse, sparsity: 0.6}", {"kind": "sparse", "sparsity": 0.6, "bits": 8}),
        ("sparse-50: {bits: 16}", {"kind": "sparse", "sparsity": 0.5, "bits": 16}),
    ],
)
def test_a_codec_of_another_kind_takes_nothing_from_the_one_of_its_name(tmp_path, overlay, wanted):
    name = overlay.partition(":")[0]
    assert over_the_shipped(tmp_path, f"codecs: {{{overlay}}}").codecs[name].model_dump() == wanted


@pytest.mark.parametrize("name", ["kind", "images", "embedding", "codecs"])
def test_a_codec_may_be_called_like_a_section(tmp_path, name):
    found = over_the_shipped(
        tmp_path, f"codecs: {{{name}: {{kind: sparse, sparsity: 0.5}}}}", f"codecs: {{{name}: {{bits: 8}}}}"
    )
    assert found.codecs[name].model_dump() == {"kind": "sparse", "sparsity": 0.5, "bits": 8}
    assert "uniform-8" in found.codecs


def test_a_mapping_may_be_merged_into_two_others(tmp_path):
    file = tmp_path / "anchors.yaml"
    file.write_text("a: {b: {c: &one {<<: {lr: 1, rise: 2}, lr: 3}}}\nd: {<<: *one, rise: 4}\n")
    assert read_file(file) == {"a": {"b": {"c": {"lr": 3, "rise": 2}}}, "d": {"lr": 3, "rise": 4}}


@pytest.mark.parametrize(
    ("said", "read_as"),
    [("0160", "112, octal"), ("-07", "-7, octal"), ("2:40", "160, of base"), ("1:30.5", "90.5, of")],
)
def test_a_number_that_yaml_reads_as_another_is_refused(tmp_path, said, read_as):
    with pytest.raises(NernError, match=rf"0\.yaml: .*YAML reads {said} as {read_as}.*plain decimal digits.*line 1"):
        over_the_shipped(tmp_path, f"seeds: [1, {said}]")


def test_numbers_of_one_meaning_are_read(tmp_path):
    text = "a: [0, 08, 1_000, 0x10, 1e-3, 1.0e-3, .5, 0.25, -0.5, 00.5, '0160', '2:40']"
    (tmp_path / "a.yaml").write_text(text)
    wanted = [
        0,
        "08",
        1000,
        16,
        "1e-3",
        1e-3,
        0.5,
        0.25,
        -0.5,
        0.5,
        "0160",
        "2:40",
    ]  # texts become numbers by the schema
    assert read_file(tmp_path / "a.yaml") == {"a": wanted}


def images(**sizes: object) -> dict[str, object]:
    folder = {"source": "folder", "train": "a", "test": "b"} | sizes
    network = {"networks": {"n": {"architecture": "cifar-resnet", "depth": 8}}}
    return {"tasks": {"t": {"title": "T", "classes": 2, "images": folder, "mean": [0.5], "std": [0.5]} | network}}


@pytest.mark.parametrize("size", [32, 64, 223])
def test_small_images_are_not_cut_out_of_a_large_one_unless_that_is_said(size):
    with pytest.raises(
        NernError, match=rf"c: tasks\.t\.images: size {size} without a resize: .*set resize too, to {size}"
    ):
        parse(images(size=size), "c")
    for resize in (size, 256):
        found = parse(images(size=size, resize=resize)).tasks["t"].images
        assert isinstance(found, FolderImages) and (found.size, found.resize) == (size, resize)


@pytest.mark.parametrize("sizes", [{}, {"size": 224}, {"size": 256}, {"resize": 288}])
def test_sizes_of_imagenet_need_not_be_said(sizes):
    parse(images(**sizes))


def test_a_resize_of_another_file_counts(tmp_path):
    first = "tasks: {imagenet: {images: {resize: 40}}}"
    found = over_the_shipped(tmp_path, first, "tasks: {imagenet: {images: {size: 32}}}").tasks["imagenet"].images
    assert isinstance(found, FolderImages) and (found.size, found.resize) == (32, 40)
