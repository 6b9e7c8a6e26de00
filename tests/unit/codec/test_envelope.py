from __future__ import annotations

import hashlib
import pickle
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import errors
from taskq.codec.by_value import ByValue
from taskq.codec.envelope import Codec
from taskq.codec.errors import MAX_KIND, MAX_TRACEBACK, RemoteTraceback
from taskq.codec.header import HEAD, serializer_of
from taskq.codec.ref import CallRef
from tests.kit.messages import naming

KEY = b"k" * 32
codec = Codec(KEY, 10_000)
REF = CallRef("q", "i", "m.f")
OTHERS = [REF._replace(queue="r"), REF._replace(id="j"), REF._replace(task="m.g")]


def call(*args: object, **kwargs: object) -> bytes:
    return codec.encode_call("q", "id1", "m.f", args, kwargs)


def test_a_call_comes_back() -> None:
    assert codec.decode_call("q", "id1", "m.f", call(1, a=[2])) == (None, (1,), {"a": [2]})


@pytest.mark.parametrize(
    "place",
    [("other", "id1", "m.f"), ("q", "id2", "m.f"), ("q", "id1", "m.g"), ("qi", "d1", "m.f")],
)
def test_74_a_call_cannot_be_moved(place: tuple[str, str, str]) -> None:
    with pytest.raises(errors.TamperedPayload):
        codec.decode_call(*place, call(1))


@given(st.integers(min_value=0), st.integers(1, 255))
def test_74_no_byte_can_be_changed(position: int, change: int) -> None:
    payload = bytearray(call("some text"))
    payload[position % len(payload)] ^= change
    with pytest.raises(errors.TamperedPayload):
        codec.decode_call("q", "id1", "m.f", bytes(payload))


@pytest.mark.parametrize("payload", [b"", b"\x01", b"x" * 19, b"x" * 20])
def test_74_a_short_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(errors.TamperedPayload):
        codec.decode_call("q", "id1", "m.f", payload)


def test_74_nothing_is_unpickled_before_the_signature_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Codec(b"x" * 32, 1000).encode_call("q", "id1", "m.f", (1,), {})
    monkeypatch.setattr("taskq.codec.envelope._loads", lambda data: pytest.fail("unpickled"))
    with pytest.raises(errors.TamperedPayload):
        codec.decode_call("q", "id1", "m.f", forged)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_74_no_byte_of_a_large_call_can_be_changed(position: int, change: int) -> None:
    large = Codec(KEY, 100_000)
    payload = bytearray(large.encode_call("q", "id1", "m.f", (bytes(50_000),), {}))
    payload[position % len(payload)] ^= change
    with pytest.raises(errors.TamperedPayload):
        large.decode_call("q", "id1", "m.f", bytes(payload))


def test_74_the_digest_of_a_large_body_is_no_body() -> None:
    large = Codec(KEY, 100_000).encode_call("q", "id1", "m.f", (bytes(50_000),), {})
    forged = large[:HEAD] + hashlib.sha256(large[HEAD:]).digest()
    with pytest.raises(errors.TamperedPayload):
        codec.decode_call("q", "id1", "m.f", forged)


def test_57_an_argument_that_cannot_be_pickled_is_named() -> None:
    def send(address: str, lock: object) -> None: ...

    with pytest.raises(errors.SerializationError, match=naming("'lock'", "m.f")):
        codec.encode_call("q", "i", "m.f", ("a", threading.Lock()), {}, signed_like=send)
    with pytest.raises(errors.SerializationError, match="argument '1' of"):
        codec.encode_call("q", "i", "m.f", (threading.Lock(),), {})


def test_54_too_large() -> None:
    with pytest.raises(errors.PayloadTooLarge, match="the limit is 10000"):
        call("x" * 10_000)
    with pytest.raises(errors.PayloadTooLarge, match="the limit is 10000"):
        codec.encode_result(REF, b"x" * 10_000)


def test_a_function_travels_by_value_with_its_options() -> None:
    offset = 10
    by_value = ByValue("m.f", lambda x: x + offset, "some options")
    payload = codec.encode_call("q", "i", "m.f", (1,), {}, function=by_value.data())
    function, args, _ = codec.decode_call("q", "i", "m.f", payload)
    assert function is not None
    assert function(*args) == 11
    assert function.__taskq_options__ == "some options"
    assert codec.decode_call("q", "i", "m.f", payload)[0] is function


def test_60_code_of_another_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    by_value = ByValue("m.f", lambda: 1, None)
    monkeypatch.setattr("taskq.codec.envelope.VALUE", bytes([1, ord("v"), 3, 99]))
    payload = codec.encode_call("q", "i", "m.f", (), {}, function=by_value.data())
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    with pytest.raises(errors.SerializationError, match=naming("Python 3.99", f"Python {here}")):
        codec.decode_call("q", "i", "m.f", payload)


