"""Imports the user's app in a worker: `module:attribute` to a `TaskQueue`.

A worker imports the module that, run as a program, also enqueues and waits. While it does, calls of
tasks are not enqueued, and whatever would block on a result ends the import at that line; what was
registered until then is kept.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from taskq.importing import ImportEnds, app_import

if TYPE_CHECKING:
    from taskq.application import RunnableTask
    from taskq.client.app import TaskQueue


class AppImportError(Exception):
    """An app cannot be loaded.

    Attributes:
        user_traceback: the traceback of the user's code, or empty.
    """

    def __init__(self, sentence: str, user_traceback: str = "") -> None:
        super().__init__(sentence)
        self.user_traceback = user_traceback


def load_app(spec: str, include: Iterable[str] = ()) -> TaskQueue:
    """Import the app that a worker serves, and the modules that it includes.

    Args:
        spec: `module:attribute`; or `module`, which holds one `TaskQueue` or none: then it is the
            default queue. Modules are found from the current directory.
        include: modules with tasks to import besides those that the app names.

    Raises:
        AppImportError: no such module or attribute, or the module raised.
    """
    name, colon, attribute = spec.partition(":")
    if not name or name.endswith(".py") or os.sep in name:
        hint = name.removesuffix(".py").strip("./").replace(os.sep, ".") or "examples.fib"
        raise AppImportError(
            f"{spec!r} is not an app; name it module:attribute, like {hint}:{attribute or 'queue'}"
        )
    if colon and not attribute:
        raise AppImportError(
            f"{spec!r} has nothing after its colon; name the queue, like {name}:queue, or write {name}"
        )
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    listed = tuple(include)
    module = _module_of_app(name, colon, name in listed)
    app = _attribute(module, attribute) if attribute else _only_queue(module)
    for further in (*app.include, *listed):
        load_module(further)
        _warn_of_other_queue(app, further)
    return app


def _warn_of_other_queue(app: TaskQueue, module: str) -> None:
    """Log that a module was included in vain: its tasks are those of another object."""
    from taskq.application import apps

    def of_module(tasks: Mapping[str, RunnableTask]) -> list[str]:
        return [name for name, task in tasks.items() if task.fn.__module__ == module]

    if of_module(app.tasks):
        return
    elsewhere = sorted({name for other in apps for name in of_module(other.tasks)})
    if elsewhere:
        import logging

        logging.getLogger("taskq.loader").warning(
            "%s adds no task to the app of this worker: it registers %s on another TaskQueue object; "
            "import the queue of the app there, instead of making one",
            module,
            ", ".join(elsewhere),
        )


def _module_of_app(name: str, colon: str, is_listed: bool) -> ModuleType:
    try:
        return load_module(name, is_listed)
    except AppImportError:
        parent, _, attribute = name.rpartition(".")
        if not colon and hasattr(sys.modules.get(parent), attribute):
            raise AppImportError(
                f"{name!r} is not a module; did you mean {parent}:{attribute}?"
            ) from None
        raise


def load_module(name: str, is_listed: bool = False) -> ModuleType:
    """Import one module as a worker does.

    Args:
        name: its full name.
        is_listed: a program whose import may end early has asked for it, in `include`: warn only where
            tasks may be missed.

    Raises:
        AppImportError: there is none of that name, or it raised.
    """
    # one thread at a time, or a second one would be given a module that is half executed
    with _lock, app_import():
        if name in sys.modules:
            return sys.modules[name]
        try:
            return _execute(name, is_listed)
        except AppImportError:
            raise
        except ModuleNotFoundError as error:
            missing = str(error.name)
            if name == missing or name.startswith(missing + "."):
                raise AppImportError(
                    f"there is no module {missing!r} here ({os.getcwd()}); run from the directory "
                    "from which it can be imported"
                ) from error
            raise _raised(name, error) from error
        except (Exception, SystemExit) as error:
            raise _raised(name, error) from error


_lock = threading.RLock()


def _forked() -> None:
    global _lock
    _lock = threading.RLock()  # a thread that stayed in the parent may hold the old one


os.register_at_fork(after_in_child=_forked)


def _execute(name: str, is_listed: bool) -> ModuleType:
    """Import by hand, so that a module whose execution was ended is kept."""
    import importlib
    import importlib.util

    parent, _, child = name.rpartition(".")
    if parent:
        load_module(parent)
        if name in sys.modules:
            return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    if spec.origin is None or spec.loader is None:
        return importlib.import_module(name)  # a directory without __init__.py: nothing is executed
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # as importlib does: Python reads it to name a circular import in its ImportError
    spec._initializing = True  # type: ignore[attr-defined]
    try:
        spec.loader.exec_module(module)
    except ImportEnds as end:
        _tell_where(name, end, is_listed)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    finally:
        spec._initializing = False  # type: ignore[attr-defined]
    if parent:
        setattr(sys.modules[parent], child, module)
    return sys.modules[name]


def _tell_where(name: str, end: ImportEnds, is_listed: bool) -> None:
    import logging

    frames = end.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") != name:
        frames = frames.tb_next
    place, is_missed = name, True
    if frames is not None:
        code = frames.tb_frame.f_code  # that of the module itself
        place = f"{code.co_filename}:{frames.tb_lineno}"
        is_missed = frames.tb_lineno < max(line or 0 for _, _, line in code.co_lines())
        if is_missed and is_listed:
            is_missed = _may_define_tasks(code.co_filename, frames.tb_lineno)
    logging.getLogger("taskq.loader").log(
        logging.WARNING if is_missed else logging.DEBUG,
        "the import of %s ended at %s, which waits for a result; tasks defined below that line are "
        'unknown to this worker. Put what must not run in workers under: if __name__ == "__main__":',
        name,
        place,
    )


def _may_define_tasks(file: str, line: int) -> bool:
    """Whether there is anything below that line of a module by which it could define a task."""
    import linecache
    import re

    below = linecache.getlines(file)[line:]
    return any(re.match(r"\s*(@|import\s|from\s)|.*\btask\(", text) for text in below)


def _raised(name: str, error: BaseException) -> AppImportError:
    import traceback

    frames = error.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames))
    exits = isinstance(error, SystemExit)
    what = "called sys.exit()" if exits else f"raised {type(error).__name__}"
    return AppImportError(
        f"the module {name!r} {what} when it was imported; correct that and try again", text
    )


def _is_machinery(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen importlib")


def _attribute(module: ModuleType, attribute: str) -> TaskQueue:
    from taskq.client.app import TaskQueue

    found: Any = module
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise AppImportError(
            f"the module {module.__name__!r} has no {attribute!r}; {_offer(module)}"
        ) from None
    if not isinstance(found, TaskQueue):
        raise AppImportError(
            f"{module.__name__}:{attribute} is a {type(found).__name__}, not a TaskQueue; "
            f"{_offer(module)}"
        )
    return found


def _only_queue(module: ModuleType) -> TaskQueue:
    from taskq.client.default import the_default_queue

    queues = _queues(module)
    if len(set(queues.values())) == 1:
        return next(iter(queues.values()))
    default = the_default_queue()
    if not queues and default.tasks:
        return default
    raise AppImportError(f"which queue of {module.__name__!r} is meant? {_offer(module)}")


def _queues(module: ModuleType) -> dict[str, TaskQueue]:
    from taskq.client.app import TaskQueue

    return {name: value for name, value in vars(module).items() if isinstance(value, TaskQueue)}


def _offer(module: ModuleType) -> str:
    names = [f"{module.__name__}:{name}" for name in _queues(module)]
    if not names:
        return "no TaskQueue is defined in it"
    return f"there is {', '.join(names)}"
