"""What produced a file: code, versions, hardware, git commit, digests of the inputs.

The Snakefile imports this module, so it imports nothing heavy.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from nern.errors import NernError

_PACKAGE = Path(__file__).parent
_ROOMS = ("method", "codecs", "networks", "data", "stages", "report", "seeding")
"""Modules that can change a number or how it is shown. Configuration counts through fingerprints."""


@functools.cache
def _source(module: str) -> Path | None:
    """The file of a module of this package, if it is one whose code can change a number."""
    parts = module.split(".")
    if parts[0] != _PACKAGE.name or len(parts) < 2 or parts[1] not in _ROOMS:
        return None
    return _file(_PACKAGE.parent, module)


def _file(root: Path, module: str) -> Path | None:
    """The file of a module, looked for as Python does: a package before a module of its name."""
    base = root.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(node.body) > 1:
                node.body = node.body[1:]
    return tree


@functools.cache
def _module(text: str) -> tuple[str, frozenset[str]]:
    """Digest of a file's code (not its comments, docstrings and layout), and the modules that it imports.

    Remembered by its text: an edit is seen by a process that goes on.
    """
    tree = ast.parse(text)
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            imported.add(base)
            imported.update(f"{base}.{alias.name}" if node.module else base + alias.name for alias in node.names)
    digest = hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest()
    return digest, frozenset(imported)


def _digest(module: str, root: Path, source: Callable[[str], Path | None]) -> str:
    """16 hexadecimal digits over the code of a module and all that it imports, of what `source` finds below `root`."""
    seen: dict[str, str] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        path = source(name)
        if path is None or str(path) in seen:
            continue
        digest, imported = _module(path.read_text(encoding="utf-8"))
        seen[str(path)] = f"{path.relative_to(root)} {digest}"
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        todo.extend(importlib.util.resolve_name(each, package) for each in imported)
    return hashlib.sha256("\n".join(sorted(seen.values())).encode()).hexdigest()[:16]


@functools.cache
def code_digest(module: str) -> str:
    """16 hexadecimal digits over the code of a stage: its module and all that it imports of the science."""
    return _digest(module, _PACKAGE, _source)


def architecture_digest(module: str) -> str:
    """The same of a module of the user's and all that it imports from beside it; nothing of it is run.

    Of an installed package the module alone counts: beside it lies all else that is installed.

    Raises:
        NernError: the module has no source, or one that cannot be read.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as for `python -m nern`, which the commands nern and snakemake are not
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
        places = (spec.submodule_search_locations or [spec.origin or ""]) if spec else []
        root = next((Path(place).parent for place in places if _file(Path(place).parent, module)), None)
    except (ImportError, ValueError, OSError):
        root = None
    if root is None:
        raise NernError(
            f"the source of the architecture's module {module!r} is not found; run where it lies, or set PYTHONPATH"
        )
    installed = root.name.endswith("-packages")
    try:
        return _digest(module, root, lambda name: _file(root, name) if name == module or not installed else None)
    except (OSError, ValueError, SyntaxError, ImportError) as error:
        raise NernError(f"the architecture's module {module!r} cannot be read ({error}); mend it") from None


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
    """The commit of the checkout that this package lies in, `-dirty` if its code has changes, or `unknown`."""
    command = ["git", "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="ascii", errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def processor() -> str:
    """The name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """How many CPU cores this process may use; all of the machine's where nobody can say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
