"""The package's source as data: its modules, who imports whom, and how large everything is."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.kit.files import ROOT

Graph = Mapping[str, frozenset[str]]


@cache
def modules() -> dict[str, Path]:
    """Every module of `taskq` by its dotted name."""
    found = {}
    for path in sorted((ROOT / "taskq").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(tree: ast.AST, known: Mapping[str, object]) -> set[str]:
    """The modules of `known` that a tree imports: anywhere in it, for types only, and by a string.

    A string counts where the module uses `importlib`. What the import of a module runs besides, the
    `__init__` of the packages above it, does not count.
    """
    found: set[str] = set()
    by_string = False
    strings: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            by_string |= any(alias.name.startswith("importlib") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "an import is written with the whole name"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
            by_string |= node.module.startswith("importlib")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
    if by_string:
        found |= strings
    return found & known.keys()


@cache
def import_graph() -> Graph:
    """What each module of the package imports of it."""
    known = modules()
    return {
        name: frozenset(imports_of(parse(path), known) - {name}) for name, path in known.items()
    }


def packages(graph: Graph) -> Graph:
    """The same graph with one node a package; a module right below `taskq`, and a program, is one."""

    def package(name: str) -> str:
        parent = name.rpartition(".")[0]
        is_package = modules()[name].name == "__init__.py"
        return name if is_package or parent == "taskq" or name.endswith("__main__") else parent

    found: dict[str, set[str]] = {}
    for name, targets in graph.items():
        if name != "taskq":
            found.setdefault(package(name), set()).update(map(package, targets - {"taskq"}))
    return {name: frozenset(targets - {name}) for name, targets in found.items()}


def cycles(graph: Graph) -> list[list[str]]:
    """The sets of nodes of which each reaches all others (Tarjan), largest first."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in number:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], number[target])
        if lowest[node] == number[node]:
            start = stack.index(node)
            if len(stack) - start > 1:
                found.append(sorted(stack[start:]))
            del stack[start:]

    for node in graph:
        if node not in number:
            visit(node)
    return sorted(found, key=len, reverse=True)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The functions of a file with their numbers of lines."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1
