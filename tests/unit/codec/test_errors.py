"""Exceptions that do not come back as themselves say why, and what to do."""

from __future__ import annotations

import sys
from email.message import Message
from threading import Lock
from types import ModuleType
from urllib.error import HTTPError

import pytest

from taskq import errors
from taskq.codec.envelope import Codec
from taskq.codec.errors import RemoteTraceback
from taskq.codec.ref import CallRef
from tests.kit.messages import missing

codec = Codec(b"k" * 32)
REF = CallRef("q", "i", "m.f")


class Stubborn(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Picky(Exception):
    """Its arguments are not its args."""

    def __init__(self, url: str, *, status: int = 500) -> None:
        super().__init__(f"{url} gave {status}")


class Holder(Exception):
    def __init__(self, what: object) -> None:
        super().__init__(what)


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (
            Stubborn(1, 2),
            "Stubborn: 1 and 2",
            ("missing 1 required positional argument: 'two'", "super().__init__", "__reduce__"),
        ),
        (Picky("a", status=404), "Picky: a gave 404", ("from its args", "Picky.__reduce__")),
        (
            HTTPError("http://a", 404, "no", Message(), None),
            "urllib.error.HTTPError: HTTP Error 404: no",
            ("from its args", "HTTPError.__reduce__"),
        ),
        (Holder(Lock()), "Holder", ("cannot be pickled", "lock", "plain data")),
        (ValueError("x" * 300_000), "ValueError", ("293.0 KiB", "256.0 KiB", "path")),
    ],
    ids=["positional", "keyword-only", "HTTPError", "lock", "large"],
)
def test_58_an_exception_without_a_copy_says_why_and_what_to_do(
    error: Exception, kind: str, advice: tuple[str, ...]
) -> None:
    info = codec.encode_error(REF, error)
    failed = codec.decode_error(REF, info)
    assert type(failed) is errors.TaskFailed
    assert not missing(str(failed), kind, *advice)
    assert "its args" not in info.text
    assert isinstance(failed.__cause__, RemoteTraceback)


def test_58_an_exception_that_only_the_worker_can_load_says_so() -> None:
    class Gone(Exception):
        pass

    Gone.__qualname__ = "Gone"
    module = ModuleType("gone_module")
    module.Gone = Gone  # type: ignore[attr-defined]
    Gone.__module__ = module.__name__
    sys.modules[module.__name__] = module
    info = codec.encode_error(REF, Gone("bye"))
    del sys.modules[module.__name__]
    failed = codec.decode_error(REF, info)
    assert type(failed) is errors.TaskFailed
    assert not missing(
        str(failed), "gone_module.Gone: bye", "cannot be loaded here", "ModuleNotFoundError"
    )


def test_an_error_of_taskq_that_is_too_large_to_pickle_is_still_that_error() -> None:
    error = errors.WorkerLost("x" * 300_000)
    assert type(codec.decode_error(REF, codec.encode_error(REF, error))) is errors.WorkerLost
