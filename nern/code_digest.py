"""Digests of code by what its definitions say, not by where they stand. Imports nothing heavy: the Snakefile asks.

The code of a module is the set of definitions in it and in all modules that it imports. A definition counts by its
syntax and by what the names in it stand for: another definition by that one's digest, a name of another package by the
full name. So file names, aliases, imports, comments, layout, and the order and place of definitions do not count.
"""

import functools
import hashlib
import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from nern.definitions import Definition, Module, read
from nern.errors import NernError

_PACKAGE = Path(__file__).parent
_ROOMS = ("method", "codecs", "networks", "data", "stages", "report", "seeding", "distilling")
"""Modules that can change a number or how it is shown. Configuration counts through fingerprints."""


@functools.cache
def code_digest(module: str) -> str:
    """16 hexadecimal digits over the code of a stage: its module and all that it imports of the science."""
    rooms = tuple(f"{_PACKAGE.name}.{room}." for room in _ROOMS)
    inside = f"{_PACKAGE.name}."
    return digest(
        module,
        lambda name: _file(_PACKAGE.parent, name) if f"{name}.".startswith(inside) else None,
        lambda name: f"{name}.".startswith(rooms),
    )


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
        return digest(module, lambda name: _file(root, name) if name == module or not installed else None)
    except (OSError, ValueError, SyntaxError, ImportError, RecursionError) as error:
        raise NernError(f"the architecture's module {module!r} cannot be read ({error}); mend it") from None


def _file(root: Path, module: str) -> Path | None:
    """The file of a module, looked for as Python does: a package before a module of its name."""
    base = root.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def digest(module: str, source: Callable[[str], Path | None], counts: Callable[[str], bool] = lambda _: True) -> str:
    """16 hexadecimal digits over a module and all that it imports.

    Args:
        module: Its full name.
        source: The file of a module; None if it belongs to another package, of which names count.
        counts: Whether the content of a module counts; of others only names of definitions do.
    """
    modules: dict[str, Module | None] = {}
    todo, tops = [*_prefixes(module)], set()
    while todo:
        name = todo.pop()
        path = source(name)
        tops.add(name.partition(".")[0])
        if path is not None and name not in modules:
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            modules[name] = found = read(name, package, path.read_text(encoding="utf-8")) if counts(name) else None
            todo += (prefix for each in (found.imports if found else ()) for prefix in _prefixes(each))
    packages = tops - {name.partition(".")[0] for name in modules}  # to import one may itself change something
    return _hash([*sorted(_digests(modules)), *sorted(packages)])[:16]


def _prefixes(full: str) -> Iterator[str]:
    """`a`, `a.b` and `a.b.c` of `a.b.c`: Python imports them all."""
    return itertools.accumulate(full.split("."), "{}.{}".format)


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()


def _digests(modules: Mapping[str, Module | None]) -> set[str]:
    """A digest of each definition, by its syntax and the digests of what it refers to.

    Definitions refer to each other in circles, so digests are refined in rounds, each of which tells apart what refers
    to what the last one told apart. When a round tells no more apart, definitions with the same digest are the same in
    all that they reach (Moore 1956, Gedanken-experiments on sequential machines).
    """
    trees: dict[Definition, str] = {}
    links: dict[Definition, list[set[Definition]]] = {}
    for module in filter(None, modules.values()):
        for each in module.contents:
            meanings = [[_meaning(full, modules) for full in blank] for blank in each.references]
            trees[each] = _hash([each.tree, *("|".join(text for text, _ in blank) for blank in meanings)])
            links[each] = [found for blank in meanings for _, found in blank]
            links[each] += [{module.effects}] if module.effects else []
    digests, known = dict.fromkeys(trees, ""), 0
    while len(set(digests.values())) > known:
        known = len(set(digests.values()))
        digests = {
            each: _hash([tree, *(" ".join(sorted(digests[other] for other in found)) for found in links[each])])
            for each, tree in trees.items()
        }
    return set(digests.values())


def _meaning(full: str, modules: Mapping[str, Module | None]) -> tuple[str, set[Definition]]:
    """What a full name stands for: a text that says no place, and the definitions of ours that it means.

    A module that is used as a value means all that is in it.
    """
    parts, text, found = full.split("."), full, set[Definition]()
    for i, name in enumerate(_prefixes(full), 1):
        if name not in modules:
            continue
        module, behind = modules[name], parts[i:]
        text, found = ".".join(behind), module.contents if module else set()
        if not module or not behind:
            continue
        found = {module.definitions[behind[0]]} if behind[0] in module.definitions else set()
        elsewhere = module.names.get(behind[0], set()) - {f"{name}.{behind[0]}"}
        if found or elsewhere:
            meanings = [_meaning(".".join([other, *behind[1:]]), modules) for other in sorted(elsewhere)]
            text = "|".join([text] * bool(found) + [each for each, _ in meanings])
            return text, found.union(*(each for _, each in meanings))
        found = {module.effects} if module.effects else set()
    return text, found
