"""What file systems lack or forbid: locks, flushed folders, shared memory, permissions."""

import errno
import fcntl
import logging
import os
import stat

import pytest

from nern import files
from nern.errors import NernError

LACKING = ("ENOSYS", "ENOLCK", "EOPNOTSUPP", "ENOTSUP")
BROKEN = ("EACCES", "EPERM", "EIO", "ESTALE", "EBADF", "EINTR", "EROFS")


def failing(name):
    code = getattr(errno, name)

    def fail(*_):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.fixture(autouse=True)
def not_warned():
    files._warn_of_no_locks.cache_clear()


@pytest.mark.parametrize("name", LACKING)
def test_without_locks_work_goes_on_with_one_warning(tmp_path, monkeypatch, caplog, name):
    monkeypatch.setattr(fcntl, "flock", failing(name))
    for folder in (tmp_path / "a", tmp_path / "b"):
        with files.exclusive(folder):
            files.write_text(folder / "x", "there")
            assert not files.is_locked(folder)
        assert (folder / "x").read_text() == "there"
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING and "no locks" in warning.message


@pytest.mark.parametrize("name", BROKEN)
def test_any_other_error_of_a_lock_is_one_sentence(tmp_path, monkeypatch, name):
    monkeypatch.setattr(fcntl, "flock", failing(name))
    with pytest.raises(NernError, match="cannot be locked"), files.exclusive(tmp_path):
        raise AssertionError("it went on")
    with pytest.raises(NernError, match="cannot be read"):
        files.is_locked(tmp_path)


def test_a_lock_that_is_held_is_no_missing_lock(tmp_path):
    with files.exclusive(tmp_path):
        assert files.is_locked(tmp_path)
        with pytest.raises(NernError, match="another process"), files.exclusive(tmp_path):
            pass


@pytest.mark.parametrize("folder", ["absent", "file"])
def test_what_is_no_folder_is_not_locked(tmp_path, folder):
    (tmp_path / "file").write_text("")
    assert not files.is_locked(tmp_path / folder)


@pytest.mark.parametrize(("name", "written"), [(n, True) for n in (*LACKING, "EINVAL", "EBADF")] + [("EIO", False)])
def test_a_folder_that_cannot_be_flushed_is_no_error_unless_its_disk_is_broken(tmp_path, monkeypatch, name, written):
    flush = os.fsync

    def fsync(handle):
        (failing(name) if stat.S_ISDIR(os.fstat(handle).st_mode) else flush)(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    if written:
        files.write_text(tmp_path / "x", "there")
    else:
        with pytest.raises(NernError, match="cannot be written"):
            files.write_text(tmp_path / "x", "there")
    assert [path.name for path in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_text() == "there"


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o007, 0o022, 0o027, 0o077])
def test_files_and_folders_have_the_mode_that_the_umask_says(tmp_path, umask):
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "new" / "deeper" / "x", "first")
        files.write_json(tmp_path / "new" / "deeper" / "x", {"second": 2})
        with files.exclusive(tmp_path / "held"):
            pass
    finally:
        os.umask(before)
    for name, mode in {"new": 0o777, "new/deeper": 0o777, "new/deeper/x": 0o666, "held": 0o777}.items():
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode & ~umask, name
