"""What a file is that is no checkpoint, by its first bytes: a download that went wrong, or another program's format."""

import zipfile
from pathlib import Path

_HEAD = 512
_BEGINNINGS = {
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself (git lfs pull)",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as of Keras; only state dicts of PyTorch can be imported",
    b"\x93NUMPY": "a NumPy array; only state dicts of PyTorch can be imported",
    b"GGUF": "a GGUF file; only state dicts of PyTorch can be imported",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
}


def what_it_is(path: Path) -> str:
    """What a file that could not be loaded is, and what to do."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.strip():
        return "empty; fetch it again"
    for beginning, kind in _BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    if head.lstrip().startswith(b"<"):
        return "a web page, not the file that it links to; download that"
    if path.suffix == ".onnx" or (head.startswith(b"\x08") and b"pytorch" in head):
        return "an ONNX file; only state dicts of PyTorch can be imported"
    if head.startswith(b"PK"):
        return _archive(path)
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if head.isascii() and b"\0" not in head:
        return "a text; give the path of a checkpoint"
    return "damaged, truncated or no checkpoint; fetch it again"


def _archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):  # of its list of parts
        return "truncated or damaged; fetch it again"
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends and any("/code/" in name for name in names):
        return "a TorchScript archive, which is code; save the state_dict() of torch.jit.load(FILE)"
    if any(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz); only state dicts of PyTorch can be imported"
    if any(name.endswith(".weights.h5") for name in names):
        return "a Keras archive; only state dicts of PyTorch can be imported"
    if "data.pkl" in ends:
        return "damaged, or holds more than tensors; fetch it again, or save its state_dict()"
    return f"a zip archive ({', '.join(names[:3]) or 'empty'}); unpack it"
