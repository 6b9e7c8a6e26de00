"""Waits for a result and prints it, or says how the call failed."""

from __future__ import annotations

from typing import Any

import click

from taskq import errors
from taskq.cli.failure import CRASH, CliError
from taskq.cli.output import emit_json
from taskq.cli.shared import Shared
from taskq.client.handle import ResultHandle


def print_outcome(shared: Shared, handle: ResultHandle[Any], timeout: float | None) -> None:
    """Print what a call returned.

    Args:
        shared: whether as JSON.
        handle: the call.
        timeout: seconds to wait; `None` waits for ever.

    Raises:
        CliError: the task failed, or has not finished in time.
    """
    try:
        error = handle.exception(timeout)
    except errors.TaskqError:
        raise  # the broker failed, not the task
    except TimeoutError:
        raise CliError(
            f"{handle.id} has not finished; wait longer with: taskq result {handle.id} --wait"
        ) from None
    if error is not None:
        raise failure(handle.id, error)
    value = handle.result()
    if shared.as_json:
        emit_json({"id": handle.id, "state": "succeeded", "result": value})
    else:
        click.echo(value if isinstance(value, str) else repr(value))


def failure(id: str, error: BaseException) -> Exception:
    """What to raise for a call that raised: the remote traceback, and one sentence."""
    if isinstance(error, errors.TaskqError) and error.__cause__ is None:
        return error if not isinstance(error, errors.TaskFailed) else CliError(str(error), CRASH)
    details = str(error.__cause__ or "").strip().strip('"')
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return CliError(f"the call {id} failed with {text}", CRASH, details)