class Unloadable:
    def __reduce__(self) -> tuple[object, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise ImportError("no module named nowhere")


def test_59_a_call_that_does_not_load() -> None:
    with pytest.raises(errors.SerializationError, match="no module named nowhere"):
        codec.decode_call("q", "id1", "m.f", call(Unloadable()))


@pytest.mark.parametrize("value", [None, 1, "text", [1, {"a": (2,)}], 10**4000])
def test_a_result_comes_back(value: object) -> None:
    assert codec.decode_result(REF, codec.encode_result(REF, value)) == value


@pytest.mark.parametrize("other", OTHERS)
def test_75_a_result_of_another_call_is_refused(other: CallRef) -> None:
    with pytest.raises(errors.TamperedPayload, match=naming("result", other.id)):
        codec.decode_result(other, codec.encode_result(REF, 1))


def test_75_neither_a_call_nor_an_exception_is_a_result() -> None:
    pickled = codec.encode_error(REF, ValueError("x")).pickled
    assert pickled is not None
    for other in (codec.encode_call(*REF, (1,), {}), pickled):
        with pytest.raises(errors.TamperedPayload):
            codec.decode_result(REF, other)


def test_a_result_that_cannot_be_pickled() -> None:
    with pytest.raises(errors.SerializationError, match="a lock"):
        codec.encode_result(REF, threading.Lock())


def test_the_key_is_never_shown() -> None:
    assert "kkk" not in repr(codec)
    with pytest.raises(ValueError, match="not 3"):
        Codec(b"abc")


# --- JSON ----------------------------------------------------------------------------------------


def json_call(*args: object, **kwargs: object) -> bytes:
    return codec.encode_call("q", "i", "m.f", args, kwargs, serializer="json")


def test_json_calls_and_results() -> None:
    payload = json_call(1, "a", b=[None, 2.5])
    assert serializer_of(payload) == "json"
    assert serializer_of(call()) == "pickle"
    assert codec.decode_call("q", "i", "m.f", payload) == (None, (1, "a"), {"b": [None, 2.5]})
    data = codec.encode_result(REF, {"a": 1}, "json")
    assert codec.decode_result(REF, data, "json") == {"a": 1}


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, b"x", float("nan"), object(), {1, 2}])
def test_json_refuses_what_would_not_come_back(value: object) -> None:
    with pytest.raises(errors.SerializationError, match="argument 'b' of"):
        json_call(1, b=value)
    with pytest.raises(errors.SerializationError, match="the result"):
        codec.encode_result(REF, value, "json")


def test_json_loads_no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.encode_result(REF, 1)
    info = codec.encode_error(REF, ValueError("x"))
    monkeypatch.setattr("taskq.codec.envelope._loads", lambda data: pytest.fail("unpickled"))
    with pytest.raises(errors.SerializationError, match="uses JSON"):
        codec.decode_result(REF, data, "json")
    assert isinstance(codec.decode_error(REF, info, "json"), errors.TaskFailed)
    assert codec.encode_error(REF, ValueError("x"), serializer="json").pickled is None


# --- errors --------------------------------------------------------------------------------------


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_an_exception_comes_back_with_its_traceback() -> None:
    info = codec.encode_error(REF, raised(KeyError("name")), 2, "w", 5.0)
    assert (info.kind, info.text, info.attempt, info.worker, info.at) == (
        "KeyError",
        "'name'",
        2,
        "w",
        5.0,
    )
    error = codec.decode_error(REF, info)
    assert type(error) is KeyError
    assert error.args == ("name",)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in raised" in str(error.__cause__)


class Stubborn(Exception):
    """Dumps, and does not load."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")

    def __reduce__(self) -> tuple[object, ...]:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Stubborn(1, 2), "test_envelope.Stubborn: 1 and 2"),
        (Mute(), "its text cannot be made"),
        (SystemExit(3), "SystemExit: 3"),
        (ValueError("\ud800"), "udc?800|ud800"),
    ],
)
def test_58_what_cannot_be_rebuilt_arrives_as_text(error: BaseException, text: str) -> None:
    info = codec.encode_error(REF, raised(error))
    info.text.encode()
    info.traceback.encode()
    if isinstance(error, ValueError):
        info.pickled = None
    failed = codec.decode_error(REF, info)
    assert type(failed) is errors.TaskFailed
    assert __import__("re").search(text, str(failed))
    assert failed.__cause__ is not None


def test_an_error_that_the_broker_made() -> None:
    from taskq.protocol.values import ErrorInfo

    error = codec.decode_error(REF, ErrorInfo("WorkerLost", "killed by SIGKILL"))
    assert type(error) is errors.WorkerLost
    assert str(error) == "killed by SIGKILL"


@pytest.mark.parametrize("other", OTHERS)
def test_75_an_exception_of_another_call_is_refused(other: CallRef) -> None:
    info = codec.encode_error(REF, ValueError("x"))
    assert isinstance(codec.decode_error(other, info), errors.TamperedPayload)


def test_long_tracebacks_are_bounded() -> None:
    info = codec.encode_error(REF, raised(ValueError("x" * 100_000)))
    assert len(info.traceback) < MAX_TRACEBACK + 100
    assert "left out" in info.traceback


def test_long_class_names_are_bounded() -> None:
    info = codec.encode_error(REF, type("K" * 100_000, (ValueError,), {})())
    assert len(info.kind) == MAX_KIND


def test_frames_of_taskq_are_left_out() -> None:
    from taskq import Task, TaskQueue

    def boom() -> None:
        raise ValueError("x")

    task: Task[[], None] = TaskQueue("t").task(boom)
    try:
        task.call_local()
    except ValueError as error:
        shown = error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)
        info = codec.encode_error(REF, shown)
    assert "task.py" not in info.traceback
    assert "in boom" in info.traceback


def test_pickle_protocol_5_is_used() -> None:
    assert pickle.dumps(((1,), {}), 5) in call(1)


def test_a_timeout_that_rings_while_arguments_are_pickled_is_no_fault_of_the_arguments() -> None:
    class Slow:
        rings = True

        def __reduce__(self) -> tuple[type[int], tuple[int]]:
            if Slow.rings:
                Slow.rings = False
                raise errors.TaskTimeout
            return int, (1,)

    with pytest.raises(errors.TaskTimeout):
        call(Slow())
