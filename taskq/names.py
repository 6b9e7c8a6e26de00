"""Names: of a task, of the module in which workers find its function, of a queue in a shell."""

from __future__ import annotations

import sys
from collections.abc import Callable
from os.path import basename
from typing import Any

_MAIN = ("__main__", "__mp_main__")


def task_name(fn: Callable[..., Any]) -> str:
    """`module.qualname`; for the program that runs, its `-m` name or the stem of its file."""
    module = str(getattr(fn, "__module__", None) or "")
    qualname = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    if module not in _MAIN:
        return f"{module}.{qualname}" if module else str(qualname)
    name = importable_name(module)
    if name is None:
        file = getattr(sys.modules.get(module), "__file__", None) or "__main__"
        name = basename(file).removesuffix(".py")
    return f"{name}.{qualname}"


def importable_name(module: str) -> str | None:
    """The name under which another process can import that module, or `None`."""
    found = sys.modules.get(module)
    spec = getattr(found, "__spec__", None)
    if found is None or spec is None:
        return None
    if module in _MAIN and spec.origin != getattr(found, "__file__", None):
        return None  # a debugger or profiler that runs the program
    return str(spec.name)


def alias_main() -> None:
    """Make a program that runs by `python -m NAME` known as NAME, too.

    Workers import it under that name and send back what they find in it; without the alias the
    program would be imported a second time, and its classes would not be the same.
    """
    name = importable_name("__main__")
    if name is not None:
        sys.modules.setdefault(name, sys.modules["__main__"])


def queue_argument(queue: str) -> str:
    """What to write behind `taskq worker -Q`: without a weight, the end of `a:3` would be one."""
    from shlex import quote

    return quote(f"{queue}:1" if ":" in queue else queue)


def find(module: str, qualname: str) -> object:
    """What a module holds under a qualified name, or `None`."""
    found: object = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def locate(app: object, modules: list[str]) -> str | None:
    """`module:attribute` of an app, looked for in those modules; `None` where it is in none."""
    for module in modules:
        name = importable_name(module)
        if name is None:
            continue
        for attribute, value in list(vars(sys.modules[module]).items()):
            if value is app:
                return f"{name}:{attribute}"
    return None
