"""Calls, results and errors to signed bytes and back.

Layout of a payload: 1 byte format version · 1 byte codec · 2 bytes Python major and minor ·
16 bytes MAC · body. The codec says how the body is made:

    p   pickle of (args, kwargs), or of a result
    c   the same, and it holds code of this Python version (cloudpickle)
    v   4 bytes length, the function by value (cloudpickle), then the pickle of (args, kwargs)
    j   JSON

The MAC is a keyed BLAKE2b over what the payload belongs to (kind, queue, task, id), the header, the
length of the body and the body, so a payload can neither be changed nor moved to another message.
Of a large body it takes the SHA-256 instead, which processors compute twice as fast. It is checked
before anything is loaded. Whoever holds the key can run code on the workers.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Any

from taskq.codec.arguments import brief, dump_arguments
from taskq.codec.by_value import dump_by_value
from taskq.codec.ref import CallRef
from taskq.codec.signing import Scopes, sign
from taskq.errors import PayloadTooLarge, SerializationError, TamperedPayload
from taskq.protocol.values import ErrorInfo

FORMAT = 1
HEAD = 20  # bytes before the body: 4 of header, 16 of MAC
MAX_PAYLOAD = 64 * 2**20
FUNCTIONS_KEPT = 256  # functions by value that a process keeps loaded

_PYTHON = bytes(sys.version_info[:2])
_PICKLE = bytes([FORMAT, ord("p")]) + _PYTHON
_CLOUD = bytes([FORMAT, ord("c")]) + _PYTHON
_VALUE = bytes([FORMAT, ord("v")]) + _PYTHON
_JSON = bytes([FORMAT, ord("j")]) + _PYTHON

_dumps = pickle.dumps
_loads = pickle.loads


class Codec:
    """Encodes and decodes with one key.

    Args:
        key: signs; at most 64 bytes.
        max_payload: limit of one call or result, in bytes.
    """

    def __init__(self, key: bytes, max_payload: int = MAX_PAYLOAD) -> None:
        if not 16 <= len(key) <= 64:
            raise ValueError(f"the payload key must have 16 to 64 bytes, not {len(key)}")
        self.max_payload = max_payload
        self._scope = Scopes(key).of
        self._functions: dict[bytes, Callable[..., Any]] = {}

    def __repr__(self) -> str:
        return f"<Codec max_payload={self.max_payload}>"  # never the key

    # --- calls ------------------------------------------------------------------------------

    def encode_call(
        self,
        queue: str,
        id: str,
        task: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        function: bytes | None = None,
        serializer: str = "pickle",
        signed_like: Callable[..., Any] | None = None,
    ) -> bytes:
        """The payload of one call.

        Args:
            function: the function by value, from `dump_function`.
            serializer: `"pickle"` or `"json"`.
            signed_like: the function whose parameters name an argument in an error.

        Raises:
            SerializationError: an argument cannot be pickled, or is not JSON; it is named.
            PayloadTooLarge: more than `max_payload` bytes.
        """
        if serializer == "json":
            from taskq.codec import json as codec_json

            header, body = _JSON, codec_json.dump_call(task, args, kwargs, signed_like)
        else:
            try:
                body = _dumps((args, kwargs), 5)
                header = _PICKLE
                if b"__main__" in body:  # by reference to a module that is another one elsewhere
                    header, body = _CLOUD, dump_by_value((args, kwargs))
            except Exception as error:
                header, body = _CLOUD, dump_arguments(task, args, kwargs, signed_like, error)
            if function is not None:
                header, body = _VALUE, len(function).to_bytes(4) + function + body
        if len(body) + HEAD > self.max_payload:
            raise PayloadTooLarge(
                f"the arguments of {task} take {len(body) + HEAD} bytes and the limit is "
                f"{self.max_payload}; pass a path or a key instead of the data"
            )
        scope = self._scope("call", queue, task)
        return header + sign(scope, id, header, body) + body

    def decode_call(
        self, queue: str, id: str, task: str, payload: bytes
    ) -> tuple[Callable[..., Any] | None, tuple[Any, ...], dict[str, Any]]:
        """The function, where the call carries it, and the arguments.

        Raises:
            TamperedPayload: the signature does not fit.
            SerializationError: the content cannot be loaded here.
        """
        scope = self._scope("call", queue, task)
        body = payload[HEAD:]
        header = payload[:4]
        if not compare_digest(payload[4:HEAD], sign(scope, id, header, body)):
            raise TamperedPayload(
                f"the signature of call {id} of {task} does not fit; it is refused"
            )
        if header == _PICKLE:
            try:
                args, kwargs = _loads(body)
            except Exception as error:
                raise _unloadable(f"the arguments of {task}", error) from error
            return None, args, kwargs
        return self._decode_rare(task, header, body)

    def _decode_rare(
        self, task: str, header: bytes, body: bytes
    ) -> tuple[Callable[..., Any] | None, tuple[Any, ...], dict[str, Any]]:
        what = f"the call of {task}"
        _check_header(what, header)
        function = None
        try:
            if header[1:2] == b"j":
                from taskq.codec import json as codec_json

                args, kwargs = codec_json.load(body)
                return None, tuple(args), kwargs
            if header[1:2] == b"v":
                end = 4 + int.from_bytes(body[:4])
                function = self._load_function(body[4:end])
                body = body[end:]
            args, kwargs = _loads(body)
        except Exception as error:
            raise _unloadable(what, error) from error
        return function, args, kwargs

    def _load_function(self, data: bytes) -> Callable[..., Any]:
        known = self._functions.get(data)
        if known is not None:
            return known
        loaded, options = _loads(data)
        if options is not None:
            loaded.__taskq_options__ = options
        if len(self._functions) >= FUNCTIONS_KEPT:
            self._functions.clear()
        # of two threads that load it at once the second takes the first one's, globals included
        return self._functions.setdefault(data, loaded)

    # --- results ----------------------------------------------------------------------------

    def encode_result(self, call: CallRef, value: Any, serializer: str = "pickle") -> bytes:
        """The bytes of a result.

        Args:
            call: whose result it is; only as that one's can it be decoded.
            serializer: that of the call, from `serializer_of`.

        Raises:
            SerializationError: it cannot be pickled, or is not JSON.
            PayloadTooLarge: more than `max_payload` bytes.
        """
        if serializer == "json":
            from taskq.codec import json as codec_json

            header, body = _JSON, codec_json.dump_result(value)
        else:
            header, body = _PICKLE, b""
            try:
                body = _dumps(value, 5)
            except Exception:
                header = _CLOUD
            if header is _CLOUD or b"__main__" in body:
                try:
                    header, body = _CLOUD, dump_by_value(value)
                except Exception as error:
                    raise SerializationError(
                        f"the result, a {type(value).__qualname__}, cannot be pickled: "
                        f"{brief(error)}; return plain data"
                    ) from error
        if len(body) + HEAD > self.max_payload:
            raise PayloadTooLarge(
                f"the result takes {len(body) + HEAD} bytes and the limit is {self.max_payload}; "
                "return a path or a key instead of the data"
            )
        scope = self._scope("result", call.queue, call.task)
        return header + sign(scope, call.id, header, body) + body

    def decode_result(
        self, call: CallRef, data: bytes | None, serializer: str | None = None
    ) -> Any:
        """The value of a result; `None` where none was stored.

        Args:
            serializer: `"json"` refuses everything that would have to be unpickled.

        Raises:
            TamperedPayload: the signature does not fit.
            SerializationError: the content cannot be loaded here.
        """
        if data is None:
            return None
        return self._open("result", call, data, serializer)

    # --- errors -----------------------------------------------------------------------------

    def encode_error(
        self,
        call: CallRef,
        error: BaseException,
        attempt: int = 0,
        worker: str = "",
        at: float = 0.0,
        serializer: str = "pickle",
    ) -> ErrorInfo:
        """One failed attempt as data; never raises.

        Args:
            attempt: its number, from 1.
            worker: name of the worker.
            at: Unix time.
            serializer: that of the call; with `"json"` no exception is pickled.
        """
        from taskq.codec import errors as codec_errors

        return codec_errors.encode(self, call, error, attempt, worker, at, serializer)

    def decode_error(
        self, call: CallRef, info: ErrorInfo, serializer: str | None = None
    ) -> BaseException:
        """The exception to raise; never raises itself. Its cause shows the remote traceback.

        The original where it can be rebuilt, an error of taskq where the broker made it, else
        `TaskFailed` with the text; `TamperedPayload` where the signature does not fit.
        """
        from taskq.codec import errors as codec_errors

        return codec_errors.decode(self, call, info, serializer)

    def sign_error(self, call: CallRef, by_value: bool, body: bytes) -> bytes:
        """Wrap a pickled exception; `by_value`: cloudpickle made it."""
        header = _CLOUD if by_value else _PICKLE
        scope = self._scope("error", call.queue, call.task)
        return header + sign(scope, call.id, header, body) + body

    def open_error(self, call: CallRef, data: bytes) -> Any:
        """Unwrap and load a pickled exception; raises as `decode_result` does."""
        return self._open("error", call, data, None)

    # --- both -------------------------------------------------------------------------------

    def _open(self, kind: str, call: CallRef, data: bytes, serializer: str | None) -> Any:
        header, body = data[:4], data[HEAD:]
        scope = self._scope(kind, call.queue, call.task)
        what = f"the {kind} of call {call.id} of {call.task}"
        if not compare_digest(data[4:HEAD], sign(scope, call.id, header, body)):
            raise TamperedPayload(f"the signature of {what} does not fit; it is refused")
        _check_header(what, header)
        try:
            if header[1:2] == b"j":
                from taskq.codec import json as codec_json

                return codec_json.load(body)
            if serializer != "json":
                return _loads(body)
        except Exception as error:
            raise _unloadable(what, error) from error
        raise SerializationError(f"{what} is a pickle and the task uses JSON; it is refused")


def serializer_of(payload: bytes) -> str:
    """The serializer of a call: its result is encoded alike."""
    return "json" if payload[1:2] == b"j" else "pickle"


def _check_header(what: str, header: bytes) -> None:
    if header[0] != FORMAT:
        raise SerializationError(
            f"{what} has payload format {header[0]} and this taskq reads {FORMAT}; "
            "run the same version of taskq on both sides"
        )
    if header[1:2] in b"cv" and header[2:4] != _PYTHON:
        raise SerializationError(
            f"{what} holds code of Python {header[2]}.{header[3]} and this is Python "
            f"{_PYTHON[0]}.{_PYTHON[1]}; run the same Python on both sides, or put the code into "
            "a module that both can import"
        )
    if header[1:2] not in b"pcvj":
        raise SerializationError(f"{what} has the unknown codec {header[1:2]!r}")


def _unloadable(what: str, error: Exception) -> SerializationError:
    return SerializationError(f"{what} cannot be loaded: {brief(error)}")
