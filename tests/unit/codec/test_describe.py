"""Calls as text without unpickling: right for honest bytes, harmless for all others."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import os
import pathlib
import pickle
import random
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.codec.by_value import ByValue
from taskq.codec.describe import CallText, describe_call
from taskq.codec.envelope import Codec
from taskq.codec.header import HEAD, PICKLE
from taskq.codec.static_reader import MAX_STEPS

codec = Codec(b"k" * 32, 2**30)


class Color(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: object = None


class Slots:
    __slots__ = ("a",)


class Bad:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch taskq-was-here",)


def call(*args: object, **kwargs: object) -> str:
    return describe_call(codec.encode_call("q", "i", "m.f", args, kwargs)).arguments


def raw(body: bytes) -> str:
    return describe_call(PICKLE + bytes(16) + body).arguments


def slotted() -> Slots:
    made = Slots()
    made.a = 5
    return made


HERE = __name__


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, ""),
        ((1, "a'b", None, True, 2.5, -(10**30)), {}, f"1, \"a'b\", None, True, 2.5, -{10**30}"),
        ((b"x", bytearray(b"y")), {}, "b'x', bytearray(b'y')"),
        (([1, [2]], (3,), ()), {}, "[1, [2]], (3,), ()"),
        (({4}, set(), frozenset({5})), {}, "{4}, set(), frozenset({5})"),
        (({"a": {"b": 1}},), {"to": [1], "cc": None}, "{'a': {'b': 1}}, to=[1], cc=None"),
        ((Point(1, Point(2)),), {}, f"{HERE}.Point(x=1, y={HERE}.Point(x=2, y=None))"),
        ((slotted(),), {}, f"{HERE}.Slots(a=5)"),
        ((Color.RED, len, Point), {}, f"{HERE}.Color(1), len, {HERE}.Point"),
        ((datetime.datetime(2026, 1, 2, 3, 4, 5, 6),), {}, "datetime.datetime(2026, 1, 2, 3, 4, 5, 6)"),
        ((datetime.date(2026, 1, 2),), {}, "datetime.date(2026, 1, 2)"),
        ((datetime.timedelta(1, 2),), {}, "datetime.timedelta(1, 2, 0)"),
        ((decimal.Decimal("1.5"),), {}, "decimal.Decimal('1.5')"),
        ((pathlib.PurePosixPath("/a/b"),), {}, None),
        ((collections.OrderedDict(a=1),), {}, "collections.OrderedDict(a=1)"),
        ((collections.deque([1, 2]),), {}, None),
        ((uuid.UUID(int=5),), {}, None),
        ((10**5000,), {}, "<int of 16610 bits>"),
        (("x" * 1000,), {}, f"'{'x' * 200}'…"),
        ((Bad(),), {}, "posix.system('touch taskq-was-here')"),
    ],
)  # fmt: skip
def test_honest_calls(args: tuple[Any, ...], kwargs: dict[str, Any], text: str | None) -> None:
    shown = call(*args, **kwargs)
    if text is None:
        assert shown.startswith(f"{type(args[0]).__module__}.{type(args[0]).__name__}(")
    else:
        assert shown == text


def test_nothing_is_imported_or_called(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = codec.encode_call("q", "i", "m.f", (Bad(),), {})
    monkeypatch.setattr("posix.system", lambda *_: pytest.fail("called"))
    assert describe_call(payload).arguments == "posix.system('touch taskq-was-here')"
    assert raw(b"\x80\x05((cantigravity\nfly\n)Rt}t.") == "antigravity.fly()"
    assert raw(b"\x80\x05(((iantigravity\nfly\nt}t.") == "antigravity.fly()"
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(protocol: int) -> None:
    value = (([1, "a", 2.5, None, (1, 2), {"k": True}], Point(3)), {"b": b"x"})
    shown = raw(pickle.dumps(value, protocol))
    assert shown.startswith("[1, 'a', 2.5, None, (1, 2), {'k': True}], ")
    assert f"{HERE}.Point(" in shown
    assert "x=3, y=None" in shown


def test_code_is_mentioned_and_not_shown() -> None:
    token = 5
    function = ByValue("m.f", lambda x: x + token, None).data()
    payload = codec.encode_call("q", "i", "m.f", (1, "a"), {}, function=function)
    assert describe_call(payload) == CallText("1, 'a'", True, "pickle")
    assert "<code>" in call(lambda: token)


def test_json() -> None:
    payload = codec.encode_call("q", "i", "m.f", ([1], "a"), {"b": {"c": None}}, serializer="json")
    assert describe_call(payload) == CallText("[1], 'a', b={'c': None}", False, "json")
    assert describe_call(payload[:-4]).arguments.endswith("…")
    deep = payload[:HEAD] + b"[" * 50_000
    assert describe_call(deep).arguments.startswith("[[[")


def test_the_beginning_of_a_call_is_enough() -> None:
    payload = codec.encode_call("q", "i", "m.f", (1, [2, 3], "x" * 5000), {"b": 4})
    assert describe_call(payload[:60]).arguments.startswith("1, [2, 3], 'xxxx")
    for end in range(len(payload[:80])):
        assert isinstance(describe_call(payload[:end]).arguments, str)


def test_the_text_is_bounded() -> None:
    assert len(call(list(range(10_000)))) <= 501
    assert (
        len(describe_call(codec.encode_call("q", "i", "m.f", ("x" * 90,), {}), 20).arguments) <= 21
    )


def laughs() -> bytes:
    """A billion references to one list."""
    levels = b"".join(
        b"(" + b"h" + bytes([n]) * 1 + (b"h" + bytes([n])) * 9 + b"l\x94" for n in range(9)
    )
    return b"\x80\x05]\x94" + levels + b"."


def test_hostile_pickles_take_no_time() -> None:
    itself: list[Any] = []
    itself.append(itself)
    hostile = [
        laughs(),
        pickle.dumps(((itself,), {}), 5),
        b"(" * 1_000_000,
        b"\x80\x05" + b"(" * 200_000 + b"t" * 200_000 + b".",
        b"\x80\x05" + b"]" * (MAX_STEPS * 4) + b".",
        b"\x80\x05\x8b\xff\xff\xff\x7f" + b"\xff" * 100_000,  # an int of 800,000 bits
        b"\x80\x05X\xff\xff\xff\x7f" + b"a" * 100,  # a text of 2 GiB
        b"\x80\x05\x8d" + b"\xff" * 8,
        b"cos\nsystem\n(S'x'\ntR.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"\x80\x05N.",
        b".",
        b"",
    ]
    began = time.process_time()
    for body in hostile:
        assert len(raw(body)) < 1000
    assert time.process_time() - began < 10, "a bound on work, not on the machine's speed"
    assert raw(hostile[8]) == "os.system('x')"


def test_names_cannot_command_a_terminal() -> None:
    evil = pickle.dumps((("\x1b[2J\u202e",), {"\x1b[2J": 1}), 5)
    body = b"\x80\x05((c\x1b[2J\nname\x07\n\x8c\x04\x1b[2Jt}t."
    for text in (raw(evil), raw(body)):
        assert text.isprintable()


@given(st.binary(max_size=300))
def test_random_bytes(body: bytes) -> None:
    assert len(raw(body)) < 1000
    assert len(raw(b"\x80\x05" + body)) < 1000


@given(st.integers(0, 2**32))
def test_flipped_bytes(seed: int) -> None:
    generator = random.Random(seed)
    body = bytearray(pickle.dumps((([1, {"a": (2.5, "x" * 10)}, Point(1)], b"y"), {"k": {3}}), 5))
    for _ in range(generator.randrange(1, 5)):
        body[generator.randrange(len(body))] = generator.randrange(256)
    assert len(raw(bytes(body))) < 1000
