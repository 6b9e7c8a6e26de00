"""What threads may see of the codec's caches: all of an entry, or none of it."""

# ruff: noqa: B023 - a function is called in the round that makes it

from __future__ import annotations

import pickle
import sys
import threading
from types import FunctionType, ModuleType

import pytest

from taskq.codec.by_value import ByValue, dump_by_value
from taskq.codec.envelope import Codec
from taskq.codec.ref import CallRef
from tests.kit.races import interrupted, together

ROUNDS = 150
KEY = b"k" * 32


def test_threads_that_share_a_new_codec_sign_alike() -> None:
    for number in range(ROUNDS):
        codec = Codec(KEY)
        payloads = together(lambda _: codec.encode_call("q", "i", "m.f", (1,), {}), 4)
        assert len(set(payloads)) == 1, f"round {number}"
        assert Codec(KEY).decode_call("q", "i", "m.f", payloads[0])[1] == (1,)


def test_results_of_threads_are_accepted_by_others() -> None:
    for number in range(ROUNDS):
        codec, call = Codec(KEY), CallRef("q", "i", "m.f")
        results = together(lambda _: codec.encode_result(call, 5), 4)
        assert [Codec(KEY).decode_result(call, each) for each in results] == [5] * 4, number


def test_threads_load_one_copy_of_a_carried_function() -> None:
    data = ByValue("m.f", lambda: 1, None).data()
    for _ in range(ROUNDS):
        codec = Codec(KEY)
        payload = codec.encode_call("q", "i", "m.f", (), {}, function=data)
        loaded = together(lambda _: codec.decode_call("q", "i", "m.f", payload)[0], 4)
        assert len(set(map(id, loaded))) == 1
        assert isinstance(loaded[0], FunctionType)


def test_the_bytes_of_a_function_are_those_of_its_globals(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook: a cell runs in a thread while another one binds a name again."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec("def bound():\n    return BOUND", module.__dict__)
    for line in range(10):
        module.__dict__["BOUND"] = 1
        by_value = ByValue("m.f", module.bound, None)
        dumped, go_on = threading.Event(), threading.Event()

        def dump_slowly(value: object, *rest: object) -> bytes:
            data = dump_by_value(value, *rest)
            if threading.current_thread() is older:
                dumped.set()
                go_on.wait(10)
            return data

        monkeypatch.setattr("taskq.codec.by_value.dump_by_value", dump_slowly)
        older = threading.Thread(target=by_value.data)
        older.start()
        assert dumped.wait(10)

        def let_the_older_finish() -> None:
            go_on.set()
            older.join(10)

        module.__dict__["BOUND"] = 2
        interrupted(by_value.data, ByValue.data.__code__, line, let_the_older_finish)
        let_the_older_finish()
        assert pickle.loads(by_value.data())[0]() == 2, f"at line {line}"
