"""`nern`: how a command begins and ends. What the commands are is in `nern.command`.

A user's mistake ends in one sentence on stderr and exit code 2, never in a traceback. Nothing here takes time to
import: Ctrl-C while a command's own imports run must find `run` at work.
"""

import os
from typing import NoReturn

from nern.errors import NernError
from nern.terminal import complain, prepare, say, unwritable


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; 0 on success, 1 if verify finds errors, 2 on a user's mistake, 130 when interrupted."""
    import logging
    import sys

    from nern.command import parser

    try:
        arguments = parser().parse_args(argv)
    except BrokenPipeError:
        return 0
    except OSError as error:  # where it prints its help; of some versions of Python it is let out
        complain(f"nern: {unwritable(error)}")
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    try:
        code: int = arguments.handler(arguments) or 0
        return code
    except NernError as error:
        reason = str(error)
    except UnicodeEncodeError as error:
        reason = (
            f"{error.object!a:.200} cannot be written as {error.encoding}; set LC_ALL=C.UTF-8, or choose another name"
        )
    except OSError as error:
        if error.filename is None:
            raise
        reason = f"{error.filename}: {error.strerror}; mend it, or name another"  # too long a name, a closed folder
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        reason = "there is no memory for this; lower hidden, batch or sampling.kernels, or run fewer jobs at once"
    except KeyboardInterrupt:
        complain(f"nern {arguments.command}: interrupted; the same command resumes")
        return 130
    complain(f"nern {arguments.command}: {reason}")
    return 2


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out: torch says so by a RuntimeError of its own on a GPU, and by its text on a CPU."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)


def run() -> NoReturn:
    """`nern`: `main`, then the end of the process at once: taking torch apart would last half a second."""
    prepare()
    try:
        code = main()
    except SystemExit as ended:  # argparse's, after its message
        code = int(ended.code or 0)
    try:
        if code == 0:
            say(end="")  # what argparse has printed
    except NernError as error:
        complain(f"nern: {error}")
        code = 2
    os._exit(code)
