"""Which broker a command means."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskq.cli.support.failure import UNREACHABLE, USAGE, CliError

if TYPE_CHECKING:
    from taskq.client.app import TaskQueue


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
    """The embedded brokers of this user below the base directory, running or not.

    Raises:
        CliError: this user may not look into that directory.
    """
    base = base_directory()
    try:
        found = sorted(base.iterdir()) if base.is_dir() else []
    except PermissionError:
        raise CliError(
            f"this user may not look into {base}; run the command as its owner, or set TASKQ_DIR",
            UNREACHABLE,
        ) from None
    return [of_directory(path) for path in found if is_broker_directory(path)]


def is_broker_directory(path: Path) -> bool:
    """Whether a broker has run in that directory; false for one that belongs to somebody else."""
    try:
        return path.is_dir() and any(
            (path / name).exists() for name in ("journal.db", "key", "sock")
        )
    except PermissionError:
        return False


def refuse_foreign(directory: Path) -> None:
    """Check that a directory, if it exists, belongs to this user.

    Raises:
        CliError: it is another user's, or lies in a directory that this user may not enter.
    """
    try:
        owner = os.lstat(directory).st_uid
    except PermissionError:
        raise CliError(
            f"this user may not look into {directory.parent}; run the command as its owner",
            UNREACHABLE,
        ) from None
    except OSError:
        return
    if owner != os.geteuid():
        name = _user_name(owner)
        raise CliError(
            f"{directory} belongs to the user {name}; run the command as that one, as with: "
            f"sudo -u {name} taskq …",
            UNREACHABLE,
        )


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def none_known() -> CliError:
    """The error if no broker of this user is found, and nothing says which one is meant."""
    base = base_directory()
    if base.is_dir():
        for path in sorted(base.iterdir()):
            if path.is_dir():
                refuse_foreign(path)
    return CliError(
        f"no broker has run below {base} yet; start a worker, see taskq demo, or say which with "
        "--broker URL or NAME",
        UNREACHABLE,
    )


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
        except ValueError:
            raise CliError(
                f"{choice!r} is no name of a broker; for a directory write embedded:{choice}", USAGE
            ) from None
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

        silence_import_notes()
        return [of_app(load_app(spec))]
    return known()


def silence_import_notes() -> None:
    """Silence the notes on where the import of an app ended; only a worker logs them."""
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
        raise none_known()
    names = ", ".join(target.name for target in targets)
    raise CliError(f"there are several brokers; choose one with --broker NAME: {names}", USAGE)


def option_for(url: str, choice: str | None) -> str:
    """What a further command has to add to mean the same broker: ` --broker NAME`, or nothing.

    Args:
        url: of that broker.
        choice: the `--broker` of this command.
    """
    if choice is not None:
        return f" --broker {shlex.quote(choice)}"
    if named := os.environ.get("TASKQ_BROKER"):
        meant = [of_choice(named)]
    else:
        meant = [] if "TASKQ_APP" in os.environ else known()
    if [each.url for each in meant] == [url]:
        return ""
    target = of_choice(url)
    is_named = target.directory is not None and target.directory.parent == base_directory()
    return f" --broker {shlex.quote(target.name if is_named else url)}"
