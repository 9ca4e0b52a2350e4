"""Images in parquet files, in the layout of the Hugging Face hub: a column of encoded images, a column of labels."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nern.config import expand
from nern.data.decoding import Pixels, check_channels, decode, pixels
from nern.data.splits import SPLITS, Split, Splits
from nern.errors import NernError
from nern.settings import ParquetImages


def read_parquet(images: ParquetImages, where: str, channels: int) -> Splits:
    """Both splits, each the concatenation of its files in the configuration's order.

    Raises:
        NernError: a file or a column is missing, an image (named by its row) cannot be used, or files number the
            classes in different ways, or a file is named twice.
    """
    check_channels(channels, where)
    label_names(images, where)  # opens each file: what cannot be opened cannot be told from others, either
    _check_apart(images, where)
    splits: Splits = {}
    for split in SPLITS:
        paths = images.train if split == "train" else images.test
        decoded: list[Pixels] = []
        labels: list[int] = []
        for entry in paths:
            _read_file(expand(entry, f"{where}.{split}"), images, f"{where}.{split}", channels, decoded, labels)
        if not decoded:
            raise NernError(f"{where}.{split}: its files hold no rows; give files with images")
        splits[split] = (_stack(decoded), torch.tensor(labels, dtype=torch.int64))
    return splits


def _check_apart(images: ParquetImages, where: str) -> None:
    """No file is in both splits, or twice in one."""
    seen: dict[Path, Split] = {}
    for split in SPLITS:
        for entry in images.train if split == "train" else images.test:
            path = expand(entry, f"{where}.{split}")
            if before := seen.get(path.resolve()):
                raise NernError(
                    f"{where}.{split}: {path} is read already, in {where}.{before}; name each file once, and test on "
                    "other images than those of training"
                )
            seen[path.resolve()] = split


def label_names(images: ParquetImages, where: str) -> list[str]:
    """The names of the classes, which the Hugging Face hub keeps in a file's schema; empty if no file has them.

    Raises:
        NernError: a file cannot be read, or two number the classes in different ways.
    """
    found: list[str] = []
    of = Path()
    for split in SPLITS:
        for entry in images.train if split == "train" else images.test:
            path = expand(entry, f"{where}.{split}")
            names = _names_in(path, images.label_column, f"{where}.{split}")
            if found and names and names != found:
                pairs = enumerate(itertools.zip_longest(names, found, fillvalue="nothing"))
                number, (theirs, ours) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
                raise NernError(
                    f"{where}.{split}: {path}: its class {number} is {theirs!r}, but that of {of} is {ours!r}; "
                    "number the classes alike in all files"
                )
            if not found:
                found, of = names, path
    return found


def _names_in(path: Path, column: str, where: str) -> list[str]:
    with _opened(path, where) as file:
        try:
            feature = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"][column]
            return [str(name) for name in feature["names"]]
        except (ValueError, KeyError, TypeError):
            return []


@contextlib.contextmanager
def _opened(path: Path, where: str) -> Iterator[Any]:
    """A parquet file; what is wrong with it ends in one sentence."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NernError(f"{where}: {path}: cannot be read as parquet ({reason}); give an existing file") from None


def _stack(decoded: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(decoded))


def _read_file(
    path: Path, images: ParquetImages, where: str, channels: int, decoded: list[Pixels], labels: list[int]
) -> None:
    """Append one file's images and labels. Row groups are read one at a time: encoded bytes never pile up."""
    with _opened(path, where) as file:
        _check_columns(file.schema_arrow, images, f"{where}: {path}")
        row = 0
        for batch in file.iter_batches(batch_size=4096, columns=[images.image_column, images.label_column]):
            contents = _contents(batch.column(images.image_column))
            for content, label in zip(contents, batch.column(images.label_column).to_pylist(), strict=True):
                place = f"{where}: {path}: row {row}"
                decoded.append(_one(content, channels, place, decoded))
                if label is None:
                    raise NernError(f"{place}: column {images.label_column!r} is empty; every image needs a label")
                if label >= 2**63:
                    raise NernError(f"{place}: the label {label} is too large; number the classes from 0")
                labels.append(label)
                row += 1


def _check_columns(schema: Any, images: ParquetImages, where: str) -> None:
    names = schema.names
    for key, column in (("image_column", images.image_column), ("label_column", images.label_column)):
        if names.count(column) != 1:
            have = "two columns" if column in names else "no column"
            raise NernError(f"{where}: has {have} {column!r} but {', '.join(names)}; set {key} to one of them")
    kind = schema.field(images.image_column).type
    inner = [kind.field(i).name for i in range(kind.num_fields)] if pa.types.is_struct(kind) else []
    if pa.types.is_struct(kind) and "bytes" in inner:
        kind = kind.field("bytes").type
    if not any(is_bytes(_plain(kind)) for is_bytes in _BYTES):
        raise NernError(
            f"{where}: column {images.image_column!r} is {schema.field(images.image_column).type}, not encoded images "
            "(binary, or a struct with a field 'bytes'); set image_column"
        )
    kind = schema.field(images.label_column).type
    if not pa.types.is_integer(_plain(kind)):
        raise NernError(
            f"{where}: column {images.label_column!r} is {kind}, not an integer; number the classes from 0, or set "
            "label_column"
        )


_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)


def _plain(kind: Any) -> Any:
    """The type of the values of a column, which may be kept as a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _contents(column: Any) -> list[bytes | None]:
    if pa.types.is_struct(column.type):
        return [None if item is None else item["bytes"] for item in column.to_pylist()]
    found: list[bytes | None] = column.to_pylist()
    return found


def _one(content: bytes | None, channels: int, where: str, before: list[Pixels]) -> Pixels:
    if content is None:
        raise NernError(f"{where}: holds no image bytes; every row needs an encoded image")
    found = pixels(decode(content, channels, where))
    if before and found.shape != before[0].shape:
        height, width = before[0].shape[1:]
        raise NernError(
            f"{where}: the image is {found.shape[1]}x{found.shape[2]} pixels but those before it are "
            f"{height}x{width}; bring all images to one size, or use the folder source, which crops"
        )
    return found
