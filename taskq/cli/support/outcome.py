"""Waits for a result and prints it, or says how the call failed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from taskq import errors
from taskq.cli.support.failure import CRASH, CliError
from taskq.cli.support.shared import Shared
from taskq.client.handle import ResultHandle
from taskq.client.waiting import UnconsumedWarning
from taskq.codec.errors import RemoteTraceback


def print_outcome(
    shared: Shared, handle: ResultHandle[Any], timeout: float | None, option: str = ""
) -> None:
    """Print what a call returned. As JSON there is a document for one that failed, too.

    Args:
        shared: whether as JSON.
        handle: the call.
        timeout: seconds to wait; `None` waits for ever.
        option: what a further command has to add to mean the same broker; see `option_for`.

    Raises:
        CliError: the task failed, or has not finished in time.
    """
    again = f"taskq result {handle.id} --wait{option}"
    try:
        with _warnings_as_sentences():
            error = handle.exception(timeout)
    except errors.TaskqError:
        raise  # the broker failed, not the task
    except TimeoutError:
        if shared.as_json:
            shared.show({"id": handle.id, "state": handle.status()}, ())
        raise CliError(f"{handle.id} has not finished; wait longer with: {again}") from None
    except KeyboardInterrupt:
        raise CliError(f"{handle.id} goes on by itself; come back to it with: {again}") from None
    if error is not None:
        if shared.as_json:
            data = {"id": handle.id, "state": _state(handle), "error": _as_data(error)}
            shared.show(data, ())
        raise failure(handle.id, error)
    value = handle.result()
    if shared.as_json:
        shared.show({"id": handle.id, "state": "succeeded", "result": value}, ())
    else:
        click.echo(value if isinstance(value, str) else repr(value))  # as it is, for other programs


@contextmanager
def _warnings_as_sentences() -> Iterator[None]:
    """Print the warning that nobody runs the call without the source line that Python adds."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UnconsumedWarning)
        show = warnings.showwarning

        def echo(
            message: Warning | str, category: type[Warning], *place: Any, **named: Any
        ) -> None:
            if issubclass(category, UnconsumedWarning):
                click.echo(f"Warning: {message}", err=True)
            else:
                show(message, category, *place, **named)

        warnings.showwarning = echo
        yield


def _state(handle: ResultHandle[Any]) -> str | None:
    """The state of the call; `None` if the broker does not know it, or no longer."""
    try:
        return handle.status()
    except (errors.UnknownMessage, errors.ResultExpired):
        return None


def _as_data(error: BaseException) -> dict[str, str]:
    remote = getattr(error.__cause__, "text", "")  # of a RemoteTraceback
    return {"type": type(error).__name__, "text": str(error), "traceback": remote}


def failure(id: str, error: BaseException) -> Exception:
    """What to raise for a call that raised: the remote traceback, and one sentence."""
    is_remote = isinstance(error.__cause__, RemoteTraceback)
    if isinstance(error, errors.SerializationError) and not is_remote:
        sentence = f"{error}; run this in the directory of the app, or set PYTHONPATH to it"
        return CliError(sentence, CRASH)
    if isinstance(error, errors.TaskqError) and not is_remote:
        return error if not isinstance(error, errors.TaskFailed) else CliError(str(error), CRASH)
    details = getattr(error.__cause__, "text", "")  # of a RemoteTraceback
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return CliError(f"the call {id} failed with {text}", CRASH, details)
