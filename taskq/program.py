"""The running program: the name under which workers can import it, and what an import defines.

A program that was started as `python app.py` is `__main__` here and the module `app` in a worker.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ast import AST

MAIN = ("__main__", "__mp_main__")  # the second one in processes that multiprocessing has spawned


class Program:
    """A program that other processes can import.

    Attributes:
        name: of the module, as `taskq worker` takes it.
        root: the directory in which that name is found; empty where `sys.path` leads to it.
        file: where it is, absolute.
        defines: what an import binds at the top level, so not what stands below
            `if __name__ == "__main__":`.
    """

    __slots__ = ("defines", "file", "name", "root")

    def __init__(self, name: str, root: str, file: str, defines: frozenset[str]) -> None:
        self.name = name
        self.root = root
        self.file = file
        self.defines = defines


def main_module() -> ModuleType | None:
    """The module of the program; in a spawned process that of the parent's program."""
    return spawned_main() or sys.modules.get("__main__")


def spawned_main() -> ModuleType | None:
    """The parent's program, where multiprocessing has spawned this process and runs it again."""
    module = sys.modules.get("__mp_main__")  # everywhere else it is another name of `__main__`
    return module if getattr(module, "__name__", None) == "__mp_main__" else None


def the_program() -> Program | None:
    """The program, or `None` if no other process can import it: a notebook, `python -c`, stdin.

    The answer is that of the first call, since a program may change its directory.
    """
    global _known
    main = main_module()
    space = {} if main is None else vars(main)
    file, spec = space.get("__file__"), space.get("__spec__")
    key = (file, getattr(spec, "name", None))
    known_key, program = _known
    if key != known_key:
        program = _look_at(file, spec)
        _known = key, program  # in one piece: several threads may ask for the first time
    return program


def module_of(fn: Callable[..., Any]) -> str | None:
    """The module from which another process can import that function of the program, or `None`."""
    program = the_program()
    file = file_of(fn)
    if program is None or file is None or os.path.abspath(file) != program.file:
        return None
    return program.name if defines(getattr(fn, "__qualname__", "")) else None


def defines(qualname: str) -> bool:
    """Whether another process that imports the program finds something of that name in it."""
    program = the_program()
    return program is not None and qualname.partition(".")[0] in program.defines


def file_of(fn: Callable[..., Any]) -> str | None:
    """The file in which a function was defined; `None` for a prompt and a notebook's cell."""
    from inspect import unwrap

    code = getattr(unwrap(fn), "__code__", None)
    return code.co_filename if code is not None and os.path.isfile(code.co_filename) else None


def add_alias() -> None:
    """Make the program known under its name, too.

    Workers import it by that name and send back what they find in it; without the alias it would be
    imported here a second time, and its classes would not be the same.
    """
    program, main = the_program(), main_module()
    if program is None or main is None:
        return
    sys.modules.setdefault(program.name, main)
    if "." in program.name and program.root and program.root not in sys.path:
        sys.path.append(program.root)  # where its packages are found, as `python -m` would have it


def alias() -> str | None:
    """The name that `add_alias` has given the program, or `None`."""
    program = the_program()
    if program is None:
        return None
    # by its file: a spawned process makes another module object of the program while it runs it
    file = getattr(sys.modules.get(program.name), "__file__", None)
    return program.name if file and os.path.abspath(file) == program.file else None


# --- how a program is named ----------------------------------------------------------------------


def _look_at(file: object, spec: Any) -> Program | None:
    if not isinstance(file, str) or not os.path.isfile(file):
        return None
    path = os.path.abspath(file)
    if spec is not None and spec.name not in MAIN and spec.origin == file:
        return Program(spec.name, "", path, _defined_in(path))  # python -m NAME
    for root in _roots(path):
        name = os.path.relpath(path, root).removesuffix(".py").replace(os.sep, ".")
        if _leads_to(name, root, path):
            return Program(name, root, path, _defined_in(path))
    return None


def _roots(path: str) -> Iterator[str]:
    """The directories from which the program may be imported; the likeliest one first.

    That is the nearest of the current directory, where `taskq worker` looks, and those of
    `sys.path`; last the program's own, which is in `sys.path` only because it was started.
    """
    own = os.path.dirname(path)
    try:
        here = os.getcwd()
    except OSError:  # it was removed
        here = own
    others = [os.path.abspath(entry) for entry in sys.path if entry and entry != own]
    above = {root for root in (here, *others) if (own + os.sep).startswith(root + os.sep)}
    yield from sorted(above, key=len, reverse=True)
    yield own


def _leads_to(name: str, root: str, path: str) -> bool:
    """Whether the name, looked for in `root` first, is that of the file."""
    from importlib.machinery import PathFinder

    first = name.partition(".")[0]
    expected = os.path.join(root, *name.split(".")) + ".py"
    if expected != path or first in sys.builtin_module_names or first in MAIN:
        return False  # also a stem with a dot, or without .py
    own = os.path.dirname(path)
    found = PathFinder.find_spec(first, [root, *(entry for entry in sys.path if entry != own)])
    if found is None:
        return False
    if first == name:
        loaded = getattr(sys.modules.get(name), "__file__", None) or path
        return found.origin == path == os.path.abspath(loaded)
    places = found.submodule_search_locations or []
    return os.path.join(root, first) in [os.path.abspath(place) for place in places]


def _defined_in(file: str) -> frozenset[str]:
    import ast

    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    return frozenset(_bound_by(tree))


def _bound_by(node: AST) -> Iterator[str]:
    """The names that a statement binds in its own scope, when its module is imported."""
    import ast

    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        elif isinstance(child, ast.If) and _is_main_guard(child.test):
            for statement in child.orelse:
                yield from _bound_by(ast.Module([statement], []))
        elif not isinstance(child, ast.Lambda):
            yield from _bound_by(child)


def _is_main_guard(test: AST) -> bool:
    import ast

    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = {ast.unparse(test.left), ast.unparse(test.comparators[0])}
    return sides == {"__name__", "'__main__'"}


_known: tuple[tuple[object, object] | None, Program | None] = (None, None)
