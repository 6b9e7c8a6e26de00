from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from taskq.codec.by_value import MAX_CODE, ByValue, CarriedDataWarning, dump_by_value, has_code
from taskq.codec.references import carried_data, references
from taskq.errors import SerializationError
from tests.kit.messages import naming

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


def test_what_cannot_be_sent_is_named() -> None:
    import threading

    lock = threading.Lock()
    with pytest.raises(SerializationError, match=naming("task t", "lock")):
        ByValue("t", lambda: lock, None).data()


def test_what_the_receiver_has_of_the_program_is_referred_to_by_name(
    main: ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "program.py"
    file.write_text(SOURCE)
    main.__file__ = str(file)
    main.__spec__ = ModuleSpec("program_by_name", None, origin=str(file))
    exec("class Typed: pass", vars(main))
    assert has_code(dump_by_value(main.Point))
    data = dump_by_value(main.Point, main="program_by_name")
    assert b"program_by_name" in data
    assert not has_code(data)
    assert has_code(dump_by_value(main.Typed, main="program_by_name")), "no import defines it"


def test_data_that_travels_is_named_with_its_size(main: ModuleType) -> None:
    exec(
        "API_KEY = 'secret'\nTABLE = list(range(1000))\nLIMIT = 10\n"
        "class Config:\n    password = 'secret'\n    tries = 3\n"
        "def helper(mode='fast'):\n    return API_KEY, Config\n"
        "def fn():\n    return TABLE, LIMIT, helper, json.dumps\n",
        vars(main),
    )
    main.__dict__["json"] = json
    assert set(carried_data(main.fn)) == {"API_KEY", "TABLE", "Config.password", "mode"}
    with pytest.warns(CarriedDataWarning) as warned:
        ByValue("shop.fn", main.fn, None).data()
    ByValue("shop.fn", main.fn, None).data()  # and not again
    (record,) = warned
    text = str(record.message)
    assert record.filename == __file__
    assert "of shop.fn" in text
    assert "TABLE (2.7 KiB)" in text
    assert "API_KEY (21 B)" in text
    assert "Config.password" in text
    assert "'secret'" not in text


def test_closures_are_named_and_importable_helpers_are_not() -> None:
    token = "secret"

    def inner() -> object:
        return token, dump_by_value, MAX_CODE

    assert carried_data(inner) == {"token": "secret"}


def test_more_than_a_mebibyte_of_code_and_data_is_refused(main: ModuleType) -> None:
    exec("WORDS = 'x' * 1_100_000\ndef fn():\n    return WORDS", vars(main))
    with pytest.raises(SerializationError, match=naming("task t", "WORDS (1.0 MiB)")):
        ByValue("t", main.fn, None).data()
