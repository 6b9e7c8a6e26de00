"""Which broker a command means, and a conversation with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskq.cli.support.failure import UNREACHABLE, USAGE, CliError

if TYPE_CHECKING:
    from taskq.backends.port import Broker, Connection
    from taskq.client.app import TaskQueue

PATIENCE = 3.0  # seconds for which a broker that is restarting is looked for


@dataclass(frozen=True)
class Target:
    """One broker. `directory`: that of an embedded one, else `None`."""

    url: str
    name: str
    directory: Path | None = None


def base_directory() -> Path:
    """Where the embedded brokers of this user live."""
    from taskq.transport.directory import default_path

    return default_path("default").parent


def known() -> list[Target]:
    """The embedded brokers below the base directory, running or not."""
    base = base_directory()
    found = sorted(base.iterdir()) if base.is_dir() else []
    return [of_directory(path) for path in found if _is_broker_directory(path)]


def _is_broker_directory(path: Path) -> bool:
    try:
        return path.is_dir() and any(
            (path / name).exists() for name in ("journal.db", "key", "sock")
        )
    except PermissionError:
        return False


def of_directory(path: Path) -> Target:
    """The embedded broker of a directory."""
    path = path.expanduser().absolute()
    return Target(f"embedded:{path}", path.name, path)


def of_choice(choice: str) -> Target:
    """The broker of a URL, or the embedded one of a plain name.

    Raises:
        CliError: it is neither.
    """
    scheme, colon, rest = choice.partition(":")
    if not colon:
        from taskq.transport.directory import default_path

        try:
            return of_directory(default_path(choice))
        except ValueError as error:
            raise CliError(str(error), USAGE) from None
    if scheme == "embedded" and rest:
        return of_directory(Path(rest))
    if scheme == "memory":
        raise CliError(
            "a memory: broker lives inside its program and cannot be reached from here; "
            "give --broker another URL, or a name",
            USAGE,
        )
    return Target(choice, choice)


def name_for_apps(choice: str | None) -> None:
    """Make `TASKQ_BROKER` the URL of `choice`, or of the name that it holds: apps take URLs only.

    Raises:
        CliError: neither a URL nor a name.
    """
    named = choice or os.environ.get("TASKQ_BROKER")
    if named and (choice or ":" not in named):
        os.environ["TASKQ_BROKER"] = of_choice(named).url


def of_app(app: TaskQueue) -> Target:
    """The broker that an app uses."""
    return of_choice(app.broker.url)


def choose(choice: str | None, *, ask_app: bool = True) -> list[Target]:
    """The brokers that a command may mean: one where anything says which, else all that there are.

    In this order: `choice` (`--broker`), `TASKQ_BROKER`, the app of `TASKQ_APP`, what lies below
    the base directory.
    """
    if choice or (choice := os.environ.get("TASKQ_BROKER")):
        return [of_choice(choice)]
    if ask_app and (spec := os.environ.get("TASKQ_APP")):
        from taskq.loader import load_app

        hush_import_notes()
        return [of_app(load_app(spec))]
    return known()


def hush_import_notes() -> None:
    """Where the import of an app ended is news for a worker, not for who enqueues or looks."""
    import logging

    logging.getLogger("taskq.loader").setLevel(logging.ERROR)


def only(choice: str | None, *, ask_app: bool = True) -> Target:
    """The one broker that is meant.

    Raises:
        CliError: there is none, or there are several and nothing says which.
    """
    targets = choose(choice, ask_app=ask_app)
    if len(targets) == 1:
        return targets[0]
    if not targets:
        raise CliError(
            f"no broker has run below {base_directory()} yet; start a worker, "
            "or say which with --broker URL or NAME",
            UNREACHABLE,
        )
    names = ", ".join(target.name for target in targets)
    raise CliError(f"there are several brokers; choose one with --broker NAME: {names}", USAGE)


def not_running(target: Target) -> str:
    """The sentence for a broker that does not answer."""
    if target.directory is None:
        return f"no broker answers at {target.url}; start it, or correct the URL"
    from taskq.transport.lock import starting

    if pid := starting(target.directory):
        return (
            f"the broker of {target.directory} (pid {pid}) is starting: it reads its journal; "
            "try again in a while"
        )
    return (
        f"no broker runs in {target.directory}; it starts with the first call or worker, "
        f"or with: taskq broker --dir {target.directory}"
    )


def open_broker(target: Target, *, autostart: bool) -> Broker:
    """The broker behind a target; nothing is connected yet.

    Raises:
        CliError: it would have to be started and must not be.
    """
    if target.directory is not None:
        from taskq.backends.embedded import EmbeddedBroker

        if not _is_broker_directory(target.directory):
            raise CliError(not_running(target), UNREACHABLE)  # a mistyped name makes no directory
        return EmbeddedBroker(target.directory, autostart=autostart)
    from taskq.backends import connect

    try:
        return connect(target.url, target.name)
    except ValueError as error:
        raise CliError(str(error), USAGE) from None


@contextmanager
def conversation(target: Target, *, autostart: bool) -> Iterator[Connection]:
    """A connection to a broker for the length of a block.

    Args:
        target: whose broker.
        autostart: start an embedded one that does not run, if it has run there before.

    Raises:
        CliError: no broker answers.
    """
    from taskq.errors import BrokerTimeout, BrokerUnavailable

    broker = open_broker(target, autostart=autostart)
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


def app_of(target: Target) -> TaskQueue:
    """A queue object without tasks, to handle results of that broker."""
    from taskq.client.app import TaskQueue

    return TaskQueue(broker=target.url)
