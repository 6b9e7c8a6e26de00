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
before anything is loaded. Everybody who has the key can run code on the workers.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Any

from taskq import program
from taskq.codec.arguments import brief, dump_arguments
from taskq.codec.by_value import dump, dump_by_value, has_code
from taskq.codec.header import CLOUD, HEAD, JSON, PICKLE, VALUE, check_header
from taskq.codec.main_references import refers_to_main
from taskq.codec.ref import CallRef
from taskq.codec.signing import Scopes, sign
from taskq.errors import PayloadTooLarge, SerializationError, TamperedPayload, TaskTimeout
from taskq.protocol.values import ErrorInfo

MAX_PAYLOAD = 64 * 2**20
FUNCTIONS_KEPT = 256  # functions by value that a process keeps loaded

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

            header, body = JSON, codec_json.dump_call(task, args, kwargs, signed_like)
        else:
            try:
                header, body = PICKLE, _dumps((args, kwargs), 5)
                if b"_main__" in body and refers_to_main(body):  # another module elsewhere
                    body = dump_by_value((args, kwargs), main=_main_of(signed_like))
                    header = CLOUD if has_code(body) else PICKLE
            except TaskTimeout:  # of the task that makes the call: the arguments are not to blame
                raise
            except Exception as error:
                main = _main_of(signed_like)
                body = dump_arguments(task, args, kwargs, signed_like, error, main)
                header = CLOUD if has_code(body) else PICKLE
            if function is not None:
                header, body = VALUE, len(function).to_bytes(4) + function + body
        if len(body) + HEAD > self.max_payload:
            raise PayloadTooLarge(
                f"the arguments of {task} take {len(body) + HEAD} bytes and the limit is "
                f"{self.max_payload}; pass a path or a key instead of the data"
            )
        scope = self._scope("call", queue, task)
        return header + sign(scope, id, header, body) + body

    def decode_call(
        self, queue: str, id: str, task: str, payload: bytes, *, known: bool = False
    ) -> tuple[Callable[..., Any] | None, tuple[Any, ...], dict[str, Any]]:
        """The function, where the call carries it, and the arguments.

        Args:
            known: the receiver has the task; a function that the call carries is not even loaded.

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
        if header == PICKLE:
            try:
                args, kwargs = _loads(body)
            except Exception as error:
                raise _unloadable(f"the arguments of {task}", error) from error
            return None, args, kwargs
        return self._decode_rare(task, header, body, known)

    def _decode_rare(
        self, task: str, header: bytes, body: bytes, known: bool
    ) -> tuple[Callable[..., Any] | None, tuple[Any, ...], dict[str, Any]]:
        what = f"the call of {task}"
        if known and header[1:2] == b"v":
            body = body[4 + int.from_bytes(body[:4]) :]
            header = bytes([header[0], ord("c" if has_code(body) else "p")]) + header[2:]
        check_header(what, header)
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

            header, body = JSON, codec_json.dump_result(value)
        else:
            try:
                by_value, body = dump(value)
            except Exception as error:
                raise SerializationError(
                    f"the result, a {type(value).__qualname__}, cannot be pickled: "
                    f"{brief(error)}; return plain data"
                ) from error
            header = CLOUD if by_value else PICKLE
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
        """The value of a result; `None` if none was stored.

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

        The original if it can be rebuilt, an error of taskq if the broker made it, else
        `TaskFailed` with the text; `TamperedPayload` where the signature does not fit.
        """
        from taskq.codec import errors as codec_errors

        return codec_errors.decode(self, call, info, serializer)

    def sign_error(self, call: CallRef, by_value: bool, body: bytes) -> bytes:
        """Wrap a pickled exception; `by_value`: cloudpickle made it."""
        header = CLOUD if by_value else PICKLE
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
        check_header(what, header)
        try:
            if header[1:2] == b"j":
                from taskq.codec import json as codec_json

                return codec_json.load(body)
            if serializer != "json":
                return _loads(body)
        except Exception as error:
            raise _unloadable(what, error) from error
        raise SerializationError(f"{what} is a pickle and the task uses JSON; it is refused")


def _main_of(signed_like: Callable[..., Any] | None) -> str | None:
    """The name of the program, for a call of one of its tasks: a worker that knows the task has it."""
    in_main = getattr(signed_like, "__module__", None) in program.MAIN
    return program.alias() if in_main else None


def _unloadable(what: str, error: Exception) -> SerializationError:
    return SerializationError(f"{what} cannot be loaded: {brief(error)}")
