"""Names: of a task, of the module in which workers find its function, of a queue in a shell.

And what to do about a task name that no worker knows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from os.path import basename
from typing import Any

from taskq import program
from taskq.program import MAIN


def task_name(fn: Callable[..., Any]) -> str:
    """`module.qualname`; for the program that runs, the name under which workers import it.

    Where they cannot, the stem of its file; `__main__` for a prompt and a notebook's cell.
    """
    module = str(getattr(fn, "__module__", None) or "")
    qualname = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    if module in MAIN:
        module = _program_name(fn)
    return f"{module}.{qualname}" if module else str(qualname)


def _program_name(fn: Callable[..., Any]) -> str:
    file = getattr(program.main_module(), "__file__", None)
    if not isinstance(file, str) or program.file_of(fn) is None:
        return "__main__"
    found = program.the_program()
    return basename(file).removesuffix(".py") if found is None else found.name


def module_of(fn: Callable[..., Any]) -> str | None:
    """The name of the module from which another process can import a function, or `None`."""
    module = getattr(fn, "__module__", None)
    return program.module_of(fn) if module in MAIN else importable_name(str(module))


def importable_name(module: str) -> str | None:
    """The name under which another process can import that module, or `None`."""
    if module in MAIN:
        found = program.the_program()
        return None if found is None else found.name
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return None if spec is None else str(spec.name)


def queue_argument(queue: str) -> str:
    """A queue name for `taskq worker -Q`, quoted; `a:3` gets a weight, or its end would be one."""
    from shlex import quote

    return quote(f"{queue}:1" if ":" in queue else queue)


def group_option(group: str) -> str:
    """What a command has to add to mean that consumer group: ` -g GROUP`, or nothing."""
    from shlex import quote

    return "" if group == "default" else f" -g {quote(group)}"


def how_to_know(task: str, queue: str = "", group: str = "default", broker: str = "") -> str:
    """The advice for a task that no worker knows: how one can know it, and what to do if none can.

    Args:
        task: its name.
        queue: of its calls; empty if it is not known here.
        group: whose workers do not know it.
        broker: what a command has to add to mean the same broker, if anything.
    """
    from shlex import quote

    options = group_option(group) + broker
    purge = f"taskq queue purge {quote(queue) if queue else 'QUEUE'} -g {quote(group)}{broker}"
    again = f"define one with @queue.task(name={task!r}), or give the calls up with: {purge}"
    module = task.rpartition(".")[0]
    if not module:
        return f"start one with the code that has it; if none has it any more, {again}"
    return (
        f"start one that imports its module: taskq worker APP --include {module}{options}, or, if "
        f"that module makes a TaskQueue of its own: taskq worker {module}{options}; if workers import "
        f"{module} already, it has no task of that name any more: {again}"
    )


def find(module: str, qualname: str) -> object:
    """The object with a qualified name in a module, or `None`."""
    found: object = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def locate(app: object, modules: list[str]) -> str | None:
    """`module:attribute` of an app, looked for in those modules; `None` if it is in none."""
    for module in modules:
        name = importable_name(module)
        if name is None:
            continue
        for attribute, value in list(vars(sys.modules[module]).items()):
            if value is app and (module not in MAIN or program.defines(attribute)):
                return f"{name}:{attribute}"
    return None
