"""What produced a file: versions, hardware, git commit.

The Snakefile imports this module, so it imports nothing heavy.
"""

import functools
import importlib.metadata
import itertools
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent
_CPUINFO = Path("/proc/cpuinfo")
_THEN = " then "


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that touch a number."""
    networks = ("nern", "torch", "torchvision", "ranger-adabelief")
    numbers = ("numpy", "scipy", "numba", "scikit-learn", "constriction")
    found = {"python": platform.python_version()}
    for package in networks + numbers:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@functools.cache
def git_commit() -> str:
    """The commit of the checkout that this package belongs to, `-dirty` if its code has changes, or `unknown`."""
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)  # it may lie in another repository, untracked
    return (tracked and _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")) or "unknown"


def _git(*arguments: str) -> str:
    """What git says in the package's folder; empty if it has no answer."""
    command = ["git", "-C", str(_PACKAGE), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, encoding="ascii", errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def then(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What two attempts in a row were made by: a text as it is where the last one said the same, else `… then now`.

    Args:
        before: texts, and objects of texts; what is not in it was not told.
        now: of the later attempt.
    """
    joined = dict(before)
    for key, value in now.items():
        if isinstance(value, Mapping):
            joined[key] = then(before.get(key, {}), value)
        elif key not in before:
            joined[key] = value
        elif value not in before[key].split(_THEN)[-1:]:
            joined[key] = f"{before[key]}{_THEN}{value}"
    return joined


def processor() -> str:
    """The name of the processor."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def multiplies_bfloat16() -> bool | None:
    """Whether the processor multiplies floats of 16 bits; None where nobody can say (macOS)."""
    found = _cpuinfo()
    flags = found.get("flags", found.get("Features"))  # of x86, and of Arm
    return None if flags is None else not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split())


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor; empty elsewhere."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in itertools.takewhile(str.strip, lines))  # an empty line ends a processor
    return {key.strip(): value.strip() for key, _, value in pairs}


def cores() -> int:
    """How many CPU cores this process may use; all of the machine's where nobody can say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
