"""The one way in which commands talk to a broker."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskq.cli.support.failure import UNREACHABLE, USAGE, CliError
from taskq.cli.support.shared import Shared
from taskq.cli.support.target import (
    Target,
    base_directory,
    is_broker_directory,
    known,
    only,
    refuse_foreign,
)
from taskq.errors import BrokerTimeout, BrokerUnavailable
from taskq.protocol.base import R, Request

if TYPE_CHECKING:
    from taskq.backends.port import Broker, Connection

PATIENCE = 3.0  # seconds for which a broker that is restarting is looked for


def ask(shared: Shared, request: Request[R]) -> R:
    """Send one request to the broker that the command means.

    Raises:
        CliError: nothing says which broker is meant, or it does not answer.
        TaskqError: it refused the request.
    """
    with conversation(only(shared.broker)) as connection:
        return connection.call(request)


@contextmanager
def conversation(target: Target, *, autostart: bool = True) -> Iterator[Connection]:
    """A connection to a broker for the length of a block.

    Args:
        target: whose broker.
        autostart: start an embedded one that does not run, if it has run there before.

    Raises:
        CliError: no broker answers.
    """
    broker = _broker(target, autostart=autostart)
    try:
        connection = broker.connect(patience=PATIENCE if autostart else 0)
    except BrokerTimeout as error:  # it is there, and stopped or stuck
        raise CliError(str(error), UNREACHABLE) from error
    except BrokerUnavailable as error:
        if autostart:
            raise
        raise CliError(not_running(target), UNREACHABLE) from error
    try:
        yield connection
    finally:
        connection.close()


def not_running(target: Target) -> str:
    """The sentence for a broker that does not answer."""
    directory = target.directory
    if directory is None:
        return f"no broker answers at {target.url}; start it, or correct the URL"
    from taskq.transport.lock import holder_of

    holder = holder_of(directory)
    if holder is not None and holder.is_starting:
        return (
            f"the broker of {directory} (pid {holder.pid}) is starting: it reads its journal; "
            "try again in a while"
        )
    if holder is not None and holder.url:
        key = directory / "key"
        file = shlex.quote(str(key)) if key.exists() else "FILE"  # it has one of --authkey-file
        return (
            f"the broker of {directory} (pid {holder.pid}) does not listen there, but at "
            f"{holder.url}; reach it with: TASKQ_AUTHKEY_FILE={file} taskq --broker {holder.url} …"
        )
    others = [each.name for each in known()]
    if others and not directory.exists() and directory.parent == base_directory():
        return (
            f"there is no broker {target.name!r} in {directory.parent}; it has {', '.join(others)}"
        )
    return (
        f"no broker runs in {directory}; it starts with the first call or worker, "
        f"or with: taskq broker --dir {directory}"
    )


def _broker(target: Target, *, autostart: bool) -> Broker:
    """The broker behind a target; nothing is connected yet."""
    from taskq.backends import connect

    try:
        if target.directory is None:
            return connect(target.url, target.name)
        refuse_foreign(target.directory)
        if not is_broker_directory(target.directory):
            raise CliError(not_running(target), UNREACHABLE)  # a mistyped name makes no directory
        from taskq.backends.embedded import EmbeddedBroker

        return EmbeddedBroker(target.directory, autostart=autostart)
    except ValueError as error:  # a URL, or a variable of the environment
        raise CliError(str(error), USAGE) from None
