from __future__ import annotations

import sys
from types import ModuleType

import pytest

from taskq.codec.by_value import ByValue, dump_by_value, references
from taskq.errors import SerializationError

SOURCE = """
LIMIT = 1
def limit():
    return [LIMIT for _ in range(1)]
class Point:
    pass
def scale(n):
    return n * LIMIT
class Shape:
    def area(self):
        return scale(1)
def indirect():
    return Shape().area()
def wrap(fn):
    def wrapper():
        return fn()
    wrapper.__wrapped__ = fn
    return wrapper
wrapped = wrap(indirect)
"""


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("__main__")
    module.__file__ = "/program.py"
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(SOURCE, module.__dict__)
    return module


def test_bytes_are_made_once(main: ModuleType) -> None:
    by_value = ByValue("t", main.limit, None)
    assert by_value.data() is by_value.data()


def test_a_rebound_global_makes_them_anew(main: ModuleType) -> None:
    by_value = ByValue("t", main.limit, None)
    before = by_value.data()
    main.LIMIT = 2
    assert by_value.data() != before


@pytest.mark.parametrize("name", ["indirect", "wrapped"])
def test_what_its_helpers_use_is_compared_too(main: ModuleType, name: str) -> None:
    by_value = ByValue("t", getattr(main, name), None)
    before = by_value.data()
    assert by_value.data() is before
    main.LIMIT = 2
    assert by_value.data() != before


def test_a_helper_of_itself_is_followed_once(main: ModuleType) -> None:
    exec("def even(n): return not n or odd(n-1)\ndef odd(n): return n and even(n-1)", vars(main))
    assert references(main.even).count(main.odd) == 1


def test_a_rebound_closure_makes_them_anew() -> None:
    n = 1

    def inner() -> int:
        return n

    by_value = ByValue("t", inner, None)
    before = by_value.data()
    n = 2
    assert by_value.data() != before


def test_what_cannot_be_sent_is_told() -> None:
    import threading

    lock = threading.Lock()
    with pytest.raises(SerializationError, match="the function of task t cannot be sent by value"):
        ByValue("t", lambda: lock, None).data()


def test_a_program_started_by_name_is_referred_to_by_that_name(main: ModuleType) -> None:
    from importlib.machinery import ModuleSpec

    assert b"program_by_name" not in dump_by_value(main.Point)
    main.__spec__ = ModuleSpec("program_by_name", None, origin="/program.py")
    assert b"program_by_name" in dump_by_value(main.Point)
