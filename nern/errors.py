"""The one exception of the project that ends in a sentence instead of a traceback, and others' errors in a line."""

import traceback
from pathlib import Path

_PACKAGE = Path(__file__).parent


class NernError(Exception):
    """A user's mistake or a broken input: one sentence that says what, where and what to do.

    The command line prints the sentence on stderr and exits with code 2.
    """


def one_line(error: BaseException) -> str:
    """An error of a user's code in one line: its kind, its text, and the last place of that code that it came through.

    Places in this package and in torch are not named: an error there is most often one of its caller.
    """
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if isinstance(error, SyntaxError):
        return text  # it names its own place
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    theirs = [
        (path, line)
        for path, line in frames
        if _PACKAGE not in path.parents and "torch" not in path.parts and not path.name.startswith("<")
    ]
    return text + (f", {theirs[-1][0].name}, line {theirs[-1][1]}" if theirs else "")
