"""A user's files count by content: dates, places and copies do not, and no change of a byte is passed over."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nern import files
from nern.addresses import OriginalCell
from nern.config import Config, parse
from nern.data import contents
from nern.errors import NernError

ORIGINAL = OriginalCell("folder", "n", "base")
FILES = {"train/a/0.png": b"00", "train/a/1.png": b"01", "train/b/x/2.JPG": b"02", "test/a/3.png": b"03"}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in (FILES | {"a.parquet": b"a", "b.parquet": b"b", "w.pt": b"w"}).items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)


def config(where: str = "") -> Config:
    task = {
        "title": "T",
        "classes": 10,
        "mean": [0.5],
        "std": [0.5],
        "original": {"weights": f"{where}w.pt"},
        "networks": {"n": {"architecture": "cifar-resnet", "depth": 20}},
    }
    parquet = {"source": "parquet", "train": [f"{where}a.parquet", f"{where}b.parquet"], "test": [f"{where}b.parquet"]}
    folder = {"source": "folder", "train": f"{where}train", "test": f"{where}test"}
    sources = {"parquet": parquet, "folder": folder, "streamed": folder | {"streaming": True}}
    sources |= {"digits": {"source": "digits"}, "cifar": {"source": "torchvision", "dataset": "CIFAR10"}}
    return parse({"tasks": {name: task | {"images": images} for name, images in sources.items()}})


def digests(where: str = "") -> dict[str, str | None]:
    found = config(where)
    splits = {
        f"{task}/{split}": contents.source(found, task, split) for task in found.tasks for split in ("train", "test")
    }
    return splits | {"weights": contents.weights(found, ORIGINAL)}


def settle() -> None:
    """Age every file, so that its digest is kept."""
    for path in Path().rglob("*"):
        if path.is_file() and path.parent.name != "results":
            os.utime(path, (1, 1))


def in_place(path: str, content: bytes) -> None:
    """Another content of the same size, dates as before: what cp -p, rsync and tar leave."""
    before = Path(path).stat()
    Path(path).write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchanged(path: str, content: bytes) -> None:
    """Another file in its place, of an older date."""
    Path("new").write_bytes(content)
    os.utime("new", (0, 0))
    Path("new").replace(path)


PARQUET, FOLDER = "parquet/train", {"folder/train", "streamed/train"}
CHANGES = {
    "an image": (lambda change: change("train/a/0.png", b"99"), FOLDER),
    "an image further below": (lambda change: change("train/b/x/2.JPG", b"99"), FOLDER),
    "a test image": (lambda change: change("test/a/3.png", b"99"), {"folder/test", "streamed/test"}),
    "a parquet file": (lambda change: change("a.parquet", b"x"), {PARQUET}),
    "a parquet file of both": (lambda change: change("b.parquet", b"x"), {PARQUET, "parquet/test"}),
    "weights": (lambda change: change("w.pt", b"x"), {"weights"}),
}


@pytest.mark.parametrize("change", [in_place, exchanged])
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen_whatever_the_dates_say(what, change, monkeypatch):
    monkeypatch.setattr(contents, "_SETTLED", -(10**18))  # digests are kept even of files that are this young
    before = digests()
    assert Path("results/.contents.json").exists()
    CHANGES[what][0](change)
    after = digests()
    assert {name for name in before if before[name] != after[name]} == CHANGES[what][1]


@pytest.mark.parametrize(
    ("what", "change", "concerned"),
    [
        ("touched", settle, set()),
        ("no image", lambda: Path("train/a/notes.txt").write_text(""), set()),
        ("hidden", lambda: Path("train/a/.0.png").write_text(""), set()),
        ("in a hidden folder", lambda: shutil.copytree("test/a", "train/b/x/.ipynb_checkpoints"), set()),
        ("a link to its own folder", lambda: Path("train/a/loop").symlink_to("."), set()),
        ("a link to what it lies in", lambda: Path("train/b/x/loop").symlink_to("../.."), set()),
        ("a second way to a folder", lambda: Path("train/b/y").symlink_to("x"), set()),
        ("a link to another folder", lambda: Path("train/b/y").symlink_to("../../test"), FOLDER),
        ("added", lambda: Path("train/a/7.png").write_text(""), FOLDER),
        ("removed", lambda: Path("train/a/1.png").unlink(), FOLDER),
        ("renamed", lambda: Path("train/a/1.png").rename("train/a/4.png"), FOLDER),
        ("of another class", lambda: Path("train/a/1.png").rename("train/b/1.png"), FOLDER),
    ],
)
def test_names_and_contents_count_and_nothing_else(what, change, concerned):
    before = digests()
    change()
    after = digests()
    assert {name for name in before if before[name] != after[name]} == concerned


def test_a_copy_elsewhere_counts_as_the_same():
    for name in ("train", "test"):
        shutil.copytree(name, f"copy/{name}", copy_function=shutil.copy)
    for name in ("a.parquet", "b.parquet", "w.pt"):
        shutil.copy(name, f"copy/{name}")
    assert digests("copy/") == digests()


def test_what_is_not_there_or_has_no_files_has_no_digest():
    assert set(digests("nowhere/").values()) == set(digests("$NO_SUCH_VARIABLE/").values()) == {None}
    found = digests()
    assert {name for name, digest in found.items() if digest is None} == {
        f"{task}/{split}" for task in ("digits", "cifar") for split in ("train", "test")
    }


def test_weights_are_their_sha256():
    assert contents.weights(config(), ORIGINAL) == files.sha256(Path("w.pt"))


def test_a_digest_is_computed_once_and_again_after_a_change(monkeypatch):
    settle()
    monkeypatch.setattr(contents, "_SETTLED", -(10**18))
    first, read = digests(), []
    sha256 = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(str(path)) or sha256(path))
    assert digests() == first and read == []
    in_place("w.pt", b"x")
    digests()
    assert read == ["w.pt"]
    Path("results/.contents.json").write_text("{")
    assert digests()["folder/train"] == first["folder/train"]


def test_what_changed_a_moment_ago_is_not_remembered():
    # a second write within one tick of the clock would leave the same times
    digests()
    assert not Path("results/.contents.json").exists()


def test_of_very_many_files_names_and_sizes_count(monkeypatch):
    monkeypatch.setattr(contents, "LARGEST", 1)
    before = digests()
    in_place("train/a/0.png", b"99")
    assert digests() == before
    in_place("train/a/0.png", b"999")
    assert digests() != before


def test_an_image_that_cannot_be_read_is_a_sentence():
    Path("train/a/9.png").symlink_to("nowhere")
    with pytest.raises(NernError, match=r"9\.png: cannot be read .*mend or remove it"):
        digests()


@pytest.mark.parametrize("place", ["train/a", "train/b/x"])
def test_a_folder_of_a_class_that_cannot_be_listed_is_a_sentence(monkeypatch, place):
    scandir = os.scandir

    def denied(path):  # root may list any folder
        if os.fsdecode(path) == place:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(NernError, match=f"{place}: cannot be listed .Permission denied.; let it be read, or remove it"):
        digests()


def test_a_link_to_a_folder_that_is_not_there_is_a_sentence():
    Path("train/a/more").symlink_to("/no/such/disk")
    with pytest.raises(NernError, match=r"train/a/more: cannot be read .*mend or remove it"):
        digests()


@given(st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=3), min_size=1))
def test_two_sets_of_files_have_one_digest_only_if_they_are_equal(tmp_path_factory, found):
    roots = [tmp_path_factory.mktemp("set") for _ in range(2)]
    for root in roots:
        for name, content in found.items():
            (root / f"{name}.png").write_bytes(content)
    named = [[(name.encode(), os.fsencode(root / f"{name}.png")) for name in sorted(found)] for root in roots]
    assert contents._of_all(named[0]) == contents._of_all(named[1])
    (roots[1] / f"{min(found)}.png").write_bytes(found[min(found)] + b"x")
    assert contents._of_all(named[0]) != contents._of_all(named[1])
