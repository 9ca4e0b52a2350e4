"""Files that are whole or not there: atomic writes, checked reads, and a folder's lock. Imports nothing heavy.

A write goes to a temporary file in the same folder, is flushed to disk, and is renamed over the target, so that a
kill between any two instructions leaves the old file or the new one.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from nern.errors import NernError

log = logging.getLogger(__name__)
_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What a file system says of something that it does not have."""
_LOOKS = 20
"""Tries at a lock, a fortieth of a second apart: who only looks whether it is held has let it go by then."""


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; NernError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NernError(f"{path}: cannot be read ({error.strerror}); make it again with its stage") from None


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, atomically and durably; its folder is made if need be. Both get the umask's mode.

    Raises:
        NernError: the folder is not writable, or the disk is full. The old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)
    except OSError as error:
        raise NernError(f"{path}: cannot be written ({error.strerror}); free space or mend the permissions") from None


def _flush_folder(folder: Path) -> None:
    """Make a renaming last, where the file system can flush folders."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (*_UNSUPPORTED, errno.EINVAL, errno.EBADF):
            raise
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """`write_bytes` of a mapping as indented JSON in its own order, with a checksum of the rest as its last entry.

    Raises:
        ValueError: a number is NaN or infinite.
        NernError: as `write_bytes`.
    """
    marked = dict(value) | {"checksum": _checksum(value)}
    write_text(path, json.dumps(marked, indent=2, allow_nan=False) + "\n")


def _checksum(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The mapping that `write_json` wrote; NernError if the file is missing, or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NernError(f"{path}: cannot be read ({error.strerror}); make it with its stage first") from None
    except (ValueError, RecursionError) as error:
        raise NernError(f"{path}: is no valid JSON ({error}); delete it and run its stage again") from None
    if not isinstance(value, dict):
        raise NernError(f"{path}: holds no JSON object; delete it and run its stage again")
    checksum = value.pop("checksum", None)
    try:
        sound = checksum == _checksum(value)
    except ValueError:  # NaN or infinity, which Python reads but no stage writes
        sound = False
    if not sound:
        raise NernError(f"{path}: its checksum does not fit its content; delete it and run its stage again")
    return value


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; a second process leaves with one sentence. The kernel frees it when a process dies.

    Raises:
        NernError: another process works in the folder, or it cannot be written or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a")
    except OSError as error:
        raise NernError(f"{folder}: cannot be written ({error.strerror}); mend its permissions") from None
    with file:
        try:
            if not any(_locked(file) for _ in range(_LOOKS)):
                raise NernError(f"{folder}: another process is working on it; wait for it, or end it first")
        except OSError as error:
            raise NernError(f"{folder}: cannot be locked ({error.strerror}); mend the file system") from None
        yield


def _locked(file: IO[str]) -> bool:
    """Take a lock, or find it held and wait a moment."""
    try:
        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(1 / 40)
        return False
    return True


def is_locked(folder: Path) -> bool:
    """Whether a living process holds the folder's lock; NernError if that cannot be known."""
    try:
        with (folder / ".lock").open("r") as file:
            lock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise NernError(f"{folder}/.lock: cannot be read ({error.strerror}); mend its permissions") from None
    return False


def lock(file: IO[str], operation: int) -> None:
    """`flock` of an open file; where the file system has no locks, as some of clusters have none, a warning instead."""
    try:
        fcntl.flock(file, operation)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _warn_of_no_locks()


@functools.cache  # once a process
def _warn_of_no_locks() -> None:
    log.warning(
        "this file system has no locks: two processes that work on one cell will not notice each other; start one only"
    )
