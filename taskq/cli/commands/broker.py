"""`taskq broker`: a broker in the foreground, and the end of one that runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskq.cli.support.failure import UNREACHABLE, USAGE, CliError
from taskq.cli.support.shared import CommandGroup, Shared, broker_option, json_option, pass_shared
from taskq.cli.support.target import (
    Target,
    is_broker_directory,
    known,
    of_choice,
    of_directory,
    only,
    refuse_foreign,
)
from taskq.cli.support.values import DURATION, LIMIT, SIZE

if TYPE_CHECKING:
    from taskq.broker.settings import BrokerSettings

DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.option("--dir", "directory", type=DIRECTORY,
              help="Where the journal, the key and the socket live.")  # fmt: skip
@click.option("--listen", default="unix", show_default=True, metavar="unix|tcp://HOST:PORT")
@click.option("--durability", type=click.Choice(["fsync", "os", "none"]), default="fsync",
              show_default=True, envvar="TASKQ_DURABILITY",
              help="fsync: survives power loss; os: any kill; none: memory only.")  # fmt: skip
@click.option("--authkey-file", type=click.Path(dir_okay=False, path_type=Path),
              help="The key.  [default: the file key in DIR, made if missing]")  # fmt: skip
@click.option("--idle-exit", type=DURATION, metavar="60s",
              help="Leave after so long without clients and with nothing due.")  # fmt: skip
@click.option("--max-messages", type=LIMIT, metavar="N",
              help="Keep at most so many, in all queues.")  # fmt: skip
@click.option("--max-bytes", type=SIZE, metavar="SIZE",
              help="Keep at most so many bytes of payloads, e.g. 2GiB.")  # fmt: skip
@click.option("--max-results", type=LIMIT, metavar="N",
              help="Keep at most so many results; the oldest expire early.  [default: 1M]")  # fmt: skip
@click.option("--max-result-bytes", type=SIZE, metavar="SIZE",
              help="Keep at most so many bytes of results.  [default: 1GiB]")  # fmt: skip
@click.option("--insecure", is_flag=True, help="Allow TCP beyond this machine, unencrypted.")
@broker_option
@json_option
@click.pass_context
def command(context: click.Context, /, directory: Path | None, **given: Any) -> None:
    """Run a broker in the foreground until TERM or INT.

    Name its directory with --dir, or with --broker NAME for the default place of that queue. With
    --json it prints one JSON document when clients can connect.
    """
    if context.invoked_subcommand is None:
        shared = context.ensure_object(Shared)
        context.exit(_serve(shared, settings_of(shared, directory, **given)))


def settings_of(shared: Shared, directory: Path | None, **given: Any) -> BrokerSettings:
    """The settings that the options and the environment say. Raises `click.UsageError`."""
    from taskq.broker.settings import BrokerSettings

    if directory is None and shared.broker:
        directory = of_choice(shared.broker).directory
    if directory is None:
        raise click.UsageError("say where the broker keeps its journal: --dir DIR")
    try:
        return BrokerSettings(directory, **given).completed(os.environ)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _serve(shared: Shared, settings: BrokerSettings) -> int:
    import logging
    import signal

    from taskq.broker.manager import describe
    from taskq.broker.run import exit_code, serve

    level = {1: logging.DEBUG, 0: logging.WARNING}.get(shared.verbosity, logging.ERROR)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is no reason to stop

    def ready(url: str) -> None:
        if shared.as_json:
            click.echo(json.dumps({"ready": url, "durability": settings.durability}))
        elif shared.verbosity >= 0:
            click.echo(
                f"broker ready at {url} (durability {settings.durability}); stop it with Ctrl-C"
            )

    def failed(error: Exception) -> None:
        raise CliError(describe(error), exit_code(error)) from error

    return serve(settings, ready=ready, failed=failed)


@command.command()
@click.option("--dir", "directory", type=DIRECTORY, help="Of the broker.")
@click.option("--timeout", type=DURATION, default="30s", show_default=True, metavar="30s",
              help="Wait so long at most for its end.")  # fmt: skip
@broker_option
@json_option
@pass_shared
def stop(shared: Shared, directory: Path | None, timeout: float) -> None:
    """Shut down a broker: it finishes its tick and closes its journal. Nothing is lost.

    For an embedded one, too: stop its workers and programs first, or they start it again.
    """
    from taskq.backends.stop import stop_broker

    target = only(shared.broker) if directory is None else of_directory(directory)
    place = _place(target)
    refuse_foreign(place)
    pid = stop_broker(place, timeout)
    if not pid and not is_broker_directory(place):
        raise CliError(f"no broker has ever run in {place}; check the name{_others()}", UNREACHABLE)
    sentence = (
        f"the broker of {place} (pid {pid}) has ended" if pid else f"no broker runs in {place}"
    )
    shared.show({"directory": str(place), "stopped": pid or None}, sentence)


def _others() -> str:
    names = ", ".join(each.name for each in known())
    return f": there are {names}" if names else ""


def _place(target: Target) -> Path:
    """The directory of a broker that runs on this machine. Raises `CliError`."""
    if target.directory is not None:
        return target.directory
    scheme, _, rest = target.url.partition(":")
    if scheme == "unix" and Path(rest).name == "sock":
        return Path(rest).absolute().parent
    raise CliError(
        f"the broker at {target.url} is stopped on its own machine: taskq broker stop --dir DIR",
        USAGE,
    )
