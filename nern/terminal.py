"""What a command has of its terminal: streams that take any text, and signals that end it with one sentence."""

import contextlib
import io
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from nern.errors import NernError


def prepare() -> None:
    """Let standard output and error take any text, in any locale, and Ctrl-C and SIGTERM end the process at once.

    The signals raise no exception: modules that are being imported would swallow it or turn it into others. Nothing is
    lost, for every write is atomic. A stream that is closed takes all and keeps nothing; a signal that is ignored
    (nohup) stays so.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> NoReturn:
    word = "interrupted" if number == signal.SIGINT else "terminated"
    start = "\n" if sys.stderr.isatty() else ""  # leaves the line of a progress bar
    with contextlib.suppress(OSError):  # not by the stream, in whose midst the signal may have come
        os.write(sys.stderr.fileno(), f"{start}nern: {word}; the same command resumes\n".encode())
    os._exit(128 + number)


def complain(text: str) -> None:
    """One sentence on standard error, if anything can be written there."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def say(text: str = "", end: str = "\n") -> bool:
    """Print text at once; False where nobody reads any more, as behind `| head`, which is no mistake.

    Raises:
        NernError: standard output cannot be written.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        return False
    except OSError as error:
        raise NernError(unwritable(error)) from None
    return True


def unwritable(error: OSError) -> str:
    """What a user is told where standard output cannot be written."""
    return f"standard output: cannot be written ({error.strerror}); free space or write elsewhere"
