"""`nern init`."""

import argparse

from nern.command import command
from nern.init import options
from nern.terminal import say


@command("init", "write a checked overlay for a trained network and its images", options.add_to)
def _init(arguments: argparse.Namespace) -> None:
    from nern.init import run

    say(run.run(arguments))
