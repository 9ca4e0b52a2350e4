import re
from pathlib import Path

import pytest

from nern import config as configuration
from nern import requests
from nern.addresses import Cell, OriginalCell

CONFIG = configuration.read([Path(__file__).parents[2] / "config.yaml"])


def cell(task, network, hidden, variant="base"):
    return Cell(task, network, "cross-filter", hidden, variant, 0)


def test_a_fit_of_the_paper_may_take_as_long_as_the_paper_says():
    cifar = requests.fit_minutes(CONFIG, cell("cifar10", "resnet20", 160))
    assert cifar == requests.START_MINUTES + 180
    # METHOD: 20 to 30 hours
    assert 30 * 60 < requests.fit_minutes(CONFIG, cell("imagenet", "resnet18", 1256)) < 60 * 60


def test_shorter_fits_ask_for_less():
    assert requests.fit_minutes(CONFIG, cell("cifar10", "resnet20", 160, "decoupled")) < 60


def test_imported_originals_ask_for_no_training():
    trained = requests.original_minutes(CONFIG, OriginalCell("cifar10", "resnet56", "base"))
    assert trained == requests.START_MINUTES + 200 * requests.EPOCH_MINUTES
    assert requests.original_minutes(CONFIG, OriginalCell("imagenet", "resnet18", "base")) == requests.START_MINUTES


def test_processes_that_decode_need_memory():
    assert requests.mebibytes(CONFIG, "imagenet") - requests.mebibytes(CONFIG, "cifar10") == 8 * 1_500


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "workflow/rules").glob("*.smk")), ids=lambda file: file.stem
)
def test_a_rule_that_says_its_minutes_asks_for_more_in_a_retry(file):
    # the profiles promise it: a job that ran out of time goes on where it was, with more
    asked = re.findall(r"^ +runtime=(\w+)", file.read_text(), re.MULTILINE)
    assert set(asked) <= {"minutes", "retried"}
