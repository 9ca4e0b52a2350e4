"""Images as people have them: every depth and mode is read by the documented rule or refused, never white or black."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as arrays
from PIL import EpsImagePlugin, Image

from nern.config import parse
from nern.data.contents import SUFFIXES
from nern.data.decoding import FORMATS, decode, pixels
from nern.data.folders import list_folder
from nern.data.sources import class_names, read_source
from nern.data.streaming import EvaluationSteps
from nern.errors import NernError
from nern.settings import FolderImages, ParquetImages
from nern.stages import prepare_data

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLORS = np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8)
DEEP = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(content: bytes, channels: int = 3) -> np.ndarray:
    """[H, W, C], or [H, W] of one channel."""
    found = pixels(decode(content, channels, "image"))
    return found[0] if channels == 1 else found.transpose(1, 2, 0)


def gray(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[..., None], 3, axis=2)


def tiff(content: bytes, *, bits: int, zero_is_white: bool = False, signed: bool = False) -> bytes:
    """An uncompressed gray TIFF of 16x16 pixels, by the book: Pillow writes no such files."""
    data = 8 + 2 + 10 * 12 + 4  # behind the header and the one directory
    tags = {256: 16, 257: 16, 258: bits, 259: 1, 262: int(not zero_is_white), 273: data, 277: 1, 278: 16}
    tags |= {279: len(content), 339: 2 if signed else 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + content


def png(content: bytes, *, bits: int, color_type: int) -> bytes:
    """A PNG of 16x16 pixels, by the book: Pillow writes no 16 bits of gray and alpha."""
    header = struct.pack(">IIBBBBB", 16, 16, bits, color_type, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, data in {b"IHDR": header, b"IDAT": zlib.compress(content), b"IEND": b""}.items():
        file += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return file


def packed(levels: np.ndarray) -> bytes:
    """Two levels of 12 bits in three bytes."""
    first, second = levels.reshape(-1, 2).astype(np.int64).T
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8).tobytes()


BIT = (RAMP > 99).astype(np.uint8) * 255
OPAQUE = np.full((16, 16), 255, np.uint8)
HALF = np.full((16, 16), 128, np.uint8)
BIG_ENDIAN = DEEP.astype(">u2").tobytes()
DEEP_AND_ALPHA = b"".join(b"\0" + np.dstack([row, row * 0 + 30_000]).astype(">u2").tobytes() for row in DEEP)
"""Rows of a PNG, no filter."""
TEN_BITS = (np.arange(256) * 1023 // 255).astype(">u2").tobytes()
PALETTE = Image.fromarray(COLORS).quantize(255)
TRANSPARENT = Image.merge("LA", [Image.fromarray(RAMP), Image.fromarray(HALF)])
SHOWN = {
    "8-bit gray": (saved(Image.fromarray(RAMP)), gray(RAMP)),
    "16-bit gray PNG": (saved(Image.fromarray(DEEP)), gray(RAMP)),
    "16-bit gray and alpha PNG": (png(DEEP_AND_ALPHA, bits=16, color_type=4), gray(RAMP)),
    "16-bit gray TIFF": (saved(Image.fromarray(DEEP), "TIFF"), gray(RAMP)),
    "16-bit gray TIFF from white to black": (tiff((65_535 - DEEP).tobytes(), bits=16, zero_is_white=True), gray(RAMP)),
    "8-bit gray TIFF from white to black": (tiff((255 - RAMP).tobytes(), bits=8, zero_is_white=True), gray(RAMP)),
    "12-bit gray TIFF": (tiff(packed(np.rint(RAMP * (4095 / 255))), bits=12), gray(RAMP)),
    "big-endian 16-bit gray TIFF": (saved(Image.frombytes("I;16B", (16, 16), BIG_ENDIAN), "TIFF"), gray(RAMP)),
    "16-bit gray PGM": (b"P5\n16 16\n65535\n" + BIG_ENDIAN, gray(RAMP)),
    "10-bit gray PGM": (b"P5\n16 16\n1023\n" + TEN_BITS, gray(RAMP)),
    "1 bit": (saved(Image.fromarray(BIT).convert("1")), gray(BIT)),
    "1-bit TIFF": (saved(Image.fromarray(BIT).convert("1"), "TIFF"), gray(BIT)),
    "color": (saved(Image.fromarray(COLORS)), COLORS),
    "opaque RGBA": (saved(Image.fromarray(np.dstack([COLORS, OPAQUE]))), COLORS),
    "half transparent RGBA": (saved(Image.fromarray(np.dstack([COLORS, HALF]))), COLORS),
    "LA": (saved(TRANSPARENT), gray(RAMP)),
    "palette": (saved(PALETTE), np.asarray(PALETTE.convert("RGB"))),
    "palette with transparency": (saved(PALETTE, transparency=0), np.asarray(PALETTE.convert("RGB"))),
    "CMYK TIFF": (saved(Image.fromarray(COLORS).convert("CMYK"), "TIFF"), COLORS),
    "GIF": (saved(Image.fromarray(RAMP), "GIF"), gray(RAMP)),
    **{kind: (saved(Image.fromarray(COLORS), kind), COLORS) for kind in ("BMP", "PPM", "TIFF", "JPEG2000")},
    "WEBP": (saved(Image.fromarray(COLORS), "WEBP", lossless=True), COLORS),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_an_image_is_what_its_file_shows(kind):
    content, wanted = SHOWN[kind]
    # 10 bits and 255 levels do not fit into each other: one level is the rounding of both scales
    assert np.abs(read(content).astype(int) - wanted).max() <= (kind == "10-bit gray PGM")


@pytest.mark.parametrize("kind", [kind for kind in SHOWN if "gray" in kind or "bit" in kind or kind in ("LA", "GIF")])
def test_gray_images_fit_a_task_of_one_channel(kind):
    assert np.array_equal(gray(read(SHOWN[kind][0], 1)), read(SHOWN[kind][0]))


@pytest.mark.parametrize("kind", ["color", "opaque RGBA", "palette", "CMYK TIFF"])
def test_colors_do_not(kind):
    with pytest.raises(NernError, match=r"image: the image is in color .* give three numbers"):
        read(SHOWN[kind][0], 1)


def test_files_of_every_suffix_are_read():
    known = Image.registered_extensions()
    assert {known[suffix] for suffix in SUFFIXES} <= set(FORMATS)


@pytest.mark.parametrize("suffix", [".gif", ".jp2", ".jfif", ".PNG"])
def test_no_image_of_a_class_is_passed_over_for_its_format(suffix, tmp_path):
    (tmp_path / "a").mkdir()
    for name in (f"0{suffix}", "1.png"):
        kind = Image.registered_extensions()[suffix.lower()]
        (tmp_path / "a" / name).write_bytes(saved(Image.fromarray(RAMP), kind))
    assert len(list_folder(tmp_path, "x")) == 2


@pytest.mark.parametrize("kind", ["EPS", "PCX", "TGA", "ICO", "AVIF"])
def test_an_image_of_another_format_is_refused_and_runs_nothing(kind, monkeypatch):
    ran = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments: ran.append(arguments))
    content = saved(Image.fromarray(COLORS), kind)
    # the damage lets Pillow's decoder of AVIF end in a RuntimeError
    for damaged in (content, content[:-200] + bytes(200)):
        with pytest.raises(NernError, match=r"image: cannot be decoded \(no image format among JPEG, PNG, .*; replace"):
            read(damaged)
    assert ran == []


def test_a_damage_that_ends_in_whatever_error_is_one_sentence():
    content = bytearray(saved(Image.fromarray(COLORS), "TIFF"))
    content[content.index(b"\x11\1") + 2] = 11  # the tag of offsets: floats, with which Pillow seeks
    with pytest.raises(
        NernError, match=r"^image: cannot be decoded \('float' object .*; replace the image or remove it"
    ):
        read(bytes(content))


@pytest.mark.parametrize("channels", [1, 3])
def test_integers_with_a_sign_are_refused(channels):
    for bits, kind in ((8, np.int8), (16, np.int16)):
        content = tiff((RAMP.astype(np.int16) - 128).astype(kind).tobytes(), bits=bits, signed=True)
        with pytest.raises(NernError, match="image: the image is of integers with a sign, whose range is not known"):
            read(content, channels)


@given(arrays.arrays(np.uint16, (3, 4)))
def test_16_bits_are_scaled_to_8_and_rounded(levels):
    found = read(saved(Image.fromarray(levels)), 1)
    assert np.array_equal(found, np.rint(levels.astype(np.float64) / 257).astype(np.uint8))


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8), "floats"),
        (np.linspace(0, 255, 64, dtype=np.float32).reshape(8, 8), "floats"),
        (np.arange(64, dtype=np.int32).reshape(8, 8), "integers of 32 bits"),
        (np.arange(64, dtype=np.int32).reshape(8, 8) * 2**20, "integers of 32 bits"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_has_no_known_range_is_refused(image, kind, channels):
    with pytest.raises(NernError, match=f"image: the image is of {kind}, whose range is not known") as caught:
        read(saved(Image.fromarray(image), "TIFF"), channels)
    assert "\n" not in str(caught.value)


UPRIGHT = np.zeros((24, 36, 3), np.uint8)
UPRIGHT[:12, :18], UPRIGHT[:12, 18:], UPRIGHT[12:, :18] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
STORED = {  # how a camera stores the upright image, by EXIF's table of orientations
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: UPRIGHT.transpose(1, 0, 2)[::-1],
    7: UPRIGHT.transpose(1, 0, 2)[::-1, ::-1],
    8: UPRIGHT.transpose(1, 0, 2)[:, ::-1],
}


def photograph(orientation: int, kind: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(np.ascontiguousarray(STORED[orientation])), kind, exif=exif)


@pytest.mark.parametrize("orientation", STORED)
def test_a_photograph_is_turned_upright_wherever_it_is_read(orientation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(read(photograph(orientation)), UPRIGHT)
    content = photograph(orientation)
    for split in ("train", "test"):
        (Path(split) / "a").mkdir(parents=True)
        (Path(split) / "a" / "0.png").write_bytes(content)
    for name in "ab":
        pq.write_table(pa.table({"img": [content], "label": [0]}), f"{name}.parquet")
    from_parquet = read_source(ParquetImages(source="parquet", train=["a.parquet"], test=["b.parquet"]), "x", 3)
    assert np.array_equal(from_parquet["test"][0][0].permute(1, 2, 0).numpy(), UPRIGHT)
    middle = UPRIGHT[:, 6:30]
    folder = FolderImages(source="folder", train="train", test="test", size=24, resize=24, workers=0)
    assert np.array_equal(read_source(folder, "x", 3)["test"][0][0].permute(1, 2, 0).numpy(), middle)
    streamed, _ = EvaluationSteps(list_folder(Path("test"), "x"), 3, 24, 1, resize=24).decode(0)
    assert np.array_equal(streamed[0].transpose(1, 2, 0), middle)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_exif_does_not_have_turns_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read(saved(Image.fromarray(UPRIGHT), exif=exif)), UPRIGHT)


ENCODED = [saved(Image.fromarray(COLORS)), saved(Image.fromarray(255 - COLORS)), saved(Image.fromarray(COLORS[::-1]))]


def table(images: object = None, labels: object = None, **columns: object) -> pa.Table:
    return pa.table({"img": pa.array(ENCODED) if images is None else images, "label": labels or [0, 2, 1]} | columns)


def from_table(found: pa.Table, tmp_path: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    pq.write_table(found, tmp_path / "a.parquet")
    pq.write_table(table(), tmp_path / "b.parquet")
    train, test = ([str(tmp_path / f"{name}.parquet")] for name in "ab")
    return read_source(ParquetImages(source="parquet", train=train, test=test), "tasks.t.images", 3)


STRUCT = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
COLUMNS = {
    "binary": table(),
    "large_binary": table(pa.array(ENCODED, pa.large_binary())),
    "binary_view": table(pa.array(ENCODED, pa.binary_view())),
    "a dictionary of binary": table(pa.array(ENCODED).dictionary_encode()),
    "chunks": table(pa.chunked_array([ENCODED[:1], [], ENCODED[1:]], pa.binary())),
    "a struct of large_binary": table(pa.array([{"bytes": each, "path": "x.png"} for each in ENCODED], STRUCT)),
    **{
        f"labels {kind}": table(labels=pa.array([0, 2, 1], kind))
        for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64())
    },
    "labels in a dictionary": table(labels=pa.array([0, 2, 1]).dictionary_encode()),
    "labels in chunks": table(labels=pa.chunked_array([[0], [2, 1]])),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_is_read_whatever_its_type(kind, tmp_path):
    images, labels = from_table(COLUMNS[kind], tmp_path)["train"]
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), [COLORS, 255 - COLORS, COLORS[::-1]])
    assert labels.tolist() == [0, 2, 1] and labels.dtype == torch.int64


WRONG = {
    "text labels": (table(labels=pa.array(["a", "b", "c"])), "column 'label' is string, not an integer; number the"),
    "text labels in a dictionary": (table(labels=pa.array(["a", "b", "a"]).dictionary_encode()), "not an integer"),
    "large text": (table(labels=pa.array(["a", "b", "a"], pa.large_string())), "is large_string, not an integer"),
    "floats": (table(labels=pa.array([0.0, 1.0, 2.0])), "is double, not an integer"),
    "halves": (table(labels=pa.array(np.array([0, 1, 2], np.float16))), "is halffloat, not an integer"),
    "truth values": (table(labels=pa.array([True, False, True])), "is bool, not an integer"),
    "lists": (table(labels=pa.array([[0], [1], [2]])), "not an integer"),
    "days": (table(labels=pa.array([0, 1, 2], pa.date32())), "not an integer"),
    "nulls": (table(labels=pa.nulls(3)), "is null, not an integer"),
    "a label that is missing": (table(labels=pa.array([0, None, 1])), "row 1: column 'label' is empty"),
    "a label beyond 64 bits": (
        table(labels=pa.array([0, 2**63, 1], pa.uint64())),
        "row 1: the label 9223372036854775808",
    ),
    "an image that is missing": (table(pa.array([ENCODED[0], None, ENCODED[1]])), "row 1: holds no image bytes"),
    "a struct that is missing": (
        table(pa.array([{"bytes": ENCODED[0]}, None, {"bytes": ENCODED[1]}])),
        "row 1: holds no image bytes",
    ),
    "paths": (table(pa.array(["a.png", "b.png", "c.png"])), "column 'img' is string, not encoded images"),
    "paths in a struct": (
        table(pa.array([{"bytes": None, "path": "a.png"}] * 3, STRUCT)),
        "row 0: holds no image bytes",
    ),
    "numbers": (table(pa.array([1, 2, 3])), "column 'img' is int64, not encoded images"),
    "an empty image": (table(pa.array([b"", *ENCODED[1:]])), "row 0: cannot be decoded"),
    "floats in an image": (
        table(pa.array([saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), *ENCODED[1:]])),
        "row 0: the image is of floats",
    ),
    "two columns": (
        pa.Table.from_arrays([pa.array(ENCODED), pa.array([0, 1, 2]), pa.array([0, 1, 2])], ["img", "label", "label"]),
        "has two columns 'label' but img, label, label; set label_column",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_column_that_cannot_be_read_is_one_sentence(kind, tmp_path):
    found, sentence = WRONG[kind]
    with pytest.raises(NernError, match=sentence) as caught:
        from_table(found, tmp_path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("tasks.t.images.train: ")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([str(n) for n in range(11)], "label 2 is class 10; for the order of numbers give them leading zeros"),
        (["5", "40"], "label 0 is class 40"),
        ([f"{n:02}" for n in range(11)], None),
        (["a1", "a10", "a2"], None),
        (["1", "2", "x"], None),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_classes_named_by_numbers_have_the_order_of_text_and_that_is_said(
    names, said, streaming, tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    for name in names:
        for split, content in zip(("train", "test"), ENCODED, strict=False):
            Path(split, name).mkdir(parents=True)
            Path(split, name, "0.png").write_bytes(content)
    images = {"source": "folder", "train": "train", "test": "test", "size": 8, "resize": 8, "streaming": streaming}
    task = {"title": "T", "classes": len(names), "images": images, "mean": [0.5] * 3, "std": [0.5] * 3}
    network = {"networks": {"n": {"architecture": "cifar-resnet", "depth": 20}}}
    with caplog.at_level("INFO"):
        prepare_data.run(parse({"tasks": {"t": task | network}}), "t")
    assert json.loads(Path("results/t/images/data.json").read_text())["class_names"] == sorted(names)
    assert f"classes in the order of their labels: {', '.join(sorted(names))}" in caplog.text
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == bool(said) and all(said in warning for warning in warnings)


def write_named(path, names):
    """Three images in a file of the hub, which names the classes of its labels."""
    features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    pq.write_table(table().replace_schema_metadata({"huggingface": json.dumps(features)}), path)


@pytest.mark.parametrize(
    ("changed", "names", "sentence"),
    [
        ("c", ["dog", "cat", "eel"], r"x\.test: c\.parquet: its class 0 is 'dog', but that of a\.parquet is 'cat'"),
        ("b", ["cat", "eel", "dog"], r"x\.train: b\.parquet: its class 1 is 'eel', but that of a\.parquet is 'dog'"),
        ("c", ["cat", "dog"], "its class 2 is 'nothing', but that of .* is 'eel'"),
        ("b", ["cat", "dog", "eel", "fly"], "its class 3 is 'fly', but that of .* is 'nothing'; number the classes"),
    ],
)
@pytest.mark.parametrize("reader", [read_source, class_names])
def test_files_that_number_the_classes_in_different_ways_are_refused(
    reader, changed, names, sentence, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        write_named(f"{name}.parquet", names if name == changed else ["cat", "dog", "eel"])
    images = ParquetImages(source="parquet", train=["a.parquet", "b.parquet"], test=["c.parquet"])
    with pytest.raises(NernError, match=sentence):
        reader(images, "x")


def test_the_names_of_classes_are_those_of_the_hub_or_of_the_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_named("named.parquet", ["cat", "dog", "eel"])
    pq.write_table(table(), "plain.parquet")
    for name, wanted in (("named", ["cat", "dog", "eel"]), ("plain", [])):
        images = ParquetImages(source="parquet", train=[f"{name}.parquet"], test=["plain.parquet"])
        assert class_names(images, "x") == wanted
    for name in ("b", "a", "c"):
        Path("train", name).mkdir(parents=True)
    assert class_names(FolderImages(source="folder", train="train", test="train"), "x") == ["a", "b", "c"]


@pytest.mark.parametrize(("classes", "taken"), [(3, True), (4, False), (10, False)])
def test_a_task_has_no_more_classes_than_its_images_name(classes, taken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_named("a.parquet", ["cat", "dog", "eel"])
    others = pa.table({"img": [saved(Image.fromarray(COLORS // 2))] * 3, "label": [0, 1, 2]})
    pq.write_table(others, "b.parquet")
    images = {"source": "parquet", "train": ["a.parquet"], "test": ["b.parquet"]}
    task = {"title": "T", "classes": classes, "images": images, "mean": [0.5] * 3, "std": [0.5] * 3}
    config = parse({"tasks": {"t": task | {"networks": {"n": {"architecture": "cifar-resnet", "depth": 20}}}}})
    if taken:
        prepare_data.run(config, "t")
        return
    with pytest.raises(NernError, match=rf"tasks\.t\.classes: is {classes}, but .* of 3 classes \(cat to eel\); set 3"):
        prepare_data.run(config, "t")
    assert not Path("results/t/images/data.json").exists()
