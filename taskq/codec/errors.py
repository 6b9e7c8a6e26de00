"""Exceptions to `ErrorInfo` and back, with the traceback as text."""

from __future__ import annotations

import os
import pickle
from types import FrameType, TracebackType
from typing import Any, Protocol

from taskq import errors
from taskq.codec.arguments import brief
from taskq.codec.by_value import dump
from taskq.codec.ref import CallRef
from taskq.protocol.values import ErrorInfo
from taskq.sizes import size_text

MAX_TRACEBACK = 16 * 1024  # characters; the middle of a longer one is left out
MAX_TEXT = 4 * 1024
MAX_KIND = 1024
MAX_PICKLED = 256 * 1024  # bytes of a pickled exception; a larger one travels as text

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Envelope(Protocol):
    """What signs a pickled exception, and opens it: the `Codec`."""

    def sign_error(self, call: CallRef, by_value: bool, body: bytes) -> bytes: ...
    def open_error(self, call: CallRef, data: bytes) -> Any: ...


class RemoteTraceback(Exception):
    """The cause of an exception that a task raised: shows the traceback of the worker."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'


def encode(
    codec: Envelope,
    call: CallRef,
    error: BaseException,
    attempt: int,
    worker: str,
    at: float,
    serializer: str,
) -> ErrorInfo:
    """See `Codec.encode_error`."""
    return ErrorInfo(
        kind=_kind(type(error)),
        text=_text(error),
        traceback=traceback_text(error),
        pickled=_pickled(codec, call, error) if serializer == "pickle" else None,
        attempt=attempt,
        at=at,
        worker=worker,
    )


def decode(
    codec: Envelope, call: CallRef, info: ErrorInfo, serializer: str | None
) -> BaseException:
    """See `Codec.decode_error`."""
    error = _rebuilt(codec, call, info, serializer)
    if info.traceback:
        error.__cause__ = RemoteTraceback(info.traceback)
    return error


def _rebuilt(codec: Envelope, call: CallRef, info: ErrorInfo, serializer: str | None) -> Exception:
    why = ""
    if info.pickled is not None and serializer != "json":
        try:
            error = codec.open_error(call, info.pickled)
        except errors.TamperedPayload as refused:
            return refused
        except BaseException as fault:
            error, why = None, f" (it cannot be loaded here: {brief(fault.__cause__ or fault)})"
        # SystemExit, KeyboardInterrupt or CancelledError of a task must not end its caller
        if isinstance(error, Exception):
            return error
    package, _, name = info.kind.rpartition(".")
    if package in ("", "taskq.errors") and isinstance(getattr(errors, name, None), type):
        return errors.by_name(name)(info.text)
    return errors.TaskFailed(_said(info.kind, info.text) + why)


def _said(kind: str, text: str) -> str:
    return f"{kind}: {text}" if text else kind


def _kind(type_: type[BaseException]) -> str:
    name = type_.__qualname__
    if type_.__module__ != "builtins":
        name = f"{type_.__module__}.{name}"
    return name[:MAX_KIND]


def _text(error: BaseException) -> str:
    try:
        return _bounded(str(error), MAX_TEXT)
    except BaseException as fault:
        return f"(its text cannot be made: {brief(fault)})"


def traceback_text(error: BaseException) -> str:
    """The traceback without the frames of taskq, bounded; never raises."""
    import traceback

    try:
        shown = traceback.TracebackException(
            type(error), error, _user_frames(error.__traceback__), compact=True
        )
        return _bounded("".join(shown.format()), MAX_TRACEBACK)
    except BaseException as fault:
        return f"(the traceback cannot be made: {brief(fault)})"


def _user_frames(frames: TracebackType | None) -> TracebackType | None:
    """The traceback without the leading frames of taskq itself, and of the loop that it runs."""
    first = frames
    while frames is not None and _is_machinery(frames.tb_frame):
        frames = frames.tb_next
    return frames or first


def _is_machinery(frame: FrameType) -> bool:
    if frame.f_code.co_filename.startswith(_PACKAGE):
        return True
    return frame.f_globals.get("__package__") == "asyncio"


def _bounded(text: str, limit: int) -> str:
    # what UTF-8 cannot say would not get into the journal
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= limit:
        return text
    head = limit // 4
    left_out = len(text) - limit
    return f"{text[:head]}\n… {left_out} characters left out …\n{text[head - limit :]}"


def _pickled(codec: Envelope, call: CallRef, error: BaseException) -> bytes | None:
    """The signed pickle of an exception, or of a `TaskFailed` that says why it has none."""
    try:
        by_value, body = _dumped(error)
        return codec.sign_error(call, by_value, body)
    except BaseException as fault:
        why = fault if isinstance(fault, _NoCopyError) else _NoCopyError(brief(fault))
    if type(error).__module__ == errors.__name__:
        return None  # made again by its name
    failed = errors.TaskFailed(f"{_said(_kind(type(error)), _text(error))} ({why})")
    try:
        return codec.sign_error(call, False, pickle.dumps(failed, 5))
    except BaseException:
        return None


class _NoCopyError(Exception):
    """An exception would not come out as it went in; the sentence says why."""


def _dumped(error: BaseException) -> tuple[bool, bytes]:
    name = type(error).__qualname__
    try:
        by_value, body = dump(error)
    except BaseException as fault:
        raise _NoCopyError(
            f"the exception itself cannot be pickled: {brief(fault)}; keep only plain data in it, "
            f"or define {name}.__reduce__"
        ) from None
    if len(body) > MAX_PICKLED:
        raise _NoCopyError(
            f"the exception itself takes {size_text(len(body))} and the limit is "
            f"{size_text(MAX_PICKLED)}; keep a path or a key in it instead of the data"
        )
    try:
        again = pickle.loads(body)
    except BaseException as fault:
        raise _NoCopyError(_advice(name, f": {brief(fault)}")) from None
    if type(again) is not type(error) or str(again) != str(error):
        raise _NoCopyError(_advice(name, ""))
    return by_value, body


def _advice(name: str, fault: str) -> str:
    return (
        f"{name} cannot be rebuilt from its args{fault}; pass all arguments of {name}.__init__, in "
        f"their order, to super().__init__, or define {name}.__reduce__"
    )
