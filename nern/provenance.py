"""What produced a file: code, versions, hardware, git commit, digests of the inputs.

The Snakefile imports this module, so it imports nothing heavy.
"""

import ast
import functools
import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOMS = ("method", "networks", "data", "stages", "report", "seeding")
"""Modules that can change a number or how it is shown. Configuration counts through fingerprints."""


@functools.cache
def _source(module: str) -> Path | None:
    """The file of a module of this package, if it is one whose code can change a number."""
    parts = module.split(".")
    if parts[0] != _PACKAGE.name or len(parts) < 2 or parts[1] not in _ROOMS:
        return None
    base = _PACKAGE.joinpath(*parts[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(node.body) > 1:
                node.body = node.body[1:]
    return tree


@functools.cache
def _module(path: Path) -> tuple[str, frozenset[str]]:
    """Digest of a file's code (not its comments, docstrings and layout), and the modules that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
    digest = hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest()
    return digest, frozenset(imported)


@functools.cache
def code_digest(module: str) -> str:
    """16 hexadecimal digits over the code of a stage: its module and all that it imports of the science."""
    seen: dict[str, str] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        path = _source(name)
        if path is None or str(path) in seen:
            continue
        digest, imported = _module(path)
        seen[str(path)] = f"{path.relative_to(_PACKAGE)} {digest}"
        todo.extend(imported)
    return hashlib.sha256("\n".join(sorted(seen.values())).encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that touch a number."""
    packages = ("nern", "torch", "torchvision", "ranger-adabelief", "numpy", "scipy", "numba")
    found = {"python": platform.python_version()}
    for package in packages:
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
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def processor() -> str:
    """The name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
