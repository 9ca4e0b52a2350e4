"""What a Python file defines: syntax without layout, in which names from outside of a definition are left blank.

Files are read and never run. Imports nothing heavy: the Snakefile needs it.
"""

import ast
import contextlib
import functools
import importlib.util
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*_DEFINITIONS, ast.Lambda, *_COMPREHENSIONS)

Names = dict[str, set[str]]
"""What names stand for, as full names; several where branches give one name to several things."""


@dataclass(frozen=True, eq=False)
class Definition:
    """A function, class or assignment at the top level of a file.

    Attributes:
        tree: Its syntax without docstrings and imports, blank where a name from outside stands.
        references: What stands in each blank.
    """

    tree: str
    references: list[list[str]]


@dataclass(frozen=True, eq=False)
class Module:
    """What a file defines.

    Attributes:
        definitions: By the names that they bind.
        effects: The other statements in their order, which may change any definition; None if there are none.
        names: What the names at its top level stand for.
        imports: Full names of the modules that it may import, within functions, too.
    """

    definitions: dict[str, Definition]
    effects: Definition | None
    names: Names
    imports: set[str]

    @property
    def contents(self) -> set[Definition]:
        """All that it says."""
        return {*self.definitions.values(), *([self.effects] if self.effects else [])}


@functools.cache
def read(name: str, package: str, text: str) -> Module:
    """The module of a name, in a package, by its text. Remembered by that: an edit is seen.

    Raises:
        SyntaxError: the text is no Python.
        ImportError: it imports from beyond its package.
    """
    tree = ast.parse(text)
    imports = {full for _, full in _imports([tree], package)}  # before they are taken out
    bound = {statement: list(_bound([statement])) for statement in tree.body}
    count = Counter(each for names in bound.values() for each in names)
    outside = [statement for statement in tree.body if not isinstance(statement, _DEFINITIONS)]
    names = _names([*((each, f"{name}.{each}") for each in count), *_imports(outside, package)])

    def definition(*statements: ast.stmt) -> Definition:
        blanks = _Blanks(names, package)
        return Definition(ast.dump(blanks.visit(ast.Module([*statements], []))), blanks.found)

    definitions: dict[str, Definition] = {}
    others = []
    for statement in tree.body:
        once = bool(bound[statement]) and all(count[each] == 1 for each in bound[statement])
        if once and isinstance(statement, (*_DEFINITIONS, ast.Assign, ast.AnnAssign)):
            definitions |= dict.fromkeys(bound[statement], definition(statement))
        elif not _is_text(statement) and not _is_plain_import(statement):
            others.append(statement)
    effects = definition(*others) if others else None
    if effects:
        definitions |= {each: effects for statement in others for each in bound[statement]}
    return Module(definitions, effects, names, imports)


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a docstring, or does as little."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_plain_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom) and node.names[0].name != "*"


def _imports(nodes: Iterable[ast.AST], package: str) -> Iterator[tuple[str, str]]:
    """Each name that is imported anywhere in nodes, and what it stands for."""
    for node in itertools.chain.from_iterable(map(ast.walk, nodes)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                yield from [(alias.asname or alias.name, alias.name), *([] if alias.asname else [(top, top)])]
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                yield alias.asname or alias.name, base if alias.name == "*" else f"{base}.{alias.name}"


def _names(pairs: Iterable[tuple[str, str]]) -> Names:
    found: Names = {}
    for name, full in pairs:
        found.setdefault(name, set()).add(full)
    return found


def _bound(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names that nodes bind where they stand: not within functions, and not by an import."""
    for node in nodes:
        if isinstance(node, (*_DEFINITIONS, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            yield from [node.name] if node.name else []
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.MatchMapping):
            yield from [node.rest] if node.rest else []
        if not isinstance(node, _SCOPES):
            yield from _bound(ast.iter_child_nodes(node))


class _Blanks(ast.NodeTransformer):
    """Takes the names from outside out of statements, and what they stand for into `found`, in their order."""

    def __init__(self, names: Names, package: str) -> None:
        self.names, self.package = names, package
        self.found: list[list[str]] = []

    def _blank(self, targets: Iterable[str]) -> ast.Name:
        self.found.append(sorted(targets))
        return ast.Name("", ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.Name:
        bound = not isinstance(node.ctx, ast.Load)
        return node if bound or node.id not in self.names else self._blank(self.names[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`module.name` and what is behind it in one."""
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            base = base.value
        if not isinstance(base, ast.Name) or base.id not in self.names:
            return self.generic_visit(node)
        behind = ast.unparse(node).removeprefix(base.id)
        return self._blank(target + behind for target in self.names[base.id])

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if _is_text(node) else self.generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> list[ast.AST]:
        """Nothing, but for what it stands for where that is not known from the names alone."""
        imports = _imports([node], self.package)
        return [self._blank([full]) for name, full in imports if name == "*" or len(self.names[name]) > 1]

    visit_ImportFrom = visit_Import

    @contextlib.contextmanager
    def _within(self, bound: Iterable[str], imported: Names) -> Iterator[None]:
        outer, hidden = self.names, set(bound)
        self.names = {name: found for name, found in outer.items() if name not in hidden | imported.keys()} | imported
        yield
        self.names = outer

    def _function(self, node: Any) -> Any:
        """Decorators, defaults and annotations belong to the scope around, the body to its own."""
        body = ast.Module([ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body, [])
        node.body = []
        self.generic_visit(node)
        parameters = [each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)]
        elsewhere = {name for each in ast.walk(body) if isinstance(each, ast.Global) for name in each.names}
        bound = {*parameters, *_bound(body.body)} - elsewhere
        with self._within(bound, _names(_imports([body], self.package))):
            self.generic_visit(body)
            node.body = body.body
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> ast.AST:
        with self._within(_bound(each.target for each in node.generators), {}):
            return self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension
