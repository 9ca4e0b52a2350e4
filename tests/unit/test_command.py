"""The command line: what its help needs, and what each subcommand says."""

import subprocess
import sys
from argparse import _SubParsersAction

import pytest

from nern.command import parser

HEAVY = ("torch", "torchvision", "pandas", "scipy", "matplotlib", "numba", "sklearn", "pyarrow", "rich")
COMMANDS = next(a for a in parser()._actions if isinstance(a, _SubParsersAction)).choices


def test_the_help_needs_nothing_heavy():
    code = f"import sys; sys.modules.update(dict.fromkeys({HEAVY})); from nern.command import parser; parser()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_runs_something(name):
    command = COMMANDS[name]
    assert command.description and callable(command.get_default("handler"))
    assert all(action.help or action.choices or action.metavar for action in command._actions)


def test_every_command_but_those_without_cells_takes_a_configuration():
    without = {name for name, command in COMMANDS.items() if "--config" not in command.format_usage()}
    assert without == {"unpack", "schema"}
