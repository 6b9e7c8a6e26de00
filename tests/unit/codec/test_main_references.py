from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import Any

import pytest

from taskq.codec.envelope import Codec
from taskq.codec.main_references import refers_to_main
from taskq.codec.ref import CallRef

SOURCE = "class Point:\n    pass\nclass Line:\n    pass\n"
codec = Codec(b"k" * 32)


@pytest.fixture(params=["__main__", "__mp_main__"])
def main(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(request.param)
    monkeypatch.setitem(sys.modules, request.param, module)
    exec(SOURCE, module.__dict__)
    return module


@pytest.mark.parametrize(
    "value",
    [
        "__main__",
        ["__main__", "__main__", "Point"],
        "if __name__ == '__main__':\n    main()\n" * 1000,
        {"__main__": b"\x8c\x08__main__\x94\x8c\x05Point\x94\x93"},
        ("__main__", pickle.PickleBuffer),
        5,
    ],
)
def test_text_is_no_reference(value: object) -> None:
    assert not refers_to_main(pickle.dumps(value, 5))


def test_a_class_or_an_instance_is_one(main: ModuleType) -> None:
    point, line = main.Point, main.Line
    for value in (point, point(), [point(), line()], {"a": ("__main__", [line])}):
        assert refers_to_main(pickle.dumps(value, 5))


def test_a_name_that_was_text_before_is_found_too(main: ModuleType) -> None:
    name = sys.intern(main.__name__)
    main.Point.__module__ = name
    assert refers_to_main(pickle.dumps([name, "Point", main.Point], 5))


def test_source_text_is_sent_as_plain_pickle() -> None:
    """So that a worker of another Python may return it."""
    source: Any = "if __name__ == '__main__':\n    pass\n"
    call = CallRef("q", "i", "m.f")
    for value in (source, "__main__", [source, {"__main__": 1}]):
        assert codec.encode_call(*call, (value,), {})[1:2] == b"p"
        assert codec.encode_result(call, value)[1:2] == b"p"
        assert codec.decode_result(call, codec.encode_result(call, value)) == value
    pickled = codec.encode_error(call, ValueError(source)).pickled
    assert pickled is not None
    assert pickled[1:2] == b"p"


def test_what_lives_in_main_is_sent_with_its_code(main: ModuleType) -> None:
    call = CallRef("q", "i", "m.f")
    result = codec.encode_result(call, main.Point())
    assert result[1:2] == b"c"
    assert type(codec.decode_result(call, result)).__name__ == "Point"
