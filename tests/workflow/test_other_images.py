"""What was made of other images than those that are prepared, or named, now is measured and handed out no more."""

import shutil
from pathlib import Path

import pytest
import yaml
from tiny import CELL, CONFIG, ORIGINAL, digests, nern

from nern import config as configuration
from nern import files
from nern.data import prepared
from nern.resolved import data_settings

IMAGES = Path("results/digits/images")
MANIFEST = IMAGES / "data.json"


def prepare_others():
    """The same images mirrored, by the same settings: as after a change in a folder, and `nern prepare-data`."""
    settings = data_settings(configuration.read([Path(name) for name in CONFIG[1:]]), "digits")
    loaded = {split: prepared.load(IMAGES, split) for split in ("train", "test")}
    mirrored = {split: (each.images.flip(3), each.labels.clone()) for split, each in loaded.items()}
    prepared.write(IMAGES, mirrored, settings, prepared.read_manifest(IMAGES).class_names)


def refused(capsys, *command):
    capsys.readouterr()
    assert nern(*command) == 2, command
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "Traceback" not in line
    return line


TAKEN = {
    CELL: [("evaluate",), ("compress",), ("export", "x.safetensors"), ("pack", "x.nern"), ("fit",)],
    ORIGINAL: [("compress",), ("pack", "x.nern"), ("permute", "--mode", "none")],
}


def test_what_an_original_was_made_of_is_what_is_prepared(run, capsys):
    """An evaluation compared the network's classes of these images with the original's of those before."""
    prepare_others()
    before = digests(run)
    for path, commands in TAKEN.items():
        for name, *others in commands:
            found = refused(capsys, name, path, *others)
            assert f"{ORIGINAL}/metrics.json: its input {MANIFEST} has changed since; run: nern train-original" in found
    assert digests(run) == before
    assert nern("verify") == 0
    assert f"its input {MANIFEST} has changed since" in capsys.readouterr().out


def test_what_a_cell_was_made_of_is_what_is_prepared(run, capsys):
    """As with an imported original, whose file is the same after another import."""
    prepare_others()
    record = files.read_json(Path(ORIGINAL, "metrics.json"))
    record["inputs"][str(MANIFEST)] = files.sha256(MANIFEST)
    files.write_json(Path(ORIGINAL, "metrics.json"), record)
    for name, *others in TAKEN[CELL][:-1]:
        found = refused(capsys, name, CELL, *others)
        assert f"{CELL}/fit.json: its input {MANIFEST} has changed since; run: nern fit {CELL}" in found
    assert nern("pack", ORIGINAL, "x.nern") == 0


def test_where_no_images_are_a_cell_is_handed_out(run):
    """As from results that were gathered from another machine."""
    shutil.rmtree(IMAGES)
    assert nern("export", CELL, "x.safetensors") == 0
    assert nern("pack", CELL, "x.nern") == 0


@pytest.fixture
def of_folders(run):
    """The tiny task on images in folders, of which nothing but the images is prepared."""
    from PIL import Image

    for split in ("train", "test"):
        loaded = prepared.load(IMAGES, split)
        for number, (image, label) in enumerate(zip(loaded.images[:100], loaded.labels, strict=False)):
            path = Path(split, str(int(label)), f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(path)
    images = {"source": "folder", "train": "train", "test": "test", "size": 8, "resize": 8}
    settings = yaml.safe_load(Path("tiny.yaml").read_text())
    settings["tasks"]["digits"] |= {"images": images, "original": {"epochs": 1, "milestones": [1]}}
    Path("tiny.yaml").write_text(yaml.safe_dump(settings))
    assert nern("prepare-data", "digits") == 0


def test_what_is_handed_out_is_of_the_images_that_the_configuration_names(of_folders, capsys):
    """A table calls such a cell outdated, and so does each stage that reads images."""
    assert nern("train-original", ORIGINAL) == 0
    assert nern("permute", ORIGINAL, "--mode", "cross-filter") == 0
    assert nern("fit", CELL) == 0
    next(Path("train/3").iterdir()).unlink()
    for command in (("export", CELL, "x.safetensors"), ("pack", CELL, "x.nern"), ("pack", ORIGINAL, "y.nern")):
        assert "train does not hold the 100 images that were prepared" in refused(capsys, *command)
    Path("train").rename("elsewhere")
    assert nern("export", CELL, "x.safetensors") == 0
    assert nern("pack", CELL, "x.nern") == 0
