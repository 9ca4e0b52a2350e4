import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest
import torch

from nern import checkpoint, files
from nern.errors import NernError


def names(folder):
    return [path.name for path in folder.iterdir()]


def tensors(value=1.0):
    return {"b": torch.full((3,), value), "a": torch.arange(4)}


def test_tensors_and_text_come_back(tmp_path):
    path = tmp_path / "x.safetensors"
    checkpoint.write_tensors(path, tensors(), {"z": "1", "y": "ü"})
    read, metadata = checkpoint.read_tensors(path)
    assert all(torch.equal(read[name], value) for name, value in tensors().items())
    assert (metadata["z"], metadata["y"]) == ("1", "ü")


def test_equal_content_is_equal_bytes(tmp_path):
    one, other = tmp_path / "1", tmp_path / "2"
    checkpoint.write_tensors(one, tensors(), {"z": "1", "a": "2"})
    checkpoint.write_tensors(other, dict(reversed(tensors().items())), {"a": "2", "z": "1"})
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("position", [0, 20, -1])
def test_a_changed_byte_is_noticed(tmp_path, position):
    path = tmp_path / "x.safetensors"
    checkpoint.write_tensors(path, tensors(), {})
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(NernError, match=r"x\.safetensors"):
        checkpoint.read_tensors(path)


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_truncated_file_is_noticed(tmp_path, length):
    path = tmp_path / "x.safetensors"
    checkpoint.write_tensors(path, tensors(), {})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(NernError, match=r"x\.safetensors"):
        checkpoint.read_tensors(path)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    owner = checkpoint.Path if failing == "replace" else os

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, failing, fail)
    with pytest.raises(NernError, match="No space left on device"):
        files.write_json(path, {"a": 2})
    monkeypatch.undo()
    assert files.read_json(path) == {"a": 1}
    assert names(tmp_path) == ["x.json"]


def test_not_a_number_is_no_json(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new"), [('"a": 1', '"a": 2'), ('"b"', '"c"'), ('"checksum"', '"other"'), ("0.1", "NaN")]
)
def test_an_edited_json_file_is_noticed(tmp_path, old, new):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1, "b": [0.1, None, "λ"]})
    assert files.read_json(path) == {"a": 1, "b": [0.1, None, "λ"]}
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(NernError, match="its checksum does not fit its content"):
        files.read_json(path)


@pytest.mark.parametrize("content", ["", "{", "[1]", "5", "{'a': 1}", "\ud800"])
def test_damaged_json_is_one_sentence(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(NernError) as caught:
        files.read_json(path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NernError, match="cannot be written"):
        files.write_json(tmp_path / "file" / "x.json", {})


class TestState:
    def saved(self, folder):
        state = checkpoint.State(folder, "key")
        for step in (1, 2):
            state.save(tensors(step), {"done": str(step)})
        return state

    def load(self, state):
        self.warnings = []
        found = state.load(self.warnings.append)
        return None if found is None else int(found[1]["done"])

    def test_the_newest_is_used(self, tmp_path):
        assert self.load(self.saved(tmp_path)) == 2
        assert self.warnings == []

    def test_a_damaged_newest_is_set_aside_and_the_one_before_is_used(self, tmp_path):
        state = self.saved(tmp_path)
        state.newest.write_bytes(state.newest.read_bytes()[:-3])
        assert self.load(state) == 1
        assert len(self.warnings) == 1
        assert (tmp_path / "state.damaged").exists()
        assert self.load(state) == 1

    def test_a_kill_between_the_two_renames_loses_one_state(self, tmp_path):
        state = self.saved(tmp_path)
        state.newest.replace(state.previous)
        assert self.load(state) == 2

    def test_both_damaged_starts_anew(self, tmp_path):
        state = self.saved(tmp_path)
        for path in (state.newest, state.previous):
            path.write_bytes(b"")
        assert self.load(state) is None

    def test_another_key_is_not_used(self, tmp_path):
        self.saved(tmp_path)
        assert self.load(checkpoint.State(tmp_path, "other")) is None
        assert len(self.warnings) == 2

    def test_cleared(self, tmp_path):
        state = self.saved(tmp_path)
        state.clear()
        assert names(tmp_path) == []


def test_a_second_process_leaves_with_one_sentence_until_the_first_is_gone(tmp_path):
    code = "import sys; from pathlib import Path; from nern.files import exclusive\n"
    code += "with exclusive(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"in\n"
        assert files.is_locked(tmp_path)
        with pytest.raises(NernError, match="another process"), files.exclusive(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    assert not files.is_locked(tmp_path)
    with files.exclusive(tmp_path):
        pass


def test_a_mapping_keeps_its_order(tmp_path):
    files.write_json(tmp_path / "x.json", {"b": 1, "a": 2})
    assert list(json.loads((tmp_path / "x.json").read_text())) == ["b", "a", "checksum"]


def test_who_only_looks_whether_a_folder_is_worked_on_keeps_nobody_out(tmp_path):
    """`nern status --watch` looks at every folder, every few seconds, and a fit begins when it pleases."""
    with files.exclusive(tmp_path):
        pass
    with (tmp_path / ".lock").open("r") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with files.exclusive(tmp_path):
            assert files.is_locked(tmp_path)
