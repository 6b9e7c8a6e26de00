"""Requests as only a hostile or broken client makes them: of the right shape, or nearly so.

The strategies follow the types of `taskq.protocol`: each field gets a value of its type that
nobody would send. What comes out is MessagePack, without a header.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from taskq.protocol.backoff import Backoff
from taskq.protocol.frames import AnyRequest

FLOATS = [0.0, 0.001, 1.0, 60.0, -1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")]
INTEGERS = [0, 1, 2, 3, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64 - 1]
NAMES = ["", "q", "w", "c", "default", "m1", "ready", "pause", "purge", "drop", "a\0b", "é" * 300]
WRONG: list[Any] = [
    None,
    True,
    -1,
    0.5,
    "text",
    b"\x80\x05.",
    [],
    {},
    [[[]]],
    {"a": 1},
    [[]] * 1000,
]

SIMPLE: dict[type[inspect.Type], st.SearchStrategy[Any]] = {
    inspect.FloatType: st.sampled_from(FLOATS),
    inspect.IntType: st.sampled_from(INTEGERS),
    inspect.StrType: st.sampled_from(NAMES),
    inspect.BytesType: st.binary(max_size=20),
    inspect.BoolType: st.booleans(),
    inspect.NoneType: st.none(),
}


def _of_type(found: inspect.Type) -> st.SearchStrategy[Any]:
    if type(found) in SIMPLE:
        return SIMPLE[type(found)]
    if isinstance(found, inspect.UnionType):
        return st.one_of([_of_type(each) for each in found.types])
    if isinstance(found, inspect.ListType | inspect.VarTupleType):
        return st.lists(_of_type(found.item_type), max_size=3)
    assert isinstance(found, inspect.StructType), found
    if found.cls is Backoff:  # it is checked when it is decoded; let most requests get further
        return st.sampled_from([[], [0.0, 1e300, 1e300], [-1.0], [1.0, 2.0, 3.0, True, [0.0]]])
    return _of_struct(found)


def _of_struct(found: inspect.StructType) -> st.SearchStrategy[list[Any]]:
    head = [st.just(found.tag)] if found.tag is not None else []
    return st.tuples(*head, *(_of_type(field.type) for field in found.fields)).map(list)


_FOUND = inspect.multi_type_info(get_args(AnyRequest))
_parts = st.one_of([_of_struct(each) for each in _FOUND if isinstance(each, inspect.StructType)])

well_typed: st.SearchStrategy[bytes] = _parts.map(msgspec.msgpack.encode)
"""Bodies of requests: the right types, with values that nobody would send."""


@st.composite
def ill_typed(draw: st.DrawFn) -> bytes:
    """Bodies of requests with one field of another type, too few fields, or too many."""
    parts = list(draw(_parts))
    place = draw(st.integers(0, len(parts)))
    parts[place : place + draw(st.integers(0, 1))] = draw(
        st.lists(st.sampled_from(WRONG), max_size=2)
    )
    return msgspec.msgpack.encode(parts)


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """Bodies of requests with one byte changed, cut off somewhere."""
    body = bytearray(draw(well_typed))
    body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(1, len(body)))])
