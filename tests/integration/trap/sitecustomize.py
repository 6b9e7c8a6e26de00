"""With this folder on PYTHONPATH, a broker process that unpickles anything writes a file and ends.

The functions of `pickle` are replaced, and an audit hook catches who got hold of the C ones before:
a pickle that names a class or function raises the event `pickle.find_class`.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

MARKER = "TASKQ_TEST_TRAP"
END = 66  # exit code of a broker that was caught


def _caught(*args: object, **kwargs: object) -> NoReturn:
    with open(os.environ[MARKER], "a") as marker:
        marker.write(f"{sys.orig_argv}\n")
    os._exit(END)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "pickle.find_class":
        _caught()


def _set() -> None:
    import _pickle
    import pickle
    from multiprocessing import reduction

    for module in (pickle, _pickle):
        for name in ("load", "loads", "Unpickler"):
            setattr(module, name, _caught)
    pickle._Unpickler = _caught  # type: ignore[attr-defined]
    reduction.ForkingPickler.loads = _caught  # type: ignore[method-assign, assignment]
    sys.addaudithook(_audit)


if MARKER in os.environ and "taskq.broker" in sys.orig_argv:
    _set()
